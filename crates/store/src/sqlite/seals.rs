//! Keeps the seals of rows that confer rights ([`crate::rights`]): functions and triggers of the writer's
//! connection, which are no part of the database, and the seal of the database's state with every group.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;

use crate::StoreError;
use crate::rights::{
    Part, Rights, RightsKey, Sealed, SealedColumn, Sum, add, is_principal, layout, root, root_and_mark,
    subtract,
};
use crate::session::{Session, failed, value_of};

/// The writer's part: it maintains the seals, and seals the state of the database with every batch.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    attending: bool,
    /// The root as this process left it, once something is sealed.
    root: Option<Vec<u8>>,
    forged: bool,
}

impl Keeper {
    /// To be called before a transaction begins. Then whatever it writes is sealed, if the key is known.
    pub(crate) fn attend(&mut self, connection: &Connection, rights: &Rights) -> Result<(), StoreError> {
        if let Some(key) = rights.key()
            && !self.attending
        {
            attend(key, connection, &rights.changes)?;
            self.attending = true;
        }
        Ok(())
    }

    /// To be called inside a transaction, before anything is written: what somebody else has put in must not get our
    /// seal.
    pub(crate) fn look(&mut self, session: Session<'_>, rights: &Rights) -> Result<(), StoreError> {
        let left = self.root.as_ref().or(rights.root.get());
        if left.is_none() || self.forged || root(session)?.as_ref() == left {
            return Ok(());
        }
        tracing::error!(
            "rows that confer rights were changed beside the service; the database is sealed no more: run \
             `tongguan check`"
        );
        rights.count();
        self.forged = true;
        Ok(())
    }

    /// The seal of the state that a batch leaves, to be written with its number, and the root, to be handed to
    /// [`Keeper::left`] after the commit.
    pub(crate) fn seal(
        &self,
        session: Session<'_>,
        rights: &Rights,
        groups: u64,
    ) -> Result<(Option<Sum>, Option<Vec<u8>>), StoreError> {
        let (Some(root), mark) = root_and_mark(session)? else { return Ok((None, None)) };
        let Some(key) = rights.key() else { return Err(StoreError::RightsClosed) };
        let seal = (!self.forged).then(|| key.state(groups, &root, mark));
        Ok((seal, Some(root)))
    }

    pub(crate) fn left(&mut self, root: Option<Vec<u8>>) {
        self.root = root;
    }

    /// The key that the mark is to be sealed with: none as long as the database is not.
    pub(crate) fn mark_key<'r>(&self, rights: &'r Rights) -> Option<&'r RightsKey> {
        rights.key().filter(|_| self.root.is_some())
    }
}

/// Gives a connection the functions and triggers that keep the seals.
fn attend(key: &RightsKey, connection: &Connection, changes: &Arc<AtomicU64>) -> Result<(), StoreError> {
    functions(key, connection, changes).map_err(failed)?;
    let mut triggers = String::from(SUMS);
    layout()?.iter().for_each(|sealed| triggers.push_str(&triggers_of(sealed)));
    Session::new(connection).script(&triggers)
}

/// Neither innocuous nor deterministic: no index, constraint or view of a database can ask for a seal.
fn functions(key: &RightsKey, connection: &Connection, changes: &Arc<AtomicU64>) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8;
    let own = key.clone();
    connection.create_scalar_function("tongguan_row", -1, flags, move |context| {
        let table: String = context.get(0)?;
        let columns = (1..context.len()).step_by(2).map(|at| {
            let name = context.get_raw(at).as_bytes().unwrap_or_default();
            (name, value_of(context.get_raw(at + 1)))
        });
        Ok(own.row(&table, columns).to_vec())
    })?;
    let (own, changes) = (key.clone(), Arc::clone(changes));
    connection.create_scalar_function("tongguan_term", -1, flags, move |context| {
        let label: String = context.get(0)?;
        // Whatever changes a bearer's rows changes its seal, which is summed up here.
        if label == "seal" && context.get_raw(1).as_str().is_ok_and(is_principal) {
            changes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(own.term(&label, (1..context.len()).map(|at| value_of(context.get_raw(at)))).to_vec())
    })?;
    let own = key.clone();
    connection.create_scalar_function("tongguan_bucket", 2, flags, move |context| {
        Ok(i64::try_from(own.bucket(value_of(context.get_raw(0)), value_of(context.get_raw(1))))
            .unwrap_or_default())
    })?;
    let own = key.clone();
    connection.create_scalar_function("tongguan_seal", 5, flags, move |context| {
        let old = match context.get_raw(2) {
            ValueRef::Null => None,
            other => Some(other.as_bytes().unwrap_or_default()),
        };
        let bearer = (value_of(context.get_raw(0)), value_of(context.get_raw(1)));
        Ok(own.resealed(bearer, old, sum_of(context, 3), sum_of(context, 4)))
    })?;
    connection.create_scalar_function("tongguan_sum", 3, flags, |context| {
        // One that is malformed was forged: whatever comes of it does not fit.
        let mut sum = sum_of(context, 0).unwrap_or_default();
        sum_of(context, 1).iter().for_each(|minus| subtract(&mut sum, minus));
        sum_of(context, 2).iter().for_each(|plus| add(&mut sum, plus));
        Ok(sum.to_vec())
    })?;
    Ok(())
}

