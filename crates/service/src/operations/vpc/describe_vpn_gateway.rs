//! DescribeVpnGateway: reads one gateway. Every asynchronous VPN operation is polled with it.
//!
//! Source: `docs/api/vpc/DescribeVpnGateway.json`.

use crate::api::vpc::{DescribeVpnGateway, DescribeVpnGatewayOutput};
use crate::operation::prelude::*;

use super::gateway_in;
use super::shapes::{gateway_info, tag_infos, unsettled};

impl Read for DescribeVpnGateway {
    type Output = DescribeVpnGatewayOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let found = snapshot.gateway_and_tags(&call.principal.account, &self.vpn_gateway_id)?;
        let (found, tags) = found.unzip();
        let gateway = gateway_in(found, Some(self.region))?;
        Ok(gateway_info(gateway, tag_infos(tags.unwrap_or_default())))
    }

    fn unsettled(output: &Self::Output) -> Vec<String> {
        unsettled(std::slice::from_ref(output))
    }
}
