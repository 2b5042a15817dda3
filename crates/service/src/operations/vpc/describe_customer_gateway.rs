//! DescribeCustomerGateway: reads one customer gateway. Source: `docs/api/vpc/DescribeCustomerGateway.json`.
//!
//! `Asn` and `AuthKey` are there if they were given: clients take a number for a change.

use tongguan_store::Snapshot;

use crate::api::vpc::{DescribeCustomerGateway, DescribeCustomerGatewayOutput};
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::customer_gateway_in;
use super::customer_gateways::info;
use super::shapes::tags_of;

impl Read for DescribeCustomerGateway {
    type Output = DescribeCustomerGatewayOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let found = snapshot.customer_gateway(&call.principal.account, &self.customer_gateway_id)?;
        let row = customer_gateway_in(found, self.region)?;
        let tags = tags_of(snapshot, row.id.as_str())?;
        info(&call.context, row, tags)
    }
}
