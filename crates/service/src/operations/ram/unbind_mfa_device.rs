//! UnbindMFADevice: answers that the user has no MFA device. Source: `docs/api/ram/UnbindMFADevice.json`.
//!
//! There are no MFA devices here: clients that remove a user with all that it might have call it, and take its
//! answer for done.

use crate::api::ram::{UnbindMFADevice, UnbindMFADeviceOutput};
use crate::operation::prelude::*;

use super::people::find_user;

impl Write for UnbindMFADevice {
    type Output = UnbindMFADeviceOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        find_user(tx, &call.principal.account, &self.user_name)?;
        Err((&c::MFA_DEVICE_NOT_FOUND).into())
    }
}
