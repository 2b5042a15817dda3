//! Seals on the rows that confer rights: somebody who can write the database but has no master key can change them,
//! but not undetected.
//!
//! * A *bearer* of rights is an account, an access key, a user, group, role, policy or certificate. Its rights are
//!   its own row and the rows that belong to it, such as the policies attached to a user ([`PARTS`]).
//! * Each row has a *term*, an HMAC over its table and its columns; columns that are null count as absent, so that
//!   a later schema may add some. The terms of a bearer's rows are added up, and its *seal* is that sum with an
//!   HMAC over it. It is a sum so that a change of one row need not read the others: what somebody else has changed
//!   stays wrong.
//! * All seals are added up in the same way, in 256 buckets and a root, so that a bearer that is missing altogether
//!   or was rolled back is detected; the root is sealed with the number of batches, which the mark beside the
//!   database repeats.
//! * Triggers maintain all of that. They belong to the writer's connection and are not part of the database, so
//!   that whatever the writer does is sealed, and nothing that others do. Triggers of the database itself do not
//!   run.
//! * A bearer is checked where its rights are read for use ([`Snapshot::vouch`](crate::Snapshot::vouch)), the sums
//!   at each start, and everything by `tongguan check`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{Finding, Snapshot, StoreError, Tx, schema};

/// What [`Finding`]s of the seals are called.
pub const RIGHTS_RULE: &str =
    "no row that confers rights was changed, removed or put in without the master key";
/// Begins everything that is sealed.
const BEGIN: &[u8] = b"tongguan rights 1\0";
/// Parts in which the seals are summed up.
const BUCKETS: usize = 256;
/// Bytes of a sum, a term and an HMAC.
const BYTES: usize = 32;
/// Findings of one kind that are told; the rest are counted.
const TOLD: usize = 10;

type Sum = [u8; BYTES];

