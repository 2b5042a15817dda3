//! CheckVpnBgpEnabled: whether connections of a region may use BGP. They may in every region.
//!
//! Source: `docs/api/vpc/CheckVpnBgpEnabled.json`.

use crate::api::vpc::{CheckVpnBgpEnabled, CheckVpnBgpEnabledOutput};
use crate::call::Call;
use crate::operation::{Failure, Pure};

impl Pure for CheckVpnBgpEnabled {
    type Output = CheckVpnBgpEnabledOutput;

    fn answer(&self, _: &Call) -> Result<Self::Output, Failure> {
        Ok(Self::Output { bgp_enabled: true })
    }
}
