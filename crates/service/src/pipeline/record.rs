//! The audit record of a call: what is known of it on its way, and the one place that makes it.
//!
//! A change's record is written in the transaction of the change ([`Trail::granted`]); every other call's afterwards,
//! before it is answered ([`Service::record`]). Records of what an operator did are made in [`crate::audit`].

use std::collections::BTreeMap;
use std::sync::Arc;

use tongguan_model::principal::Principal;
use tongguan_rpc::Format;
use tongguan_store::{AuditRecord, Scope, Verdict};
use tracing::info;

use crate::access::Peer;
use crate::context::{iso8601, new_request_id};
use crate::failure::Failure;
use crate::operation::{Operation, Product};
use crate::service::Service;
use crate::test_api::SeenRequest;

/// What is known of a request on its way.
pub(crate) struct Trail<'a> {
    pub(crate) request_id: String,
    pub(crate) host: &'a str,
    pub(crate) peer: Peer,
    pub(crate) now_ms: i64,
    pub(crate) format: Format,
    pub(crate) access_key: Option<String>,
    pub(crate) principal: Option<Arc<Principal>>,
    pub(crate) operation: Option<&'static Operation>,
    /// The product that was called, as far as version and action tell, whether or not it has the action.
    pub(crate) product: Option<Product>,
    pub(crate) action: Option<String>,
    pub(crate) resource: Option<String>,
    /// The parameters as a test may see them; kept in a service for tests alone.
    pub(crate) parameters: Option<BTreeMap<String, String>>,
    /// Id of the access key that the call made.
    pub(crate) issued: Option<String>,
    /// The audit record was written with the change.
    pub(crate) audited: bool,
}

impl<'a> Trail<'a> {
    /// What is known of a request before it is read.
    pub(crate) fn new(host: &'a str, peer: Peer, now_ms: i64) -> Self {
        Self {
            request_id: new_request_id(),
            host,
            peer,
            now_ms,
            format: Format::Json,
            access_key: None,
            principal: None,
            operation: None,
            product: None,
            action: None,
            resource: None,
            parameters: None,
            issued: None,
            audited: false,
        }
    }

    /// The warnings, which the log gets too.
    pub(crate) fn warned(&self, warnings: Vec<String>) -> Vec<String> {
        for warning in &warnings {
            let account = self.principal.as_ref().map(|principal| principal.account.as_str());
            info!(
                account,
                action = self.action,
                resource = self.resource,
                warning,
                "a policy may not do what it should"
            );
        }
        warnings
    }

    /// What a test sees of the call, answered so.
    pub(crate) fn seen(&mut self, status: u16, code: Option<&str>) -> SeenRequest {
        let principal = self.principal.as_ref();
        SeenRequest {
            number: 0,
            time: iso8601(self.now_ms),
            request_id: self.request_id.clone(),
            product: self.product.map(|product| product.as_str().to_owned()),
            action: self.action.clone(),
            account: principal.map(|principal| principal.account.as_str().to_owned()),
            principal: principal.map(|principal| principal.label()),
            parameters: self.parameters.take().unwrap_or_default(),
            status,
            code: code.map(str::to_owned),
        }
    }

    /// The record of the call, answered so.
    fn record(&self, status: u16, code: Option<String>) -> AuditRecord {
        let session = self.principal.as_ref().and_then(|principal| principal.session());
        AuditRecord {
            time_ms: self.now_ms,
            request_id: self.request_id.clone(),
            account: self.principal.as_ref().map(|principal| principal.account.as_str().to_owned()),
            principal: self.principal.as_ref().map(|principal| principal.label()),
            access_key: self.access_key.clone(),
            source: self.peer.source(),
            product: self.operation.map(|operation| operation.product.as_str().into()),
            action: self.action.clone(),
            resource: self.resource.clone(),
            status,
            code,
            issued: self.issued.clone(),
            origin: session.map(|session| session.origin.to_string()),
            source_identity: session.and_then(|session| session.source_identity.clone()),
            changed: false,
            repeats: None,
        }
    }

    /// The record of a change, to be written in its transaction.
    pub(crate) fn granted(&self) -> AuditRecord {
        AuditRecord { changed: true, ..self.record(200, None) }
    }
}

impl Service {
    /// Hands the call to the audit record, unless it was written with the change. When this returns, record
    /// and nonce outlive the process.
    pub(crate) async fn record(
        &self,
        trail: &mut Trail<'_>,
        status: u16,
        code: Option<String>,
    ) -> Result<(), Failure> {
        if trail.audited {
            return Ok(());
        }
        trail.audited = true;
        let store = &self.context.store;
        match store.audit_later(trail.record(status, code)) {
            Ok(number) => store.audit_written(number).await?,
            Err(record) => {
                let written = store.write_in(Scope::Nothing, move |tx| {
                    tx.audit(&record)?;
                    Ok(Verdict::Keep(()))
                });
                written.await?;
            }
        }
        self.gate.keep_nonces()
    }
}