/// Somebody or something that rights hang on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer<'a> {
    /// An account, by its id.
    Account(&'a str),
    /// An access key, by its id.
    Key(&'a str),
    /// A user, by its place.
    User(i64),
    /// A group, by its place.
    Group(i64),
    /// A role, by its place.
    Role(i64),
    /// A custom policy, by its place.
    Policy(i64),
    /// A certificate, by its id.
    Certificate(&'a str),
}

impl Bearer<'_> {
    /// The table of its own row, and what names it there.
    fn named(self) -> (&'static str, Value) {
        match self {
            Self::Account(id) => ("account", id.to_owned().into()),
            Self::Key(id) => ("access_key", id.to_owned().into()),
            Self::User(seq) => ("ram_user", seq.into()),
            Self::Group(seq) => ("ram_group", seq.into()),
            Self::Role(seq) => ("ram_role", seq.into()),
            Self::Policy(seq) => ("ram_policy", seq.into()),
            Self::Certificate(id) => ("certificate", id.to_owned().into()),
        }
    }
}

/// Rows of one table that make the rights of one kind of bearer.
struct Part {
    /// Table of the bearer's own row.
    kind: &'static str,
    table: &'static str,
    /// The column that names the bearer.
    owner: &'static str,
}

const fn part(kind: &'static str, table: &'static str, owner: &'static str) -> Part {
    Part { kind, table, owner }
}

/// Everything that is sealed. Of a table that stands here every column is, but those of [`LEFT_OUT`].
const PARTS: &[Part] = &[
    part("account", "account", "id"),
    part("access_key", "access_key", "id"),
    part("ram_user", "ram_user", "seq"),
    part("ram_user", "ram_attachment", "user"),
    part("ram_user", "ram_membership", "user"),
    part("ram_group", "ram_group", "seq"),
    part("ram_group", "ram_attachment", "ram_group"),
    part("ram_role", "ram_role", "seq"),
    part("ram_role", "ram_attachment", "role"),
    part("ram_policy", "ram_policy", "seq"),
    part("ram_policy", "ram_policy_version", "policy"),
    part("certificate", "certificate", "id"),
];

/// Columns that are not sealed: when a key was used last is written with its use, and confers nothing.
const LEFT_OUT: &[(&str, &str)] = &[("access_key", "used_ms"), ("access_key", "used_for")];

/// Tables that are not sealed, each with the reason; a test compares them with the schema.
#[cfg(test)]
const NOT_SEALED: &[(&str, &str)] = &[
    ("address", "follows from the gateways"),
    ("applied", "what the data plane has"),
    ("audit", "has a chain of its own"),
    ("audit_chain", "has a seal of its own"),
    ("audit_gap", "of the audit record, which has a chain of its own"),
    ("audit_trimmed", "of the audit record, which has a chain of its own"),
    ("binding", "what a tenant has, not what it may do"),
    ("client_token", "answers that were given"),
    ("fault", "for operators to read"),
    ("intent", "work to do, on what a tenant has"),
    ("ram_role_deletion", "tasks, for callers to read"),
    ("row_bucket", "sums of the seals"),
    ("row_seal", "the seals"),
    ("service_key", "sealed values, each bound to its name"),
    ("store", "sealed with the root"),
    ("tag", "what a tenant has; a condition of a policy may ask for it"),
    ("tally", "follows from the rows counted"),
    ("vpc", "what a tenant has, not what it may do"),
    ("vpn_gateway", "what a tenant has, not what it may do"),
    ("vswitch", "what a tenant has, not what it may do"),
];

/// A [`Part`] with the columns that the schema gives it, and the queries for its rows.
struct Sealed {
    part: &'static Part,
    columns: Vec<String>,
    /// Columns of the rows of one bearer.
    of_one: String,
    /// The bearer, then the columns, of every row.
    of_all: String,
}

impl Sealed {
    fn new(fresh: &Connection, part: &'static Part) -> Result<Self, StoreError> {
        let Part { table, owner, .. } = *part;
        let mut statement = fresh.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
        let columns = statement.query_map([table], |row| row.get::<_, String>(0))?;
        let columns: Vec<String> = columns.collect::<Result<_, _>>()?;
        let columns: Vec<String> =
            columns.into_iter().filter(|column| !LEFT_OUT.contains(&(table, column))).collect();
        let list = columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
        let of_one = format!("SELECT {list} FROM {table} WHERE \"{owner}\" = ?1");
        let of_all = format!("SELECT \"{owner}\", {list} FROM {table} WHERE \"{owner}\" IS NOT NULL");
        Ok(Self { part, columns, of_one, of_all })
    }

    /// Whether it is the bearer's own row.
    fn own(&self) -> bool {
        self.part.kind == self.part.table
    }

    /// The term of a row as a trigger computes it; `row` is NEW or OLD.
    fn term(&self, row: &str) -> String {
        let mut sql = format!("tongguan_row('{}'", self.part.table);
        for column in &self.columns {
            let _ = write!(sql, ", '{column}', {row}.\"{column}\"");
        }
        sql.push(')');
        sql
    }

    /// The triggers that keep the seals of these rows.
    fn triggers(&self) -> String {
        let Part { kind, table, owner } = *self.part;
        let update = |row: &str, minus: &str, plus: &str| {
            format!(
                "UPDATE row_seal SET seal = tongguan_seal(kind, id, seal, {minus}, {plus}) \
                 WHERE kind = '{kind}' AND id = {row}.\"{owner}\";"
            )
        };
        let (old, new) = (self.term("OLD"), self.term("NEW"));
        // A seal that is there already is of one that somebody has taken away: none is to be taken for the other.
        let inserted = if self.own() {
            format!(
                "INSERT INTO row_seal (kind, id, seal) VALUES ('{kind}', NEW.\"{owner}\", \
                 tongguan_seal('{kind}', NEW.\"{owner}\", NULL, NULL, {new})) \
                 ON CONFLICT DO UPDATE SET seal = zeroblob(64);"
            )
        } else {
            update("NEW", "NULL", &new)
        };
        let deleted = if self.own() {
            format!("DELETE FROM row_seal WHERE kind = '{kind}' AND id = OLD.\"{owner}\";")
        } else {
            update("OLD", &old, "NULL")
        };
        let updated = format!("{} {}", update("OLD", &old, "NULL"), update("NEW", "NULL", &new));
        let columns =
            self.columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
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

/// Everything that is sealed, with the columns of this release's schema. Taken from a schema made afresh, so that a
/// database cannot say what of it is looked at.
fn layout() -> Result<&'static [Sealed], StoreError> {
    static LAYOUT: OnceLock<Vec<Sealed>> = OnceLock::new();
    if let Some(layout) = LAYOUT.get() {
        return Ok(layout);
    }
    let mut fresh = Connection::open_in_memory()?;
    schema::migrate(&mut fresh)?;
    let layout = PARTS.iter().map(|part| Sealed::new(&fresh, part)).collect::<Result<Vec<_>, _>>()?;
    Ok(LAYOUT.get_or_init(|| layout))
}

fn add(to: &mut Sum, term: &Sum) {
    let mut carry = 0;
    for (to, term) in to.iter_mut().zip(term).rev() {
        let sum = u16::from(*to) + u16::from(*term) + carry;
        *to = sum.to_be_bytes()[1];
        carry = sum >> 8;
    }
}

fn subtract(from: &mut Sum, term: &Sum) {
    let mut borrow = 0;
    for (from, term) in from.iter_mut().zip(term).rev() {
        let difference = 256 + u16::from(*from) - u16::from(*term) - borrow;
        *from = difference.to_be_bytes()[1];
        borrow = 1 - (difference >> 8);
    }
}

/// The key of the seals. It is stored in the database, sealed under the master key.
#[derive(Clone)]
pub struct RightsKey {
    key: hmac::Key,
}

impl std::fmt::Debug for RightsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RightsKey")
    }
}

