//! A connection, used by one thread at a time.
//!
//! It has a runtime of its own, which runs on the thread that asks and only while it asks, so that nobody else is woken
//! for an answer. What is written and answers nothing is sent with the next statement that is asked for an answer: both
//! make one journey. Every wait has a deadline; a connection whose server did not answer in time is given up, never
//! cancelled: what a server says of a commit that was cancelled cannot be relied on.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use futures_util::future::{MaybeDone, join, maybe_done};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, SimpleQueryMessage, Statement};

use super::hosts::{CONNECT_TIME, Hosts, Primary};
use super::outcome::Stage;
use super::pool::waiting;
use super::translate::{translated, written};
use super::{Failure, hosts};
use crate::session::{AsBind, Bind, Owned, Session, Sql};
use crate::{Owner, StoreError};

/// Statements kept at most: when there are more, all are let go, and those that are used come back.
const MOST: usize = 512;
/// Rows that a stream fetches at once.
const FETCHED: u32 = 1_024;

/// How long an answer may take to who looks at everything.
const PATIENT: Duration = Duration::from_secs(600);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(3);

/// A connection to PostgreSQL.
pub(crate) struct Link {
    primary: Primary,
    hosts: Arc<Hosts>,
    /// Statements that are part of the program, by where their texts lie and how long they are.
    fixed: RefCell<HashMap<(usize, usize), Arc<Prepared>>>,
    /// Those that were put together.
    made: RefCell<HashMap<String, Arc<Prepared>>>,
    /// Streams that are open.
    streams: Cell<u32>,
    /// What is on its way, in its order.
    sent: RefCell<Vec<Sent>>,
    /// Rows written since the last look, and how often there was a look.
    wrote: Cell<u64>,
    looks: Cell<u64>,
    /// When it was answered last.
    answered: Cell<Instant>,
    /// It is of no more use.
    gone: Cell<bool>,
    /// None once it is dropped.
    runtime: Option<Runtime>,
    /// How long an answer may take.
    deadline: Duration,
}

type Answer = Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send>>;

/// A statement that is handed over with the next one, and how many rows it has changed once that is answered.
struct Sent {
    answer: MaybeDone<Answer>,
    /// It writes rows that count as written since this look.
    look: Option<u64>,
}

/// Hands over those that were not yet, in their order; whether all are answered.
fn handed_over(sent: &mut [Sent], context: &mut Context<'_>) -> bool {
    sent.iter_mut().fold(true, |all, Sent { answer, .. }| Pin::new(answer).poll(context).is_ready() && all)
}

/// Such statements at most: when there are more, their answers are waited for.
const SENT: usize = 64;

impl Drop for Link {
    fn drop(&mut self) {
        // There is nothing to wait for, and whoever drops it may not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("primary", &self.primary)
            .field("gone", &self.gone)
            .finish_non_exhaustive()
    }
}

/// What became of a nonce that was asked for.
pub(super) struct Came {
    /// Which of those asked for.
    pub(super) place: i64,
    /// It is taken now, and was not before.
    pub(super) taken: bool,
    /// It was taken before.
    pub(super) used: bool,
    /// The request was accepted no more when it was asked for; then it was not taken.
    pub(super) late: bool,
    /// An account whose epoch is another one than was asked for; then it was not taken.
    pub(super) stale: Option<String>,
    /// The epoch of that account.
    pub(super) epoch: i64,
}

/// Nonces that are asked for together.
pub(super) struct Batch<'a> {
    pub(super) prints: Vec<&'a [u8]>,
    /// When their requests expire, UNIX seconds.
    pub(super) untils: Vec<i64>,
    /// Whether each is to be taken, or only looked for.
    pub(super) takes: Vec<bool>,
    /// Places (from 1), accounts and epochs of those whom they depend on.
    pub(super) places: Vec<i64>,
    pub(super) accounts: Vec<&'a str>,
    pub(super) epochs: Vec<i64>,
    /// How long after its expiry a request may be let in, seconds.
    pub(super) late: i64,
}

