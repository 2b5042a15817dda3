//! The test API: what a test does to a service that was started for it, over HTTP on the admin listener. JSON both
//! ways.
//!
//! | path | method | what |
//! |---|---|---|
//! | `/test/reset` | POST | empties the service but for the accounts of its configuration; ends faults and delays |
//! | `/test/faults` | PUT, GET, DELETE | operations answer a code, or changes are not applied; what was met |
//! | `/test/clock` | POST, GET | steps the clock forward |
//! | `/test/apply-delay` | PUT | when changes come into force, of one resource or of all |
//! | `/test/requests` | GET | what was called after number `since` |
//! | `/test/replay` | GET | which pairs of a recording were answered, and what was asked in vain |
//! | `/test/accounts` | POST | another account with its root key |
//!
//! Whoever reaches it can do all that, so it is for a loopback address, or asks for a token. A page in a browser
//! reaches the loopback address too: what a browser sends for a page is refused by `Origin`, and a name that was
//! bound to this address by `Host`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use tongguan_dataplane::{ApplyDelay, ApplyFault, ApplyFaultKind, Detached};
use tongguan_rpc::Secret;
use tongguan_service::Service;
use tongguan_service::accounts::{AccountError, Done, Order};
use tongguan_service::context::iso8601;
use tongguan_service::test_api::{Met, Rule, RuleError, StepError};
use tongguan_store::StoreError;
use tracing::warn;

use crate::causes::causes;
use crate::{cli, house};

/// What the index of the admin listener says of it.
pub(crate) const INDEX: &str = "\n\
     The test API (docs/test-api.md):\n\
     POST /test/reset, PUT GET DELETE /test/faults, POST GET /test/clock, PUT /test/apply-delay,\n\
     GET /test/requests?since=N, GET /test/replay, POST /test/accounts\n";

/// Bytes of a request's body at most.
const BODY_BYTES: usize = 1024 * 1024;
/// How long a fault makes a change slow unless it says so.
const SLOW: Duration = Duration::from_secs(5);
/// Why a fault makes a change fail unless it says so.
const REASON: &str = "a fault that a test has set";

/// Whether a request is for the test API.
pub(crate) fn is_for(request: &Request<Incoming>) -> bool {
    request.uri().path().starts_with("/test/")
}

/// The test API of a running service.
#[derive(Debug)]
pub(crate) struct TestApi {
    service: Arc<Service>,
    dataplane: Arc<Detached>,
    token: Option<Secret>,
}

/// Why a request is not answered as it wishes.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    body: Value,
    allow: Option<&'static str>,
}

impl Refused {
    fn new(status: StatusCode, error: impl std::fmt::Display) -> Self {
        Self { status, body: json!({ "error": error.to_string() }), allow: None }
    }

    fn bad(error: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    fn methods(allow: &'static str) -> Self {
        let error = format!("only {allow}");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, error) }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        let error = causes(&error.into());
        warn!(error, "the test API could not do it");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}

impl From<RuleError> for Refused {
    fn from(error: RuleError) -> Self {
        let mut refused = Self::bad(&error);
        if let RuleError::Code { codes, .. } = error {
            refused.body["codes"] = json!(codes);
        }
        refused
    }
}

impl From<StepError> for Refused {
    fn from(error: StepError) -> Self {
        match error {
            StepError::TooFar => Self::bad(error),
            StepError::Store(error) => error.into(),
        }
    }
}

impl From<AccountError> for Refused {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Exists(_) => Self::new(StatusCode::CONFLICT, error),
            AccountError::Store(error) => error.into(),
            other => Self::bad(other),
        }
    }
}

/// A fault as it is set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenFault {
    product: Option<String>,
    action: Option<String>,
    code: Option<String>,
    after: Option<u64>,
    apply: Option<String>,
    reason: Option<String>,
    delay: Option<String>,
    resource: Option<String>,
    times: Option<u32>,
}

/// One, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Value>),
    One(Value),
}

/// A fault, read.
enum Fault {
    Call(Rule),
    Apply(ApplyFault),
}

impl GivenFault {
    fn read(self) -> Result<Fault, Refused> {
        match (self.action.as_deref(), self.code.as_deref(), self.apply.as_deref()) {
            (Some(action), Some(code), None) => {
                if self.reason.is_some() || self.delay.is_some() {
                    return Err(Refused::bad("reason and delay are of faults with `apply`"));
                }
                let mut rule = Rule::new(self.product.as_deref(), action, code)?;
                rule.resource = self.resource;
                rule.after = self.after.unwrap_or(0);
                rule.times = self.times.map(u64::from);
                Ok(Fault::Call(rule))
            }
            (None, None, Some(kind)) => {
                if self.product.is_some() || self.after.is_some() {
                    return Err(Refused::bad("product and after are of faults with `action` and `code`"));
                }
                self.read_apply(kind).map(Fault::Apply)
            }
            _ => Err(Refused::bad("a fault has `action` and `code`, or `apply`")),
        }
    }

