//! Calls of the model in the words of the API, and who signs them.

use std::cell::Cell;

use http::Method;
use tongguan_rpc::Placement;
use tongguan_testkit::{Call, Caller, Manner, Stamp, http as wire};

use crate::model::{Action, Certificate, Operation, Text};

/// The host that requests are signed for.
const HOST: &str = "torture.test";

/// The root key of the callers.
#[must_use]
pub fn root() -> Caller {
    Caller::of("tortureid", "0123456789abcdefghijklmnopqrst")
}

/// An operation of the model on a gateway; `certificates` are the ids that it counts.
#[must_use]
pub fn call_of(gateway: &str, operation: &Operation, certificates: &[String]) -> Call<'static> {
    let name = operation.action.name();
    let certificate = |number: Certificate| {
        certificates.get(usize::from(number)).map_or("00000000-0000-0000-0000-000000000000", String::as_str)
    };
    let mut call = match operation.action {
        Action::Bind(role, number) | Action::Unbind(role, number) => Call::vpc(
            name,
            &[
                ("VpnGatewayId", gateway),
                ("CertificateType", role.name()),
                ("CertificateId", certificate(number)),
            ],
        ),
        Action::Modify(new_name, description) => {
            let mut call = Call::vpc(name, &[("VpnGatewayId", gateway)]);
            if let Some(number) = new_name {
                call = call.with("Name", &name_text(number));
            }
            if let Some(number) = description {
                call = call.with("Description", &description_text(number));
            }
            call
        }
        Action::Delete | Action::Describe | Action::Changes => Call::vpc(name, &[("VpnGatewayId", gateway)]),
        Action::List => Call::vpc(name, &[("VpnGatewayId.1", gateway)]),
    };
    if operation.dry {
        call = call.with("DryRun", "true");
    }
    if let Some(token) = operation.token {
        call = call.with("ClientToken", &token_text(token));
    }
    call
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

/// Signs calls: every second one in V3, the others in V1.
#[derive(Debug)]
pub struct Pen {
    caller: Caller,
    count: Cell<u64>,
}

impl Default for Pen {
    fn default() -> Self {
        Self { caller: root(), count: Cell::new(0) }
    }
}

impl Pen {
    /// That of somebody else than the root key.
    #[must_use]
    pub fn of(caller: Caller) -> Self {
        Self { caller, count: Cell::new(0) }
    }

    /// The request as it goes over the wire.
    pub fn sign(&self, call: &Call<'_>) -> Vec<u8> {
        let count = self.count.get();
        self.count.set(count + 1);
        let manner = match (count % 2, call.placement) {
            (0, Placement::Query) => Manner { http_method: Method::GET, host: HOST, ..Manner::V1 },
            (0, Placement::Form) => Manner { host: HOST, ..Manner::V1 },
            (_, Placement::Query | Placement::Form) => Manner { host: HOST, ..Manner::V3 },
        };
        wire::bytes(&self.caller.sign(call, &manner, &Stamp::now()), "")
    }
}