/// A value as it is sealed: its type, its length, itself, so that no two lists of values are written alike.
fn put(context: &mut hmac::Context, value: ValueRef<'_>) {
    let mut sized = |kind: u8, bytes: &[u8]| {
        context.update(&[kind]);
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    match value {
        ValueRef::Null => context.update(&[0]),
        ValueRef::Integer(number) => sized(1, &number.to_be_bytes()),
        ValueRef::Real(number) => sized(2, &number.to_bits().to_be_bytes()),
        ValueRef::Text(text) => sized(3, text),
        ValueRef::Blob(bytes) => sized(4, bytes),
    }
}

impl RightsKey {
    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, bytes) }
    }

    fn context(&self, label: &str) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(BEGIN);
        put(&mut context, ValueRef::Text(label.as_bytes()));
        context
    }

    /// What the key makes of values, for one use.
    fn term<'v>(&self, label: &str, values: impl IntoIterator<Item = ValueRef<'v>>) -> Sum {
        let mut context = self.context(label);
        values.into_iter().for_each(|value| put(&mut context, value));
        signed(context)
    }

    /// The term of a row.
    fn row<'v>(&self, table: &str, columns: impl IntoIterator<Item = (&'v [u8], ValueRef<'v>)>) -> Sum {
        let mut context = self.context("row");
        put(&mut context, ValueRef::Text(table.as_bytes()));
        for (name, value) in columns {
            if value != ValueRef::Null {
                put(&mut context, ValueRef::Text(name));
                put(&mut context, value);
            }
        }
        signed(context)
    }

    /// The HMAC over a bearer's sum.
    fn tag(&self, kind: ValueRef<'_>, id: ValueRef<'_>, sum: &Sum) -> Sum {
        self.term("bearer", [kind, id, ValueRef::Blob(sum)])
    }

    /// The sum in a bearer's seal, if the seal is one of this key.
    fn opened(&self, kind: ValueRef<'_>, id: ValueRef<'_>, seal: &[u8]) -> Option<Sum> {
        let (sum, tag) = seal.split_first_chunk::<BYTES>()?;
        verify_slices_are_equal(&self.tag(kind, id, sum), tag).ok().map(|()| *sum)
    }

    /// A bearer's seal with a term less and one more. If the old one is none of this key, neither is the new one:
    /// what was forged does not become sound by a change.
    fn resealed(
        &self,
        (kind, id): (ValueRef<'_>, ValueRef<'_>),
        old: Option<&[u8]>,
        minus: Option<Sum>,
        plus: Option<Sum>,
    ) -> Vec<u8> {
        let opened = old.map_or(Some([0; BYTES]), |old| self.opened(kind, id, old));
        let mut sum = opened.unwrap_or_default();
        minus.iter().for_each(|minus| subtract(&mut sum, minus));
        plus.iter().for_each(|plus| add(&mut sum, plus));
        let tag = if opened.is_some() { self.tag(kind, id, &sum) } else { [0; BYTES] };
        [sum, tag].concat()
    }

    fn bucket(&self, kind: ValueRef<'_>, id: ValueRef<'_>) -> usize {
        usize::from(self.term("place", [kind, id])[0])
    }

    /// What is sealed with every batch.
    fn state(&self, groups: u64, root: &[u8], mark: bool) -> Sum {
        let numbers = [groups.cast_signed(), i64::from(mark)].map(ValueRef::Integer);
        self.term("store", [numbers[0], ValueRef::Blob(root), numbers[1]])
    }

    /// The seal of the mark of so many batches, hex digits.
    pub(crate) fn mark(&self, groups: u64) -> String {
        hex(&self.term("mark", [ValueRef::Integer(groups.cast_signed())]))
    }

    /// The seal of a backup of this SHA-256, hex digits.
    #[must_use]
    pub fn backup(&self, sha256: &str) -> String {
        hex(&self.term("backup", [ValueRef::Text(sha256.as_bytes())]))
    }

    /// Whether this is the seal of a backup of this SHA-256.
    #[must_use]
    pub fn backup_fits(&self, sha256: &str, seal: &str) -> bool {
        verify_slices_are_equal(self.backup(sha256).as_bytes(), seal.as_bytes()).is_ok()
    }

    /// Gives a connection the functions and triggers that keep the seals.
    fn attend(&self, connection: &Connection) -> Result<(), StoreError> {
        self.functions(connection)?;
        let mut triggers = String::from(SUMS);
        layout()?.iter().for_each(|sealed| triggers.push_str(&sealed.triggers()));
        connection.execute_batch(&triggers)?;
        Ok(())
    }

    /// Neither innocuous nor deterministic: no index, constraint or view of a database can ask for a seal.
    fn functions(&self, connection: &Connection) -> Result<(), StoreError> {
        let flags = FunctionFlags::SQLITE_UTF8;
        let key = self.clone();
        connection.create_scalar_function("tongguan_row", -1, flags, move |context| {
            let table: String = context.get(0)?;
            let columns = (1..context.len()).step_by(2).map(|at| {
                let name = context.get_raw(at).as_bytes().unwrap_or_default();
                (name, context.get_raw(at + 1))
            });
            Ok(key.row(&table, columns).to_vec())
        })?;
        let key = self.clone();
        connection.create_scalar_function("tongguan_term", -1, flags, move |context| {
            let label: String = context.get(0)?;
            Ok(key.term(&label, (1..context.len()).map(|at| context.get_raw(at))).to_vec())
        })?;
        let key = self.clone();
        connection.create_scalar_function("tongguan_bucket", 2, flags, move |context| {
            Ok(i64::try_from(key.bucket(context.get_raw(0), context.get_raw(1))).unwrap_or_default())
        })?;
        let key = self.clone();
        connection.create_scalar_function("tongguan_seal", 5, flags, move |context| {
            let old = match context.get_raw(2) {
                ValueRef::Null => None,
                other => Some(other.as_bytes().unwrap_or_default()),
            };
            let bearer = (context.get_raw(0), context.get_raw(1));
            Ok(key.resealed(bearer, old, sum_of(context, 3), sum_of(context, 4)))
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

    /// Whether a bearer is as it was sealed.
    fn intact(&self, connection: &Connection, bearer: Bearer<'_>) -> Result<bool, StoreError> {
        let (kind, id) = bearer.named();
        let sql = "SELECT seal FROM row_seal WHERE kind = ?1 AND id = ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let seal = statement.query_row(params![kind, id], |row| row.get::<_, Vec<u8>>(0)).optional()?;
        let (kind_value, id_value) = (ValueRef::Text(kind.as_bytes()), ValueRef::from(&id));
        let Some(sealed) = seal.and_then(|seal| self.opened(kind_value, id_value, &seal)) else {
            return Ok(false);
        };
        let mut sum = [0; BYTES];
        for one in layout()?.iter().filter(|one| one.part.kind == kind) {
            let mut statement = connection.prepare_cached(&one.of_one)?;
            let mut rows = statement.query([&id])?;
            while let Some(row) = rows.next()? {
                add(&mut sum, &self.of_row(one, row, 0)?);
            }
        }
        Ok(sum == sealed)
    }

    /// The term of a row whose columns begin at `first`.
    fn of_row(&self, sealed: &Sealed, row: &rusqlite::Row<'_>, first: usize) -> Result<Sum, StoreError> {
        let mut columns = Vec::with_capacity(sealed.columns.len());
        for (at, name) in sealed.columns.iter().enumerate() {
            columns.push((name.as_bytes(), row.get_ref(first + at)?));
        }
        Ok(self.row(sealed.part.table, columns))
    }

    /// The sums of all bearers of one kind, by what names them, as their rows are now.
    fn sums(&self, connection: &Connection, kind: &str) -> Result<BTreeMap<Id, Sum>, StoreError> {
        let mut sums = BTreeMap::new();
        for one in layout()?.iter().filter(|one| one.part.kind == kind) {
            let mut statement = connection.prepare(&one.of_all)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let id = Id::of(row.get_ref(0)?);
                add(sums.entry(id).or_insert([0; BYTES]), &self.of_row(one, row, 1)?);
            }
        }
        Ok(sums)
    }

    /// Seals every row as it is now, in place of what stands there.
    fn seal_all(&self, connection: &Connection) -> Result<(), StoreError> {
        // The triggers sum up what is put in afterwards.
        connection.execute_batch("DELETE FROM row_seal; DELETE FROM row_bucket;")?;
        let (zero, mut root) = ([0; BYTES], [0; BYTES]);
        let mut insert = connection.prepare("INSERT INTO row_bucket (bucket, sum) VALUES (?1, ?2)")?;
        for bucket in 0_i64..BUCKETS as i64 {
            insert.execute(params![bucket, zero])?;
            add(&mut root, &self.term("bucket", [ValueRef::Integer(bucket), ValueRef::Blob(&zero)]));
        }
        connection.execute("UPDATE store SET rights_root = ?1, rights_mark = 0", [root])?;
        let mut insert = connection.prepare("INSERT INTO row_seal (kind, id, seal) VALUES (?1, ?2, ?3)")?;
        for own in layout()?.iter().filter(|sealed| sealed.own()) {
            let kind = own.part.kind;
            for (id, sum) in self.sums(connection, kind)? {
                let id = Value::from(id);
                let tag = self.tag(ValueRef::Text(kind.as_bytes()), ValueRef::from(&id), &sum);
                insert.execute(params![kind, id, [sum, tag].concat()])?;
            }
        }
        Ok(())
    }

    /// What is wrong with the bearers, one by one.
    fn bearers(&self, connection: &Connection) -> Result<Told, StoreError> {
        let mut told = Told::default();
        for own in layout()?.iter().filter(|sealed| sealed.own()) {
            let kind = own.part.kind;
            let mut sums = self.sums(connection, kind)?;
            let mut statement = connection.prepare("SELECT id, seal FROM row_seal WHERE kind = ?1")?;
            let mut rows = statement.query([kind])?;
            while let Some(row) = rows.next()? {
                let id = row.get_ref(0)?;
                let seal = row.get_ref(1)?.as_bytes().unwrap_or_default();
                let sum = sums.remove(&Id::of(id));
                let sealed = self.opened(ValueRef::Text(kind.as_bytes()), id, seal);
                if sealed.is_none() || sealed != sum {
                    let what = if sum.is_none() { "was removed" } else { "was changed" };
                    told.tell(format!("{} {what} ({})", named(connection, kind, &Id::of(id)), tables(kind)));
                }
            }
            for id in sums.keys() {
                told.tell(format!("{} was put in ({})", named(connection, kind, id), tables(kind)));
            }
        }
        Ok(told)
    }

    /// What is wrong with the sums of the seals, the root and the state of the database.
    fn state_of(&self, connection: &Connection) -> Result<Told, StoreError> {
        let mut told = Told::default();
        let mut sums = vec![[0; BYTES]; BUCKETS];
        self.each_seal(connection, |bucket, term, _| add(&mut sums[bucket], &term))?;
        let (mut root, mut wrong) = ([0; BYTES], Vec::new());
        let mut statement = connection.prepare("SELECT sum FROM row_bucket WHERE bucket = ?1")?;
        for (bucket, sum) in sums.iter().enumerate() {
            let number = i64::try_from(bucket).unwrap_or_default();
            let stored = statement.query_row([number], |row| row.get::<_, Vec<u8>>(0)).optional();
            let stored = stored.ok().flatten().unwrap_or_default();
            add(&mut root, &self.term("bucket", [ValueRef::Integer(number), ValueRef::Blob(&stored)]));
            if stored != sum {
                wrong.push(bucket);
            }
        }
        if !wrong.is_empty() {
            let mut there = BTreeMap::<usize, Vec<String>>::new();
            self.each_seal(connection, |bucket, _, name| {
                if wrong.contains(&bucket) {
                    there.entry(bucket).or_default().push(name());
                }
            })?;
            for bucket in &wrong {
                let names = there.remove(bucket).unwrap_or_default();
                let or = if names.is_empty() { "something" } else { "one of these, or something" };
                let names = if names.is_empty() { String::new() } else { format!(": {}", listed(&names)) };
                told.tell(format!(
                    "{or} that is gone now, was removed or put back from an older state{names}"
                ));
            }
        }
        let sql = "SELECT groups, rights_root, rights_seal, rights_mark FROM store";
        let (groups, stored, seal, mark) = connection.query_row(sql, [], |row| {
            let bytes = |at| row.get::<_, Option<Vec<u8>>>(at).map(Option::unwrap_or_default);
            Ok((row.get::<_, i64>(0)?, bytes(1)?, bytes(2)?, row.get::<_, bool>(3)?))
        })?;
        if stored != root {
            told.tell("the sum of all seals is another: rows were put back from an older state".into());
        }
        if verify_slices_are_equal(&self.state(groups.cast_unsigned(), &stored, mark), &seal).is_err() {
            told.tell(format!(
                "the seal of the database does not fit its state, of {groups} batches of changes: it was changed, or \
                 rows were put back from an older state"
            ));
        }
        Ok(told)
    }

    /// Gives the bucket and the term of every seal to `look`, and what names the bearer.
    fn each_seal(
        &self,
        connection: &Connection,
        mut look: impl FnMut(usize, Sum, &dyn Fn() -> String),
    ) -> Result<(), StoreError> {
        let mut statement = connection.prepare("SELECT kind, id, seal FROM row_seal")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, id, seal) = (row.get_ref(0)?, row.get_ref(1)?, row.get_ref(2)?);
            let name = || named(connection, kind.as_str().unwrap_or_default(), &Id::of(id));
            look(self.bucket(kind, id), self.term("seal", [kind, id, seal]), &name);
        }
        Ok(())
    }

    /// What is checked at startup: the sums, not every row.
    pub(crate) fn at_start(&self, connection: &Connection) -> Result<Option<Finding>, StoreError> {
        let told = self.state_of(connection)?;
        Ok(told.findings().into_iter().next())
    }

    /// Everything that is wrong.
    pub(crate) fn verify(&self, connection: &Connection) -> Result<Vec<Finding>, StoreError> {
        let mut findings = self.bearers(connection)?.findings();
        findings.extend(self.state_of(connection)?.findings());
        Ok(findings)
    }
}

