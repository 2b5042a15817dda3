//! DeleteCustomerGateway: removes a customer gateway that no connection leads to.
//!
//! Source: `docs/api/vpc/DeleteCustomerGateway.json`. While the last connection to it is being removed, clients are
//! told to try again, which they do.

use tongguan_store::Tx;

use crate::api::vpc::{DeleteCustomerGateway, DeleteCustomerGatewayOutput};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Failure, Write};

use super::customer_gateway_in;

impl Write for DeleteCustomerGateway {
    type Output = DeleteCustomerGatewayOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.customer_gateway(&call.principal.account, &self.customer_gateway_id)?;
        let row = customer_gateway_in(found, self.region)?;
        let users = tx.connections_to(&row.id)?;
        // One that is on its way out is waited for; any other has to be deleted first.
        if let Some((id, _)) = users.iter().find(|(_, state)| state.is_wanted()) {
            return Err(Refusal::new(&c::CUSTOMER_GATEWAY_IN_USE).value(id.as_str()).into());
        }
        if !users.is_empty() {
            return Err((&c::GATEWAY_CONFIGURING).into());
        }
        tx.delete_customer_gateway(&row)?;
        Ok(Self::Output {})
    }
}
