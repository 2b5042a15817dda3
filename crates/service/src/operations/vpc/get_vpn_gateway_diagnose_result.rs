//! GetVpnGatewayDiagnoseResult: reads what DiagnoseVpnGateway found.
//!
//! Source: `docs/api/vpc/GetVpnGatewayDiagnoseResult.json`. By id, or the last one of a gateway; both must agree if
//! both are given. An older diagnosis of a gateway is gone.

use tongguan_store::Snapshot;

use crate::api::vpc::{
    GetVpnGatewayDiagnoseResult, GetVpnGatewayDiagnoseResultDiagnoseResult as Shown,
    GetVpnGatewayDiagnoseResultOutput,
};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::iso8601;
use crate::operation::{Failure, Read};

use super::diagnosis::Item;
use super::in_region;

/// The gateway, which must be named if no diagnosis is.
pub(crate) fn gateway(
    args: &Args<'_>,
    name: &'static str,
    diagnosis: &Option<String>,
) -> Result<Option<String>, Refusal> {
    match args.text(name) {
        None if diagnosis.is_none() => Err(args.missing("DiagnoseId")),
        gateway => Ok(gateway.map(str::to_owned)),
    }
}

impl Read for GetVpnGatewayDiagnoseResult {
    type Output = GetVpnGatewayDiagnoseResultOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let (id, gateway) = (self.diagnose_id.as_deref(), self.vpn_gateway_id.as_deref());
        let found = snapshot.diagnosis(&call.principal.account, id, gateway)?;
        let row = in_region(found, |row| &row.region, Some(self.region), &c::DIAGNOSIS_NOT_FOUND)?;
        let items: Vec<Item> = serde_json::from_str(&row.findings)
            .map_err(|error| Failure::Internal(format!("diagnosis {}: {error}", row.id)))?;
        let number = items.len() as i64;
        let shown = items.into_iter().map(|item| Shown {
            diagnose_name: item.name.into(),
            diagnose_result_description: item.description.into(),
            diagnose_result_level: item.level.into(),
        });
        let done = iso8601(row.done_ms);
        Ok(Self::Output {
            begin_time: done.clone().into(),
            diagnose_id: row.id.into(),
            diagnose_result: shown.collect(),
            finish_time: done.into(),
            finished_count: number,
            resource_instance_id: row.connection.into(),
            resource_type: "IPsec".into(),
            total_count: number,
            vpn_gateway_id: row.gateway.into(),
        })
    }
}
