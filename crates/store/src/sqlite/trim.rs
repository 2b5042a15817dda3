//! When the writer has retention remove audit records, and what it says of that.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use rusqlite::{Transaction, TransactionBehavior};
use tracing::{error, warn};

use super::group::Loop;
use super::writer::Counters;
use crate::audit::chain::{AuditChain, Ends};
use crate::audit::retention::{self, Plan, Removed, Tally, TrimError};
use crate::session::{Session, failed};
use crate::{AuditClass, Options, StoreError, Tx};

/// Audit records removed in one transaction: changes wait as long as that takes.
pub(crate) const TRIMMED: u32 = 1_024;
/// How often a warning says that an account loses young records.
const TOLD_AGAIN: Duration = Duration::from_secs(3_600);

impl Loop<'_> {
    /// Removes what retention does not keep, at most so many records. What is wrong with the chain is kept, to be
    /// looked at.
    pub(super) fn trim_audit(&mut self, now_ms: Option<i64>, most: u32) -> Result<usize, StoreError> {
        let mut removed = 0;
        loop {
            let left = most.saturating_sub(u32::try_from(removed).unwrap_or(u32::MAX)).min(TRIMMED);
            let sealing = Arc::clone(&self.sealing);
            let Some(Some(key)) = sealing.get().filter(|_| !self.forged && left > 0) else { break };
            let once = match self.trim_once(now_ms, left, key) {
                Ok(once) => once,
                Err(TrimError::Store(error)) => return Err(error),
                Err(TrimError::Forged(what)) => {
                    error!(
                        what,
                        "the audit record was tampered with; nothing is removed from it, and it is sealed no more: run `tongguan check`"
                    );
                    self.forged = true;
                    break;
                }
            };
            removed += once;
            if once == 0 {
                break;
            }
        }
        Ok(removed)
    }

    /// One transaction of [`Loop::trim_audit`].
    fn trim_once(&mut self, now_ms: Option<i64>, most: u32, key: &hmac::Key) -> Result<usize, TrimError> {
        // Who removes nothing durably removes it again.
        self.set_sync(false)?;
        let transaction =
            Transaction::new_unchecked(self.connection, TransactionBehavior::Immediate).map_err(failed)?;
        let session = Session::keeping(self.connection, &self.ready);
        let done = self.retention.trim(session, &self.options, self.ends, now_ms, most, key)?;
        if done.is_empty() {
            transaction.rollback().map_err(failed)?;
        } else {
            transaction.commit().map_err(failed)?;
        }
        Ok(self.retention.trimmed(done, &self.options, &self.counters))
    }
}

/// What one who writes knows of how many records there are.
#[derive(Default)]
pub(crate) struct Retention {
    /// How many records each account has, once they were counted.
    tally: Option<Tally>,
    /// By stream, when it was told last that it loses young records.
    told: HashMap<i64, Instant>,
}

impl Retention {
    /// Removes what retention does not keep, at most so many records, inside a transaction, which is to be undone if
    /// this answers that nothing was removed. `ends` are those of the chain as this process left them.
    pub(crate) fn trim(
        &mut self,
        session: Session<'_>,
        options: &Options,
        ends: Option<Ends>,
        now_ms: Option<i64>,
        most: u32,
        key: &hmac::Key,
    ) -> Result<Vec<(Plan, Removed)>, TrimError> {
        let chain = AuditChain::read(session)?;
        if ends.is_some_and(|ends| ends != chain.ends()) {
            // The next batch says so.
            return Ok(Vec::new());
        }
        let tally = match &mut self.tally {
            Some(tally) => tally,
            none => none.insert(Tally::read(session)?),
        };
        tally.catch_up(session, chain.head.seq)?;
        let now_ms = match now_ms {
            Some(now_ms) => now_ms,
            None => newest_ms(session)?,
        };
        let mut done: Vec<(Plan, Removed)> = Vec::new();
        let mut left = most;
        for plan in tally.plans(options, now_ms) {
            if left == 0 {
                break;
            }
            let removed = Tx::new(session).trim_stream(&plan, left, key)?;
            left = left.saturating_sub(u32::try_from(removed.count).unwrap_or(u32::MAX));
            done.push((plan, removed));
        }
        done.retain(|(_, removed)| removed.count > 0);
        Ok(done)
    }

    /// Counts what was removed, and says if it should have stayed longer; answers how many records.
    pub(crate) fn trimmed(
        &mut self,
        done: Vec<(Plan, Removed)>,
        options: &Options,
        counters: &Counters,
    ) -> usize {
        let Some(tally) = &mut self.tally else { return 0 };
        let mut all = 0;
        for (plan, Removed { count, young, account }) in done {
            all += count;
            tally.removed(plan.stream, count);
            let Some(class) = retention::class_of(plan.stream) else { continue };
            counters.audit_removed[class.place()].fetch_add(count as u64, Ordering::Relaxed);
            counters.audit_removed_young[class.place()].fetch_add(young as u64, Ordering::Relaxed);
            let told = self.told.get(&plan.stream).is_some_and(|told| told.elapsed() < TOLD_AGAIN);
            // Strangers are many, and how long theirs are kept is up to them.
            if young > 0 && class != AuditClass::Stranger && !told {
                self.told.insert(plan.stream, Instant::now());
                let class = class.as_str();
                warn!(
                    account,
                    class,
                    young,
                    "an account has filled its share of the audit record; its own oldest records, younger than they should be, were removed"
                );
            }
        }
        for (most, class) in tally.fullest(options).into_iter().zip(&counters.audit_fullest) {
            class.store(most, Ordering::Relaxed);
        }
        all
    }

    /// The chain is another: its records are to be counted anew.
    pub(crate) fn forget(&mut self) {
        self.tally = None;
    }
}

/// When the newest record was answered, UNIX milliseconds: how old the others are is measured by it.
fn newest_ms(session: Session<'_>) -> Result<i64, StoreError> {
    Ok(session.one("SELECT time_ms FROM audit ORDER BY seq DESC LIMIT 1", &[])?.unwrap_or(0))
}
