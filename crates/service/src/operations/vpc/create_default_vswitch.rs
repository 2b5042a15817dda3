//! CreateDefaultVSwitch: creates the default vSwitch of a zone in the default VPC, one in each.
//!
//! Source: `docs/api/vpc/CreateDefaultVSwitch.json`. It gets the first free block of its size; no source says which.

use tongguan_model::network::VSwitch;
use tongguan_store::Tx;

use crate::api::vpc::{CreateDefaultVSwitch, CreateDefaultVSwitchOutput};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Failure, Write};

use super::new_networks::{free_block, make_vswitch, new_vswitch, siblings};

/// Mask of a default vSwitch: 4,096 addresses.
const PREFIX: u8 = 20;

impl Write for CreateDefaultVSwitch {
    type Output = CreateDefaultVSwitchOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        self.region.zone(&self.zone_id).ok_or_else(|| Refusal::new(&c::ZONE_NOT_FOUND))?;
        let vpc = tx.default_vpc(account, self.region.id)?.ok_or(&c::NO_DEFAULT_VPC)?;
        if tx.default_vswitch(account, &self.zone_id)?.is_some() {
            return Err((&c::DEFAULT_VSWITCH_EXISTS).into());
        }
        let siblings = siblings(tx, &vpc)?;
        let block = free_block(tx, &vpc, &siblings, PREFIX)?;
        let vswitch =
            VSwitch { is_default: true, ..new_vswitch(call, self.region, vpc, &self.zone_id, block) };
        make_vswitch(call, tx, &vswitch, &siblings, &[])?;
        Ok(Self::Output { vswitch_id: vswitch.id.into() })
    }
}
