//! A service over a store of its own, with one resource of each kind in it.
//!
//! The clock is the rig's: every call is a second after the last, so that nonces expire and a call is
//! always fresh.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tongguan_dataplane::{ApplyDelay, Detached};
use tongguan_model::id::AccountId;
use tongguan_model::policy::{Attached, PolicySet, system_policy};
use tongguan_model::principal::{Identity, Principal};
use tongguan_pki::{Ca, KeySpec, Subject, Usage};
use tongguan_rpc::{ClientCall, Credential, Format, HttpRequest, Placement, Secret, SignatureMethod, Signer};
use tongguan_service::context::{Clock, Context, Settings, Shared, iso8601};
use tongguan_service::access::Peer;
use tongguan_service::keyring::{Key, Keyring};
use tongguan_service::operation::Operation;
use tongguan_service::vault::Vault;
use tongguan_service::{Response, Service, operation};
use tongguan_store::{Moment, NonceLog, Options, Store, Verdict};

/// When every rig begins, UNIX milliseconds.
const START_MS: i64 = 1_800_000_000_000;
const SECRET: &str = "a secret";
const ACCOUNTS: [&str; 2] = ["1234567890123456", "9999567890123456"];

#[derive(Debug)]
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn steady_ms(&self) -> i64 {
        self.now_ms() - START_MS
    }
}

/// How a call is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) post: bool,
    pub(crate) form: bool,
    pub(crate) xml: bool,
    pub(crate) method: SignatureMethod,
    /// Whose key signs: `root`, `observer` (who may only look), or `stranger` (another account).
    pub(crate) key: &'static str,
}

impl Manner {
    pub(crate) const PLAIN: Self =
        Self { post: true, form: false, xml: false, method: SignatureMethod::HmacSha1, key: "root" };
}

