//! A service in hand: a store in a temporary directory, a clock that the test sets, signed requests.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method};
use serde_json::Value;
use tempfile::TempDir;
use tongguan_dataplane::{ApplyDelay, DataPlane, Detached};
use tongguan_model::id::AccountId;
use tongguan_model::limits::Quotas;
use tongguan_model::policy::{Attached, PolicySet, system_policy};
use tongguan_model::principal::{Identity, Origin, Principal, Session};
use tongguan_pki::{Ca, KeySpec, Subject, Usage};
use tongguan_rpc::{ClientCall, Credential, Format, HttpRequest, Placement, Secret, SignatureMethod, Signer};
use tongguan_service::Service;
use tongguan_service::access::Peer;
use tongguan_service::accounts::{AccountError, Done, Order};
use tongguan_service::context::{Clock, Context, Settings, Shared, iso8601};
use tongguan_service::keyring::{Key, Keyring};
use tongguan_service::rights;
use tongguan_service::throttle::{Rate, Throttle};
use tongguan_service::vault::Vault;
use tongguan_service::work::Work;
use tongguan_store::{AuditRecord, Moment, NonceLog, Options, Store, Verdict};

pub const REGION: &str = "cn-hangzhou";
pub const ACCOUNT: &str = "1234567890123456";
pub const VPC: &str = "2016-04-28";
pub const STS: &str = "2015-04-01";
pub const RAM: &str = "2015-05-01";
pub const START_MS: i64 = 1_800_000_000_000;

/// A clock that stands until the test moves it: the wall clock, and how far it has jumped.
#[derive(Debug)]
pub struct ManualClock(pub AtomicI64, pub AtomicI64);

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn steady_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst).wrapping_sub(self.1.load(Ordering::SeqCst))
    }
}

pub struct Rig {
    pub service: Arc<Service>,
    pub clock: Arc<ManualClock>,
    pub dataplane: Arc<Detached>,
    nonce: AtomicU64,
    directory: TempDir,
}

pub struct Reply {
    pub status: u16,
    pub body: Value,
}

impl Reply {
    pub fn code(&self) -> &str {
        self.body["Code"].as_str().unwrap_or("OK")
    }

    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }
}

impl Rig {
    pub fn new(delay: &str) -> Self {
        Self::with_quotas(delay, Quotas::default())
    }

    pub fn with_quotas(delay: &str, quotas: Quotas) -> Self {
        let delay: ApplyDelay = delay.parse().unwrap();
        let detached = Arc::new(Detached::remembering(delay));
        Self::over(tempfile::tempdir().unwrap(), detached, None, START_MS, quotas)
    }

    /// Over a driver of the test's own.
    pub fn driven(driver: Arc<dyn DataPlane>, quotas: Quotas) -> Self {
        let unused = Arc::new(Detached::new("0".parse().unwrap()));
        Self::over(tempfile::tempdir().unwrap(), unused, Some(driver), START_MS, quotas)
    }

    fn over(
        directory: TempDir,
        dataplane: Arc<Detached>,
        driver: Option<Arc<dyn DataPlane>>,
        now_ms: i64,
        quotas: Quotas,
    ) -> Self {
        let store = open_store(directory.path());
        let vault = Vault::new(&[9; 32]).unwrap();
        tokio::task::block_in_place(|| rights::open(&store, &vault, now_ms)).unwrap();
        for account in [ACCOUNT, "9999567890123456"] {
            let account = AccountId::new(account);
            let make = |store: &Store| {
                store.write_blocking(move |tx| {
                    tx.ensure_account(&account, 0)?;
                    Ok(Verdict::Keep(()))
                })
            };
            tokio::task::block_in_place(|| make(&store)).unwrap();
        }
        let clock = Arc::new(ManualClock(AtomicI64::new(now_ms), AtomicI64::new(0)));
        let moment = Moment { unix: now_ms / 1000, steady: clock.steady_ms() / 1000 };
        let most = usize::try_from(quotas.nonces.min(100_000)).unwrap();
        let nonces = NonceLog::open(&directory.path().join("nonces"), moment, most).unwrap();
        let context = Context::new(Shared {
            store,
            dataplane: driver.unwrap_or_else(|| Arc::clone(&dataplane) as Arc<dyn DataPlane>),
            vault,
            settings: Settings { quotas, ..Settings::default() },
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        });
        let service =
            Arc::new(tokio::task::block_in_place(|| Service::new(context, keyring(), nonces)).unwrap());
        Self { service, clock, dataplane, nonce: AtomicU64::new(0), directory }
    }

