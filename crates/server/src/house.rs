//! Housekeeping: what has expired is purged, by the service's clock.

use std::sync::Arc;

use tongguan_service::Service;
use tongguan_service::context::Context;
use tongguan_service::operations::ram::service_linked::TASK_KEPT_MS;
use tongguan_store::{StoreError, Verdict};

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
    if let Err(error) = forget_old_tokens(context).await {
        tracing::warn!(%error, "old client tokens were not removed");
    }
    if let Err(error) = forget_old_audit_records(context).await {
        tracing::warn!(%error, "old audit records were not removed");
    }
    if let Err(error) = forget_old_deletions(context).await {
        tracing::warn!(%error, "old deletions of roles were not removed");
    }
}

async fn forget_old_tokens(context: &Context) -> Result<(), StoreError> {
    const BATCH: u32 = 1_000;
    let hours = i64::try_from(context.settings.quotas.client_token_hours).unwrap_or(i64::MAX);
    loop {
        let before_ms = context.clock.now_ms().saturating_sub(hours.saturating_mul(3_600_000));
        let expired =
            context.store.write(move |tx| Ok(Verdict::Keep(tx.expire_tokens(before_ms, BATCH)?))).await?;
        if expired < BATCH as usize {
            return Ok(());
        }
    }
}

async fn forget_old_deletions(context: &Context) -> Result<(), StoreError> {
    const BATCH: u32 = 1_000;
    let before_ms = context.clock.now_ms().saturating_sub(TASK_KEPT_MS);
    context.store.write(move |tx| Ok(Verdict::Keep(tx.expire_role_deletions(before_ms, BATCH)?))).await?;
    Ok(())
}

async fn forget_old_audit_records(context: &Context) -> Result<(), StoreError> {
    const BATCH: u32 = 4_096;
    while context.store.trim_audit(context.clock.now_ms(), BATCH).await? == BATCH as usize {}
    Ok(())
}
