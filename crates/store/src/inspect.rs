//! Inspects a database without changing it: whether it is consistent, and a copy of it as a backup.
//!
//! An [`Archive`] may be opened beside the running service; it sees one consistent state. It verifies three kinds
//! of things: the *structure* (SQLite's own check of every page, index and constraint, and the schema object by
//! object), the *relations* between rows that the service maintains and no constraint can express, and, for callers
//! that have the keys, the *values* (`tongguan_service::check`).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tongguan_model::certificate::Certificate;

use crate::chain::{AuditChain, AuditLink};
use crate::journal::Left;
use crate::mark::{Found, Mark};
use crate::query::{self, CERTIFICATE_COLUMNS, GATEWAY_COLUMNS, VPC_COLUMNS, VSWITCH_COLUMNS};
use crate::rights::{self, RIGHTS_RULE, RightsKey};
use crate::{
    AUDIT_RULE, AuditRecord, AuditVerdict, DATABASE_FILE, Snapshot, StoreError, Trouble, connect_read_only,
    look, ram, schema, verify,
};

/// Of an object that is there and should not be.
const UNKNOWN: &str = "is unknown or changed";
/// Findings of one kind that are told; the rest are counted.
const TOLD: usize = 10;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule is broken.
    pub rule: &'static str,
    /// Where, or what SQLite says.
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The copy was made and is not sound.
    #[error("the copy is not sound ({0}); nothing was kept: run `tongguan check`")]
    Unsound(Finding),
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The copy could not be written.
    #[error("cannot write `{}`: {source}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The name of a relation, and the query for rows that violate it.