/// The connection that is kept here, or a new one if it is of no more use.
pub(super) fn kept<'l>(link: &'l mut Option<Link>, hosts: &Arc<Hosts>) -> Result<&'l Link, StoreError> {
    let open = match link.take().filter(|link| !link.is_gone()) {
        Some(open) => open,
        None => Link::open(hosts)?,
    };
    Ok(link.insert(open))
}

/// A statement that the server has prepared.
pub(crate) struct Prepared {
    statement: Statement,
    text: String,
    /// It writes.
    writes: bool,
}

impl Link {
    /// Opens a connection to the primary.
    pub(crate) fn open(hosts: &Arc<Hosts>) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|source| {
            StoreError::File { what: "cannot start a runtime for", path: "the database".into(), source }
        })?;
        let primary =
            waiting(|| runtime.block_on(hosts.connect(CONNECT_TIME))).map_err(Failure::NoPrimary)?;
        Ok(Self {
            primary,
            hosts: Arc::clone(hosts),
            fixed: RefCell::default(),
            made: RefCell::default(),
            streams: Cell::new(0),
            sent: RefCell::default(),
            wrote: Cell::new(0),
            looks: Cell::new(0),
            answered: Cell::new(Instant::now()),
            gone: Cell::new(false),
            runtime: Some(runtime),
            deadline: ANSWER,
        })
    }

    /// Opens one on which statements may take their time: for who looks at everything.
    pub(crate) fn patient(hosts: &Arc<Hosts>) -> Result<Self, StoreError> {
        let mut link = Self::open(hosts)?;
        link.deadline = PATIENT;
        let patience = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
        link.script(&format!("{patience}; SET plan_cache_mode = auto; SET enable_seqscan = on"))?;
        Ok(link)
    }

    /// How long ago it was answered.
    pub(crate) fn quiet_for(&self) -> Duration {
        self.answered.get().elapsed()
    }

    /// Host and timeline of the server.
    pub(crate) fn server(&self) -> (&str, u32) {
        (self.primary.host(), self.primary.timeline().number())
    }

    /// Where it was opened.
    pub(super) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Whether it is of no more use.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.get() || self.primary.client().is_closed() || self.hosts.outdated(&self.primary)
    }

    /// Waits for what the server answers, until the deadline; before it, for the answers to all that was sent. What
    /// went wrong first is the error.
    fn wait<T>(
        &self,
        stage: Stage,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        let Some(runtime) = self.runtime.as_ref().filter(|_| !self.gone.get()) else {
            return Err(Failure::Gone.into());
        };
        let mut sent = self.sent.take();
        let answer = async {
            // All are handed over before any is waited for.
            let (sent, answer) = join(self.settled(&mut sent), answer).await;
            sent?;
            answer
        };
        let answer: Result<T, hosts::Failure> =
            waiting(|| runtime.block_on(async { self.primary.run(stage, self.deadline, answer).await }));
        self.answered.set(Instant::now());
        answer.map_err(|failure| {
            let failure = Failure::Statement(failure);
            self.gone.set(self.gone.get() || failure.passes());
            failure.into()
        })
    }

    /// The answers to what was sent; the first refusal, since those after it follow from it.
    async fn settled(&self, sent: &mut [Sent]) -> Result<(), tokio_postgres::Error> {
        poll_fn(|context| if handed_over(sent, context) { Poll::Ready(()) } else { Poll::Pending }).await;
        for Sent { answer, look } in sent {
            let changed = Pin::new(answer).take_output().unwrap_or(Ok(0))?;
            if *look == Some(self.looks.get()) {
                self.wrote.set(self.wrote.get() + changed);
            }
        }
        Ok(())
    }

    /// Waits for the answers to all that was sent.
    fn settle(&self) -> Result<(), StoreError> {
        if self.sent.borrow().is_empty() { Ok(()) } else { self.wait(Stage::Open, ready(Ok(()))) }
    }

    /// Sends a statement with the next one whose answer is waited for, which says, too, if this one was refused.
    fn send(
        &self,
        look: Option<u64>,
        answer: impl Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.sent.borrow_mut().push(Sent { answer: maybe_done(Box::pin(answer) as Answer), look });
        if self.sent.borrow().len() < SENT { Ok(()) } else { self.settle() }
    }

    /// The prepared statement of a text.
    pub(crate) fn prepare(&self, sql: Sql<'_>) -> Result<Arc<Prepared>, StoreError> {
        match sql {
            Sql::Fixed(text) => {
                let name = (text.as_ptr().addr(), text.len());
                if let Some(prepared) = self.fixed.borrow().get(&name) {
                    return Ok(Arc::clone(prepared));
                }
                let prepared = self.prepared(text)?;
                keep(&mut self.fixed.borrow_mut(), name, &prepared);
                Ok(prepared)
            }
            Sql::Made(text) => {
                if let Some(prepared) = self.made.borrow().get(text) {
                    return Ok(Arc::clone(prepared));
                }
                let prepared = self.prepared(text)?;
                keep(&mut self.made.borrow_mut(), text.to_owned(), &prepared);
                Ok(prepared)
            }
        }
    }

    fn prepared(&self, sql: &str) -> Result<Arc<Prepared>, StoreError> {
        let text = translated(sql);
        let statement = self.wait(Stage::Open, self.primary.client().prepare(&text))?;
        let writes = written(&text).is_some();
        Ok(Arc::new(Prepared { statement, text, writes }))
    }

    /// Executes a statement; returns how many rows it changed.
    pub(crate) fn execute(&self, prepared: &Prepared, values: &[Bind<'_>]) -> Result<usize, StoreError> {
        let changed =
            self.wait(Stage::Open, self.primary.client().execute_raw(&prepared.statement, values))?;
        if prepared.writes {
            self.wrote.set(self.wrote.get() + changed);
        }
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    /// Executes a statement of which nobody asks what it has changed. If it is refused, a later statement says so, at
    /// the latest the one that ends the transaction.
    pub(crate) fn execute_later(&self, prepared: &Prepared, values: &[Bind<'_>]) -> Result<(), StoreError> {
        let owned: Option<Vec<Owned>> = values.iter().map(|value| Owned::of_bind(*value)).collect();
        match owned {
            Some(owned) => self.execute_owned_later(prepared, owned),
            None => self.execute(prepared, values).map(drop),
        }
    }

    /// The same with values that are its own.
    pub(crate) fn execute_owned_later(
        &self,
        prepared: &Prepared,
        values: Vec<Owned>,
    ) -> Result<(), StoreError> {
        let (client, statement) = (self.primary.client_shared(), prepared.statement.clone());
        self.send(prepared.writes.then(|| self.looks.get()), async move {
            client.execute_raw(&statement, values.iter().map(AsBind::bind)).await
        })
    }

    /// All rows of a query.
    pub(crate) fn query<'l>(
        &'l self,
        prepared: &Prepared,
        values: &[Bind<'_>],
    ) -> Result<Rows<'l>, StoreError> {
        let rows = self.wait(Stage::Open, async {
            let rows = self.primary.client().query_raw(&prepared.statement, values).await?;
            rows.try_collect::<Vec<Row>>().await
        })?;
        if prepared.writes {
            self.wrote.set(self.wrote.get() + rows.len() as u64);
        }
        Ok(Rows { rows, at: 0, stream: None })
    }

    /// The rows of a query, however many there are, inside a transaction: so many at once as need little room.
    pub(crate) fn stream<'l>(
        &'l self,
        prepared: &Prepared,
        values: &[Bind<'_>],
    ) -> Result<Rows<'l>, StoreError> {
        let number = self.streams.get();
        let declare = format!("DECLARE stream_{number} NO SCROLL CURSOR FOR {}", prepared.text);
        let known = self.made.borrow().get(&declare).map(Arc::clone);
        let declare = match known {
            Some(prepared) => prepared,
            None => {
                let statement = self.wait(Stage::Open, self.primary.client().prepare(&declare))?;
                let prepared = Arc::new(Prepared { statement, text: String::new(), writes: false });
                keep(&mut self.made.borrow_mut(), declare, &prepared);
                prepared
            }
        };
        self.execute_later(&declare, values)?;
        self.streams.set(number + 1);
        let mut rows = Rows { rows: Vec::new(), at: 0, stream: Some(Stream { link: self, number }) };
        rows.fetch()?;
        Ok(rows)
    }

    /// Executes statements without values and results.
    pub(crate) fn script(&self, sql: &str) -> Result<(), StoreError> {
        self.wait(Stage::Open, self.primary.client().batch_execute(sql))
    }

    /// The same, of which nobody waits for the answer ([`Link::execute_later`]).
    pub(crate) fn script_later(&self, sql: &'static str) -> Result<(), StoreError> {
        let client = self.primary.client_shared();
        self.send(None, async move { client.batch_execute(sql).await.map(|()| 0) })
    }

    /// Ends a transaction that has only read: the server is told so, and its answer is read with the next one.
    pub(crate) fn end_reading(&self) -> Result<(), StoreError> {
        self.script_later("COMMIT")?;
        let Some(runtime) = self.runtime.as_ref().filter(|_| !self.gone.get()) else {
            return Err(Failure::Gone.into());
        };
        let mut sent = self.sent.borrow_mut();
        runtime.block_on(async {
            poll_fn(|context| Poll::Ready(handed_over(&mut sent, context))).await;
            // The connection has its turn, and writes what it was handed as far as the socket takes it.
            tokio::task::yield_now().await;
        });
        Ok(())
    }

    /// Executes statements without values; answers how many rows each has changed or found.
    pub(crate) fn counts(&self, sql: &str) -> Result<Vec<u64>, StoreError> {
        let messages = self.wait(Stage::Open, self.primary.client().simple_query(sql))?;
        let counts = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::CommandComplete(count) => Some(count),
            _ => None,
        });
        Ok(counts.collect())
    }

    /// Commits the transaction.
    pub(crate) fn commit(&self) -> Result<(), StoreError> {
        // What was refused is known before, and is no doubt about the commit.
        self.settle()?;
        self.wait(Stage::Committing, self.primary.client().batch_execute("COMMIT"))
    }

    /// Takes nonces, each if all its epochs are those of their accounts and it has not expired for long; of those that
    /// are only looked for it is said whether they were taken.
    pub(super) fn admit(&self, asked: &Batch<'_>) -> Result<Vec<Came>, StoreError> {
        // The last question of the nonce is no EXISTS, for which a plan may read the whole index at once.
        const ADMIT: &str = "WITH moment AS MATERIALIZED (SELECT now_ms() / 1000 AS now), \
            asked AS (SELECT * FROM unnest($1::BYTEA[], $2::BIGINT[], $3::BOOLEAN[]) \
            WITH ORDINALITY AS a(print, until, takes, place)), \
            stale AS (SELECT e.place, e.id, coalesce(a.epoch, 0) AS epoch \
            FROM unnest($4::BIGINT[], $5::TEXT[], $6::BIGINT[]) AS e(place, id, epoch) \
            LEFT JOIN account a ON a.id = e.id WHERE coalesce(a.epoch, 0) <> e.epoch), \
            taken AS (INSERT INTO nonce (print, until) SELECT print, until FROM asked \
            WHERE takes AND place NOT IN (SELECT place FROM stale) AND until >= (SELECT now FROM moment) - $7 \
            ORDER BY print ON CONFLICT DO NOTHING RETURNING print) \
            SELECT asked.place, asked.print IN (SELECT print FROM taken), \
            coalesce((SELECT TRUE FROM nonce WHERE nonce.print = asked.print), FALSE), until < (SELECT now FROM moment) - $7, \
            stale.id, coalesce(stale.epoch, 0) \
            FROM asked LEFT JOIN stale ON stale.place = asked.place";
        let prepared = self.prepare(Sql::Fixed(ADMIT))?;
        let Batch { prints, untils, takes, places, accounts, epochs, late } = asked;
        let rows = self.wait(Stage::Committing, async {
            let values: [&(dyn ToSql + Sync); 7] = [prints, untils, takes, places, accounts, epochs, late];
            self.primary.client().query(&prepared.statement, &values).await
        })?;
        let read = |row: &Row| -> Result<Came, tokio_postgres::Error> {
            Ok(Came {
                place: row.try_get(0)?,
                taken: row.try_get(1)?,
                used: row.try_get(2)?,
                late: row.try_get(3)?,
                stale: row.try_get(4)?,
                epoch: row.try_get(5)?,
            })
        };
        rows.iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(|error| StoreError::Damaged(format!("what became of nonces cannot be read: {error}")))
    }

    /// Writes down how many nonces a node holds, by owner and minute of expiry.
    pub(super) fn hold(&self, node: i64, held: &[(Owner, i64, usize)]) -> Result<(), StoreError> {
        const HOLD: &str = "INSERT INTO nonce_held (node, minute, account, principal, held) \
            SELECT $1, m.* FROM unnest($2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[]) AS m \
            ON CONFLICT (node, minute, account, principal) DO UPDATE SET held = excluded.held";
        let prepared = self.prepare(Sql::Fixed(HOLD))?;
        let column = |of: fn(&(Owner, i64, usize)) -> i64| held.iter().map(of).collect::<Vec<_>>();
        let (minutes, accounts) = (column(|one| one.1), column(|one| one.0.account().cast_signed()));
        let principals = column(|one| one.0.in_account().unwrap_or(0).cast_signed());
        let held = column(|one| i64::try_from(one.2).unwrap_or(i64::MAX));
        self.wait(Stage::Committing, async {
            let values: [&(dyn ToSql + Sync); 5] = [&node, &minutes, &accounts, &principals, &held];
            self.primary.client().execute(&prepared.statement, &values).await
        })
        .map(drop)
    }

    /// How many nonces that have not expired all nodes but this one hold, by owner.
    pub(super) fn others_hold(&self, node: i64) -> Result<HashMap<Owner, usize>, StoreError> {
        let sql = "SELECT account, principal, sum(held)::BIGINT FROM nonce_held \
                   WHERE node <> ?1 AND (minute + 1) * 60 >= now_ms() / 1000 GROUP BY account, principal";
        let rows: Vec<(i64, i64, i64)> = Session::Postgres(self).all(sql, &binds![node])?;
        let held = rows.into_iter().map(|(account, principal, held)| {
            let owner = Owner::of_fingerprints(account.cast_unsigned(), principal.cast_unsigned());
            (owner, usize::try_from(held).unwrap_or(0))
        });
        Ok(held.collect())
    }

    /// Rows written by statements since the last look.
    pub(crate) fn wrote(&self) -> Result<u64, StoreError> {
        self.settle()?;
        Ok(self.forget_written())
    }

    /// Looks without waiting for an answer: what was written until now counts no more.
    pub(crate) fn forget_written(&self) -> u64 {
        self.looks.set(self.looks.get() + 1);
        self.wrote.replace(0)
    }
}

