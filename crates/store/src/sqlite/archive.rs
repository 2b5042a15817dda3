//! Inspects a database without changing it: whether it is consistent, and a copy of it as a backup.
//!
//! An [`Archive`] may be opened beside the running service; it sees one consistent state. It verifies three kinds
//! of things: the *structure* (SQLite's own check of every page, index and constraint, and the schema object by
//! object), the *relations* between rows that the service maintains and no constraint can express, and, for callers
//! that have the keys, the *values* (`tongguan_service::check`).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tongguan_model::certificate::{Certificate, SigningRequest};

use super::journal::Left;
use super::mark::{Found, Mark};
use super::open::connect_read_only;
use super::structure::{classified, foreign_keys, offenders, pages, schema_objects};
use super::{schema, state};
use crate::audit::{chain, walk};
use crate::postgres::hosts::Hosts;
use crate::postgres::{Link, lanes, schema as shared};
use crate::put::{PART, sync_directory};
use crate::rights::{self, RIGHTS_RULE, RightsKey};
use crate::rows::{READ, RELATIONS, Table};
use crate::session::Session;
use crate::{
    AuditHead, AuditLink, AuditRecord, AuditVerdict, DATABASE_FILE, Finding, Snapshot, StoreError, look,
};

/// Is given a row with its sealed private key, and answers what is wrong with it.
type Look<'l, T> = dyn FnMut(&T, Option<&[u8]>) -> Option<String> + 'l;

/// What [`Finding`]s of single rows are called.
const READABLE: &str = "every row can be read";

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The copy was made and is not consistent.
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

/// A database opened for looking.
#[derive(Debug)]
pub struct Archive {
    source: Source,
    schema: u32,
    /// Of a data directory: where the mark is, and what was found there.
    mark: Option<(PathBuf, Found)>,
    /// The state that was opened is held to the end.
    held: bool,
}

/// What is looked at.
#[derive(Debug)]
enum Source {
    File(Connection),
    /// A database that several nodes share.
    Shared(Box<Link>),
}

impl Archive {
    /// Looks at a database that several nodes share; they may be using it.
    ///
    /// # Errors
    /// It cannot be reached, or is of a release on whose schema this one may not serve.
    pub fn connect(hosts: Hosts) -> Result<Self, StoreError> {
        let link = Link::patient(&Arc::new(hosts))?;
        shared::known(Session::Postgres(&link))?;
        link.script(shared::LOOK)?;
        // One on which this release may serve has all that it looks at.
        Ok(Self { source: Source::Shared(Box::new(link)), schema: schema::NEWEST, mark: None, held: false })
    }