fn signed(context: hmac::Context) -> Sum {
    let mut sum = [0; BYTES];
    sum.copy_from_slice(context.sign().as_ref());
    sum
}

fn sum_of(context: &Context<'_>, at: usize) -> Option<Sum> {
    context.get_raw(at).as_bytes().ok()?.try_into().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What names a bearer in its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    Number(i64),
    Text(Vec<u8>),
    /// No release writes such a one.
    Other,
}

impl Id {
    fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Integer(number) => Self::Number(number),
            ValueRef::Text(text) => Self::Text(text.to_vec()),
            ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Self::Other,
        }
    }
}

impl From<Id> for Value {
    fn from(id: Id) -> Self {
        match id {
            Id::Number(number) => Self::Integer(number),
            Id::Text(text) => Self::Text(String::from_utf8_lossy(&text).into_owned()),
            Id::Other => Self::Blob(Vec::new()),
        }
    }
}

/// A bearer as people know it.
fn named(connection: &Connection, kind: &str, id: &Id) -> String {
    let shown = match id {
        Id::Number(number) => number.to_string(),
        Id::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Id::Other => "?".into(),
    };
    let (what, table) = match kind {
        "account" => return format!("account `{shown}`"),
        "access_key" => return format!("access key `{shown}`"),
        "certificate" => return format!("certificate `{shown}`"),
        "ram_user" => ("user", "ram_user"),
        "ram_group" => ("group", "ram_group"),
        "ram_role" => ("role", "ram_role"),
        "ram_policy" => ("policy", "ram_policy"),
        _ => return format!("`{shown}` of an unknown kind"),
    };
    let sql = format!("SELECT name, account FROM {table} WHERE seq = ?1");
    let row = connection.query_row(&sql, [Value::from(id.clone())], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    });
    match row {
        Ok((name, account)) => format!("{what} `{name}` of account `{account}`"),
        Err(_) => format!("{what} number {shown}"),
    }
}