const RELATIONS: &[(&str, &str)] = &[
    (
        "a gateway that is not settled has an intent of its generation, and no other has one",
        "SELECT g.id FROM vpn_gateway g LEFT JOIN intent i ON i.resource = g.id \
         WHERE g.phase <> 'unpaid' AND ((g.applied < g.intended) <> (i.resource IS NOT NULL) \
         OR (i.resource IS NOT NULL AND i.generation <> g.intended))",
    ),
    (
        "an intent is of a resource that exists",
        "SELECT resource FROM intent WHERE (kind = 'gateway' AND resource NOT IN (SELECT id FROM vpn_gateway)) \
         OR (kind = 'vpc' AND resource NOT IN (SELECT id FROM vpc WHERE NOT ready)) \
         OR (kind = 'vswitch' AND resource NOT IN (SELECT id FROM vswitch WHERE NOT ready)) \
         OR (kind = 'role_deletion' \
         AND resource NOT IN (SELECT id FROM ram_role_deletion WHERE status = 'IN_PROGRESS'))",
    ),
    (
        "the deletion of a role that is not decided has an intent",
        "SELECT id FROM ram_role_deletion WHERE status = 'IN_PROGRESS' AND id NOT IN (SELECT resource FROM intent)",
    ),
    (
        "a policy has the version that is in force, and none of a number still to come",
        "SELECT p.account || ' ' || p.name FROM ram_policy p WHERE NOT EXISTS (SELECT 1 FROM ram_policy_version v \
         WHERE v.policy = p.seq AND v.version = p.default_version) OR EXISTS (SELECT 1 FROM ram_policy_version v \
         WHERE v.policy = p.seq AND v.version >= p.next_version)",
    ),
    (
        "a policy and what it is attached to are of one account",
        "SELECT a.seq FROM ram_attachment a LEFT JOIN ram_policy p ON p.seq = a.policy \
         LEFT JOIN ram_user u ON u.seq = a.user LEFT JOIN ram_group g ON g.seq = a.ram_group \
         LEFT JOIN ram_role r ON r.seq = a.role WHERE a.account <> coalesce(p.account, a.account) \
         OR a.account IS NOT coalesce(u.account, g.account, r.account)",
    ),
    (
        "a VPC or vSwitch that is not ready has an intent",
        "SELECT id FROM (SELECT id FROM vpc WHERE NOT ready UNION ALL SELECT id FROM vswitch WHERE NOT ready) \
         WHERE id NOT IN (SELECT resource FROM intent)",
    ),
    (
        "a binding is half-way only on a gateway that is not settled",
        "SELECT b.gateway || ' ' || b.role FROM binding b JOIN vpn_gateway g ON g.id = b.gateway \
         WHERE b.state <> 'associated' AND g.applied >= g.intended",
    ),
    (
        "at most one binding of a gateway is half-way",
        "SELECT gateway FROM binding WHERE state <> 'associated' GROUP BY gateway HAVING count(*) > 1",
    ),
    (
        "a binding, its gateway and its certificate are of one account, and the gateway takes certificates",
        "SELECT b.gateway || ' ' || b.role FROM binding b JOIN vpn_gateway g ON g.id = b.gateway \
         JOIN certificate c ON c.id = b.certificate WHERE b.account <> g.account OR b.region <> g.region \
         OR c.account <> g.account OR g.vpn_type <> 'NationalStandard' OR c.certificate IS NULL",
    ),
    (
        "the two roles of a gateway have two certificates",
        "SELECT gateway FROM binding GROUP BY gateway, certificate HAVING count(*) > 1",
    ),
    (
        "what the data plane has is what is bound",
        "SELECT g.id FROM vpn_gateway g JOIN applied a ON a.resource = g.id \
         WHERE g.applied = g.intended AND g.applied > 0 AND g.phase = 'live' \
         AND g.id NOT IN (SELECT resource FROM fault WHERE outcome = 'diverged') \
         AND (a.generation <> g.applied OR (SELECT coalesce(group_concat(key || value, ' '), '') \
         FROM (SELECT key, value FROM json_each(a.document, '$.certificates') ORDER BY key)) <> \
         (SELECT coalesce(group_concat(role || certificate, ' '), '') \
         FROM (SELECT role, certificate FROM binding WHERE gateway = g.id ORDER BY role)))",
    ),
    (
        "a gateway that was built has a record of what the data plane has",
        "SELECT id FROM vpn_gateway WHERE applied > 0 AND id NOT IN (SELECT resource FROM applied) \
         AND id NOT IN (SELECT resource FROM fault WHERE outcome = 'diverged')",
    ),
    (
        "a name is looked up in lower case",
        "SELECT account || ' ' || name FROM (SELECT account, name, folded FROM ram_user UNION ALL \
         SELECT account, name, folded FROM ram_group UNION ALL SELECT account, name, folded FROM ram_role UNION ALL \
         SELECT account, name, folded FROM ram_policy) WHERE folded <> lower(name)",
    ),
    (
        "a member and its group are of one account",
        "SELECT u.name || ' ' || g.name FROM ram_membership m JOIN ram_user u ON u.seq = m.user \
         JOIN ram_group g ON g.seq = m.ram_group WHERE u.account <> g.account",
    ),
    (
        "an access key and its user are of one account",
        "SELECT k.id FROM access_key k JOIN ram_user u ON u.seq = k.user WHERE u.account <> k.account",
    ),
    (
        "the addresses in use are those of the gateways",
        "SELECT ip FROM address JOIN vpn_gateway ON id = gateway \
         WHERE ip <> internet_ip AND ip IS NOT dr_ip",
    ),
    (
        "tags are on what exists",
        "SELECT resource FROM tag WHERE resource NOT IN (SELECT id FROM vpn_gateway UNION ALL SELECT id FROM vpc \
         UNION ALL SELECT id FROM vswitch UNION ALL SELECT id FROM ram_role \
         UNION ALL SELECT 'ram-policy-' || seq FROM ram_policy)",
    ),
    (
        "the tallies are right",
        "SELECT kind || ' ' || account || ' ' || region FROM ( \
         SELECT kind, account, region, value FROM tally UNION ALL \
         SELECT 'vpn_gateway', account, region, -count(*) FROM vpn_gateway GROUP BY account, region UNION ALL \
         SELECT 'vpc', account, region, -count(*) FROM vpc GROUP BY account, region UNION ALL \
         SELECT 'vswitch', account, region, -count(*) FROM vswitch GROUP BY account, region UNION ALL \
         SELECT 'ram_user', account, '', -count(*) FROM ram_user GROUP BY account UNION ALL \
         SELECT 'ram_group', account, '', -count(*) FROM ram_group GROUP BY account UNION ALL \
         SELECT 'certificate', account, region, -count(*) FROM certificate GROUP BY account, region UNION ALL \
         SELECT 'ram_role', account, '', -count(*) FROM ram_role GROUP BY account UNION ALL \
         SELECT 'ram_policy', account, '', -count(*) FROM ram_policy GROUP BY account UNION ALL \
         SELECT 'client_token', account, '', -count(*) FROM client_token GROUP BY account UNION ALL \
         SELECT 'client_token_by', account, principal, -count(*) FROM client_token GROUP BY account, principal \
         UNION ALL \
         SELECT 'binding', account, region, -count(*) FROM binding WHERE state <> 'associating' \
         GROUP BY account, region) GROUP BY kind, account, region HAVING sum(value) <> 0",
    ),
    ("the chain of audit records has its ends", "SELECT count(*) FROM audit_chain HAVING count(*) <> 1"),
    ("the store knows itself", "SELECT count(*) FROM store HAVING count(*) <> 1"),
];

