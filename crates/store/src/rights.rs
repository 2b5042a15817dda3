//! Seals on the rows that confer rights: somebody who can write the database but has no master key can change them,
//! but not undetected.
//!
//! * A *bearer* of rights is an account, an access key, a user, group, role, policy, certificate or request for one,
//!   or a key of the service's own, such as those that make security tokens. Its rights are its own row and the rows
//!   that belong to it, such as the policies attached to a user ([`PARTS`]).
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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use crate::epoch::Epochs;
use crate::postgres;
use crate::session::{AsBind, Bind, Row, Session, Value};
use crate::sqlite::schema;
use crate::{Finding, Node, Snapshot, StoreError, Tx};

/// What [`Finding`]s of the seals are called.
pub const RIGHTS_RULE: &str =
    "no row that confers rights was changed, removed or put in without the master key";
/// Begins everything that is sealed.
const BEGIN: &[u8] = b"tongguan rights 1\0";
/// Parts in which the seals are summed up.
pub(crate) const BUCKETS: usize = 256;
/// Bytes of a sum, a term and an HMAC.
const BYTES: usize = 32;
/// Findings of one kind that are reported; the rest are counted.
const TOLD: usize = 10;

/// Bearers that are no principals: nobody acts by them, and a change of one is no change of what an account may do.
const NO_PRINCIPALS: &[&str] = &[CERTIFICATE, SIGNING_REQUEST, SERVICE_KEY];
const CERTIFICATE: &str = "certificate";
const SIGNING_REQUEST: &str = "cas_csr";
const SERVICE_KEY: &str = "service_key";

/// Bearers that a text names; a number names all others.
const NAMED_BY_TEXT: &[&str] = &["account", "access_key", CERTIFICATE, SIGNING_REQUEST, SERVICE_KEY];

/// Whether somebody acts by a bearer of this kind.
pub(crate) fn is_principal(kind: &str) -> bool {
    !NO_PRINCIPALS.contains(&kind)
}

pub(crate) type Sum = [u8; BYTES];

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
    /// A request for a certificate in Cas, by its own id.
    SigningRequest(&'a str),
    /// A key of the service's own, by its name.
    ServiceKey(&'a str),
}

impl<'a> Bearer<'a> {
    /// The table of its own row, and what names it there.
    fn named(self) -> (&'static str, Value<'a>) {
        match self {
            Self::Account(id) => ("account", Value::Text(id.as_bytes())),
            Self::Key(id) => ("access_key", Value::Text(id.as_bytes())),
            Self::User(seq) => ("ram_user", Value::Integer(seq)),
            Self::Group(seq) => ("ram_group", Value::Integer(seq)),
            Self::Role(seq) => ("ram_role", Value::Integer(seq)),
            Self::Policy(seq) => ("ram_policy", Value::Integer(seq)),
            Self::Certificate(id) => (CERTIFICATE, Value::Text(id.as_bytes())),
            Self::SigningRequest(id) => (SIGNING_REQUEST, Value::Text(id.as_bytes())),
            Self::ServiceKey(name) => (SERVICE_KEY, Value::Text(name.as_bytes())),
        }
    }
}

/// Rows of one table that make the rights of one kind of bearer.
pub(crate) struct Part {
    /// Table of the bearer's own row.
    pub(crate) kind: &'static str,
    pub(crate) table: &'static str,
    /// The column that names the bearer.
    pub(crate) owner: &'static str,
}

const fn part(kind: &'static str, table: &'static str, owner: &'static str) -> Part {
    Part { kind, table, owner }
}

/// Everything that is sealed. Of a table that stands here every column is, but those of [`LEFT_OUT`].
const PARTS: &[Part] = &[
    part("account", "account", "id"),
    part("access_key", "access_key", "id"),
    part("ram_user", "ram_user", "seq"),
    part("ram_user", "ram_attachment", "user_seq"),
    part("ram_user", "ram_membership", "user_seq"),
    part("ram_group", "ram_group", "seq"),
    part("ram_group", "ram_attachment", "ram_group"),
    part("ram_role", "ram_role", "seq"),
    part("ram_role", "ram_attachment", "role"),
    part("ram_policy", "ram_policy", "seq"),
    part("ram_policy", "ram_policy_version", "policy"),
    part(CERTIFICATE, CERTIFICATE, "id"),
    part(SIGNING_REQUEST, SIGNING_REQUEST, "id"),
    part(SERVICE_KEY, SERVICE_KEY, "name"),
];

/// Columns that are not sealed: when a key was used last is written with its use, and confers nothing; nor does the
/// epoch of an account, which is kept in memory as long as somebody could rely on it.
const LEFT_OUT: &[(&str, &str)] =
    &[("access_key", "used_ms"), ("access_key", "used_for"), ("account", "epoch")];

/// Columns that are sealed under the name that they had when rows of theirs were first sealed.
const SEALED_AS: &[(&str, &str)] = &[("user_seq", "user")];

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
    ("cas_certificate", "names and groups of certificates, which are sealed themselves"),
    ("client_token", "answers that were given"),
    ("customer_gateway", "what a tenant has, not what it may do"),
    ("fault", "for operators to read"),
    ("intent", "work to do, on what a tenant has"),
    ("lease", "which process does what"),
    ("node", "which processes there are"),
    ("ram_role_deletion", "tasks, for callers to read"),
    ("resource_group", "what a tenant has, not what it may do"),
    ("row_bucket", "sums of the seals"),
    ("row_seal", "the seals"),
    ("store", "sealed with the root"),
    ("tag", "what a tenant has; a condition of a policy may ask for it"),
    ("tally", "follows from the rows counted"),
    ("vpc", "what a tenant has, not what it may do"),
    ("vpn_connection", "what a tenant has, not what it may do"),
    ("vpn_diagnosis", "what was found, for a tenant to read"),
    ("vpn_gateway", "what a tenant has, not what it may do"),
    ("vpn_observation", "what was seen"),
    ("vpn_route", "what a tenant has, not what it may do"),
    ("vpn_tunnel", "what a tenant has, and what is seen of it"),
    ("vswitch", "what a tenant has, not what it may do"),
];