/// The tables whose rows make the rights of one kind of bearer.
fn tables(kind: &str) -> String {
    let tables = PARTS.iter().filter(|part| part.kind == kind).map(|part| part.table);
    tables.collect::<Vec<_>>().join(", ")
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(TOLD);
    let told = names.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{told} and {more} more") } else { told }
}

/// What was found, not more than can be read.
#[derive(Default)]
struct Told {
    told: Vec<String>,
    more: u64,
}

impl Told {
    fn tell(&mut self, what: String) {
        if self.told.len() < TOLD {
            self.told.push(what);
        } else {
            self.more += 1;
        }
    }

    fn findings(mut self) -> Vec<Finding> {
        if self.more > 0 {
            self.told.push(format!("and {} more", self.more));
        }
        self.told.into_iter().map(|what| Finding { rule: RIGHTS_RULE, what }).collect()
    }
}

/// Whether anything in the database says that rows were sealed.
pub(crate) fn sealed(connection: &Connection) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM store WHERE rights_root IS NOT NULL OR rights_seal IS NOT NULL \
               OR rights_mark <> 0) OR EXISTS (SELECT 1 FROM row_seal) OR EXISTS (SELECT 1 FROM row_bucket)";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Whether the mark beside the database must be sealed.
pub(crate) fn mark_sealed(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection.query_row("SELECT rights_mark FROM store", [], |row| row.get(0))?)
}

