//! A service over a store of its own, with one resource of each kind in it.
//!
//! The clock is the rig's: every call is a second after the last, so that nonces expire and a call is
//! always fresh.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use http::Method;
use tokio::runtime::Runtime;
use tongguan_model::limits::Quotas;
use tongguan_pki::KeySpec;
use tongguan_rpc::{Format, Placement, SignatureMethod};
use tongguan_service::Response;
use tongguan_service::operation::Operation;
use tongguan_store::Options;
use tongguan_testkit::api::REGION;
use tongguan_testkit::rig::{self, issue};
use tongguan_testkit::{Call, Caller, Manner as Signed};

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
    rig: rig::Rig,
    /// What stands for an id or a text that no input can know.
    names: Vec<(&'static str, String)>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = directory.expect("a temporary directory can be made");
        let rig = rig::Rig::within(directory, Options::default(), "0", Quotas::default());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let names = runtime.block_on(furnish(&rig));
        Self { runtime, rig, names }
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
        self.rig.advance(1_000);
        let manner_of_signing = Signed {
            signature: manner.method,
            http_method: if manner.post { Method::POST } else { Method::GET },
            format: if manner.xml { Format::Xml } else { Format::Json },
            host: "vpc.test",
        };
        let call = Call {
            version: operation.product.version(),
            action: operation.action,
            parameters: parameters.to_vec(),
            placement: if manner.form { Placement::Form } else { Placement::Query },
        };
        let request = Caller::named(manner.key).sign(&call, &manner_of_signing, &self.rig.stamp());
        self.runtime.block_on(self.rig.respond(&request, IpAddr::V4(Ipv4Addr::LOCALHOST), false))
    }

    /// Lets the engine apply what was accepted.
    pub(crate) fn settle(&self) {
        self.runtime.block_on(self.rig.settle());
    }
}

/// One resource of each kind, under the names that inputs use.
async fn furnish(rig: &rig::Rig) -> Vec<(&'static str, String)> {
    const AT: (&str, &str) = ("RegionId", REGION);
    let made = async |action: &str, parameters: &[(&str, &str)], member: &str| {
        let answer = rig.call(action, parameters).await.ok();
        rig.settle().await;
        answer[member].as_str().expect("the id of what was made").to_owned()
    };
    let vpc = made("CreateVpc", &[AT, ("CidrBlock", "10.0.0.0/8")], "VpcId").await;
    let mut names = Vec::new();
    for (name, zone, block) in
        [("@vswitch", "cn-hangzhou-b", "10.0.1.0/24"), ("@vswitch2", "cn-hangzhou-d", "10.0.2.0/24")]
    {
        let parameters = [AT, ("VpcId", &vpc), ("ZoneId", zone), ("CidrBlock", block)];
        names.push((name, made("CreateVSwitch", &parameters, "VSwitchId").await));
    }
    for (name, kind) in [("@gateway", "NationalStandard"), ("@gateway2", "Normal")] {
        names.push((name, rig.gateway_in(&vpc, kind).await));
    }
    names.push(("@vpc", vpc));
    for name in ["@certificate", "@certificate2"] {
        names.push((name, rig.certificate("EC_SM2").await));
    }
    let pending = rig.pending_certificate("EC_SM2").await;
    let csr = rig.csr(&pending).await;
    let (leaf, chain) = issue(KeySpec::EcSm2, &csr);
    names.extend([("@leaf", leaf), ("@chain", chain), ("@csr", csr), ("@pending", pending)]);
    names
}
