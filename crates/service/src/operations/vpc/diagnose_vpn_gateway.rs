//! DiagnoseVpnGateway: looks at a gateway and one of its connections, and keeps what was found.
//!
//! Source: `docs/api/vpc/DiagnoseVpnGateway.json`. It is done at once: everything that it looks at is known. The last
//! diagnosis of each gateway is kept. Looking disturbs nothing, so it is done in any state of the gateway.

use std::net::Ipv4Addr;

use serde::Deserialize;
use tongguan_store::{DiagnosisRow, Tx};

use crate::api::vpc::{DiagnoseVpnGateway, DiagnoseVpnGatewayOutput};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::new_id;
use crate::operation::{Failure, Write};

use super::diagnosis::Patient;
use super::{connection_in, gateway_in};

/// Two addresses of which one is to reach the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Probe {
    private_source_ip: Ipv4Addr,
    private_destination_ip: Ipv4Addr,
}

/// The probe that is asked for; an empty object asks for none.
pub(crate) fn probe(args: &Args<'_>, name: &'static str) -> Result<Option<Probe>, Refusal> {
    match args.text(name) {
        None | Some("{}") => Ok(None),
        Some(text) => serde_json::from_str(text).map(Some).map_err(|_| args.illegal(name, text)),
    }
}

impl Write for DiagnoseVpnGateway {
    type Output = DiagnoseVpnGatewayOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        let gateway = gateway_in(tx.gateway(account, &self.vpn_gateway_id)?, Some(self.region))?;
        let connection = connection_in(tx.connection(account, &self.resource_id)?, self.region)?;
        if connection.gateway.as_ref() != Some(&gateway.id) {
            return Err((&c::CONNECTION_NOT_FOUND).into());
        }
        let items = Patient {
            bindings: &tx.bindings_in_force(&gateway.id)?,
            tunnels: &tx.tunnels_named(connection.id.as_str())?,
            gateway: &gateway,
            connection: &connection,
            probe: self
                .ipsec_extend_info
                .map(|probe| (probe.private_source_ip, probe.private_destination_ip)),
        }
        .items();
        let findings = serde_json::to_string(&items)
            .map_err(|error| Failure::Internal(format!("a diagnosis: {error}")))?;
        let row = DiagnosisRow {
            id: new_id("vpndgn", self.region, call.now_ms),
            account: account.clone(),
            region: gateway.region,
            gateway: gateway.id,
            connection: connection.id,
            findings,
            done_ms: call.now_ms,
        };
        tx.put_diagnosis(&row)?;
        Ok(Self::Output { diagnose_id: row.id.into() })
    }
}
