//! Looks into the database of several nodes, beside them.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tokio::time::timeout;
use tongguan_store::postgres::hosts::{Access, Hosts, Primary};

use crate::database::{Contents, Row};

/// Longest wait for a primary, and for transactions to end.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
/// Time for a look under load.
const IN_TIME: Duration = Duration::from_secs(1);

/// Whatever is recorded as applied, in the order in which that is committed.
const KEEP: &str = "CREATE SCHEMA torture; \
    CREATE TABLE torture.applied (seq BIGSERIAL PRIMARY KEY, resource TEXT NOT NULL, generation BIGINT NOT NULL); \
    CREATE FUNCTION torture.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    INSERT INTO torture.applied (resource, generation) VALUES (NEW.resource, NEW.generation); RETURN NEW; END $$; \
    CREATE TRIGGER torture AFTER INSERT OR UPDATE ON public.applied FOR EACH ROW EXECUTE FUNCTION torture.keep()";

/// Generations that were recorded as applied after a newer one.
const BACK: &str = "SELECT resource || ': ' || generation || ' after ' || before FROM \
    (SELECT resource, generation, lag(generation) OVER (PARTITION BY resource ORDER BY seq) AS before \
    FROM torture.applied) AS steps WHERE generation < before";

/// Requests that are in the audit record more than once, and kept tokens of requests that are not in it: those of the
/// last ten minutes, of which all were looked at that are older.
const AUDIT: &str = "WITH late AS (SELECT request_id FROM audit WHERE time_ms > now_ms() - 660000) \
    SELECT 'request ' || request_id || ' is recorded ' || count(*) || ' times' FROM late GROUP BY request_id \
    HAVING count(*) > 1 UNION ALL SELECT 'token ' || token || ' of request ' || request_id || ' without a record' \
    FROM client_token WHERE created_ms > now_ms() - 600000 \
    AND NOT EXISTS (SELECT FROM late WHERE late.request_id = client_token.request_id)";

/// The database.
#[derive(Debug, Clone)]
pub struct Tables {
    hosts: Rc<Hosts>,
}

impl Tables {
    /// That of this URL.
    ///
    /// # Errors
    /// It is none.
    pub fn of(url: &str) -> Result<Self> {
        Ok(Self { hosts: Rc::new(Hosts::parse(url, Access::default())?) })
    }

    /// A session on the primary.
    async fn session(&self) -> Result<Primary> {
        let begun = Instant::now();
        loop {
            match self.hosts.connect(Duration::from_secs(1)).await {
                Ok(session) => {
                    session.client().batch_execute("SET statement_timeout = '60s'").await?;
                    return Ok(session);
                }
                Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Makes a database.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn make(&self, name: &str) -> Result<()> {
        Ok(self.session().await?.client().batch_execute(&format!("CREATE DATABASE {name}")).await?)
    }

    /// Keeps whatever is recorded as applied from now on.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn keep_applied(&self) -> Result<()> {
        Ok(self.session().await?.client().batch_execute(KEEP).await?)
    }

    /// Ends half of the sessions of the nodes, or each.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn terminate(&self, all: bool) -> Result<()> {
        let which = if all { "" } else { " AND random() < 0.5" };
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> \
             pg_backend_pid(){which}"
        );
        Ok(self.session().await?.client().batch_execute(&sql).await?)
    }

    /// Waits until every transaction has ended that is under way now.
    ///
    /// # Errors
    /// One does not end.
    pub async fn quiet(&self) -> Result<()> {
        let session = self.session().await?;
        let now: String = session.client().query_one("SELECT clock_timestamp()::text", &[]).await?.get(0);
        let sql = format!(
            "SELECT pid || ' ' || state || ' ' || query FROM pg_stat_activity WHERE datname = current_database() AND \
             xact_start < '{now}'"
        );
        let begun = Instant::now();
        loop {
            let rows = session.client().query(&sql, &[]).await?;
            let left: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            if left.is_empty() {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "transactions that do not end: {left:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The gateways, each checked to be at rest in every table; what was applied never went back, and the audit record
    /// has each request once.
    ///
    /// # Errors
    /// That is not so.
    pub async fn at_rest(&self) -> Result<HashMap<String, Row>> {
        let session = self.session().await?;
        let client = session.client();
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let number = |row: &tokio_postgres::Row, at: usize| u32::try_from(row.get::<_, i64>(at));
        let mut contents = Contents::default();
        for row in client.query(Contents::INTENTS, &[]).await? {
            contents.intents.push([row.get(0), row.get(1), row.get(2)]);
        }
        for row in client.query(Contents::GATEWAYS, &[]).await? {
            contents.gateways.push((row.get(0), row.get(1), number(&row, 2)?, number(&row, 3)?, row.get(4)));
        }
        for row in client.query(Contents::BINDINGS, &[]).await? {
            contents.bindings.push([row.get(0), row.get(1), row.get(2), row.get(3)]);
        }
        for row in client.query(Contents::APPLIED, &[]).await? {
            contents.applied.push((row.get(0), number(&row, 1)?, row.get(2)));
        }
        for (what, sql) in [("applied", BACK), ("audit record", AUDIT)] {
            let found: Vec<String> = client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
            if !found.is_empty() {
                bail!(
                    "{what}: {:?} and {} more",
                    &found[..found.len().min(5)],
                    found.len().saturating_sub(5)
                );
            }
        }
        client.batch_execute("COMMIT").await?;
        contents.at_rest()
    }

    /// The number of changes of each gateway, at one moment of this call; none if there is no primary that can say so
    /// in time. `session` is kept from call to call.
    pub async fn changes(&self, session: &mut Option<Primary>) -> Option<HashMap<String, u32>> {
        *session = session.take().filter(|session| !self.hosts.outdated(session));
        if session.is_none() {
            *session = self.hosts.connect(IN_TIME).await.ok();
        }
        let found = timeout(IN_TIME, look(session.as_ref()?)).await;
        if !matches!(found, Ok(Ok(_))) {
            *session = None;
        }
        found.ok()?.ok()
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn count(&self, from: &str) -> Result<i64> {
        let row =
            self.session().await?.client().query_one(&format!("SELECT count(*) FROM {from}"), &[]).await?;
        Ok(row.get(0))
    }
}

/// What a primary says that a standby obeys: an old one does not come through its commit.
async fn look(session: &Primary) -> Result<HashMap<String, u32>> {
    let client = session.client();
    client.batch_execute("BEGIN; SELECT pg_logical_emit_message(true, '', '')").await?;
    let rows = client.query("SELECT id, intended FROM vpn_gateway", &[]).await?;
    client.batch_execute("COMMIT").await?;
    rows.iter().map(|row| Ok((row.get(0), u32::try_from(row.get::<_, i64>(1))?))).collect()
}
