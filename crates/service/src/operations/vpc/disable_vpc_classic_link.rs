//! DisableVpcClassicLink: turns ClassicLink of a VPC off; it may be off.
//!
//! Source: `docs/api/vpc/DisableVpcClassicLink.json`. Nothing is linked here, so nothing stands in its way.

use tongguan_model::network::NetworkStatus;
use tongguan_store::Tx;

use crate::api::vpc::{DisableVpcClassicLink, DisableVpcClassicLinkOutput};
use crate::call::Call;
use crate::catalogue as c;
use crate::operation::{Failure, Write};

use super::in_region;

impl Write for DisableVpcClassicLink {
    type Output = DisableVpcClassicLinkOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.vpc(&call.principal.account, &self.vpc_id)?;
        let mut vpc = in_region(found, |vpc| &vpc.region, Some(self.region), &c::VPC_NOT_FOUND)?;
        if vpc.status() != NetworkStatus::Available {
            return Err((&c::VPC_STATUS).into());
        }
        vpc.classic_link = false;
        tx.update_vpc(&vpc)?;
        Ok(Self::Output {})
    }
}
