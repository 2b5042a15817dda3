//! Moves a whole store: from a data directory into a database that several nodes share, or back, while nobody serves
//! either.
//!
//! * **Both are held** from the beginning to the end: the data directory by its lock, the shared database by the rows
//!   of its lanes, of which every node that writes must have one.
//! * **Whole or not at all.** What is written into a shared database is one transaction; a data directory gets its
//!   database by one renaming. The source is only read.
//! * **Rows are carried as they stand**, with their seals and sealed values: who has changed one without the master key
//!   does not get it sealed by the way ([`tables`]). Then each is read on both sides and compared.
//! * **The audit record** keeps its chain where it can, and says in a record of its own where it was before
//!   ([`records`]).
//! * **What is of one process stays behind**: nodes, and who has claimed what. The numbers by which claims are told
//!   apart come along, since data planes remember them.
//! * **No request that was let in before is let in again**: nonces come along, and those that were forgotten are told
//!   by their time ([`nonces`]).

mod nonces;
mod records;
mod tables;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use crate::postgres::hosts::Hosts;
use crate::postgres::{Link, lanes, schema as shared, seals};
use crate::put::sync_directory;
use crate::rights::RightsKey;
use crate::session::Session;
use crate::sqlite::journal::{Left, Proof};
use crate::sqlite::open::{begin_file, make_folder};
use crate::sqlite::territory::DATABASE_PART;
use crate::sqlite::{lock, schema, state};
use crate::{Archive, AuditRecord, DATABASE_FILE, Finding, NONCE_FOLDER, StoreError, vacant};
use aws_lc_rs::hmac;

/// A place that a store is moved from or to.
#[derive(Debug)]
pub enum Site {
    /// The embedded store of a data directory.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Where its mark is, if it is elsewhere.
        mark_file: Option<PathBuf>,
    },
    /// A database that several nodes share.
    Shared(Box<Hosts>),
}

/// The keys of the service's own that a move needs.
#[derive(Debug)]
pub struct MoveKeys<'k> {
    /// That of the seals of rows that confer rights.
    pub rights: &'k RightsKey,
    /// That of the seal of audit records.
    pub audit: &'k [u8],
}

/// What was carried over.
#[derive(Debug)]
pub struct Carried {
    /// How many rows, of each table that has any.
    pub rows: Vec<(String, u64)>,
    /// How many nonces.
    pub nonces: u64,
}

/// A move that has begun: both sides are held. Nothing comes of it before [`Move::finish`].
#[derive(Debug)]
pub struct Move {
    source: Archive,
    target: Target,
    /// The data directory, from or to.
    directory: PathBuf,
    records: records::Plan,
    _lock: File,
}

/// Where the rows go.
#[derive(Debug)]
enum Target {
    /// Into a transaction.
    Shared(Box<Archive>),
    /// Into a file that is not in its place yet; opened once it was written.
    File { part: Part, written: Option<Box<Archive>> },
}

