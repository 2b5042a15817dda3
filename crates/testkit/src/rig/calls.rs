//! Calls to a rig: an ordinary one by name and parameters, one with everything that can be wrong with it, and bytes.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;
use tongguan_rpc::OutgoingRequest;
use tongguan_service::Response;
use tongguan_service::access::Peer;

use super::Rig;
use crate::api::{CAS, KMS, RAM, VPC};
use crate::request::Owned;
use crate::{Call, Caller, Manner, Stamp};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An answer in JSON.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Value,
}

impl Reply {
    /// The code of a refusal; `OK` for a success.
    pub fn code(&self) -> &str {
        // Some successes have a code too.
        if self.status == 200 { "OK" } else { self.body["Code"].as_str().unwrap_or_default() }
    }

    /// The body of a success, which it must be.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        let body = serde_json::from_slice(&response.body).unwrap();
        Self { status: response.status, body }
    }
}

/// A call with everything that can be wrong with it.
#[derive(Debug, Clone)]
pub struct RawCall<'a> {
    /// Id of the key.
    pub key: &'a str,
    /// Its secret; without one that of the rig's keyring.
    pub secret: Option<&'a str>,
    /// The security token.
    pub token: Option<&'a str>,
    /// Name of the operation.
    pub action: &'a str,
    /// Version of the API.
    pub version: &'a str,
    /// Parameters.
    pub parameters: &'a [(&'a str, &'a str)],
    /// Names of parameters that are left out.
    pub without: &'a [&'a str],
    /// Time; without one the present.
    pub timestamp: Option<String>,
    /// Nonce.
    pub nonce: &'a str,
    /// Replacements in the signed query.
    pub edits: &'a [(&'a str, &'a str)],
}

impl<'a> RawCall<'a> {
    /// A call of the account's own key to Vpc with nothing wrong; its nonce is not set.
    pub fn new(action: &'a str, parameters: &'a [(&'a str, &'a str)]) -> Self {
        Self {
            key: "root",
            secret: None,
            token: None,
            action,
            version: VPC,
            parameters,
            without: &[],
            timestamp: None,
            nonce: "",
            edits: &[],
        }
    }
}

impl Rig {
    /// Signs and answers one call of the account's own key.
    pub async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Reply {
        self.call_as("root", action, parameters).await
    }

    /// One call of a key of the keyring to Vpc.
    pub async fn call_as(&self, key: &str, action: &str, parameters: &[(&str, &str)]) -> Reply {
        self.by(&Caller::named(key), VPC, action, parameters).await
    }

    /// One call of the account's own key to Kms.
    pub async fn kms(&self, action: &str, parameters: &[(&str, &str)]) -> Reply {
        self.by(&Caller::named("root"), KMS, action, parameters).await
    }

    /// One call of the account's own key to Cas.
    pub async fn cas(&self, action: &str, parameters: &[(&str, &str)]) -> Reply {
        self.by(&Caller::named("root"), CAS, action, parameters).await
    }

    /// One call of the account's own key to Ram, which must succeed.
    pub async fn ram(&self, action: &str, parameters: &[(&str, &str)]) -> Value {
        ram(self, action, parameters).await.ok()
    }

    /// One call signed with this key.
    pub async fn by(
        &self,
        caller: &Caller,
        version: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Reply {
        let raw = RawCall {
            key: &caller.id,
            secret: Some(&caller.secret),
            token: caller.token.as_deref(),
            version,
            nonce: &self.next_nonce(),
            ..RawCall::new(action, parameters)
        };
        self.send(&raw).await
    }

    /// One call as it is told, right or wrong.
    pub async fn send(&self, raw: &RawCall<'_>) -> Reply {
        let mut caller = Caller::named(raw.key);
        if let Some(secret) = raw.secret {
            secret.clone_into(&mut caller.secret);
        }
        caller.token = raw.token.map(ToOwned::to_owned);
        let mut call = Call::new(raw.version, raw.action, raw.parameters);
        call.parameters.retain(|(name, _)| !raw.without.contains(&name.as_str()));
        let mut stamp = Stamp::at(tongguan_service::context::Clock::now_ms(&*self.clock), raw.nonce);
        if let Some(timestamp) = &raw.timestamp {
            stamp.timestamp.clone_from(timestamp);
        }
        let outgoing = caller.sign(&call, &Manner::V1, &stamp);
        let mut query = outgoing.path_and_query.split_once('?').unwrap().1.to_owned();
        for (from, to) in raw.edits {
            assert!(query.contains(from), "{query} has no {from}");
            query = query.replace(from, to);
        }
        self.bytes(&query).await
    }

    /// Answers a request with this raw query.
    pub async fn bytes(&self, query: &str) -> Reply {
        self.bytes_from(query, HERE).await
    }

    /// The same, from a source.
    pub async fn bytes_from(&self, query: &str, source: IpAddr) -> Reply {
        let mut request = Owned::new("POST", "/", &[("host", "vpc.test")], "");
        query.clone_into(&mut request.query);
        self.answer(&request, source, false).await.into()
    }

    /// Answers a signed request.
    pub async fn post(&self, request: &OutgoingRequest) -> Reply {
        self.respond(request, HERE, false).await.into()
    }

    /// Answers a signed request from a source, which came over TLS or not.
    pub async fn respond(&self, request: &OutgoingRequest, source: IpAddr, secure: bool) -> Response {
        self.answer(&Owned::from(request), source, secure).await
    }

    async fn answer(&self, request: &Owned, address: IpAddr, secure: bool) -> Response {
        self.service.answer(request.http(), Peer { address, secure }).await
    }
}

/// One call of product Ram, by a key of the keyring.
pub async fn ram_as(rig: &Rig, key: &str, action: &str, parameters: &[(&str, &str)]) -> Reply {
    rig.by(&Caller::named(key), RAM, action, parameters).await
}

/// One call of the account's own key to Ram.
pub async fn ram(rig: &Rig, action: &str, parameters: &[(&str, &str)]) -> Reply {
    ram_as(rig, "root", action, parameters).await
}

/// The call was refused so.
#[track_caller]
pub fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code()), (status, code), "{}", reply.body);
}

/// The call to Ram was refused for lack of this parameter.
#[track_caller]
pub fn missing(reply: &Reply, parameter: &str) {
    refused(reply, 400, "MissingParameter");
    assert_eq!(reply.body["Message"], format!("Parameter {parameter} is required."));
}

/// The answer without its request id.
#[track_caller]
pub fn rest(reply: Reply) -> Value {
    let mut body = reply.ok();
    assert!(body.as_object_mut().unwrap().remove("RequestId").unwrap().is_string());
    body
}