    /// The same service, its accounts held to a rate.
    pub fn throttled(self, throttle: Throttle) -> Self {
        let service = Arc::into_inner(self.service).unwrap().throttled(throttle);
        Self { service: Arc::new(service), ..self }
    }

    /// The same service, its long work done by this pool.
    pub fn working(self, work: Work) -> Self {
        let service = Arc::into_inner(self.service).unwrap().working(work);
        Self { service: Arc::new(service), ..self }
    }

    /// The same service with this rate for each account.
    pub fn rated(self, per_second: u32, burst: u32) -> Self {
        let rate = Rate { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() };
        self.throttled(Throttle::new(Some(rate)))
    }

    /// Ends the service and starts it again on the same data directory.
    pub fn restart(self, delay: &str) -> Self {
        let delay: ApplyDelay = delay.parse().unwrap();
        self.restart_with(Arc::new(Detached::remembering(delay)), None, Quotas::default())
    }

    /// The same, with these quotas.
    pub fn restart_with_quotas(self, delay: &str, quotas: Quotas) -> Self {
        let delay: ApplyDelay = delay.parse().unwrap();
        self.restart_with(Arc::new(Detached::remembering(delay)), None, quotas)
    }

    /// The same, over a driver of the test's own.
    pub fn restart_driven(self, driver: Arc<dyn DataPlane>, quotas: Quotas) -> Self {
        let unused = Arc::new(Detached::new("0".parse().unwrap()));
        self.restart_with(unused, Some(driver), quotas)
    }

    fn restart_with(
        self,
        detached: Arc<Detached>,
        driver: Option<Arc<dyn DataPlane>>,
        quotas: Quotas,
    ) -> Self {
        let Self { service, clock, dataplane, nonce, directory } = self;
        drop((service, dataplane));
        let mut rig = Self::over(directory, detached, driver, clock.now_ms(), quotas);
        rig.nonce = nonce;
        rig
    }

    /// Has the service carry out an operator's order.
    pub fn order(&self, order: &Order) -> Result<Done, AccountError> {
        tokio::task::block_in_place(|| self.service.order(order))
    }

    /// The audit record of the call with this request id, once it is there.
    pub async fn record(&self, request_id: &str) -> AuditRecord {
        self.recorded(|record| record.request_id == request_id).await
    }