/// A file that goes, unless it is put in its place.
#[derive(Debug)]
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        if self.0.exists() {
            // Who begins again removes what is left here.
            let _ = std::fs::remove_dir_all(self.0.with_file_name(NONCE_FOLDER));
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

impl Move {
    /// Holds both sides. Makes the schema of a shared database that has none, and a data directory that is missing.
    ///
    /// # Errors
    /// Somebody uses one of them ([`StoreError::InUse`], [`StoreError::NodesLive`]); the target has something already
    /// ([`StoreError::Occupied`], [`StoreError::NotEmpty`]); a store is missing, is of another schema, or for tests; or
    /// both are of one kind ([`StoreError::OneKind`]).
    pub fn begin(from: Site, to: Site) -> Result<Self, StoreError> {
        let (source, target, directory, lock) = match (from, to) {
            (Site::Directory { path, mark_file }, Site::Shared(hosts)) => {
                let source = Archive::open_with_mark(&path, mark_file.as_deref())?;
                drop(source);
                let lock = lock::take(&path)?;
                let source = Archive::open_with_mark(&path, mark_file.as_deref())?;
                of_this_release(&source)?;
                (source, Target::Shared(Box::new(into_shared(*hosts)?)), path, lock)
            }
            (Site::Shared(hosts), Site::Directory { path, mark_file }) => {
                vacant(&path)?;
                if let Some(mark) = mark_file.filter(|mark| mark.exists()) {
                    let name = format!("a mark at `{}`", mark.display());
                    return Err(StoreError::Occupied { directory: path, name });
                }
                let source = out_of_shared(*hosts)?;
                make_folder(&path).map_err(|source| StoreError::File {
                    what: "cannot make data directory",
                    path: path.clone(),
                    source,
                })?;
                let lock = lock::take(&path)?;
                let part = Part(path.join(DATABASE_PART));
                (source, Target::File { part, written: None }, path, lock)
            }
            (Site::Directory { .. }, Site::Directory { .. }) | (Site::Shared(_), Site::Shared(_)) => {
                return Err(StoreError::OneKind);
            }
        };
        state::is_for(source.session(), crate::Purpose::Service)?;
        let records = records::Plan::of(&source)?;
        Ok(Self { source, target, directory, records, _lock: lock })
    }

    /// What is moved, to be looked at.
    #[must_use]
    pub fn source(&self) -> &Archive {
        &self.source
    }

    /// What it has become, once it was carried over.
    ///
    /// # Errors
    /// [`StoreError::Closed`] before.
    pub fn target(&self) -> Result<&Archive, StoreError> {
        match &self.target {
            Target::Shared(archive) => Ok(archive),
            Target::File { written, .. } => written.as_deref().ok_or(StoreError::Closed),
        }
    }

    /// Carries everything over, if it is this moment, UNIX seconds. `record` makes the audit record that says from
    /// where: for each chain that there was, its newest record.
    ///
    /// # Errors
    /// A side cannot be read or written, or a row cannot be carried.
    pub fn carry(
        &mut self,
        keys: &MoveKeys<'_>,
        now: i64,
        record: &dyn Fn(String) -> AuditRecord,
    ) -> Result<Carried, StoreError> {
        match &self.target {
            Target::Shared(archive) => {
                let (rows, left) = self.rows(archive.session(), keys, record)?;
                let nonces = nonces::into_shared(archive.session(), &self.directory.join(NONCE_FOLDER), now)?;
                archive.session().script("SET CONSTRAINTS ALL IMMEDIATE")?;
                Ok(Carried { rows: with_records(rows, left), nonces })
            }
            Target::File { part, .. } => {
                let path = part.0.clone();
                let connection = begin_file(&path)?;
                let (rows, left) = self.rows(Session::new(&connection), keys, record)?;
                Session::new(&connection).script("COMMIT")?;
                drop(connection);
                if let Target::File { written, .. } = &mut self.target {
                    *written = Some(Box::new(Archive::open_file(&path)?));
                }
                let nonces = nonces::in_shared(self.source.session())?;
                Ok(Carried { rows: with_records(rows, left), nonces })
            }
        }
    }

    /// The rows of every table, and the audit record with what a process has left in its journal.
    fn rows(
        &self,
        target: Session<'_>,
        keys: &MoveKeys<'_>,
        record: &dyn Fn(String) -> AuditRecord,
    ) -> Result<(Vec<(String, u64)>, u64), StoreError> {
        let source = self.source.session();
        let mut rows = Vec::new();
        for table in tables::all()? {
            rows.push((table.name().to_owned(), table.copy(source, target)?));
            if let Some(link) = self.target_link() {
                // What triggers note is for who seals rows; these are sealed.
                link.script(seals::FORGET)?;
                table.count_on(target)?;
            }
        }
        tables::carry_state(source, target, keys.rights)?;
        let seal = hmac::Key::new(hmac::HMAC_SHA256, keys.audit);
        let left = self.left_in_journal(&seal)?;
        let carried = self.records.carry(source, target)?;
        self.records.end(target, &left, &seal, record)?;
        Ok((rows, carried))
    }

    fn target_link(&self) -> Option<&Link> {
        match &self.target {
            Target::Shared(archive) => archive.link(),
            Target::File { .. } => None,
        }
    }

    /// Audit records that the last process on a data directory could not bring into its database.
    fn left_in_journal(&self, seal: &hmac::Key) -> Result<Vec<AuditRecord>, StoreError> {
        if self.source.is_shared() {
            return Ok(Vec::new());
        }
        let failed = |source| StoreError::File {
            what: "cannot read the audit journal in",
            path: self.directory.clone(),
            source,
        };
        let moved = state::journalled(self.source.session())?;
        let mut left = Left::read(&self.directory, moved).map_err(failed)?;
        Ok(left.proven(&Proof::of(seal), false))
    }

    /// Reads every row on both sides; answers what is not the same.
    ///
    /// # Errors
    /// A side cannot be read.
    pub fn compare(&self) -> Result<Vec<Finding>, StoreError> {
        let (source, target) = (self.source.session(), self.target()?.session());
        let mut findings = Vec::new();
        for table in tables::all()? {
            table.compare(source, target, &mut findings)?;
        }
        self.records.compare(source, target, &mut findings)?;
        Ok(findings)
    }

    /// Puts the target in force.
    ///
    /// # Errors
    /// It cannot be committed, or put in its place: then there is none, unless the answer to a commit was lost.
    pub fn finish(self) -> Result<(), StoreError> {
        let (part, written) = match self.target {
            Target::Shared(archive) => {
                return archive.link().map_or(Err(StoreError::Closed), Link::commit);
            }
            Target::File { part, written } => (part, written),
        };
        // Before there is a database that lets requests in.
        nonces::out_of_shared(self.source.session(), &self.directory.join(NONCE_FOLDER))?;
        drop(written);
        let place = self.directory.join(DATABASE_FILE);
        let failed = |source| StoreError::File {
            what: "cannot put a database in place in",
            path: self.directory.clone(),
            source,
        };
        File::open(&part.0)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&part.0, &place))
            .and_then(|()| sync_directory(&place))
            .map_err(failed)
    }
}