/// What a store knows of the seals while it runs.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    key: OnceLock<RightsKey>,
    /// The root that was found sound.
    root: OnceLock<Vec<u8>>,
    found: AtomicU64,
}

impl Rights {
    pub(crate) fn key(&self) -> Option<&RightsKey> {
        self.key.get()
    }

    /// Gives the key; the first one counts.
    pub(crate) fn give(&self, key: &RightsKey) {
        let _ = self.key.set(key.clone());
    }

    /// Notes the root, which was found sound.
    pub(crate) fn found_sound(&self, connection: &Connection) -> Result<(), StoreError> {
        if let Some(root) = root(connection)? {
            let _ = self.root.set(root);
        }
        Ok(())
    }

    /// How often something was found that does not fit its seal.
    pub(crate) fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) {
        self.found.fetch_add(1, Ordering::Relaxed);
    }
}

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
            key.attend(connection)?;
            self.attending = true;
        }
        Ok(())
    }

    /// To be called inside a transaction, before anything is written: what somebody else has put in must not get our
    /// seal.
    pub(crate) fn look(&mut self, connection: &Connection, rights: &Rights) -> Result<(), StoreError> {
        let left = self.root.as_ref().or(rights.root.get());
        if left.is_none() || self.forged || root(connection)?.as_ref() == left {
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

    /// Seals the state that a batch leaves; returns the root, to be handed to [`Keeper::left`] after the commit.
    pub(crate) fn seal(
        &self,
        connection: &Connection,
        rights: &Rights,
        groups: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(root) = root(connection)? else { return Ok(None) };
        let Some(key) = rights.key() else { return Err(StoreError::RightsClosed) };
        if !self.forged {
            let mark = mark_sealed(connection)?;
            connection
                .prepare_cached("UPDATE store SET rights_seal = ?1")?
                .execute([key.state(groups, &root, mark)])?;
        }
        Ok(Some(root))
    }

    pub(crate) fn left(&mut self, root: Option<Vec<u8>>) {
        self.root = root;
    }

    /// The key that the mark is to be sealed with: none as long as the database is not.
    pub(crate) fn mark_key<'r>(&self, rights: &'r Rights) -> Option<&'r RightsKey> {
        rights.key().filter(|_| self.root.is_some())
    }
}

