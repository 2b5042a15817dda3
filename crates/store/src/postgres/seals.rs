//! Keeps the seals of rows that confer rights ([`crate::rights`]).
//!
//! Triggers of the database write down, in a table that only the lane's connection has and that is empty after each
//! transaction, what each sealed row was and became. Before a batch is committed the lane computes the seals from that:
//! whoever writes without that table is refused, and whoever goes around the triggers is found by the seals.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::StoreError;
use crate::rights::{BUCKETS, Rights, RightsKey, Sealed, Sum, add, layout, sealed, subtract};
use crate::session::{Owned, Session, Value};

/// Makes the table that triggers write into, once for each connection that writes.
///
/// A transaction that has as much as looked at the table makes the index of its long values anew when it is committed,
/// and waits for the disk with that. So it is looked at only where something was noted, which the table's own trigger
/// says by a setting that ends with the transaction, or with the savepoint that is given up.
pub(crate) const NOTES: &str = "CREATE TEMP TABLE rights_change (place TEXT, before JSONB, after JSONB) ON COMMIT DELETE ROWS; \
     CREATE FUNCTION pg_temp.noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     PERFORM set_config('tongguan.noted', 'yes', true); RETURN NULL; END $$; \
     CREATE TRIGGER noted AFTER INSERT ON rights_change FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.noted()";

/// Forgets what was noted, of rows that have their seals.
pub(crate) const FORGET: &str = "DELETE FROM rights_change";

/// The trigger of a sealed table.
pub(super) fn trigger_of(table: &str) -> String {
    format!(
        "CREATE FUNCTION note_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO pg_temp.rights_change VALUES ('{table}', \
         CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END, CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END); \
         RETURN NULL; END $$; \
         CREATE TRIGGER note_{table} AFTER INSERT OR UPDATE OR DELETE ON {table} \
         FOR EACH ROW EXECUTE FUNCTION note_{table}();"
    )
}

/// A bearer by the kind of its row and its name, as the seals say it.
type Name = (&'static str, Owned);

/// A column of a row that was written down; `bytes` says that it holds bytes.
fn of_json(json: &Json, bytes: bool) -> Result<Owned, StoreError> {
    let strange = || StoreError::Damaged("a row that was noted cannot be read".to_owned());
    Ok(match json {
        Json::Null => Owned::Null,
        Json::Number(number) => Owned::Integer(number.as_i64().ok_or_else(strange)?),
        Json::String(text) if bytes => {
            let digits = text.strip_prefix("\\x").ok_or_else(strange)?;
            Owned::Blob(hex::decode(digits).map_err(|_| strange())?)
        }
        Json::String(text) => Owned::Text(text.clone()),
        Json::Bool(set) => Owned::Integer(i64::from(*set)),
        Json::Array(_) | Json::Object(_) => return Err(strange()),
    })
}

/// What becomes of a bearer's seal.
#[derive(Default)]
struct Turn {
    minus: Sum,
    plus: Sum,
    /// The bearer's own row: whether it was there before, and is there now.
    own: Option<(bool, bool)>,
}

/// Computes the seals of all that the transaction has written; to be called before it is committed.
pub(super) fn seal(session: Session<'_>, rights: &Rights) -> Result<(), StoreError> {
    if !session.only("SELECT coalesce(current_setting('tongguan.noted', TRUE), '') <> ''", &[])? {
        return Ok(());
    }
    let noted: Vec<(String, Option<String>, Option<String>)> =
        session.all("SELECT place, before::text, after::text FROM rights_change ORDER BY ctid", &[])?;
    if noted.is_empty() {
        return Ok(());
    }
    let Some(key) = rights.key() else {
        // Before there is a root nothing is sealed.
        return if sealed(session)? { Err(StoreError::RightsClosed) } else { Ok(()) };
    };
    let mut turns: BTreeMap<Name, Turn> = BTreeMap::new();
    for (table, before, after) in &noted {
        let read = |text: &Option<String>| -> Result<Option<Json>, StoreError> {
            let json = text.as_deref().map(serde_json::from_str).transpose();
            json.map_err(|_| StoreError::Damaged("a row that was noted cannot be read".to_owned()))
        };
        let (before, after) = (read(before)?, read(after)?);
        for sealed in layout()?.iter().filter(|sealed| sealed.part.table == table) {
            note(key, sealed, before.as_ref(), after.as_ref(), &mut turns)?;
        }
    }
    if turns.is_empty() {
        // What was written is not sealed, as when a key was used last.
        return Ok(());
    }
    let root = "SELECT rights_root, rights_seal FROM store FOR UPDATE";
    let (root, state): (Option<Sum>, Option<Vec<u8>>) = session.only(root, &[])?;
    let Some(root) = root else { return Ok(()) };
    Seals { session, key, root, state }.carry_out(turns, rights)
}

/// Adds a row that was and became to what becomes of its bearers.
fn note(
    key: &RightsKey,
    sealed: &Sealed,
    before: Option<&Json>,
    after: Option<&Json>,
    turns: &mut BTreeMap<Name, Turn>,
) -> Result<(), StoreError> {
    let term = |row: &Json| -> Result<(Owned, Sum), StoreError> {
        let mut columns = Vec::with_capacity(sealed.columns.len());
        for column in &sealed.columns {
            columns.push(of_json(&row[column.name.as_str()], column.bytes)?);
        }
        let owner = of_json(&row[sealed.part.owner], false)?;
        let names = sealed.columns.iter().map(|column| column.sealed_as.as_bytes());
        let named = names.zip(columns.iter().map(Owned::value));
        Ok((owner, key.row(sealed.part.table, named)))
    };
    let (before, after) = (before.map(term).transpose()?, after.map(term).transpose()?);
    if before == after {
        return Ok(());
    }
    for (row, there) in [(before, false), (after, true)] {
        let Some((owner, term)) = row.filter(|(owner, _)| *owner != Owned::Null) else { continue };
        let turn = turns.entry((sealed.part.kind, owner)).or_default();
        if there {
            add(&mut turn.plus, &term)
        } else {
            add(&mut turn.minus, &term)
        }
        if sealed.own() {
            let was = turn.own.map_or(!there, |(was, _)| was);
            turn.own = Some((was, there));
        }
    }
    Ok(())
}

struct Seals<'s> {
    session: Session<'s>,
    key: &'s RightsKey,
    root: Sum,
    state: Option<Vec<u8>>,
}

