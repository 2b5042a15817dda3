//! What a gateway that moves packets needs beside its state: addresses, certificates and keys, opened for it and wiped
//! when it has been told.

use std::collections::BTreeMap;
use std::sync::Arc;

use tongguan_dataplane::orders::{ConnectionDocument, Credential, Document, SecretText};
use tongguan_dataplane::{GatewayState, Progress};
use tongguan_model::certificate::OutOfService;
use tongguan_model::connection::Connection;
use tongguan_model::gateway::Binding;
use tongguan_model::id::AccountId;
use tongguan_pki::PrivateKey;
use tongguan_store::{SealedKind, Snapshot, StoreError};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::master;

/// Why there is no document of a gateway.
enum Lack {
    /// The store fails.
    Store(StoreError),
    /// There cannot be one, as things are.
    Reason(String),
}

impl From<StoreError> for Lack {
    fn from(error: StoreError) -> Self {
        match error {
            // A row that somebody has forged must not hold up everybody else's.
            StoreError::Forged { .. } => Self::Reason(error.to_string()),
            other => Self::Store(other),
        }
    }
}

/// The whole document of a gateway, or how a try to apply it ends for want of one. Certificates that are bound and out
/// of service at `now_ms` are left out.
pub(super) fn document(
    context: &Context,
    snapshot: &Snapshot<'_>,
    state: GatewayState<'_>,
    now_ms: i64,
) -> Result<Result<Arc<Document>, Progress>, StoreError> {
    match assembled(context, snapshot, state, now_ms) {
        Ok(document) => Ok(Ok(Arc::new(document))),
        Err(Lack::Reason(reason)) => Ok(Err(Progress::Refused(reason))),
        Err(Lack::Store(error)) => Err(error),
    }
}

fn assembled(
    context: &Context,
    snapshot: &Snapshot<'_>,
    state: GatewayState<'_>,
    now_ms: i64,
) -> Result<Document, Lack> {
    let gateway = state.gateway;
    let address = gateway.internet_ip.parse();
    let address = address.map_err(|_| Lack::Reason("the gateway has no address for its peers".into()))?;
    let mut certificates = BTreeMap::new();
    for binding in state.bindings {
        let credential = credential(context, snapshot, &gateway.account, binding, now_ms)?;
        certificates.extend(credential.map(|credential| (binding.role.as_str().to_owned(), credential)));
    }
    let mut connections = BTreeMap::new();
    for connection in snapshot.connections_of(&gateway.id)?.iter().filter(|one| one.state.is_wanted()) {
        let document = with_keys(context, snapshot, connection)?;
        connections.insert(connection.id.as_str().to_owned(), document);
    }
    Ok(Document { id: gateway.id.as_str().to_owned(), address, certificates, connections })
}

fn credential(
    context: &Context,
    snapshot: &Snapshot<'_>,
    account: &AccountId,
    binding: &Binding,
    now_ms: i64,
) -> Result<Option<Credential>, Lack> {
    let (named, id) = (binding.named.as_str(), binding.certificate.as_str());
    let missing = || Lack::Reason(format!("the certificate {named} is not complete"));
    let certificate = snapshot.certificate_for(account, named, binding.role)?.ok_or_else(missing)?;
    if OutOfService::of(certificate.facts(), now_ms.div_euclid(1000)).is_some() {
        return Ok(None);
    }
    let issued = certificate.issued.as_ref().ok_or_else(missing)?;
    let sealed = snapshot.certificate_key(account, id)?.ok_or_else(missing)?;
    let unreadable = || Lack::Reason(format!("the key of the certificate {named} cannot be read"));
    let opened = context.vault.open(&master::purpose(SealedKind::Certificate, id), &sealed.sealed);
    let opened = opened.map_err(|_| unreadable())?;
    // Keys that were made here are kept as PKCS #8, those that were uploaded as the text that came.
    let key = if certificate.uploaded.is_none() {
        PrivateKey::from_pkcs8_der(&opened)
    } else {
        let text = std::str::from_utf8(&opened).map_err(|_| unreadable())?;
        PrivateKey::from_pem(text)
    };
    let mut key = key.and_then(|key| key.to_pkcs8_pem()).map_err(|_| unreadable())?;
    // Handed on, not copied.
    let key = SecretText::new(std::mem::take(&mut *key));
    Ok(Some(Credential { certificate: issued.certificate.clone(), key }))
}

fn with_keys(
    context: &Context,
    snapshot: &Snapshot<'_>,
    connection: &Connection,
) -> Result<ConnectionDocument, Lack> {
    let id = connection.id.as_str();
    let unreadable = || Lack::Reason(format!("the keys of {id} cannot be read"));
    let mut keys: Vec<Zeroizing<String>> = Vec::new();
    if let Some(sealed) = snapshot.connection_keys(&connection.id)? {
        let opened = context.vault.open(&master::purpose(SealedKind::Connection, id), &sealed);
        let opened = opened.map_err(|_| unreadable())?;
        keys = serde_json::from_slice(&opened).map_err(|_| unreadable())?;
    }
    let settings = connection.settings.clone();
    let mut document = ConnectionDocument { settings, peers: BTreeMap::new(), keys: BTreeMap::new() };
    let mut keys = keys.into_iter();
    for tunnel in &connection.settings.tunnels {
        let (name, key) = (tunnel.id.as_str().to_owned(), keys.next());
        let device = tunnel.customer_gateway.as_str();
        let peer = snapshot.customer_gateway(&connection.account, device)?;
        let address = peer.and_then(|peer| peer.ip.parse().ok());
        let lack = || Lack::Reason(format!("{device}, to which {id} leads, has no address"));
        document.peers.insert(name.clone(), address.ok_or_else(lack)?);
        if let Some(mut key) = key.filter(|_| tunnel.remote_ca.is_none()) {
            document.keys.insert(name, SecretText::new(std::mem::take(&mut *key)));
        }
    }
    Ok(document)
}