fn root(connection: &Connection) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(connection.prepare_cached("SELECT rights_root FROM store")?.query_row([], |row| row.get(0))?)
}

impl Snapshot<'_> {
    /// Makes sure that a bearer is as the service sealed it. To be asked wherever rights are read for use. Passes as
    /// long as the key of the seals is not known: then nobody is served.
    ///
    /// # Errors
    /// [`StoreError::Forged`] if it is not, or a database error.
    pub fn vouch(&self, bearer: Bearer<'_>) -> Result<(), StoreError> {
        let Some(rights) = self.rights() else { return Ok(()) };
        let Some(key) = rights.key() else { return Ok(()) };
        if key.intact(self.connection(), bearer)? {
            return Ok(());
        }
        rights.count();
        let (kind, id) = bearer.named();
        let what = named(self.connection(), kind, &Id::of(ValueRef::from(&id)));
        Err(StoreError::Forged { what, principal: kind != "certificate" })
    }

    /// Whether the rows that confer rights are sealed.
    ///
    /// # Errors
    /// A database error.
    pub fn rights_sealed(&self) -> Result<bool, StoreError> {
        sealed(self.connection())
    }

    /// Everything that does not fit its seal under this key.
    ///
    /// # Errors
    /// A database error.
    pub fn verify_rights(&self, key: &RightsKey) -> Result<Vec<Finding>, StoreError> {
        key.verify(self.connection())
    }
}

