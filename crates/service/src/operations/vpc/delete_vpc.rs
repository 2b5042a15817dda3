//! DeleteVpc: deletes an empty VPC. Source: `docs/api/vpc/DeleteVpc.json`.

use tongguan_model::network::NetworkStatus;

use crate::api::vpc::{DeleteVpc, DeleteVpcOutput};
use crate::operation::prelude::*;

use super::in_region;

impl Write for DeleteVpc {
    type Output = DeleteVpcOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.vpc(&call.principal.account, &self.vpc_id)?;
        let vpc = in_region(found, |vpc| &vpc.region, self.region, &c::VPC_NOT_FOUND)?;
        if vpc.status() != NetworkStatus::Available {
            return Err((&c::VPC_STATUS).into());
        }
        if !tx.vswitches_in(&vpc.id)?.is_empty() {
            return Err((&c::VPC_HAS_VSWITCH).into());
        }
        if tx.gateways_in_vpc(&vpc.id)? > 0 {
            return Err((&c::VPC_HAS_GATEWAY).into());
        }
        tx.delete_vpc(&vpc)?;
        Ok(Self::Output {})
    }
}