/// Reads a row as the service would, and answers whether that can be done.
pub(crate) type Reader = fn(&rusqlite::Row<'_>) -> rusqlite::Result<()>;

/// A database opened for looking.
#[derive(Debug)]
pub struct Archive {
    connection: Connection,
    schema: u32,
    /// Of a data directory: where the mark is, and what was found there.
    mark: Option<(PathBuf, Found)>,
}

impl Archive {
    /// Opens the database of a data directory; the service may be running on it.
    ///
    /// # Errors
    /// There is none, it cannot be read, it lacks answered changes, or it is of a newer release; or the directory is
    /// not ours.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_with_mark(directory, None)
    }

    /// [`Archive::open`] of a data directory whose mark is kept in this file.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub fn open_with_mark(directory: &Path, mark_file: Option<&Path>) -> Result<Self, StoreError> {
        look(directory)?;
        let path = directory.join(DATABASE_FILE);
        let mark = Mark::of(directory, mark_file);
        // The mark first: whatever is committed meanwhile only adds to the database.
        let found_mark = mark.read().unwrap_or(Found::Other);
        let answered = found_mark.groups().unwrap_or(0);
        let archive = Self::open_file(&path)?;
        let found = schema::groups(&archive.connection)?;
        let mark = mark.path().to_path_buf();
        if found < answered {
            return Err(StoreError::Lost { directory: directory.to_path_buf(), mark, found, answered });
        }
        Ok(Self { mark: Some((mark, found_mark)), ..archive })
    }

    /// Opens a database by its file, such as a backup.
    ///
    /// # Errors
    /// It cannot be read, or is of a newer release.
    pub fn open_file(path: &Path) -> Result<Self, StoreError> {
        if let Err(source) = File::open(path) {
            return Err(StoreError::File { what: "cannot read", path: path.to_path_buf(), source });
        }
        let opened = connect_read_only(path).and_then(|connection| {
            let schema = schema::known(&connection)?;
            connection.execute_batch("BEGIN")?;
            Ok(Self { connection, schema, mark: None })
        });
        opened.map_err(classified)
    }

    /// Schema of the database.
    #[must_use]
    pub fn schema(&self) -> u32 {
        self.schema
    }

    /// Whether it is of this release's schema: only then rows can be read.
    #[must_use]
    pub fn current(&self) -> bool {
        self.schema == schema::NEWEST
    }

    /// Runs a query on the state that was opened.
    ///
    /// # Errors
    /// What the question gives.
    pub fn read<T>(
        &self,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        question(&Snapshot::new(&self.connection)).map_err(classified)
    }

    /// Every page, index and constraint, as SQLite checks them, and the schema object by object.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn structure(&self) -> Result<Vec<Finding>, StoreError> {
        let structure = pages(&self.connection, "integrity_check").and_then(|mut findings| {
            findings.extend(foreign_keys(&self.connection)?);
            if self.current() {
                findings.extend(schema_objects(&self.connection)?);
            }
            Ok(findings)
        });
        structure.map_err(classified)
    }

    /// What must hold between rows, each rule with those that break it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn relations(&self) -> Result<Vec<(&'static str, Vec<Finding>)>, StoreError> {
        RELATIONS
            .iter()
            .map(|(rule, question)| Ok((*rule, offenders(&self.connection, rule, question)?)))
            .collect::<Result<_, _>>()
            .map_err(classified)
    }

    /// Looks at every row that confers rights, and at the mark if a data directory was opened.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn rights(&self, key: &RightsKey) -> Result<Vec<Finding>, StoreError> {
        let mut findings = key.verify(&self.connection).map_err(classified)?;
        if let Some((path, found)) = &self.mark
            && rights::mark_sealed(&self.connection)?
            && let Some(what) = found.fault(key)
        {
            let what = format!("the mark `{}` {what}", path.display());
            findings.push(Finding { rule: RIGHTS_RULE, what });
        }
        Ok(findings)
    }

    /// Whether a sealed mark was found in the data directory.
    #[must_use]
    pub fn mark_is_sealed(&self) -> bool {
        matches!(self.mark, Some((_, Found::Sealed(..))))
    }

    /// Writes a mark for this database into a data directory, or to `elsewhere`, sealed under the key.
    ///
    /// # Errors
    /// The mark or the database.
    pub fn write_mark(
        &self,
        directory: &Path,
        elsewhere: Option<&Path>,
        key: &RightsKey,
    ) -> Result<(), StoreError> {
        let mark = Mark::of(directory, elsewhere);
        let failed = |source| StoreError::File {
            what: "cannot write the mark",
            path: mark.path().to_path_buf(),
            source,
        };
        mark.begin(schema::groups(&self.connection)?, Some(key)).map_err(failed)
    }

    /// Looks at every audit record; `key` is that of the seal, `heads` are earlier heads that were kept elsewhere.
    ///
    /// # Errors
    /// The database cannot be read, or [`StoreError::Damaged`] if the ends of the chain cannot.
    pub fn audit(&self, key: Option<&[u8]>, heads: &[AuditLink]) -> Result<AuditVerdict, StoreError> {
        verify::verify(&self.connection, key, heads).map_err(classified)
    }

    /// Audit records that a process left in the journal of `directory`; they are moved into the database by the
    /// next start. While a service runs there may be some of the last tenth of a second.
    ///
    /// # Errors
    /// The journal or the database cannot be read.
    pub fn journal_left(&self, directory: &Path) -> Result<Vec<AuditRecord>, StoreError> {
        let moved = schema::journalled(&self.connection)?;
        let left = Left::read(directory, moved).map_err(|source| StoreError::File {
            what: "cannot read the audit journal in",
            path: directory.to_path_buf(),
            source,
        })?;
        Ok(left.records())
    }

    /// [`Archive::read`] over the present state; no state is held when it returns, so that nobody waits for it.
    ///
    /// # Errors
    /// What the question gives.
    pub fn read_now<T>(
        &self,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A transaction takes its state with its first question.
        self.connection.execute_batch("COMMIT; BEGIN")?;
        let answer = self.read(question);
        self.connection.execute_batch("COMMIT; BEGIN")?;
        answer
    }

    /// Reads every gateway, VPC, vSwitch, user, group, role, policy and certificate once, as the service
    /// would. Certificates are given to `look` with their sealed private key; it answers what it finds wrong.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn rows(
        &self,
        mut look: impl FnMut(&Certificate, &[u8]) -> Option<String>,
    ) -> Result<Vec<Finding>, StoreError> {
        const RULE: &str = "every row can be read";
        let mut findings = Vec::new();
        let tables: [(&str, &str, Reader); 4] = [
            ("vpn_gateway", GATEWAY_COLUMNS, |row| query::gateway(row).map(drop)),
            ("vpc", VPC_COLUMNS, |row| query::vpc(row).map(drop)),
            ("vswitch", VSWITCH_COLUMNS, |row| query::vswitch(row).map(drop)),
            ("binding", query::BINDING_COLUMNS, |row| query::binding(row).map(drop)),
        ];
        for (table, columns, read) in tables.into_iter().chain(ram::READ) {
            let mut statement =
                self.connection.prepare(&format!("SELECT {columns} FROM {table} ORDER BY seq"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if let Err(error) = read(row) {
                    findings.push(Finding {
                        rule: RULE,
                        what: format!("{table} {:?}: {error}", row.get_ref(0)?),
                    });
                }
            }
        }
        let question =
            format!("SELECT {CERTIFICATE_COLUMNS}, sealed_private_key FROM certificate ORDER BY seq");
        let mut statement = self.connection.prepare(&question)?;
        let sealed = statement.column_count() - 1;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let wrong = match (query::certificate(row), row.get::<_, Vec<u8>>(sealed)) {
                (Ok(certificate), Ok(key)) => look(&certificate, &key),
                (Err(error), _) | (_, Err(error)) => Some(error.to_string()),
            };
            if let Some(wrong) = wrong {
                findings.push(Finding {
                    rule: RULE,
                    what: format!("certificate {:?}: {wrong}", row.get_ref(0)?),
                });
            }
        }
        Ok(findings)
    }

    /// Writes a copy of the state that was opened to `target`, which must not exist, checks it and makes
    /// it durable. The service continues meanwhile.
    ///
    /// # Errors
    /// The copy cannot be written, or is not sound; then there is no `target`.
    pub fn copy_to(&self, target: &Path) -> Result<(), BackupError> {
        let mut part = target.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| BackupError::File { path, source }
        };
        if target.exists() {
            return Err(failed(target)(std::io::ErrorKind::AlreadyExists.into()));
        }
        let _ = std::fs::remove_file(&part);
        // Made first, so that nobody else can read it while it grows.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let file = file.map_err(failed(&part))?;
        let copied = self.copy_into(&part).and_then(|()| {
            file.sync_all().map_err(failed(&part))?;
            std::fs::rename(&part, target).map_err(failed(target))?;
            sync_directory(target).map_err(failed(target))
        });
        if copied.is_err() {
            let _ = std::fs::remove_file(&part);
        }
        copied
    }

    fn copy_into(&self, part: &Path) -> Result<(), BackupError> {
        // VACUUM cannot run inside the transaction that holds the state; it takes one of its own.
        let run = || -> Result<(), StoreError> {
            self.connection.execute_batch("COMMIT")?;
            self.connection.execute("VACUUM INTO ?1", [part.to_string_lossy()])?;
            self.connection.execute_batch("BEGIN")?;
            Ok(())
        };
        run().map_err(classified)?;
        let copy = Self::open_file(part)?;
        match copy.structure()?.into_iter().next() {
            None => Ok(()),
            Some(finding) => Err(BackupError::Unsound(finding)),
        }
    }
}

