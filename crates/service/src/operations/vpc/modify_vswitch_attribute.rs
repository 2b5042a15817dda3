//! ModifyVSwitchAttribute: changes name or description of a vSwitch.
//!
//! Source: `docs/api/vpc/ModifyVSwitchAttribute.json`. What is left out stays as it is; the change is in force with the
//! answer. IPv6 is not offered and is refused with its documented code.

use tongguan_model::network::NetworkStatus;

use crate::api::vpc::{ModifyVSwitchAttribute, ModifyVSwitchAttributeOutput};
use crate::operation::prelude::*;

use super::in_region;

impl Write for ModifyVSwitchAttribute {
    type Output = ModifyVSwitchAttributeOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.vswitch(&call.principal.account, &self.vswitch_id)?;
        let mut vswitch =
            in_region(found, |vswitch| &vswitch.region, self.region, &c::VSWITCH_NOT_FOUND_MODIFY)?;
        if vswitch.status() != NetworkStatus::Available {
            return Err((&c::VSWITCH_STATUS).into());
        }
        vswitch.name = self.vswitch_name.clone().unwrap_or(vswitch.name);
        vswitch.description = self.description.clone().unwrap_or(vswitch.description);
        tx.update_vswitch(&vswitch)?;
        Ok(Self::Output {})
    }
}