pub(crate) struct Rig {
    runtime: Runtime,
    service: Service,
    clock: Arc<Ticking>,
    /// What stands for an id or a text that no input can know.
    names: Vec<(&'static str, String)>,
    _directory: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = directory.expect("a temporary directory can be made");
        let store = Store::open(directory.path(), &Options::default()).expect("an empty store opens");
        for account in ACCOUNTS {
            let account = AccountId::new(account);
            let made = store.write_blocking(move |tx| {
                tx.ensure_account(&account, 0)?;
                Ok(Verdict::Keep(()))
            });
            made.expect("an account can be made");
        }
        let clock = Arc::new(Ticking(AtomicI64::new(START_MS)));
        let delay = ApplyDelay::After(std::time::Duration::ZERO);
        let begin = Moment { unix: START_MS / 1000, steady: 0 };
        let nonces = NonceLog::open(&directory.path().join("nonces"), begin, 100_000);
        let context = Context::new(Shared {
            store,
            dataplane: Arc::new(Detached::new(delay)),
            vault: Vault::new(&[7; 32]).expect("a key of the right length"),
            settings: Settings::default(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        });
        let service = Service::new(context, keyring(), nonces.expect("an empty nonce log opens"))
            .expect("a token key can be made");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let mut rig = Self { runtime, service, clock, names: Vec::new(), _directory: directory };
        rig.furnish();
        rig
    }

    /// One resource of each kind, under the names that inputs use.
    fn furnish(&mut self) {
        const REGION: (&str, &str) = ("RegionId", "cn-hangzhou");
        let vpc = self.make("CreateVpc", &[REGION, ("CidrBlock", "10.0.0.0/8")], "VpcId");
        self.settle();
        for (name, zone, block) in
            [("@vswitch", "cn-hangzhou-b", "10.0.1.0/24"), ("@vswitch2", "cn-hangzhou-d", "10.0.2.0/24")]
        {
            let parameters = [REGION, ("VpcId", &vpc), ("ZoneId", zone), ("CidrBlock", block)];
            let id = self.make("CreateVSwitch", &parameters, "VSwitchId");
            self.names.push((name, id));
            self.settle();
        }
        for (name, kind) in [("@gateway", "NationalStandard"), ("@gateway2", "Normal")] {
            let parameters = [REGION, ("VpcId", &vpc), ("Bandwidth", "10"), ("VpnType", kind)];
            let id = self.make("CreateVpnGateway", &parameters, "VpnGatewayId");
            self.names.push((name, id));
            self.settle();
        }
        self.names.push(("@vpc", vpc));
        for name in ["@certificate", "@certificate2", "@pending"] {
            let subject = ("Subject", "CN=a,OU=b,O=c,C=CN");
            let id = self.make("CreateCertificate", &[("KeySpec", "EC_SM2"), subject], "CertificateId");
            let csr = self.make("GetCertificate", &[("CertificateId", &id)], "Csr");
            let (leaf, chain) = issue(&csr);
            if name == "@pending" {
                self.names.extend([("@leaf", leaf), ("@chain", chain), ("@csr", csr)]);
            } else {
                let upload = [("CertificateId", &*id), ("Certificate", &leaf), ("CertificateChain", &chain)];
                self.make("UploadCertificate", &upload, "RequestId");
            }
            self.names.push((name, id));
        }
    }

    fn make(&self, action: &str, parameters: &[(&str, &str)], member: &str) -> String {
        let operation =
            operation::ALL.iter().find(|known| known.action == action).expect("it is in the table");
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let parameters: Vec<_> = parameters.iter().map(owned).collect();
        let response = self.call(operation, &parameters, Manner::PLAIN);
        let body: serde_json::Value = serde_json::from_slice(&response.body).expect("an answer is JSON");
        let value = body[member].as_str();
        value.unwrap_or_else(|| panic!("{action} did not answer {member}: {body}")).to_owned()
    }

    /// The text that an input's name stands for.
    pub(crate) fn resolve<'a>(&'a self, value: &'a str) -> &'a str {
        self.names.iter().find(|(name, _)| *name == value).map_or(value, |(_, text)| text)
    }

    /// Signs a call and answers it.
    pub(crate) fn call(
        &self,
        operation: &Operation,
        parameters: &[(String, String)],
        manner: Manner,
    ) -> Response {
        let now_ms = self.clock.0.fetch_add(1_000, Ordering::SeqCst) + 1_000;
        let signer = Signer {
            access_key_id: manner.key.to_owned(),
            secret: Secret::from(SECRET),
            security_token: None,
            method: manner.method,
        };
        let outgoing = signer.sign(&ClientCall {
            http_method: if manner.post { Method::POST } else { Method::GET },
            host: "vpc.test",
            action: operation.action,
            version: operation.product.version(),
            parameters,
            placement: if manner.form { Placement::Form } else { Placement::Query },
            format: if manner.xml { Format::Xml } else { Format::Json },
            timestamp: &iso8601(now_ms),
            nonce: &now_ms.to_string(),
        });
        let headers: HeaderMap = outgoing
            .headers
            .iter()
            .filter_map(|(name, value)| {
                Some((name.parse::<HeaderName>().ok()?, HeaderValue::try_from(value).ok()?))
            })
            .collect();
        let request = HttpRequest {
            method: &outgoing.method,
            path: "/",
            query: outgoing.path_and_query.split_once('?').map_or("", |(_, query)| query),
            headers: &headers,
            body: &outgoing.body,
        };
        let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), secure: false };
        self.runtime.block_on(self.service.answer(request, peer))
    }

    /// Lets the engine apply what was accepted.
    pub(crate) fn settle(&self) {
        let engine = self.service.engine();
        let store = &self.service.context().store;
        let due = store.read(|snapshot| snapshot.intents_due(i64::MAX, 1000)).expect("intents can be read");
        for intent in due {
            self.runtime.block_on(engine.step(&intent.resource)).expect("a step can be made");
        }
    }
}

fn keyring() -> Keyring {
    let [own, other] = ACCOUNTS;
    let observer = Identity::User {
        name: "observer".into(),
        id: "2000".into(),
        policies: Arc::new(PolicySet::new(
            system_policy("AliyunVPNGatewayReadOnlyAccess")
                .map(|policy| Attached { origin: "system".into(), policy })
                .into_iter()
                .collect(),
        )),
    };
    let mut keyring = Keyring::default();
    for (id, account, identity) in
        [("root", own, Identity::Root), ("observer", own, observer), ("stranger", other, Identity::Root)]
    {
        keyring.insert(Key {
            id: id.into(),
            credential: Credential::Secret(Secret::from(SECRET)),
            principal: Arc::new(Principal { account: AccountId::new(account), identity }),
            active: true,
        });
    }
    keyring
}

/// Certificate and chain for a request.
fn issue(csr: &str) -> (String, String) {
    let (from, to) = (START_MS / 1000 - 86_400, START_MS / 1000 + 86_400 * 3_650);
    let subject = Subject::parse("CN=ca,OU=b,O=c,C=CN").expect("it is a subject");
    let ca = Ca::new(KeySpec::EcSm2, &subject, from, to).expect("there is randomness");
    let leaf = ca.issue(csr, Usage::Both, from, to).expect("the request is ours");
    (leaf.to_pem(), ca.certificate().to_pem())
}
