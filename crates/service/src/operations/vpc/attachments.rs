//! What the operations about attachments share: connections without a gateway, meant for transit routers.
//!
//! There are no transit routers here, so an attachment is bound to nothing and shows `init`. Nothing of it is on a data
//! plane: a change is in force at once.

use tongguan_model::connection::{Connection, TunnelBandwidth};
use tongguan_model::region::Region;

use crate::args::Args;
use crate::catalogue::{self as c, Refusal};
use crate::operation::Failure;

use super::connection_in;

/// The bandwidth of each tunnel.
pub(crate) fn bandwidth(args: &Args<'_>, name: &'static str) -> Result<TunnelBandwidth, Refusal> {
    let Some(text) = args.text(name) else { return Ok(TunnelBandwidth::Standard) };
    let found = TunnelBandwidth::ALL.iter().find(|known| known.as_str().eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| args.illegal(name, text))
}

/// Mbit/s of an attachment, as `Spec` shows it.
pub(super) fn spec(bandwidth: TunnelBandwidth) -> &'static str {
    match bandwidth {
        TunnelBandwidth::Standard => "1000M",
        TunnelBandwidth::Large => "3000M",
    }
}

/// The account's attachment in the region of the call.
pub(super) fn attachment_in(
    found: Option<Connection>,
    region: &'static Region,
) -> Result<Connection, Failure> {
    let found = connection_in(found, region)?;
    if found.gateway.is_none() { Ok(found) } else { Err((&c::CONNECTION_NOT_FOUND).into()) }
}