    fn read_apply(&self, kind: &str) -> Result<ApplyFault, Refused> {
        let known = ApplyFaultKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
        let kind = ApplyFaultKind::parse(kind)
            .ok_or_else(|| Refused::bad(format!("apply: `{kind}` is none of {known}")))?;
        if self.delay.is_some() && kind != ApplyFaultKind::Slow {
            return Err(Refused::bad("delay is of `slow` alone"));
        }
        let delay = self.delay.as_deref().map(cli::duration).transpose();
        Ok(ApplyFault {
            kind,
            resource: self.resource.clone(),
            times: self.times.unwrap_or(1),
            reason: self.reason.clone().unwrap_or_else(|| REASON.to_owned()),
            delay: delay.map_err(|error| Refused::bad(format!("delay: {error}")))?.unwrap_or(SLOW),
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    advance: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Delay {
    resource: Option<String>,
    delay: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    #[serde(default)]
    name: String,
    id: Option<String>,
}

impl TestApi {
    /// Over a service with a driver that can be steered. Callers have to show the token, if there is one.
    pub(crate) fn new(service: Arc<Service>, dataplane: Arc<Detached>, token: Option<Secret>) -> Self {
        Self { service, dataplane, token }
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let answered = match self.admit(&request) {
            Ok(()) => self.route(request).await,
            Err(refused) => Err(refused),
        };
        let (status, body, allow) = match answered {
            Ok(body) => (StatusCode::OK, body, None),
            Err(refused) => (refused.status, refused.body, refused.allow),
        };
        let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(allow) = allow {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }

    /// Whether the caller may use it.
    fn admit(&self, request: &Request<Incoming>) -> Result<(), Refused> {
        let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if request.headers().contains_key(ORIGIN) {
            return Err(Refused::new(StatusCode::FORBIDDEN, "not for pages in a browser"));
        }
        if let Some(token) = &self.token {
            let shown =
                header(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
            if bool::from(shown.as_bytes().ct_eq(token.expose().as_bytes())) {
                return Ok(());
            }
            let error = "it wants the token of this service: authorization: Bearer TOKEN";
            return Err(Refused::new(StatusCode::UNAUTHORIZED, error));
        }
        let host = header(HOST).unwrap_or_default();
        if is_loopback(host) {
            return Ok(());
        }
        Err(Refused::new(StatusCode::FORBIDDEN, "Host is not a loopback address"))
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Value, Refused> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        match (path.as_str(), method) {
            ("/test/reset", Method::POST) => self.reset().await,
            ("/test/faults", Method::PUT) => self.set_faults(body(request).await?).await,
            ("/test/faults", Method::GET) => Ok(self.faults()),
            ("/test/faults", Method::DELETE) => self.set_faults(OneOrMany::Many(Vec::new())).await,
            ("/test/clock", Method::POST) => self.step(&body(request).await?).await,
            ("/test/clock", Method::GET) => Ok(self.clock()),
            ("/test/apply-delay", Method::PUT) => self.set_delay(body(request).await?).await,
            ("/test/requests", Method::GET) => self.requests(request.uri().query().unwrap_or_default()),
            ("/test/replay", Method::GET) => self.replay(),
            ("/test/accounts", Method::POST) => self.create_account(body(request).await?).await,
            ("/test/reset" | "/test/accounts", _) => Err(Refused::methods("POST")),
            ("/test/faults", _) => Err(Refused::methods("PUT, GET, DELETE")),
            ("/test/clock", _) => Err(Refused::methods("POST, GET")),
            ("/test/apply-delay", _) => Err(Refused::methods("PUT")),
            ("/test/requests" | "/test/replay", _) => Err(Refused::methods("GET")),
            _ => Err(Refused::new(StatusCode::NOT_FOUND, "see /")),
        }
    }

    fn test(&self) -> Result<&tongguan_service::test_api::TestApi, Refused> {
        self.service.test_api().ok_or_else(|| StoreError::NotForTests.into())
    }

    async fn reset(&self) -> Result<Value, Refused> {
        // First, so that what is under way when the store is emptied meets no fault any more.
        self.dataplane.reset();
        self.service.reset().await?;
        Ok(json!({ "now": self.now() }))
    }

    /// All of them, or none if one is wrong.
    async fn set_faults(&self, given: OneOrMany) -> Result<Value, Refused> {
        let given = match given {
            OneOrMany::Many(many) => many,
            OneOrMany::One(one) => vec![one],
        };
        let (mut rules, mut faults) = (Vec::new(), Vec::new());
        for one in given {
            let fault: GivenFault = serde_json::from_value(one).map_err(Refused::bad)?;
            match fault.read()? {
                Fault::Call(rule) => rules.push(rule),
                Fault::Apply(fault) => faults.push(fault),
            }
        }
        self.dataplane.set_faults(faults).map_err(Refused::bad)?;
        self.test()?.set_rules(rules)?;
        // A try that hangs for an earlier fault ends.
        self.service.look_again().await?;
        Ok(self.faults())
    }

    fn faults(&self) -> Value {
        let met = self.service.test_api().map(|test| test.met()).unwrap_or_default();
        let calls = met.iter().map(|Met { rule, seen, hits }| {
            json!({
                "product": rule.operation.product.as_str(), "action": rule.operation.action, "code": rule.code,
                "resource": rule.resource, "after": rule.after, "times": rule.times, "seen": seen, "hits": hits,
            })
        });
        let applies = self.dataplane.faults();
        let applies = applies.iter().map(|(fault, hits)| {
            json!({
                "apply": fault.kind.as_str(), "resource": fault.resource, "times": fault.times,
                "reason": fault.reason, "delay": format!("{}ms", fault.delay.as_millis()), "hits": hits,
            })
        });
        json!({ "faults": calls.chain(applies).collect::<Vec<_>>() })
    }

    async fn step(&self, step: &Step) -> Result<Value, Refused> {
        let by = cli::duration(&step.advance).map_err(|error| Refused::bad(format!("advance: {error}")))?;
        self.service.step_clock(by).await?;
        house::purge(&self.service).await;
        Ok(self.clock())
    }

    fn now(&self) -> String {
        iso8601(self.service.context().clock.now_ms())
    }

    fn clock(&self) -> Value {
        json!({ "now": self.now(), "aheadSeconds": self.service.context().clock.ahead_ms() / 1000 })
    }

    async fn set_delay(&self, given: Delay) -> Result<Value, Refused> {
        let delay: ApplyDelay = given.delay.parse().map_err(Refused::bad)?;
        self.dataplane.set_delay(given.resource.clone(), delay).map_err(Refused::bad)?;
        self.service.look_again().await?;
        Ok(json!({ "resource": given.resource, "delay": given.delay }))
    }

    fn requests(&self, query: &str) -> Result<Value, Refused> {
        let since = match query.strip_prefix("since=") {
            Some(number) => number.parse().map_err(|_| Refused::bad("since is a number"))?,
            None if query.is_empty() => 0,
            None => return Err(Refused::bad("the query is since=N")),
        };
        let (requests, last, lost) = self.test()?.requests_since(since);
        Ok(json!({ "requests": requests, "last": last, "lost": lost }))
    }

    fn replay(&self) -> Result<Value, Refused> {
        let replay = self.test()?.replay();
        let replay = replay.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "nothing is replayed here"))?;
        Ok(json!(replay.shown()))
    }

    async fn create_account(&self, given: NewAccount) -> Result<Value, Refused> {
        let service = Arc::clone(&self.service);
        let order = Order::Create { name: given.name, id: given.id };
        let done = tokio::task::spawn_blocking(move || service.order(&order)).await;
        match done.map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error))?? {
            Done::Created(key) => Ok(json!({
                "AccountId": key.account.as_str(), "AccessKeyId": key.id, "AccessKeySecret": key.secret.expose(),
            })),
            other => Err(Refused::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("no account was made: {other:?}"),
            )),
        }
    }
}

/// Whether a `Host` is a loopback address, or the name of one.
fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The body of a request, read. One that is left out is an empty object.
async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refused> {
    let body = Limited::new(request.into_body(), BODY_BYTES).collect().await;
    let body = body.map_err(|error| Refused::bad(anyhow!(error)))?.to_bytes();
    let text = if body.is_empty() { b"{}" } else { &body[..] };
    serde_json::from_slice(text).map_err(Refused::bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_loopback_address_are_its_names() {
        for host in
            ["127.0.0.1:8081", "localhost", "LOCALHOST:1", "[::1]:8081", "127.9.9.9", "[::ffff:127.0.0.1]:1"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["", "example.com", "127.0.0.1.example.com:8081", "10.0.0.1", "[fe80::1]", "localhost.evil"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_fault_is_of_a_call_or_of_an_apply() {
        let read = |text: &str| {
            serde_json::from_str::<GivenFault>(text).map_err(Refused::bad).and_then(GivenFault::read)
        };
        let call = r#"{"action":"CreateVpc","code":"Throttling.User","times":2}"#;
        assert!(matches!(read(call), Ok(Fault::Call(rule)) if rule.times == Some(2) && rule.after == 0));
        let slow = read(r#"{"apply":"slow","delay":"2s","resource":"vpn-1"}"#);
        assert!(
            matches!(slow, Ok(Fault::Apply(fault)) if fault.delay == Duration::from_secs(2) && fault.times == 1)
        );
        for wrong in [
            r#"{}"#,
            r#"{"action":"CreateVpc"}"#,
            r#"{"action":"CreateVpc","code":"Throttling.User","apply":"fail"}"#,
            r#"{"action":"CreateVpc","code":"Throttling.User","delay":"1s"}"#,
            r#"{"apply":"explode"}"#,
            r#"{"apply":"fail","delay":"1s"}"#,
            r#"{"apply":"fail","after":1}"#,
            r#"{"apply":"slow","delay":"soon"}"#,
            r#"{"apply":"fail","chance":0.5}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