impl Tx<'_> {
    pub(crate) fn seal_all_rights(&self, key: &RightsKey) -> Result<(), StoreError> {
        key.seal_all(self.connection())
    }

    pub(crate) fn rely_on_mark(&self) -> Result<(), StoreError> {
        self.execute("UPDATE store SET rights_mark = 1", [])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_table_of_the_schema_is_sealed_or_said_not_to_be() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        let mut statement =
            connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
        let tables = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let tables: BTreeSet<String> = tables.collect::<Result<_, _>>().unwrap();
        let sealed = PARTS.iter().map(|part| part.table);
        let named: BTreeSet<String> =
            sealed.chain(NOT_SEALED.iter().map(|(table, _)| *table)).map(str::to_owned).collect();
        assert_eq!(tables, named);
        for (table, column) in LEFT_OUT {
            let there = "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)";
            assert!(connection.query_row(there, [table, column], |row| row.get::<_, bool>(0)).unwrap());
        }
    }

    /// What refers to a table with rights in it is sealed with somebody, or stands among what is not.
    #[test]
    fn every_bearer_has_its_own_row() {
        for part in PARTS {
            assert!(
                PARTS.iter().any(|own| own.table == part.kind && own.kind == part.kind),
                "{}",
                part.table
            );
        }
    }

    proptest! {
        #[test]
        fn a_sum_does_not_depend_on_the_order(terms in prop::collection::vec(any::<[u8; 32]>(), 0..8)) {
            let (mut one, mut other) = ([0; BYTES], [0; BYTES]);
            terms.iter().for_each(|term| add(&mut one, term));
            terms.iter().rev().for_each(|term| add(&mut other, term));
            prop_assert_eq!(one, other);
            terms.iter().for_each(|term| subtract(&mut one, term));
            prop_assert_eq!(one, [0; BYTES]);
        }
    }

    /// Fixed ones: a release that seals otherwise would find every older database forged.
    #[test]
    fn seals_stay_the_same() {
        let key = RightsKey::new(b"a key of this test");
        let row = key.row("account", [(&b"id"[..], ValueRef::Text(b"1")), (b"name", ValueRef::Null)]);
        assert_eq!(row, key.row("account", [(&b"id"[..], ValueRef::Text(b"1"))]));
        assert_eq!(hex(&row), "cf74a09bcb5624eb4822d44f9b4836fc620b40ea44a4179d8bfcd11b4e256a00");
        assert_eq!(key.mark(7), "7b653f7e3a098ed520c1980098151a27212f501ac7af6908078a2333ab104c77");
        assert_eq!(key.backup("00"), "fde7192a783f82790511cf5009f01926fc740524d80f51cb4f7e3a653f757b4a");
        let (kind, id) = (ValueRef::Text(b"account"), ValueRef::Text(b"1"));
        let seal = key.resealed((kind, id), None, None, Some(row));
        assert_eq!(key.opened(kind, id, &seal), Some(row));
        assert_eq!(RightsKey::new(b"another").opened(kind, id, &seal), None);
        assert_eq!(key.opened(kind, ValueRef::Integer(1), &seal), None);
        for place in 0..seal.len() {
            let mut changed = seal.clone();
            changed[place] ^= 1;
            assert_eq!(key.opened(kind, id, &changed), None);
            // Nor does a change make it sound.
            let later = key.resealed((kind, id), Some(&changed), Some(row), Some(row));
            assert_eq!(key.opened(kind, id, &later), None);
        }
    }
}
