//! CreateDefaultVpc: creates the default VPC of a region, one in each.
//!
//! Source: `docs/api/vpc/CreateDefaultVpc.json`. No source says which block it gets; that of a VPC that names none is
//! taken. IPv6 is not offered and is refused with its documented code.

use tongguan_model::network::Vpc;
use tongguan_store::Tx;

use crate::api::vpc::{CreateDefaultVpc, CreateDefaultVpcOutput};
use crate::call::Call;
use crate::catalogue as c;
use crate::operation::{Failure, Write};
use crate::operations::resourcemanager::groups::group_or_default;

use super::networks::DEFAULT_BLOCK;
use super::new_networks::{make_vpc, new_vpc};

impl Write for CreateDefaultVpc {
    type Output = CreateDefaultVpcOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        if tx.default_vpc(&call.principal.account, self.region.id)?.is_some() {
            return Err((&c::DEFAULT_VPC_EXISTS).into());
        }
        let group = group_or_default(call, tx, self.resource_group_id.as_deref())?;
        let vpc = Vpc { is_default: true, ..new_vpc(call, self.region, DEFAULT_BLOCK, group) };
        make_vpc(call, tx, &vpc, &[])?;
        Ok(Self::Output {
            vpc_id: vpc.id.into(),
            vrouter_id: vpc.vrouter.into(),
            route_table_id: vpc.route_table.into(),
        })
    }
}