/// What is checked at each start: the schema object by object, and every page of a database that is small
/// enough for that to be quick.
pub(crate) fn at_start(connection: &Connection, whole: bool) -> Result<Option<Finding>, StoreError> {
    let mut findings = schema_objects(connection)?;
    // An index or a view that an operator has added does no harm.
    findings.retain(|finding| !finding.what.ends_with(UNKNOWN));
    if findings.is_empty()
        && let Err(error) = AuditChain::read(connection)
    {
        let StoreError::Damaged(what) = error else { return Err(error) };
        findings.push(Finding { rule: AUDIT_RULE, what });
    }
    if findings.is_empty() && whole {
        findings = pages(connection, "quick_check")?;
    }
    Ok(findings.into_iter().next())
}

/// Makes the name of a file durable.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => File::open(directory)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// An error that says what to do, if it is the database's and not the query's.
pub(crate) fn classified(error: StoreError) -> StoreError {
    match Trouble::of(&error) {
        Some(trouble @ Trouble::Damaged(_)) => StoreError::Unusable(trouble),
        _ => error,
    }
}

fn pages(connection: &Connection, check: &str) -> Result<Vec<Finding>, StoreError> {
    let mut statement = connection.prepare(&format!("PRAGMA {check}({TOLD})"))?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut findings = Vec::new();
    for line in lines {
        let what = line?;
        if what != "ok" {
            findings.push(Finding { rule: "every page, index and constraint is whole", what });
        }
    }
    Ok(findings)
}