fn sum_of(context: &Context<'_>, at: usize) -> Option<Sum> {
    context.get_raw(at).as_bytes().ok()?.try_into().ok()
}

/// The triggers that keep the seals of these rows.
fn triggers_of(sealed: &Sealed) -> String {
    let Part { kind, table, owner } = *sealed.part;
    let update = |row: &str, minus: &str, plus: &str| {
        format!(
            "UPDATE row_seal SET seal = tongguan_seal(kind, id, seal, {minus}, {plus}) \
             WHERE kind = '{kind}' AND id = {row}.\"{owner}\";"
        )
    };
    let (old, new) = (term(sealed, "OLD"), term(sealed, "NEW"));
    // A seal that is there already is of one that somebody has taken away: none is to be taken for the other.
    let inserted = if sealed.own() {
        format!(
            "INSERT INTO row_seal (kind, id, seal) VALUES ('{kind}', NEW.\"{owner}\", \
             tongguan_seal('{kind}', NEW.\"{owner}\", NULL, NULL, {new})) \
             ON CONFLICT DO UPDATE SET seal = zeroblob(64);"
        )
    } else {
        update("NEW", "NULL", &new)
    };
    let deleted = if sealed.own() {
        format!("DELETE FROM row_seal WHERE kind = '{kind}' AND id = OLD.\"{owner}\";")
    } else {
        update("OLD", &old, "NULL")
    };
    let updated = format!("{} {}", update("OLD", &old, "NULL"), update("NEW", "NULL", &new));
    let columns = sealed.columns.iter().map(SealedColumn::quoted).collect::<Vec<_>>().join(", ");
    let trigger = |event: &str, name: &str, body: &str| {
        format!(
            "CREATE TEMP TRIGGER IF NOT EXISTS rights_{table}_{owner}_{name} AFTER {event} ON main.{table} \
             BEGIN {body} END;\n"
        )
    };
    [
        trigger("INSERT", "inserted", &inserted),
        trigger("DELETE", "deleted", &deleted),
        trigger(&format!("UPDATE OF {columns}"), "updated", &updated),
    ]
    .concat()
}

/// The term of a row as a trigger computes it; `row` is NEW or OLD.
fn term(sealed: &Sealed, row: &str) -> String {
    let mut sql = format!("tongguan_row('{}'", sealed.part.table);
    for column in &sealed.columns {
        let _ = write!(sql, ", '{}', {row}.{}", column.sealed_as, column.quoted());
    }
    sql.push(')');
    sql
}

/// Triggers that keep the sums of the seals.
const SUMS: &str = "
CREATE TEMP TRIGGER IF NOT EXISTS rights_seal_inserted AFTER INSERT ON main.row_seal BEGIN
    UPDATE row_bucket SET sum = tongguan_sum(sum, NULL, tongguan_term('seal', NEW.kind, NEW.id, NEW.seal))
    WHERE bucket = tongguan_bucket(NEW.kind, NEW.id);
END;
CREATE TEMP TRIGGER IF NOT EXISTS rights_seal_deleted AFTER DELETE ON main.row_seal BEGIN
    UPDATE row_bucket SET sum = tongguan_sum(sum, tongguan_term('seal', OLD.kind, OLD.id, OLD.seal), NULL)
    WHERE bucket = tongguan_bucket(OLD.kind, OLD.id);
END;
CREATE TEMP TRIGGER IF NOT EXISTS rights_seal_updated AFTER UPDATE ON main.row_seal BEGIN
    UPDATE row_bucket SET sum = tongguan_sum(sum, tongguan_term('seal', OLD.kind, OLD.id, OLD.seal),
        tongguan_term('seal', NEW.kind, NEW.id, NEW.seal))
    WHERE bucket = tongguan_bucket(NEW.kind, NEW.id);
END;
CREATE TEMP TRIGGER IF NOT EXISTS rights_bucket_updated AFTER UPDATE ON main.row_bucket BEGIN
    UPDATE store SET rights_root = tongguan_sum(rights_root, tongguan_term('bucket', OLD.bucket, OLD.sum),
        tongguan_term('bucket', NEW.bucket, NEW.sum));
END;
";