impl Seals<'_> {
    /// Replaces the seals, sums and the root. They are locked in one order by everybody.
    fn carry_out(mut self, turns: BTreeMap<Name, Turn>, rights: &Rights) -> Result<(), StoreError> {
        // What somebody else has put in must not get our seal.
        let sound = self.state.as_deref().is_none_or(|state| state == self.key.state(0, &self.root, false));
        if !sound {
            rights.count();
            tracing::error!(
                "rows that confer rights were changed beside the service; the database is sealed no more: run \
                 `tongguan check`"
            );
        }
        let mut buckets: BTreeMap<i64, (Sum, Sum)> = BTreeMap::new();
        for ((kind, id), turn) in turns {
            let (name, id) = (Value::Text(kind.as_bytes()), id.value());
            let sql = "SELECT seal FROM row_seal WHERE kind = ?1 AND id = ?2 FOR UPDATE";
            let old: Option<Vec<u8>> = self.session.one(sql, &binds![name, id])?;
            let own = turn.own.unwrap_or((true, true));
            let new = match (own, &old) {
                // A row of a bearer that is gone, and goes with it.
                ((_, false), _) => None,
                // A seal that is there already is of one that somebody has taken away.
                ((false, true), Some(_)) => Some(vec![0; 64]),
                ((false, true), None) => {
                    Some(self.key.resealed((name, id), None, Some(turn.minus), Some(turn.plus)))
                }
                // One that has no seal was put in, and gets none.
                ((true, true), None) => None,
                ((true, true), Some(old)) => {
                    Some(self.key.resealed((name, id), Some(old), Some(turn.minus), Some(turn.plus)))
                }
            };
            if old == new {
                continue;
            }
            let bucket = i64::try_from(self.key.bucket(name, id)).unwrap_or_default();
            let (minus, plus) = buckets.entry(bucket).or_default();
            if let Some(old) = &old {
                add(minus, &self.key.term("seal", [name, id, Value::Blob(old)]));
            }
            match &new {
                Some(new) => {
                    add(plus, &self.key.term("seal", [name, id, Value::Blob(new)]));
                    upsert!(self.session, "row_seal" { kind: name, id: id } set { seal: new })?;
                }
                None => {
                    let sql = "DELETE FROM row_seal WHERE kind = ?1 AND id = ?2";
                    self.session.execute(sql, &binds![name, id])?;
                }
            }
        }
        for (bucket, (minus, plus)) in buckets {
            let sql = "SELECT sum FROM row_bucket WHERE bucket = ?1 FOR UPDATE";
            let old: Sum = self.session.only(sql, &binds![bucket])?;
            let mut new = old;
            subtract(&mut new, &minus);
            add(&mut new, &plus);
            self.session.execute("UPDATE row_bucket SET sum = ?2 WHERE bucket = ?1", &binds![bucket, new])?;
            let term = |sum: &Sum| self.key.term("bucket", [Value::Integer(bucket), Value::Blob(sum)]);
            subtract(&mut self.root, &term(&old));
            add(&mut self.root, &term(&new));
        }
        let state = sound.then(|| self.key.state(0, &self.root, false));
        let sql = "UPDATE store SET rights_root = ?1, rights_seal = coalesce(?2, rights_seal)";
        self.session.execute(sql, &binds![self.root, state])?;
        Ok(())
    }
}

/// Seals every row as it is now, in place of any seals that are there.
pub(crate) fn seal_all(session: Session<'_>, key: &RightsKey) -> Result<(), StoreError> {
    // What was noted so far is part of what is sealed.
    session.script("DELETE FROM rights_change; DELETE FROM row_seal; DELETE FROM row_bucket;")?;
    let mut buckets = vec![Sum::default(); BUCKETS];
    for kind in layout()?.iter().filter(|sealed| sealed.own()).map(|sealed| sealed.part.kind) {
        let name = Value::Text(kind.as_bytes());
        for (id, sum) in key.sums(session, kind)? {
            let seal = [sum, key.tag(name, id.value(), &sum)].concat();
            insert!(session, "row_seal" { kind: kind, id: id, seal: seal })?;
            let term = key.term("seal", [name, id.value(), Value::Blob(&seal)]);
            add(&mut buckets[key.bucket(name, id.value())], &term);
        }
    }
    let mut root = Sum::default();
    for (bucket, sum) in (0_i64..).zip(&buckets) {
        insert!(session, "row_bucket" { bucket: bucket, sum: sum })?;
        add(&mut root, &key.term("bucket", [Value::Integer(bucket), Value::Blob(sum)]));
    }
    let state = key.state(0, &root, false);
    session.execute(
        "UPDATE store SET rights_root = ?1, rights_seal = ?2, rights_mark = 0",
        &binds![root, state],
    )?;
    Ok(())
}