/// A [`Part`] with the columns that the schema gives it, and the queries for its rows.
pub(crate) struct Sealed {
    pub(crate) part: &'static Part,
    pub(crate) columns: Vec<SealedColumn>,
    /// Columns of the rows of one bearer.
    of_one: String,
    /// The bearer, then the columns, of every row.
    of_all: String,
}

/// A column that is sealed.
pub(crate) struct SealedColumn {
    pub(crate) name: String,
    /// What its value is sealed under.
    pub(crate) sealed_as: String,
    /// It holds bytes.
    pub(crate) bytes: bool,
}

impl SealedColumn {
    fn new((name, kind): (String, String)) -> Self {
        let other = SEALED_AS.iter().find(|(column, _)| *column == name);
        let sealed_as = other.map_or_else(|| name.clone(), |(_, other)| (*other).to_owned());
        Self { name, sealed_as, bytes: kind == "BLOB" }
    }

    /// Its name as a statement quotes it.
    pub(crate) fn quoted(&self) -> String {
        format!("\"{}\"", self.name)
    }
}

impl Sealed {
    fn new(fresh: Session<'_>, part: &'static Part) -> Result<Self, StoreError> {
        let Part { table, owner, .. } = *part;
        let sql = "SELECT name, type FROM pragma_table_info(?1) ORDER BY cid";
        let mut columns: Vec<(String, String)> = fresh.all(sql, &binds![table])?;
        columns.retain(|(column, _)| !LEFT_OUT.contains(&(table, column)));
        let columns: Vec<_> = columns.into_iter().map(SealedColumn::new).collect();
        let list = columns.iter().map(SealedColumn::quoted).collect::<Vec<_>>().join(", ");
        let of_one = format!("SELECT {list} FROM {table} WHERE \"{owner}\" = ?1");
        let of_all = format!("SELECT \"{owner}\", {list} FROM {table} WHERE \"{owner}\" IS NOT NULL");
        Ok(Self { part, columns, of_one, of_all })
    }

    /// Whether it is the bearer's own row.
    pub(crate) fn own(&self) -> bool {
        self.part.kind == self.part.table
    }
}

/// Everything that is sealed, with the columns of this release's schema. Taken from a schema made afresh, so that a
/// database cannot decide what of it is verified.
pub(crate) fn layout() -> Result<&'static [Sealed], StoreError> {
    static LAYOUT: OnceLock<Vec<Sealed>> = OnceLock::new();
    if let Some(layout) = LAYOUT.get() {
        return Ok(layout);
    }
    let fresh = schema::fresh()?;
    let session = Session::new(&fresh);
    let layout = PARTS.iter().map(|part| Sealed::new(session, part)).collect::<Result<Vec<_>, _>>()?;
    Ok(LAYOUT.get_or_init(|| layout))
}

