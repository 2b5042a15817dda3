//! ModifyRouteTableAttributes: changes name, description or route propagation of a route table.
//!
//! Source: `docs/api/vpc/ModifyRouteTableAttributes.json`. What is left out stays as it is. There are system tables
//! alone here, one in each VPC.

use tongguan_model::network::NetworkStatus;
use tongguan_store::Tx;

use crate::api::vpc::{ModifyRouteTableAttributes, ModifyRouteTableAttributesOutput};
use crate::call::Call;
use crate::catalogue as c;
use crate::operation::{Failure, Write};

use super::in_region;

impl Write for ModifyRouteTableAttributes {
    type Output = ModifyRouteTableAttributesOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.vpc_of_route_table(&call.principal.account, &self.route_table_id)?;
        let mut vpc = in_region(found, |vpc| &vpc.region, Some(self.region), &c::ROUTE_TABLE_NOT_FOUND)?;
        if vpc.status() != NetworkStatus::Available {
            return Err((&c::ROUTE_TABLE_VPC_STATUS).into());
        }
        vpc.route_table_name = self.route_table_name.clone().unwrap_or(vpc.route_table_name);
        vpc.route_table_description = self.description.clone().unwrap_or(vpc.route_table_description);
        vpc.route_propagation = self.route_propagation_enable.unwrap_or(vpc.route_propagation);
        tx.update_vpc(&vpc)?;
        Ok(Self::Output {})
    }
}
