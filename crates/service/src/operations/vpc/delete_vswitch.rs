//! DeleteVSwitch: deletes an empty vSwitch. Source: `docs/api/vpc/DeleteVSwitch.json`.

use tongguan_model::network::NetworkStatus;

use crate::api::vpc::{DeleteVSwitch, DeleteVSwitchOutput};
use crate::operation::prelude::*;

use super::in_region;

impl Write for DeleteVSwitch {
    type Output = DeleteVSwitchOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.vswitch(&call.principal.account, &self.vswitch_id)?;
        let vswitch = in_region(found, |vswitch| &vswitch.region, self.region, &c::VSWITCH_NOT_FOUND)?;
        if vswitch.status() != NetworkStatus::Available {
            return Err((&c::VSWITCH_STATUS).into());
        }
        if tx.gateways_in_vswitch(&vswitch.id)? > 0 {
            return Err((&c::VSWITCH_IN_USE).into());
        }
        tx.delete_vswitch(&vswitch)?;
        Ok(Self::Output {})
    }
}
