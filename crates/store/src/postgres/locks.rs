//! The locks that keep changes of all nodes apart, held until the commit. Each has a class and a number; everybody
//! takes them in the order of their classes, and accounts in the order of their numbers, so that nobody waits in a
//! circle.

use std::fmt::Write as _;

use super::lane::Work;
use crate::Scope;

/// Of all changes: those of accounts share it, one that may touch anything has it alone.
const ALL: i32 = 1;
/// Of one account, by its fingerprint.
const ACCOUNT: i32 = 2;
/// Nobody else draws an address.
pub(crate) const ADDRESSES: &str = "SELECT pg_advisory_xact_lock(3, 0)";
/// Nobody else makes or changes the schema.
pub(super) const SCHEMA: &str = "SELECT pg_advisory_xact_lock(4, 0)";

/// The statements that take the locks of changes, before anything is looked at.
pub(super) fn of(jobs: &[Work]) -> String {
    let mut accounts = Vec::new();
    let (mut any, mut all) = (false, false);
    for work in jobs {
        match &work.scope {
            Scope::Nothing => {}
            Scope::Accounts(of) => {
                any = true;
                accounts.extend(of.iter().map(|account| (*account >> 32) as u32 ^ *account as u32));
            }
            Scope::Everything => all = true,
        }
    }
    accounts.sort_unstable();
    accounts.dedup();
    let mut locks = String::new();
    if all {
        let _ = write!(locks, " SELECT pg_advisory_xact_lock({ALL}, 0);");
    } else if any {
        let _ = write!(locks, " SELECT pg_advisory_xact_lock_shared({ALL}, 0);");
        for account in accounts {
            let _ = write!(locks, " SELECT pg_advisory_xact_lock({ACCOUNT}, {});", account.cast_signed());
        }
    }
    locks
}