fn foreign_keys(connection: &Connection) -> Result<Vec<Finding>, StoreError> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let lines = statement.query_map([], |row| {
        Ok(format!(
            "a row of {} names a {} that is not there",
            row.get::<_, String>(0)?,
            row.get::<_, String>(2)?
        ))
    })?;
    lines.take(TOLD).map(|what| Ok(Finding { rule: "what a row refers to exists", what: what? })).collect()
}

/// The objects of the schema, against those of a new database.
fn schema_objects(connection: &Connection) -> Result<Vec<Finding>, StoreError> {
    let mut fresh = Connection::open_in_memory()?;
    schema::migrate(&mut fresh)?;
    let (found, expected) = (objects(connection)?, objects(&fresh)?);
    let rule = "the schema is that of this release";
    let missing = expected.iter().filter(|object| !found.contains(object));
    let unknown = found.iter().filter(|object| !expected.contains(object));
    let missing = missing.map(|(name, _)| Finding { rule, what: format!("`{name}` is missing or changed") });
    let unknown = unknown.map(|(name, _)| Finding { rule, what: format!("`{name}` {UNKNOWN}") });
    Ok(missing.chain(unknown).collect())
}

fn objects(connection: &Connection) -> Result<Vec<(String, String)>, StoreError> {
    // SQLite's own tables hold statistics, which anybody may have asked for.
    let mut statement = connection.prepare(
        "SELECT name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\'",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn offenders(
    connection: &Connection,
    rule: &'static str,
    question: &str,
) -> Result<Vec<Finding>, StoreError> {
    let mut statement = connection.prepare(question)?;
    let rows =
        statement.query_map([], |row| Ok(format!("{:?}", row.get::<_, rusqlite::types::Value>(0)?)))?;
    rows.take(TOLD).map(|what| Ok(Finding { rule, what: what? })).collect()
}
