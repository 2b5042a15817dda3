//! Calls of the API as bytes ready to send: signed, each with a nonce of its own.

use std::cell::Cell;

use http::Method;
use tongguan_rpc::{ClientCall, Format, Placement, Secret, SignatureMethod, Signer};

use crate::model::{Action, Certificate, Operation, Text};

/// The AccessKey id of the callers.
pub const ACCESS_KEY_ID: &str = "tortureid";
/// Its secret.
pub const SECRET: &str = "0123456789abcdefghijklmnopqrst";
/// The account it belongs to.
pub const ACCOUNT: &str = "1234567890123456";
/// Where everything is made.
pub const REGION: &str = "cn-hangzhou";

const VPC: &str = "2016-04-28";
const KMS: &str = "2016-01-20";

/// An operation with its parameters, not signed yet.
#[derive(Debug, Clone)]
pub struct Call {
    version: &'static str,
    /// Name of the operation.
    pub action: &'static str,
    parameters: Vec<(String, String)>,
    placement: Placement,
}

impl Call {
    fn new(version: &'static str, action: &'static str, parameters: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let parameters = parameters.iter().map(owned).collect();
        Self { version, action, parameters, placement: Placement::Query }
    }

    /// An operation of product Vpc.
    #[must_use]
    pub fn vpc(action: &'static str, parameters: &[(&str, &str)]) -> Self {
        Self::new(VPC, action, parameters).with("RegionId", REGION)
    }

    /// An operation of product Kms; as a form, because of the length of certificates.
    #[must_use]
    pub fn kms(action: &'static str, parameters: &[(&str, &str)]) -> Self {
        Self { placement: Placement::Form, ..Self::new(KMS, action, parameters) }
    }

    /// With one more parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An operation of the model on a gateway; `certificates` are the ids that it counts.
    #[must_use]
    pub fn of(gateway: &str, operation: &Operation, certificates: &[String]) -> Self {
        let name = operation.action.name();
        let certificate = |number: Certificate| {
            certificates
                .get(usize::from(number))
                .map_or("00000000-0000-0000-0000-000000000000", String::as_str)
        };
        let mut call = match operation.action {
            Action::Bind(role, number) | Action::Unbind(role, number) => Self::vpc(
                name,
                &[
                    ("VpnGatewayId", gateway),
                    ("CertificateType", role.name()),
                    ("CertificateId", certificate(number)),
                ],
            ),
            Action::Modify(new_name, description) => {
                let mut call = Self::vpc(name, &[("VpnGatewayId", gateway)]);
                if let Some(number) = new_name {
                    call = call.with("Name", &name_text(number));
                }
                if let Some(number) = description {
                    call = call.with("Description", &description_text(number));
                }
                call
            }
            Action::Delete | Action::Describe | Action::Changes => {
                Self::vpc(name, &[("VpnGatewayId", gateway)])
            }
            Action::List => Self::vpc(name, &[("VpnGatewayId.1", gateway)]),
        };
        if operation.dry {
            call = call.with("DryRun", "true");
        }
        if let Some(token) = operation.token {
            call = call.with("ClientToken", &token_text(token));
        }
        call
    }

    /// CreateVpnGateway for an SM gateway.
    #[must_use]
    pub fn create_gateway(vpc: &str, vswitch: &str, name: Text, token: u32) -> Self {
        let parameters = [
            ("VpcId", vpc),
            ("VSwitchId", vswitch),
            ("Bandwidth", "10"),
            ("InstanceChargeType", "POSTPAY"),
            ("VpnType", "NationalStandard"),
        ];
        Self::vpc("CreateVpnGateway", &parameters)
            .with("Name", &name_text(name))
            .with("ClientToken", &token_text(token))
    }
}

/// The name with a number.
#[must_use]
pub fn name_text(number: Text) -> String {
    format!("n{number}")
}

/// The number of a name.
#[must_use]
pub fn name_number(text: &str) -> Option<Text> {
    text.strip_prefix('n')?.parse().ok()
}

/// The description with a number; 0 stands for none.
#[must_use]
pub fn description_text(number: Text) -> String {
    if number == 0 { String::new() } else { format!("d{number}") }
}

/// The number of a description.
#[must_use]
pub fn description_number(text: &str) -> Option<Text> {
    if text.is_empty() { Some(0) } else { text.strip_prefix('d')?.parse().ok() }
}

/// The token with a number.
#[must_use]
pub fn token_text(number: u32) -> String {
    format!("t-{number}")
}

/// Signs calls.
#[derive(Debug)]
pub struct Caller {
    v1: Signer,
    v3: Signer,
    run: u64,
    count: Cell<u64>,
}

impl Default for Caller {
    fn default() -> Self {
        Self::new()
    }
}

impl Caller {
    /// A caller whose nonces no other run repeats.
    #[must_use]
    pub fn new() -> Self {
        let signer = |method| Signer {
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret: Secret::from(SECRET),
            security_token: None,
            method,
        };
        Self {
            v1: signer(SignatureMethod::HmacSha1),
            v3: signer(SignatureMethod::Acs3HmacSha256),
            run: uuid::Uuid::new_v4().as_u64_pair().0,
            count: Cell::new(0),
        }
    }

    /// The request as it goes over the wire; every second one is signed in V3.
    pub fn sign(&self, call: &Call) -> Vec<u8> {
        let count = self.count.get();
        self.count.set(count + 1);
        let nonce = format!("{:016x}{count:016x}", self.run);
        let timestamp = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let (signer, http_method) = match (count % 2, call.placement) {
            (0, Placement::Query) => (&self.v1, Method::GET),
            (0, Placement::Form) => (&self.v1, Method::POST),
            (_, Placement::Query | Placement::Form) => (&self.v3, Method::POST),
        };
        let request = signer.sign(&ClientCall {
            http_method,
            host: "torture.test",
            action: call.action,
            version: call.version,
            parameters: &call.parameters,
            placement: call.placement,
            format: Format::Json,
            timestamp: &timestamp,
            nonce: &nonce,
        });
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.path_and_query);
        for (name, value) in &request.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if request.method == Method::POST {
            head.push_str(&format!("content-length: {}\r\n", request.body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&request.body);
        bytes
    }
}
