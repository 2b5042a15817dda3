//! DeleteCustomerGateway: removes a customer gateway. Source: `docs/api/vpc/DeleteCustomerGateway.json`.

use tongguan_store::Tx;

use crate::api::vpc::{DeleteCustomerGateway, DeleteCustomerGatewayOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::customer_gateway_in;

impl Write for DeleteCustomerGateway {
    type Output = DeleteCustomerGatewayOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.customer_gateway(&call.principal.account, &self.customer_gateway_id)?;
        let row = customer_gateway_in(found, self.region)?;
        tx.delete_customer_gateway(&row)?;
        Ok(Self::Output {})
    }
}
