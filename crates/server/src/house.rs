//! Housekeeping: what has expired is purged, by the service's clock, and by one process at a time: it has a lease.

use std::sync::Arc;

use tongguan_service::Service;
use tongguan_service::context::Context;
use tongguan_service::operations::ram::service_linked::TASK_KEPT_MS;
use tongguan_store::{Lease, StoreError, Tx, Verdict};

/// The work that one process does at a time.
const HOUSE: &str = "house";

/// Purges what has expired, at startup and once a minute, in small batches: ClientTokens, audit records,
/// deletions of roles, rates.
pub(crate) async fn keep(service: Arc<Service>) {
    const PAUSE: std::time::Duration = std::time::Duration::from_secs(60);
    loop {
        purge(&service).await;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Purges what has expired by the service's clock.
pub(crate) async fn purge(service: &Service) {
    let context = service.context();
    service.forget_rested();
    if let Err(error) = service.keep_token_keys().await {
        tracing::warn!(%error, "the token key was not changed");
    }
    match context.take_lease(context.node(), HOUSE).await {
        Ok(Some(lease)) => purge_rows(context, &lease).await,
        // Another process does it.
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "who purges could not be written down"),
    }
}

/// Purges rows that have expired, as long as nobody else has taken the work up.
async fn purge_rows(context: &Context, lease: &Lease) {
    if let Err(error) = forget_old_tokens(context, lease).await {
        tracing::warn!(%error, "old client tokens were not removed");
    }
    if let Err(error) = forget_old_audit_records(context, lease).await {
        tracing::warn!(%error, "old audit records were not removed");
    }
    if let Err(error) = forget_old_deletions(context, lease).await {
        tracing::warn!(%error, "old deletions of roles were not removed");
    }
}

/// Purges a batch in a transaction, if the lease holds then; answers how many rows, 0 if it does not.
async fn batch(
    context: &Context,
    lease: &Lease,
    purge: impl Fn(&Tx<'_>) -> Result<usize, StoreError> + Send + 'static,
) -> Result<usize, StoreError> {
    let lease = lease.clone();
    let purged = context.store.write(move |tx| {
        Ok(if tx.lease_holds(&lease)? { Verdict::Keep(purge(tx)?) } else { Verdict::Discard(0) })
    });
    purged.await
}

async fn forget_old_tokens(context: &Context, lease: &Lease) -> Result<(), StoreError> {
    const BATCH: u32 = 1_000;
    let hours = i64::try_from(context.settings.quotas.client_token_hours).unwrap_or(i64::MAX);
    loop {
        let before_ms = context.clock.now_ms().saturating_sub(hours.saturating_mul(3_600_000));
        let expired = batch(context, lease, move |tx| tx.expire_tokens(before_ms, BATCH)).await?;
        if expired < BATCH as usize {
            return Ok(());
        }
    }
}

async fn forget_old_deletions(context: &Context, lease: &Lease) -> Result<(), StoreError> {
    const BATCH: u32 = 1_000;
    let before_ms = context.clock.now_ms().saturating_sub(TASK_KEPT_MS);
    batch(context, lease, move |tx| tx.expire_role_deletions(before_ms, BATCH)).await.map(drop)
}

async fn forget_old_audit_records(context: &Context, lease: &Lease) -> Result<(), StoreError> {
    const BATCH: u32 = 4_096;
    while context.store.read(|snapshot| snapshot.lease_holds(lease))?
        && context.store.trim_audit(context.clock.now_ms(), BATCH).await? == BATCH as usize
    {}
    Ok(())
}