fn keep<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Arc<Prepared>>, name: K, prepared: &Arc<Prepared>) {
    if map.len() >= MOST {
        map.clear();
    }
    map.insert(name, Arc::clone(prepared));
}

/// Rows of a result.
pub(crate) struct Rows<'l> {
    rows: Vec<Row>,
    at: usize,
    stream: Option<Stream<'l>>,
}

/// A cursor of the server's.
struct Stream<'l> {
    link: &'l Link,
    number: u32,
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        let Self { link, number } = self;
        link.streams.set(*number);
        let (client, close) = (link.primary.client_shared(), format!("CLOSE stream_{number}"));
        // It ends with the transaction at the latest; in one that has failed nothing can be closed.
        let _ = link.send(None, async move { client.batch_execute(&close).await.map(|()| 0) });
    }
}

impl Rows<'_> {
    fn fetch(&mut self) -> Result<(), StoreError> {
        let Some(Stream { link, number }) = &self.stream else { return Ok(()) };
        let fetch = format!("FETCH {FETCHED} FROM stream_{number}");
        let rows = link.wait(Stage::Open, async {
            link.primary.client().query_raw(&fetch, NOTHING).await?.try_collect().await
        })?;
        (self.rows, self.at) = (rows, 0);
        if self.rows.len() < FETCHED as usize {
            self.stream = None;
        }
        Ok(())
    }

    pub(crate) fn next(&mut self) -> Result<Option<&Row>, StoreError> {
        if self.at == self.rows.len() && self.stream.is_some() {
            self.fetch()?;
        }
        let row = self.rows.get(self.at);
        self.at += 1;
        Ok(row)
    }
}

/// No values.
const NOTHING: &[Bind<'static>] = &[];