/// With the table of audit records, and without those that have none.
fn with_records(mut rows: Vec<(String, u64)>, records: u64) -> Vec<(String, u64)> {
    rows.push(("audit".to_owned(), records));
    rows.retain(|(_, rows)| *rows > 0);
    rows
}

/// Refuses a store of another schema: its rows are other ones.
fn of_this_release(archive: &Archive) -> Result<(), StoreError> {
    if archive.current() {
        return Ok(());
    }
    Err(StoreError::OlderSchema { found: archive.schema(), known: schema::NEWEST })
}

/// One transaction of an empty shared database, whose schema is there, and that nobody uses.
fn into_shared(hosts: Hosts) -> Result<Archive, StoreError> {
    let link = Link::patient(&Arc::new(hosts))?;
    let session = Session::Postgres(&link);
    link.script("SET lock_timeout = '10s'; BEGIN")?;
    if !shared::ensure(&link)? {
        shared::own(session)?;
        if !lanes::take_all(session, 0)? {
            return Err(StoreError::NodesLive);
        }
        if let Some(table) = tables::occupied(session)? {
            return Err(StoreError::NotEmpty(table));
        }
    }
    link.script(seals::NOTES)?;
    // A row may come before the one that it refers to.
    link.script("SET CONSTRAINTS ALL DEFERRED")?;
    Ok(Archive::within(link))
}

/// One state of a shared database that nobody uses.
fn out_of_shared(hosts: Hosts) -> Result<Archive, StoreError> {
    let link = Link::patient(&Arc::new(hosts))?;
    let session = Session::Postgres(&link);
    shared::own(session)?;
    // What is locked in it is undone with its end.
    link.script("BEGIN ISOLATION LEVEL REPEATABLE READ")?;
    if !lanes::take_all(session, 0)? {
        return Err(StoreError::NodesLive);
    }
    Ok(Archive::within(link))
}