    /// Whether it is a database that several nodes share.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.source, Source::Shared(_))
    }

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
        let found = state::groups(archive.session())?;
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
            let schema = schema::known(Session::new(&connection))?;
            Session::new(&connection).script("BEGIN")?;
            Ok(Self { source: Source::File(connection), schema, mark: None, held: false })
        });
        opened.map_err(classified)
    }

    /// One over a connection that has begun a transaction, which it does not end.
    pub(crate) fn within(link: Link) -> Self {
        Self { source: Source::Shared(Box::new(link)), schema: schema::NEWEST, mark: None, held: true }
    }

    /// The connection to a database that several nodes share.
    pub(crate) fn link(&self) -> Option<&Link> {
        match &self.source {
            Source::File(_) => None,
            Source::Shared(link) => Some(link),
        }
    }

    pub(crate) fn session(&self) -> Session<'_> {
        match &self.source {
            Source::File(connection) => Session::new(connection),
            Source::Shared(link) => Session::Postgres(link),
        }
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
    /// The error of `question`.
    pub fn read<T>(
        &self,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        question(&Snapshot::new(self.session())).map_err(classified)
    }

    /// Every page, index and constraint, as SQLite checks them, and the schema object by object.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn structure(&self) -> Result<Vec<Finding>, StoreError> {
        if self.is_shared() {
            return if self.current() { shared::differences(self.session()) } else { Ok(Vec::new()) };
        }
        let structure = pages(self.session(), "integrity_check").and_then(|mut findings| {
            findings.extend(foreign_keys(self.session())?);
            if self.current() {
                findings.extend(schema_objects(self.session())?);
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
        // Of a shared database each lane has a chain, whose ends are read with it.
        let engine: &[_] =
            if self.is_shared() { &[state::RELATIONS] } else { &[chain::RELATIONS, state::RELATIONS] };
        RELATIONS
            .iter()
            .chain(engine)
            .copied()
            .flatten()
            .map(|(rule, question)| Ok((*rule, offenders(self.session(), rule, question)?)))
            .collect::<Result<_, _>>()
            .map_err(classified)
    }

    /// Verifies every row that confers rights, and the mark if a data directory was opened.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn rights(&self, key: &RightsKey) -> Result<Vec<Finding>, StoreError> {
        let mut findings = key.verify(self.session()).map_err(classified)?;
        if let Some((path, found)) = &self.mark
            && rights::mark_sealed(self.session())?
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
        if self.is_shared() {
            return Err(StoreError::Embedded);
        }
        let mark = Mark::of(directory, elsewhere);
        let failed = |source| StoreError::File {
            what: "cannot write the mark",
            path: mark.path().to_path_buf(),
            source,
        };
        mark.begin(state::groups(self.session())?, Some(key)).map_err(failed)
    }

    /// Verifies every audit record; `key` is that of the seal, `heads` are earlier heads that were kept elsewhere, each
    /// of a chain that [is here](Archive::has_chain).
    ///
    /// # Errors
    /// The database cannot be read, or [`StoreError::Damaged`] if the ends of the chain cannot.
    pub fn audit(&self, key: Option<&[u8]>, heads: &[AuditHead]) -> Result<AuditVerdict, StoreError> {
        let session = self.session();
        let of = |lane| -> Vec<AuditLink> {
            heads.iter().filter(|head| head.lane == lane).map(|head| head.link).collect()
        };
        if !self.is_shared() {
            return walk::verify(session, key, &of(None)).map_err(classified);
        }
        let mut whole: Option<AuditVerdict> = None;
        for lane in 1..=shared::LANES {
            session.script(&shared::use_chain_of(lane))?;
            // A chain that nobody has written to yet is not sealed.
            let begun = chain::AuditChain::read(session)?;
            let key = key.filter(|_| begun.head.seq > 0 || !begun.unsealed());
            let mut verdict = walk::verify(session, key, &of(Some(lane)))?;
            verdict
                .findings
                .iter_mut()
                .for_each(|finding| finding.what.insert_str(0, &format!("lane {lane}: ")));
            match &mut whole {
                None => whole = Some(verdict),
                Some(whole) => {
                    whole.records += verdict.records;
                    whole.before += verdict.before;
                    whole.removed += verdict.removed;
                    whole.findings.append(&mut verdict.findings);
                }
            }
        }
        session.script("SET LOCAL search_path = public")?;
        whole.ok_or(StoreError::Embedded)
    }

    /// Audit records that a process left in the journal of `directory`; they are moved into the database by the
    /// next start. While a service runs there may be some of the last tenth of a second.
    ///
    /// # Errors
    /// The journal or the database cannot be read.
    pub fn journal_left(&self, directory: &Path) -> Result<Vec<AuditRecord>, StoreError> {
        if self.is_shared() {
            return Ok(Vec::new());
        }
        let moved = state::journalled(self.session())?;
        let left = Left::read(directory, moved).map_err(|source| StoreError::File {
            what: "cannot read the audit journal in",
            path: directory.to_path_buf(),
            source,
        })?;
        Ok(left.records())
    }

    /// Whether there is a chain of audit records that this could be a head of.
    #[must_use]
    pub fn has_chain(&self, head: &AuditHead) -> bool {
        match head.lane {
            Some(lane) => self.is_shared() && (1..=shared::LANES).contains(&lane),
            None => !self.is_shared(),
        }
    }

    /// The heads of the chains of audit records that have any: that of the embedded store, or those of the lanes of a
    /// shared database.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn audit_heads(&self) -> Result<Vec<AuditHead>, StoreError> {
        if !self.is_shared() {
            return self.read_now(None, |snapshot| Ok(vec![snapshot.audit_chain()?.head.into()]));
        }
        let sql = lanes::of_each("head_seq, head_hash FROM CHAIN.audit_chain WHERE head_seq > 0");
        let heads: Vec<(i64, AuditLink)> =
            self.read_now(None, |snapshot| snapshot.session().all(&sql, &[]))?;
        let of_lane = |(lane, link)| AuditHead { lane: Some(lane), link };
        let mut heads: Vec<_> = heads.into_iter().map(of_lane).collect();
        heads.sort_unstable_by_key(|head| head.lane);
        Ok(heads)
    }

    /// The number of the last audit record of each chain that has any, whether it belongs to the chain or not; of the
    /// embedded store's in any case.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn last_records(&self) -> Result<Vec<(Option<i64>, i64)>, StoreError> {
        if !self.is_shared() {
            let last = "SELECT coalesce(max(seq), 0) FROM audit";
            return self.read_now(None, |snapshot| Ok(vec![(None, snapshot.session().only(last, &[])?)]));
        }
        let sql = lanes::of_each("max(seq) FROM CHAIN.audit HAVING max(seq) IS NOT NULL");
        let last: Vec<(i64, i64)> = self.read_now(None, |snapshot| snapshot.session().all(&sql, &[]))?;
        Ok(last.into_iter().map(|(lane, last)| (Some(lane), last)).collect())
    }

    /// [`Archive::read`] over the present state; no state is held when it returns, so that nobody waits for it. Audit
    /// records, and their chain, are those of this lane, if one is named.
    ///
    /// # Errors
    /// The error of `question`.
    pub fn read_now<T>(
        &self,
        lane: Option<i64>,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A transaction takes its state with its first question.
        let anew = match (self.held, self.session().either("BEGIN", shared::LOOK)) {
            (true, _) => self.session().either("", "SET LOCAL search_path = public").to_owned(),
            (false, begin) => format!("COMMIT; {begin}"),
        };
        self.session().script(&anew)?;
        if let Some(lane) = lane {
            self.session().script(&shared::use_chain_of(lane))?;
        }
        let answer = self.read(question);
        self.session().script(&anew)?;
        answer
    }

    /// Reads every gateway, VPC, vSwitch, user, group, role, policy and certificate once, as the service would.
    /// Certificates, and requests for them, are given away with their sealed private keys; what is answered is what is
    /// wrong with them.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn rows(
        &self,
        mut certificate: impl FnMut(&Certificate, Option<&[u8]>) -> Option<String>,
        mut request: impl FnMut(&SigningRequest, Option<&[u8]>) -> Option<String>,
    ) -> Result<Vec<Finding>, StoreError> {
        let mut findings = Vec::new();
        for (table, sql, read) in READ {
            let mut statement = self.session().prepare(sql)?;
            let mut rows = statement.query(&[])?;
            while let Some(row) = rows.next()? {
                let mut cells = row.cells();
                let name = cells.value()?;
                if let Err(error) = read(&mut cells) {
                    findings.push(Finding { rule: READABLE, what: format!("{table} {name}: {error}") });
                }
            }
        }
        self.keyed("certificate", &mut certificate, &mut findings)?;
        self.keyed("certificate request", &mut request, &mut findings)?;
        Ok(findings)
    }

    /// Gives every row of a table with private keys away, and notes what is wrong with it.
    fn keyed<T: Table>(
        &self,
        what: &str,
        look: &mut Look<'_, T>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        let sql = format!("SELECT id, {}, sealed_private_key FROM {} ORDER BY seq", T::COLUMNS, T::NAME);
        let mut statement = self.session().prepare(&sql)?;
        let mut rows = statement.query(&[])?;
        while let Some(row) = rows.next()? {
            let mut cells = row.cells();
            let name = cells.value()?;
            let wrong = match cells.next::<(T, Option<Vec<u8>>)>() {
                Ok((row, key)) => look(&row, key.as_deref()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(wrong) = wrong {
                findings.push(Finding { rule: READABLE, what: format!("{what} {name}: {wrong}") });
            }
        }
        Ok(())
    }

    /// Writes a copy of the state that was opened to `target`, which must not exist, checks it and makes
    /// it durable. The service continues meanwhile.
    ///
    /// # Errors
    /// The copy cannot be written, or is not consistent; then there is no `target`.
    pub fn copy_to(&self, target: &Path) -> Result<(), BackupError> {
        let mut part = target.as_os_str().to_owned();
        part.push(PART);
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
        if self.is_shared() {
            return Err(StoreError::Embedded.into());
        }
        // VACUUM cannot run inside the transaction that holds the state; it takes one of its own.
        let run = || -> Result<(), StoreError> {
            self.session().script("COMMIT")?;
            self.session().execute("VACUUM INTO ?1", &binds![part.to_string_lossy()])?;
            self.session().script("BEGIN")?;
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
