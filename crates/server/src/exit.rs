//! Exit codes, so that what starts the service can tell what to do. They follow sysexits(3).
//!
//! | code | meaning | what to do |
//! |---|---|---|
//! | 0 | done | |
//! | 1 | something else; the message says what | |
//! | 2 | wrong usage of the command line | |
//! | 65 | the database is damaged, incomplete, missing, or was changed without the master key | `tongguan check`, restore a backup |
//! | 70 | told to stop, it ended in time, but a request still held its worker and was left unanswered | report it: the log says when |
//! | 74 | a file cannot be read or written: disk full, I/O error | make room, look at the disk |
//! | 75 | another process serves the data directory, or nodes use the database | stop them, or use another directory |
//! | 76 | the database is of a newer release | use that release |
//! | 77 | no permission, a read-only file system, or a file with a secret that is open to others | `chown`, `chmod`, mount it writable |
//! | 78 | the configuration is wrong, or the master key is not the database's, or the data directory is not ours | the message names the option, its form, and what is allowed |
//!
//! A wrong value of a setting ends with 78 wherever it stands, on the command line, in the environment or in the file,
//! and so does a file that a setting names and that cannot be read or understood. 2 is for a command line that names
//! no such option or lacks one. `tongguan call` has codes of its own: 1 refused by the API, 2 wrong usage, 3 no answer,
//! 4 what it waits for did not come;
//! so has `tongguan ready`: 1 not ready, 3 no answer.

use std::io::ErrorKind;
use std::process::ExitCode;

use tongguan_service::accounts::AccountError;
use tongguan_service::audit::AuditKeyError;
use tongguan_service::keyring::KeyringError;
use tongguan_service::master::ResealError;
use tongguan_service::rights::SealAnewError;
use tongguan_store::{BackupError, StoreError, Trouble};

use crate::permissions::Exposed;

/// Wrong usage of the command line.
pub(crate) const USAGE: u8 = 2;
/// There was no answer, or not the one of a service of ours.
pub(crate) const NO_ANSWER: u8 = 3;
/// The database is damaged, incomplete or missing.
pub(crate) const DATA: u8 = 65;
/// A request did not end when the process had to.
pub(crate) const STUCK: u8 = 70;
/// A file cannot be read or written.
pub(crate) const IO: u8 = 74;
/// Another process serves the data directory.
pub(crate) const IN_USE: u8 = 75;
/// The database is of a newer release.
pub(crate) const NEWER: u8 = 76;
/// No permission.
pub(crate) const PERMISSION: u8 = 77;
/// The configuration is wrong.
pub(crate) const CONFIGURATION: u8 = 78;

/// An error of the configuration.
#[derive(Debug)]
pub(crate) struct Configuration;

impl std::fmt::Display for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the configuration is wrong")
    }
}

impl std::error::Error for Configuration {}

/// The code of an error: that of the first cause that has one.
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(|cause| cause.is::<Exposed>()) {
        return ExitCode::from(PERMISSION);
    }
    if error.downcast_ref::<Configuration>().is_some() {
        return ExitCode::from(CONFIGURATION);
    }
    error.chain().find_map(of).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn of(error: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(error) = error.downcast_ref::<StoreError>().or_else(|| within(error)) {
        return of_store(error);
    }
    match error.downcast_ref::<BackupError>() {
        Some(BackupError::Unsound(_)) => return Some(DATA),
        Some(BackupError::Store(error)) => return of_store(error),
        Some(BackupError::File { source, .. }) => return Some(of_file(source)),
        None => {}
    }
    error.downcast_ref::<std::io::Error>().map(of_file)
}

/// The error of the store that another speaks for.
fn within<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e StoreError> {
    match error.downcast_ref::<SealAnewError>() {
        Some(SealAnewError::Store(error)) => return Some(error),
        Some(SealAnewError::Seal(error)) => return within(error),
        Some(SealAnewError::Audit(error)) => return within(error),
        None => {}
    }
    if let Some(ResealError::Store(error)) = error.downcast_ref() {
        return Some(error);
    }
    match error.downcast_ref::<AccountError>() {
        Some(AccountError::Store(error)) => return Some(error),
        Some(AccountError::Keyring(error)) => return within(error),
        Some(_) | None => {}
    }
    if let Some(KeyringError::Store(error)) = error.downcast_ref() {
        return Some(error);
    }
    match error.downcast_ref::<AuditKeyError>() {
        Some(AuditKeyError::Store(error)) => Some(error),
        Some(AuditKeyError::Sealed(_)) | None => None,
    }
}

fn of_store(error: &StoreError) -> Option<u8> {
    match error {
        StoreError::Foreign { .. }
        | StoreError::Occupied { .. }
        | StoreError::ForTests
        | StoreError::NotForTests
        | StoreError::OlderSchema { .. }
        | StoreError::KeyChanged
        | StoreError::NotEmpty(_)
        | StoreError::OneKind
        | StoreError::Embedded => Some(CONFIGURATION),
        StoreError::InUse { .. } | StoreError::NoLane | StoreError::NodesLive => Some(IN_USE),
        StoreError::NewerSchema { .. } => Some(NEWER),
        StoreError::Lost { .. }
        | StoreError::Missing(_)
        | StoreError::Mark { .. }
        | StoreError::Forged { .. }
        | StoreError::Unsound(_)
        | StoreError::Damaged(_)
        | StoreError::NoText { .. }
        | StoreError::Unusable(Trouble::Damaged(_)) => Some(DATA),
        StoreError::File { source, .. } => Some(of_file(source)),
        StoreError::Unusable(Trouble::Passing(_)) => Some(IO),
        StoreError::Database(_) if error.malformed() => Some(DATA),
        StoreError::Database(_) => Some(if error.read_only() { PERMISSION } else { IO }),
        StoreError::Panicked
        | StoreError::Closed
        | StoreError::RightsClosed
        | StoreError::Busy
        | StoreError::Crowded
        | StoreError::Full => None,
    }
}

fn of_file(error: &std::io::Error) -> u8 {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => PERMISSION,
        _ => IO,
    }
}