    /// The newest audit record that fits, once there is one.
    pub async fn recorded(&self, fits: impl Fn(&AuditRecord) -> bool) -> AuditRecord {
        let begun = std::time::Instant::now();
        loop {
            let mut found = None;
            let look = |_, record: AuditRecord| {
                if fits(&record) {
                    found = Some(record);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            };
            self.store().read(|snapshot| snapshot.audit_newest(look)).unwrap();
            if let Some(record) = found {
                return record;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "there is no such record");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Runs the engine beside the test until the answer is dropped.
    pub fn engine(&self) -> tokio::task::JoinSet<()> {
        let mut running = tokio::task::JoinSet::new();
        running.spawn(self.service.engine().run());
        running
    }

    /// Lets time pass, a second at a time, until `there` holds.
    #[track_caller]
    pub fn until<'a>(
        &'a self,
        what: &'a str,
        mut there: impl FnMut(&Self) -> bool + 'a,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let begun = std::time::Instant::now();
            while !there(self) {
                assert!(begun.elapsed() < Duration::from_secs(20), "never: {what} ({caller})");
                self.advance(1_000);
                self.service.engine().notify();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    /// The gateway as it is stored.
    pub fn stored(&self, gateway: &str) -> Option<tongguan_model::gateway::VpnGateway> {
        self.store().read(|snapshot| snapshot.gateway_of_any_account(gateway)).unwrap()
    }

    /// Whether nothing is under way on a resource.
    pub fn at_rest(&self, resource: &str) -> bool {
        self.store().read(|snapshot| snapshot.intent(resource)).unwrap().is_none()
    }

    pub fn fault(&self, resource: &str) -> Option<tongguan_store::Fault> {
        self.store().read(|snapshot| snapshot.fault(resource)).unwrap()
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn store(&self) -> &Store {
        &self.service.context().store
    }

    pub fn advance(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// The wall clock jumps; time does not pass.
    pub fn jump(&self, ms: i64) {
        self.clock.1.fetch_add(ms, Ordering::SeqCst);
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn next_nonce(&self) -> String {
        format!("nonce-{}", self.nonce.fetch_add(1, Ordering::SeqCst))
    }

    /// Signs and answers one call of the account's own key.
    pub async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Reply {
        self.call_as("root", action, parameters).await
    }

    pub async fn call_as(&self, key: &str, action: &str, parameters: &[(&str, &str)]) -> Reply {
        let raw = RawCall { key, nonce: &self.next_nonce(), ..RawCall::new(action, parameters) };
        self.send(&raw).await
    }

    pub async fn send(&self, raw: &RawCall<'_>) -> Reply {
        let timestamp = raw.timestamp.clone().unwrap_or_else(|| iso8601(self.clock.now_ms()));
        let mut parameters: Vec<(String, String)> =
            raw.parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        parameters.retain(|(name, _)| !raw.without.contains(&name.as_str()));
        let signer = Signer {
            access_key_id: raw.key.to_owned(),
            secret: Secret::from(raw.secret.unwrap_or(&format!("{} secret", raw.key))),
            security_token: raw.token.map(ToOwned::to_owned),
            method: SignatureMethod::HmacSha1,
        };
        let outgoing = signer.sign(&ClientCall {
            http_method: Method::POST,
            host: "vpc.test",
            action: raw.action,
            version: raw.version,
            parameters: &parameters,
            placement: Placement::Query,
            format: Format::Json,
            timestamp: &timestamp,
            nonce: raw.nonce,
        });
        let mut query = outgoing.path_and_query.split_once('?').unwrap().1.to_owned();
        for (from, to) in raw.edits {
            assert!(query.contains(from), "{query} has no {from}");
            query = query.replace(from, to);
        }
        self.bytes(&query).await
    }

    /// Answers a request with this raw query.
    pub async fn bytes(&self, query: &str) -> Reply {
        self.bytes_from(query, IpAddr::V4(Ipv4Addr::LOCALHOST)).await
    }

    /// The same, from a source.
    pub async fn bytes_from(&self, query: &str, source: IpAddr) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert("host", "vpc.test".parse().unwrap());
        let request = HttpRequest { method: &Method::POST, path: "/", query, headers: &headers, body: b"" };
        let peer = Peer { address: source, secure: false };
        let response = self.service.answer(request, peer).await;
        let body = serde_json::from_slice(&response.body).unwrap();
        Reply { status: response.status, body }
    }

    /// Lets the engine work until nothing is under way, moving the clock on as needed.
    pub async fn settle(&self) {
        for _ in 0..100 {
            let next = self.store().read(|snapshot| snapshot.next_intent()).unwrap();
            let Some(next) = next else { return };
            let now = self.clock.now_ms();
            if next != i64::MAX {
                self.advance((next - now).max(0));
            }
            let due = self.store().read(|snapshot| snapshot.intents_due(i64::MAX, 1000)).unwrap();
            for intent in due {
                self.service.engine().step(&intent.resource).await.unwrap();
            }
        }
        panic!("something is still under way");
    }

    /// An active gateway of this type.
    pub async fn gateway(&self, vpn_type: &str) -> String {
        let vpc = self.call("CreateVpc", &[("RegionId", REGION)]).await.ok();
        self.settle().await;
        let vpc = vpc["VpcId"].as_str().unwrap();
        self.gateway_in(vpc, vpn_type).await
    }

    pub async fn gateway_in(&self, vpc: &str, vpn_type: &str) -> String {
        let parameters = [("RegionId", REGION), ("VpcId", vpc), ("Bandwidth", "10"), ("VpnType", vpn_type)];
        let gateway = self.call("CreateVpnGateway", &parameters).await.ok();
        self.settle().await;
        gateway["VpnGatewayId"].as_str().unwrap().to_owned()
    }

    /// An ACTIVE certificate of this kind, issued by a CA of the test's own.
    pub async fn certificate(&self, spec: &str) -> String {
        self.certificate_for(spec, Usage::Both).await
    }

    /// The same, with the keyUsage of this use.
    pub async fn certificate_for(&self, spec: &str, usage: Usage) -> String {
        let id = self.pending_certificate(spec).await;
        let shown = self.kms("GetCertificate", &[("CertificateId", &id)]).await.ok();
        let (leaf, chain) = issue_for(spec.parse().unwrap(), shown["Csr"].as_str().unwrap(), usage);
        let upload = [("CertificateId", id.as_str()), ("Certificate", &leaf), ("CertificateChain", &chain)];
        self.kms("UploadCertificate", &upload).await.ok();
        id
    }

    pub async fn pending_certificate(&self, spec: &str) -> String {
        let parameters = [("KeySpec", spec), ("Subject", "CN=a,OU=b,O=c,C=CN")];
        let made = self.kms("CreateCertificate", &parameters).await.ok();
        made["CertificateId"].as_str().unwrap().to_owned()
    }

    pub async fn kms(&self, action: &str, parameters: &[(&str, &str)]) -> Reply {
        let raw =
            RawCall { version: "2016-01-20", nonce: &self.next_nonce(), ..RawCall::new(action, parameters) };
        self.send(&raw).await
    }

    pub async fn bind(&self, gateway: &str, certificate: &str, role: &str) -> Reply {
        self.call("AssociateVpnGatewayWithCertificate", &triple(gateway, certificate, role)).await
    }

    pub async fn unbind(&self, gateway: &str, certificate: &str, role: &str) -> Reply {
        self.call("DissociateVpnGatewayWithCertificate", &triple(gateway, certificate, role)).await
    }

    /// (certificate, role) of what the list shows on a gateway.
    pub async fn listed(&self, gateway: &str) -> Vec<(String, String)> {
        let parameters = [("RegionId", REGION), ("VpnGatewayId.1", gateway)];
        let list = self.call("ListVpnCertificateAssociations", &parameters).await.ok();
        let relations = list["VpnCertificateRelations"].as_array().unwrap();
        assert_eq!(list["TotalCount"], relations.len());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut rows: Vec<_> =
            relations.iter().map(|r| (text(&r["CertificateId"]), text(&r["CertificateType"]))).collect();
        rows.sort();
        rows
    }

    pub async fn status(&self, gateway: &str) -> String {
        let parameters = [("RegionId", REGION), ("VpnGatewayId", gateway)];
        let shown = self.call("DescribeVpnGateway", &parameters).await.ok();
        shown["Status"].as_str().unwrap().to_owned()
    }
}

/// An access key that a test made.
#[derive(Debug, Clone)]
pub struct Caller {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

impl Caller {
    /// The root key of an account that is not the tests' own.
    pub fn stranger() -> Self {
        Self { id: "stranger".into(), secret: "stranger secret".into(), token: None }
    }

    /// Temporary credentials, as AssumeRole answers them.
    pub fn session(answer: &Value) -> Self {
        let text = |name: &str| answer["Credentials"][name].as_str().unwrap().to_owned();
        Self { id: text("AccessKeyId"), secret: text("AccessKeySecret"), token: Some(text("SecurityToken")) }
    }
}

impl Rig {
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

    /// One call of the account's own key to Ram, which must succeed.
    pub async fn ram(&self, action: &str, parameters: &[(&str, &str)]) -> Value {
        ram(self, action, parameters).await.ok()
    }

    /// A new RAM user with a policy of these statements (none: no policy), and its key.
    pub async fn user(&self, name: &str, statements: &Value) -> Caller {
        self.ram("CreateUser", &[("UserName", name)]).await;
        if statements.as_array().is_some_and(|statements| !statements.is_empty()) {
            let document = serde_json::json!({"Version": "1", "Statement": statements}).to_string();
            self.ram("CreatePolicy", &[("PolicyName", name), ("PolicyDocument", &document)]).await;
            let attach = [("UserName", name), ("PolicyName", name), ("PolicyType", "Custom")];
            self.ram("AttachPolicyToUser", &attach).await;
        }
        let key = self.ram("CreateAccessKey", &[("UserName", name)]).await;
        let text = |name: &str| key["AccessKey"][name].as_str().unwrap().to_owned();
        Caller { id: text("AccessKeyId"), secret: text("AccessKeySecret"), token: None }
    }
}

/// One call of product Ram.
pub async fn ram_as(rig: &Rig, key: &str, action: &str, parameters: &[(&str, &str)]) -> Reply {
    let nonce = rig.next_nonce();
    rig.send(&RawCall { key, version: RAM, nonce: &nonce, ..RawCall::new(action, parameters) }).await
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

/// A call with everything that can be wrong with it.
#[derive(Clone)]
pub struct RawCall<'a> {
    pub key: &'a str,
    pub secret: Option<&'a str>,
    pub token: Option<&'a str>,
    pub action: &'a str,
    pub version: &'a str,
    pub parameters: &'a [(&'a str, &'a str)],
    pub without: &'a [&'a str],
    pub timestamp: Option<String>,
    pub nonce: &'a str,
    /// Replacements in the signed query.
    pub edits: &'a [(&'a str, &'a str)],
}

impl<'a> RawCall<'a> {
    pub fn new(action: &'a str, parameters: &'a [(&'a str, &'a str)]) -> Self {
        Self {
            key: "root",
            secret: None,
            token: None,
            action,
            version: "2016-04-28",
            parameters,
            without: &[],
            timestamp: None,
            nonce: "",
            edits: &[],
        }
    }
}

pub fn triple<'a>(gateway: &'a str, certificate: &'a str, role: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("RegionId", REGION),
        ("VpnGatewayId", gateway),
        ("CertificateId", certificate),
        ("CertificateType", role),
    ]
}

pub fn open_store(directory: &Path) -> Store {
    // A store that is being closed elsewhere lets go of its lock a moment later.
    for _ in 0..200 {
        match Store::open(directory, &Options { audit_flush_ms: 1, ..Options::default() }) {
            Ok(store) => return store,
            Err(tongguan_store::StoreError::InUse { .. }) => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the store stays locked");
}

fn keyring() -> Keyring {
    let mut keyring = Keyring::default();
    let user = |name: &str, policies: &[&str]| Identity::User {
        name: name.into(),
        id: "2000".into(),
        policies: Arc::new(PolicySet::new(
            policies
                .iter()
                .map(|name| Attached { origin: (*name).into(), policy: system_policy(name).unwrap() })
                .collect(),
        )),
    };
    let own = |identity| Principal { account: AccountId::new(ACCOUNT), identity };
    let stranger = Principal { account: AccountId::new("9999567890123456"), identity: Identity::Root };
    let Identity::User { policies, .. } = user("", &["AdministratorAccess"]) else { unreachable!() };
    let visit = Session {
        role: "visitor".into(),
        role_id: "3000".into(),
        name: "visit".into(),
        source_identity: None,
        origin: Origin {
            account: AccountId::new(ACCOUNT),
            user: "observer".into(),
            access_key: "observer".into(),
        },
        issued_ms: START_MS,
        policies,
        restriction: None,
    };
    for (id, principal, active) in [
        ("root", own(Identity::Root), true),
        ("observer", own(user("observer", &["AliyunVPNGatewayReadOnlyAccess"])), true),
        ("nobody", own(user("nobody", &[])), true),
        ("retired", own(user("retired", &["AdministratorAccess"])), false),
        ("stranger", stranger, true),
        ("visitor", own(Identity::Session(Box::new(visit))), true),
    ] {
        keyring.insert(Key {
            id: id.into(),
            credential: Credential::Secret(Secret::from(format!("{id} secret"))),
            principal: Arc::new(principal),
            active,
        });
    }
    keyring
}

/// Certificate and chain for a request.
pub fn issue(spec: KeySpec, csr: &str) -> (String, String) {
    issue_for(spec, csr, Usage::Both)
}

/// The same, with the keyUsage of this use.
pub fn issue_for(spec: KeySpec, csr: &str, usage: Usage) -> (String, String) {
    let (from, to) = (START_MS / 1000 - 86_400, START_MS / 1000 + 86_400 * 365);
    let subject = Subject::parse("CN=ca,OU=b,O=c,C=CN").unwrap();
    let ca = Ca::new(spec, &subject, from, to).unwrap();
    let leaf = ca.issue(csr, usage, from, to).unwrap();
    (leaf.to_pem(), ca.certificate().to_pem())
}
