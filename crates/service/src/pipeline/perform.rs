//! Carries out what was checked: a read from one state of the store; a change in one transaction with the record of its
//! ClientToken and its audit record.

use fail::fail_point;
use tongguan_rpc::Params;
use tongguan_store::{Owner, Snapshot, TokenName, Verdict};

use super::admit;
use super::idempotency::{Done, Remembered, transact};
use super::record::Trail;
use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue;
use crate::failure::Failure;
use crate::operation::{Answered as _, Change, DryRun, Long, Members};
use crate::service::Service;

/// The change of a call that repeats another: it is answered from what is remembered, and this is run only if that was
/// forgotten in the same moment.
pub(super) fn forgotten() -> Change {
    Box::new(|_| Err(Failure::Unavailable("a ClientToken was forgotten while it was repeated".to_owned())))
}

impl Service {
    /// Whether the call repeats one that is remembered under its ClientToken, with the same parameters: then nothing is
    /// to be prepared, and nothing to be looked at that the first call has changed.
    pub(super) fn repeats(&self, call: &Call, args: &Args<'_>) -> Result<bool, Failure> {
        let Some(token) = args.client_token()? else { return Ok(false) };
        if args.dry_run()? {
            return Ok(false);
        }
        let (account, action) = (&call.principal.account, call.operation.action);
        let name = TokenName { account, action, token };
        let Some(stored) = self.context.store.read(|snapshot| snapshot.token(name))? else {
            return Ok(false);
        };
        let remembered = stored.created_ms >= self.tokens(call).oldest_ms;
        Ok(remembered && stored.fingerprint == args.fingerprint(token)?)
    }

    /// The ClientTokens that are remembered.
    fn tokens(&self, call: &Call) -> Remembered {
        let quotas = &self.context.settings.quotas;
        let hours = i64::try_from(quotas.client_token_hours).unwrap_or(i64::MAX);
        let oldest_ms = call.now_ms.saturating_sub(hours.saturating_mul(3_600_000));
        Remembered { oldest_ms, most: quotas.client_tokens_per_account }
    }

    /// Has the first part of a long write done by the pool.
    pub(super) async fn long(
        &self,
        long: &'static Long,
        owner: Owner,
        call: &Call,
        parameters: Params<'static>,
    ) -> Result<Change, Failure> {
        let call = call.clone();
        let work = move || {
            let args = Args::new(call.operation, &parameters, &call.context, &call.principal);
            (long.look)(&call, &args)?;
            (long.prepare)(&call, &args)
        };
        self.work.run(owner, work).await
    }

    pub(super) async fn read(
        &self,
        read: fn(&Call, &Args<'_>, &Snapshot<'_>) -> Result<Reply, Failure>,
        call: &Call,
        args: &Args<'_>,
    ) -> Result<Reply, Failure> {
        let dry = args.dry_run()?;
        let reply = self.context.store.read(|snapshot| Ok(read(call, args, snapshot)))??;
        if dry && call.operation.dry_run == DryRun::Refuses {
            return Err((&catalogue::DRY_RUN).into());
        }
        for resource in &reply.unsettled {
            if self.context.dataplane.looked_at(resource) {
                self.engine.step(resource).await?;
            }
        }
        Ok(reply)
    }

    pub(super) async fn write(
        &self,
        call: Call,
        args: &Args<'_>,
        mut change: Change,
        trail: &mut Trail<'_>,
    ) -> Result<Reply, Failure> {
        let dry = args.dry_run()?;
        let token = args.client_token()?.filter(|_| !dry);
        let token = match token {
            Some(token) => Some((token.to_owned(), args.fingerprint(token)?)),
            None => None,
        };
        let tokens = self.tokens(&call);
        let mut record = trail.granted();
        let inner = call.clone();
        let (store, engine) = (self.context.store.clone(), self.engine.clone());
        // A task of its own: a caller that goes away does not leave an accepted change unattended.
        self.gate.keep_nonces()?;
        fail_point!("call::writing");
        let written = tokio::spawn(async move {
            let waits_for = admit::owner(&inner.principal).account();
            let write = store.write_for(waits_for, move |tx| {
                let outcome = transact(tx, &inner, token.as_ref(), tokens, &mut change);
                match outcome {
                    Ok(Done::Changed(answer)) if dry => Ok(Verdict::Discard(Ok(Done::Repeated(answer)))),
                    Ok(Done::Changed(answer)) => {
                        record.issued = answer.issued();
                        tx.audit(&record)?;
                        Ok(Verdict::Keep(Ok(Done::Changed(answer))))
                    }
                    Ok(repeated @ Done::Repeated(_)) => Ok(Verdict::Discard(Ok(repeated))),
                    Err(Failure::Store(error)) => Err(error),
                    Err(failure) => Ok(Verdict::Discard(Err(failure))),
                }
            });
            let written = write.await;
            fail_point!("call::written");
            if matches!(written, Ok(Ok(Done::Changed(_)))) {
                engine.notify();
            }
            written
        });
        let written = written.await.map_err(|error| Failure::Internal(error.to_string()))?;
        let done: Result<Done, Failure> = written?;
        let answer = match done? {
            Done::Changed(answer) => {
                trail.audited = true;
                answer
            }
            Done::Repeated(answer) => answer,
        };
        match (dry, call.operation.dry_run) {
            (true, DryRun::Refuses) => Err((&catalogue::DRY_RUN).into()),
            (true, DryRun::Succeeds | DryRun::None) => Members::new().reply(&call),
            (false, _) => answer.reply(&call),
        }
    }
}
