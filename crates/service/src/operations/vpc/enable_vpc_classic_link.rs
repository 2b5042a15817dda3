//! EnableVpcClassicLink: turns ClassicLink of a VPC on.
//!
//! Source: `docs/api/vpc/EnableVpcClassicLink.json`. There is no classic network here, as there is none of the vendor's
//! any more: the switch is kept and shown, and links nothing.

use tongguan_model::network::NetworkStatus;
use tongguan_store::Tx;

use crate::api::vpc::{EnableVpcClassicLink, EnableVpcClassicLinkOutput};
use crate::call::Call;
use crate::catalogue as c;
use crate::operation::{Failure, Write};

use super::in_region;

impl Write for EnableVpcClassicLink {
    type Output = EnableVpcClassicLinkOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.vpc(&call.principal.account, &self.vpc_id)?;
        let mut vpc = in_region(found, |vpc| &vpc.region, Some(self.region), &c::VPC_NOT_FOUND)?;
        if vpc.status() != NetworkStatus::Available {
            return Err((&c::VPC_STATUS).into());
        }
        if vpc.classic_link {
            return Err((&c::CLASSIC_LINK_STATUS).into());
        }
        vpc.classic_link = true;
        tx.update_vpc(&vpc)?;
        Ok(Self::Output {})
    }
}