pub(crate) fn add(to: &mut Sum, term: &Sum) {
    let mut carry = 0;
    for (to, term) in to.iter_mut().zip(term).rev() {
        let sum = u16::from(*to) + u16::from(*term) + carry;
        *to = sum.to_be_bytes()[1];
        carry = sum >> 8;
    }
}

pub(crate) fn subtract(from: &mut Sum, term: &Sum) {
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

/// Bytes of type and length before a value that is sealed.
const HEAD: usize = 9;
/// Bytes of a value with those, up to which it is hashed as one piece.
const PIECE: usize = 128;

/// A value as it is sealed: its type, its length, itself, so that no two lists of values are written alike.
fn put(context: &mut hmac::Context, value: Value<'_>) {
    let mut sized = |kind: u8, bytes: &[u8]| {
        // One piece where it is short: each piece costs as much as hashing it.
        let mut piece = [0; PIECE];
        piece[0] = kind;
        piece[1..HEAD].copy_from_slice(&(bytes.len() as u64).to_be_bytes());
        match piece[HEAD..].get_mut(..bytes.len()) {
            Some(rest) => {
                rest.copy_from_slice(bytes);
                context.update(&piece[..HEAD + bytes.len()]);
            }
            None => {
                context.update(&piece[..HEAD]);
                context.update(bytes);
            }
        }
    };
    match value {
        Value::Null => context.update(&[0]),
        Value::Integer(number) => sized(1, &number.to_be_bytes()),
        Value::Real(number) => sized(2, &number.to_bits().to_be_bytes()),
        Value::Text(text) => sized(3, text),
        Value::Blob(bytes) => sized(4, bytes),
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
        put(&mut context, Value::Text(label.as_bytes()));
        context
    }

    /// What the key makes of values, for one use.
    pub(crate) fn term<'v>(&self, label: &str, values: impl IntoIterator<Item = Value<'v>>) -> Sum {
        let mut context = self.context(label);
        values.into_iter().for_each(|value| put(&mut context, value));
        signed(context)
    }

    /// The term of a row.
    pub(crate) fn row<'v>(
        &self,
        table: &str,
        columns: impl IntoIterator<Item = (&'v [u8], Value<'v>)>,
    ) -> Sum {
        let mut context = self.context("row");
        put(&mut context, Value::Text(table.as_bytes()));
        for (name, value) in columns {
            if value != Value::Null {
                put(&mut context, Value::Text(name));
                put(&mut context, value);
            }
        }
        signed(context)
    }

    /// The HMAC over a bearer's sum.
    pub(crate) fn tag(&self, kind: Value<'_>, id: Value<'_>, sum: &Sum) -> Sum {
        self.term("bearer", [kind, id, Value::Blob(sum)])
    }

    /// The sum in a bearer's seal, if the seal is one of this key.
    fn opened(&self, kind: Value<'_>, id: Value<'_>, seal: &[u8]) -> Option<Sum> {
        let (sum, tag) = seal.split_first_chunk::<BYTES>()?;
        verify_slices_are_equal(&self.tag(kind, id, sum), tag).ok().map(|()| *sum)
    }

    /// A bearer's seal with a term less and one more. If the old one is none of this key, neither is the new one:
    /// what was forged does not become sound by a change.
    pub(crate) fn resealed(
        &self,
        (kind, id): (Value<'_>, Value<'_>),
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

    pub(crate) fn bucket(&self, kind: Value<'_>, id: Value<'_>) -> usize {
        usize::from(self.term("place", [kind, id])[0])
    }

    /// What is sealed with every batch.
    pub(crate) fn state(&self, groups: u64, root: &[u8], mark: bool) -> Sum {
        let numbers = [groups.cast_signed(), i64::from(mark)].map(Value::Integer);
        self.term("store", [numbers[0], Value::Blob(root), numbers[1]])
    }

    /// The seal of the mark of so many batches, hex digits.
    pub(crate) fn mark(&self, groups: u64) -> String {
        digits(&self.term("mark", [Value::Integer(groups.cast_signed())]))
    }

    /// The seal of a backup of this SHA-256, hex digits.
    #[must_use]
    pub fn backup(&self, sha256: &str) -> String {
        digits(&self.term("backup", [Value::Text(sha256.as_bytes())]))
    }

    /// Whether this is the seal of a backup of this SHA-256.
    #[must_use]
    pub fn backup_fits(&self, sha256: &str, seal: &str) -> bool {
        verify_slices_are_equal(self.backup(sha256).as_bytes(), seal.as_bytes()).is_ok()
    }

    /// Whether a bearer is as it was sealed.
    fn intact(&self, session: Session<'_>, bearer: Bearer<'_>) -> Result<bool, StoreError> {
        let (kind, id) = bearer.named();
        let sql = "SELECT seal FROM row_seal WHERE kind = ?1 AND id = ?2";
        let seal: Option<Vec<u8>> = session.one(sql, &binds![kind, id])?;
        let Some(sealed) = seal.and_then(|seal| self.opened(Value::Text(kind.as_bytes()), id, &seal)) else {
            return Ok(false);
        };
        let mut sum = [0; BYTES];
        for one in layout()?.iter().filter(|one| one.part.kind == kind) {
            let mut statement = session.prepare(&one.of_one)?;
            let mut rows = statement.query_few(&binds![id])?;
            while let Some(row) = rows.next()? {
                add(&mut sum, &self.of_row(one, row, 0)?);
            }
        }
        Ok(sum == sealed)
    }

    /// The term of a row whose columns begin at `first`.
    fn of_row(&self, sealed: &Sealed, row: Row<'_>, first: usize) -> Result<Sum, StoreError> {
        let mut cells = row.cells();
        cells.skip(first);
        let mut columns = Vec::with_capacity(sealed.columns.len());
        for column in &sealed.columns {
            columns.push((column.sealed_as.as_bytes(), cells.value()?));
        }
        Ok(self.row(sealed.part.table, columns))
    }

    /// The sums of all bearers of one kind, by what names them, as their rows are now.
    pub(crate) fn sums(&self, session: Session<'_>, kind: &str) -> Result<BTreeMap<Id, Sum>, StoreError> {
        let mut sums = BTreeMap::new();
        for one in layout()?.iter().filter(|one| one.part.kind == kind) {
            let mut statement = session.prepare(&one.of_all)?;
            let mut rows = statement.query(&[])?;
            while let Some(row) = rows.next()? {
                let id = Id::of(row.cells().value()?);
                add(sums.entry(id).or_insert([0; BYTES]), &self.of_row(one, row, 1)?);
            }
        }
        Ok(sums)
    }

    /// Seals every row as it is now and replaces all existing seals.
    fn seal_all(&self, session: Session<'_>) -> Result<(), StoreError> {
        // The triggers sum up what is put in afterwards.
        session.script("DELETE FROM row_seal; DELETE FROM row_bucket;")?;
        let (zero, mut root) = ([0; BYTES], [0; BYTES]);
        for bucket in 0_i64..BUCKETS as i64 {
            insert!(session, "row_bucket" { bucket: bucket, sum: zero })?;
            add(&mut root, &self.term("bucket", [Value::Integer(bucket), Value::Blob(&zero)]));
        }
        session.execute("UPDATE store SET rights_root = ?1, rights_mark = 0", &binds![root])?;
        for own in layout()?.iter().filter(|sealed| sealed.own()) {
            self.seal_kind(session, own.part.kind)?;
        }
        Ok(())
    }

    /// Seals every bearer of one kind, of which none is.
    fn seal_kind(&self, session: Session<'_>, kind: &str) -> Result<(), StoreError> {
        for (id, sum) in self.sums(session, kind)? {
            let tag = self.tag(Value::Text(kind.as_bytes()), id.value(), &sum);
            insert!(session, "row_seal" { kind: kind, id: id, seal: [sum, tag].concat() })?;
        }
        Ok(())
    }

    /// What is wrong with the bearers, one by one.
    fn bearers(&self, session: Session<'_>) -> Result<Told, StoreError> {
        let mut told = Told::default();
        for own in layout()?.iter().filter(|sealed| sealed.own()) {
            let kind = own.part.kind;
            if kind == SERVICE_KEY && service_keys_unsealed(session)? {
                continue;
            }
            let mut sums = self.sums(session, kind)?;
            let mut statement = session.prepare("SELECT id, seal FROM row_seal WHERE kind = ?1")?;
            let mut rows = statement.query(&binds![kind])?;
            while let Some(row) = rows.next()? {
                let mut cells = row.cells();
                let id = Id::of_seal(kind, cells.value()?);
                let seal = cells.value()?.bytes().unwrap_or_default();
                let sum = sums.remove(&id);
                let sealed = self.opened(Value::Text(kind.as_bytes()), id.value(), seal);
                if sealed.is_none() || sealed != sum {
                    let what = if sum.is_none() { "was removed" } else { "was changed" };
                    told.tell(format!("{} {what} ({})", named(session, kind, &id), tables(kind)));
                }
            }
            for id in sums.keys() {
                told.tell(format!("{} was put in ({})", named(session, kind, id), tables(kind)));
            }
        }
        Ok(told)
    }

    /// What is wrong with the sums of the seals, the root and the state of the database.
    fn state_of(&self, session: Session<'_>) -> Result<Told, StoreError> {
        let mut told = Told::default();
        let mut sums = vec![[0; BYTES]; BUCKETS];
        self.each_seal(session, |bucket, term, _| add(&mut sums[bucket], &term))?;
        let (mut root, mut wrong) = ([0; BYTES], Vec::new());
        let sum_of_bucket = "SELECT sum FROM row_bucket WHERE bucket = ?1";
        for (bucket, sum) in sums.iter().enumerate() {
            let number = i64::try_from(bucket).unwrap_or_default();
            let stored: Option<Vec<u8>> = session.one(sum_of_bucket, &binds![number]).ok().flatten();
            let stored = stored.unwrap_or_default();
            add(&mut root, &self.term("bucket", [Value::Integer(number), Value::Blob(&stored)]));
            if stored != sum {
                wrong.push(bucket);
            }
        }
        if !wrong.is_empty() {
            let mut there = BTreeMap::<usize, Vec<String>>::new();
            self.each_seal(session, |bucket, _, name| {
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
        let (groups, stored, seal, mark): (i64, Option<Vec<u8>>, Option<Vec<u8>>, bool) =
            session.only(sql, &[])?;
        let (stored, seal) = (stored.unwrap_or_default(), seal.unwrap_or_default());
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
        session: Session<'_>,
        mut look: impl FnMut(usize, Sum, &dyn Fn() -> String),
    ) -> Result<(), StoreError> {
        let mut statement = session.prepare("SELECT kind, id, seal FROM row_seal")?;
        let mut rows = statement.query(&[])?;
        while let Some(row) = rows.next()? {
            let mut cells = row.cells();
            let (kind, id, seal) = (cells.value()?, cells.value()?, cells.value()?);
            let id = Id::of_seal(kind.text().unwrap_or_default(), id);
            let name = || named(session, kind.text().unwrap_or_default(), &id);
            look(self.bucket(kind, id.value()), self.term("seal", [kind, id.value(), seal]), &name);
        }
        Ok(())
    }

    /// What is checked at startup: the sums, not every row.
    pub(crate) fn at_start(&self, session: Session<'_>) -> Result<Option<Finding>, StoreError> {
        let told = self.state_of(session)?;
        Ok(told.findings().into_iter().next())
    }

    /// Everything that is wrong.
    pub(crate) fn verify(&self, session: Session<'_>) -> Result<Vec<Finding>, StoreError> {
        let mut findings = self.bearers(session)?.findings();
        findings.extend(self.state_of(session)?.findings());
        Ok(findings)
    }
}

/// Lower-case hex digits, for the mark of every batch.
fn digits(sum: &Sum) -> String {
    let mut digits = [0; 2 * BYTES];
    // There is room for just as many digits.
    let _ = hex::encode_to_slice(sum, &mut digits);
    String::from_utf8_lossy(&digits).into_owned()
}

fn signed(context: hmac::Context) -> Sum {
    let mut sum = [0; BYTES];
    sum.copy_from_slice(context.sign().as_ref());
    sum
}

/// What names a bearer in its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Id {
    Number(i64),
    Text(Vec<u8>),
    /// No release writes such a one.
    Other,
}

impl Id {
    /// What names a bearer of this kind, as its seal has it. Where one column is for texts and numbers alike
    /// (PostgreSQL), numbers are texts in it.
    pub(crate) fn of_seal(kind: &str, value: Value<'_>) -> Self {
        match value {
            Value::Text(text) if !NAMED_BY_TEXT.contains(&kind) => {
                let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                number.map_or(Self::Other, Self::Number)
            }
            value => Self::of(value),
        }
    }

    fn of(value: Value<'_>) -> Self {
        match value {
            Value::Integer(number) => Self::Number(number),
            Value::Text(text) => Self::Text(text.to_vec()),
            Value::Null | Value::Real(_) | Value::Blob(_) => Self::Other,
        }
    }
}

impl Id {
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Self::Number(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(text),
            Self::Other => Value::Blob(&[]),
        }
    }
}

impl AsBind for Id {
    fn bind(&self) -> Bind<'_> {
        self.value().into_bind()
    }
}

