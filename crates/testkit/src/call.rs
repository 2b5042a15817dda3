//! Calls, who makes them, and how they are signed.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use http::Method;
use serde_json::Value;
use tongguan_rpc::{
    ClientCall, Format, Limits, OutgoingRequest, Placement, Secret, SignatureMethod, Signer, parse,
};

use crate::api::{REGION, VPC};
use crate::request::Owned;

/// An access key: what signs a call.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The AccessKey id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// The security token of a temporary key.
    pub token: Option<String>,
}

/// An operation with its parameters, not signed yet.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// Version of the API, which also names the product.
    pub version: &'a str,
    /// Name of the operation.
    pub action: &'a str,
    /// Parameters as on the wire, each name once.
    pub parameters: Vec<(String, String)>,
    /// Where the parameters go.
    pub placement: Placement,
}

/// How a call is sent.
#[derive(Debug, Clone)]
pub struct Manner<'a> {
    /// How it is signed; for V4 see [`Caller::sign_v4`].
    pub signature: SignatureMethod,
    /// GET or POST.
    pub http_method: Method,
    /// The format that is asked for.
    pub format: Format,
    /// The `Host` header.
    pub host: &'a str,
}

/// What makes a request the only one of its kind: its time and its nonce.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub timestamp: String,
    /// Never used before.
    pub nonce: String,
}

impl Caller {
    /// A key that is not temporary.
    pub fn of(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), secret: secret.to_owned(), token: None }
    }

    /// A key that every [rig](crate::rig) knows, by its id; `retired` is the one that is not active.
    pub fn named(id: &str) -> Self {
        Self::of(id, &format!("{id} secret"))
    }

    /// The root key of an account that is not the tests' own.
    pub fn stranger() -> Self {
        Self::named("stranger")
    }

    /// Temporary credentials, as AssumeRole answers them.
    pub fn session(answer: &Value) -> Self {
        let text = |name: &str| answer["Credentials"][name].as_str().unwrap().to_owned();
        Self { id: text("AccessKeyId"), secret: text("AccessKeySecret"), token: Some(text("SecurityToken")) }
    }

    /// A key, as CreateAccessKey answers it.
    pub fn created(answer: &Value) -> Self {
        let text = |name: &str| answer["AccessKey"][name].as_str().unwrap();
        Self::of(text("AccessKeyId"), text("AccessKeySecret"))
    }

    /// Signs a call in V1 or V3.
    pub fn sign(&self, call: &Call<'_>, manner: &Manner<'_>, stamp: &Stamp) -> OutgoingRequest {
        let signer = Signer {
            access_key_id: self.id.clone(),
            secret: Secret::from(self.secret.as_str()),
            security_token: self.token.clone(),
            method: manner.signature,
        };
        signer.sign(&ClientCall {
            http_method: manner.http_method.clone(),
            host: manner.host,
            action: call.action,
            version: call.version,
            parameters: &call.parameters,
            placement: call.placement,
            format: manner.format,
            timestamp: &stamp.timestamp,
            nonce: &stamp.nonce,
        })
    }

    /// Signs a call in V4 under a scope of region and product, as whoever holds the key that is derived for it can.
    pub fn sign_v4(
        &self,
        call: &Call<'_>,
        (region, product): (&str, &str),
        stamp: &Stamp,
    ) -> OutgoingRequest {
        const END: &str = "aliyun_v4_request";
        let mut request = self.sign(call, &Manner::V3, stamp);
        let date = stamp.timestamp[..10].replace('-', "");
        let header = request.headers.iter().position(|(name, _)| name == "authorization").unwrap();
        let (_, names) = request.headers[header].1.split_once("SignedHeaders=").unwrap();
        let names = names.split(',').next().unwrap().to_owned();
        let credential = format!("{}/{date}/{region}/{product}/{END}", self.id);
        let authorization = |signature: &str| {
            format!("ACS4-HMAC-SHA256 Credential={credential},SignedHeaders={names},Signature={signature}")
        };
        request.headers[header].1 = authorization(&"0".repeat(64));
        let text = {
            let owned = Owned::from(&request);
            let incoming = parse(owned.http(), &Limits::default()).unwrap();
            incoming.claims().string_to_sign().unwrap()
        };
        let sign = |key: &[u8], text: &str| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
        };
        let derived = [&date, region, product, END]
            .into_iter()
            .fold(format!("aliyun_v4{}", self.secret).into_bytes(), |key, part| sign(&key, part));
        request.headers[header].1 = authorization(&hex::encode(sign(&derived, &text)));
        request
    }
}

impl From<(&str, &str)> for Caller {
    fn from((id, secret): (&str, &str)) -> Self {
        Self::of(id, secret)
    }
}

impl<'a> Call<'a> {
    /// With its parameters in the query.
    pub fn new(version: &'a str, action: &'a str, parameters: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let parameters = parameters.iter().map(owned).collect();
        Self { version, action, parameters, placement: Placement::Query }
    }

    /// An operation of product Vpc in the [region](REGION) of the tests.
    pub fn vpc(action: &'a str, parameters: &[(&str, &str)]) -> Self {
        Self::new(VPC, action, parameters).with("RegionId", REGION)
    }

    /// With one more parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With its parameters in a form.
    #[must_use]
    pub fn form(self) -> Self {
        Self { placement: Placement::Form, ..self }
    }
}

impl Manner<'_> {
    /// POST, HMAC-SHA1, answered in JSON.
    pub const V1: Manner<'static> = Manner {
        signature: SignatureMethod::HmacSha1,
        http_method: Method::POST,
        format: Format::Json,
        host: "vpc.test",
    };
    /// POST, ACS3-HMAC-SHA256, answered in JSON.
    pub const V3: Manner<'static> = Manner { signature: SignatureMethod::Acs3HmacSha256, ..Self::V1 };
}

impl Stamp {
    /// The present time, and a nonce that no other run repeats.
    pub fn now() -> Self {
        static RUN: LazyLock<u64> = LazyLock::new(|| uuid::Uuid::new_v4().as_u64_pair().0);
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::of(jiff::Timestamp::now(), format!("{:016x}{count:016x}", *RUN))
    }

    /// A moment, UNIX milliseconds, and a nonce.
    pub fn at(ms: i64, nonce: impl Into<String>) -> Self {
        Self::of(jiff::Timestamp::from_millisecond(ms).unwrap(), nonce.into())
    }

    fn of(moment: jiff::Timestamp, nonce: String) -> Self {
        Self { timestamp: moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), nonce }
    }
}