/// A bearer as people know it.
fn named(session: Session<'_>, kind: &str, id: &Id) -> String {
    let shown = match id {
        Id::Number(number) => number.to_string(),
        Id::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Id::Other => "?".into(),
    };
    let (what, table) = match kind {
        "account" => return format!("account `{shown}`"),
        "access_key" => return format!("access key `{shown}`"),
        CERTIFICATE => return format!("certificate `{shown}`"),
        SIGNING_REQUEST => return format!("certificate request `{shown}`"),
        SERVICE_KEY => return format!("key `{shown}` of the service's own"),
        "ram_user" => ("user", "ram_user"),
        "ram_group" => ("group", "ram_group"),
        "ram_role" => ("role", "ram_role"),
        "ram_policy" => ("policy", "ram_policy"),
        _ => return format!("`{shown}` of an unknown kind"),
    };
    let sql = format!("SELECT name, account FROM {table} WHERE seq = ?1");
    match session.only::<(String, String)>(&sql, &binds![id]) {
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
pub(crate) fn sealed(session: Session<'_>) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM store WHERE rights_root IS NOT NULL OR rights_seal IS NOT NULL \
               OR rights_mark <> 0) OR EXISTS (SELECT 1 FROM row_seal) OR EXISTS (SELECT 1 FROM row_bucket)";
    session.only(sql, &[])
}

/// Whether no key of the service's own is sealed, as releases leave them that seal only the other bearers. In a
/// database of this release one always is, the key of the seals; and nobody makes the one of the other by removing
/// seals, which are summed up in the root.
pub(crate) fn service_keys_unsealed(session: Session<'_>) -> Result<bool, StoreError> {
    session.only("SELECT NOT EXISTS (SELECT 1 FROM row_seal WHERE kind = ?1)", &binds![SERVICE_KEY])
}

/// Whether the mark beside the database must be sealed.
pub(crate) fn mark_sealed(session: Session<'_>) -> Result<bool, StoreError> {
    Ok(root_and_mark(session)?.1)
}

/// The root, and whether the mark beside the database must be sealed.
pub(crate) fn root_and_mark(session: Session<'_>) -> Result<(Option<Vec<u8>>, bool), StoreError> {
    session.only("SELECT rights_root, rights_mark FROM store", &[])
}

/// What a store knows of the seals while it runs.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    key: OnceLock<RightsKey>,
    /// The root that was verified.
    pub(crate) root: OnceLock<Vec<u8>>,
    found: AtomicU64,
    /// How often the writer has changed what a principal may do.
    pub(crate) changes: Arc<AtomicU64>,
    /// Of accounts, as this process knows them.
    pub(crate) epochs: Epochs,
    /// Which process this is.
    pub(crate) node: OnceLock<Node>,
}

impl Rights {
    pub(crate) fn key(&self) -> Option<&RightsKey> {
        self.key.get()
    }

    /// Gives the key; the first one counts.
    pub(crate) fn give(&self, key: &RightsKey) {
        let _ = self.key.set(key.clone());
    }

    /// Remembers the root, which was verified.
    pub(crate) fn found_sound(&self, session: Session<'_>) -> Result<(), StoreError> {
        if let Some(root) = root(session)? {
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

pub(crate) fn root(session: Session<'_>) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(root_and_mark(session)?.0)
}

impl Snapshot<'_> {
    /// Verifies that a bearer is as the service sealed it. To be called wherever rights are read for use. Passes as
    /// long as the key of the seals is not known: then nobody is served.
    ///
    /// # Errors
    /// [`StoreError::Forged`] if it is not, or a database error.
    pub fn vouch(&self, bearer: Bearer<'_>) -> Result<(), StoreError> {
        let Some(rights) = self.rights() else { return Ok(()) };
        let Some(key) = rights.key() else { return Ok(()) };
        if key.intact(self.session(), bearer)? {
            return Ok(());
        }
        rights.count();
        let (kind, id) = bearer.named();
        let what = named(self.session(), kind, &Id::of(id));
        Err(StoreError::Forged { what, principal: is_principal(kind) })
    }

    /// Whether the rows that confer rights are sealed.
    ///
    /// # Errors
    /// A database error.
    pub fn rights_sealed(&self) -> Result<bool, StoreError> {
        sealed(self.session())
    }

    /// Everything that does not fit its seal under this key.
    ///
    /// # Errors
    /// A database error.
    pub fn verify_rights(&self, key: &RightsKey) -> Result<Vec<Finding>, StoreError> {
        key.verify(self.session())
    }
}

impl Tx<'_> {
    pub(crate) fn seal_all_rights(&self, key: &RightsKey) -> Result<(), StoreError> {
        self.all_rights_changed()?;
        match self.session() {
            session @ Session::Sqlite { .. } => key.seal_all(session),
            session @ Session::Postgres(_) => postgres::seals::seal_all(session, key),
        }
    }

    pub(crate) fn seal_service_keys(&self, key: &RightsKey) -> Result<(), StoreError> {
        key.seal_kind(self.session(), SERVICE_KEY)
    }

    pub(crate) fn rely_on_mark(&self) -> Result<(), StoreError> {
        self.execute("UPDATE store SET rights_mark = 1", &[])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use rusqlite::Connection;

    use super::*;
    use crate::{Archive, Options, Store, Verdict};

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

    /// A release that seals only the other bearers left a database, or a backup: it is sound, and sealed at the next
    /// start.
    #[test]
    fn service_keys_of_an_earlier_release_are_sealed_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let key = RightsKey::new(b"a key of this test");
        let store = Store::open(directory.path(), &Options::default()).unwrap();
        store.seal_rights(&key, |tx| tx.put_sealed_service_key("rights", b"sealed", 1)).unwrap();
        let earlier = store.write_blocking(|tx| {
            tx.execute("DELETE FROM row_seal WHERE kind = ?1", &binds![SERVICE_KEY])?;
            Ok(Verdict::Keep(()))
        });
        earlier.unwrap();
        drop(store);
        let findings = || Archive::open(directory.path()).unwrap().rights(&key).unwrap();
        assert!(findings().is_empty(), "{:?}", findings());
        for _ in 0..2 {
            let store = Store::open(directory.path(), &Options::default()).unwrap();
            store.open_rights(&key).unwrap();
            store.read(|snapshot| snapshot.vouch(Bearer::ServiceKey("rights"))).unwrap();
            assert!(!store.read(|snapshot| service_keys_unsealed(snapshot.session())).unwrap());
            drop(store);
            assert!(findings().is_empty(), "{:?}", findings());
        }
        // From now on there is no way back.
        let disk = Connection::open(directory.path().join(crate::DATABASE_FILE)).unwrap();
        disk.execute_batch("DELETE FROM row_seal WHERE kind = 'service_key'").unwrap();
        assert!(!findings().is_empty());
        let store = Store::open(directory.path(), &Options::default()).unwrap();
        assert!(matches!(store.open_rights(&key), Err(StoreError::Unsound(_))));
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
        let row = key.row("account", [(&b"id"[..], Value::Text(b"1")), (b"name", Value::Null)]);
        assert_eq!(row, key.row("account", [(&b"id"[..], Value::Text(b"1"))]));
        assert_eq!(hex::encode(row), "cf74a09bcb5624eb4822d44f9b4836fc620b40ea44a4179d8bfcd11b4e256a00");
        assert_eq!(key.mark(7), "7b653f7e3a098ed520c1980098151a27212f501ac7af6908078a2333ab104c77");
        assert_eq!(key.backup("00"), "fde7192a783f82790511cf5009f01926fc740524d80f51cb4f7e3a653f757b4a");
        let (kind, id) = (Value::Text(b"account"), Value::Text(b"1"));
        let seal = key.resealed((kind, id), None, None, Some(row));
        assert_eq!(key.opened(kind, id, &seal), Some(row));
        assert_eq!(RightsKey::new(b"another").opened(kind, id, &seal), None);
        assert_eq!(key.opened(kind, Value::Integer(1), &seal), None);
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
