//! DescribeVpnConnection: reads one IPsec connection, attachments included.
//!
//! Source: `docs/api/vpc/DescribeVpnConnection.json`. `State` is what was asked for and how far that has come;
//! `Status` is what the data plane sees of the far end. Keys are shown in clear, as the vendor does.

use tongguan_store::Snapshot;

use crate::api::vpc::{DescribeVpnConnection, DescribeVpnConnectionOutput};
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::connection_shapes::{TagsOf, infos, unsettled};
use super::keyed_connection_in;

impl Read for DescribeVpnConnection {
    type Output = DescribeVpnConnectionOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let found = snapshot.connection_with_keys(&call.principal.account, &self.vpn_connection_id)?;
        let keyed = keyed_connection_in(found, self.region)?;
        let mut infos = infos(call, snapshot, &[keyed], TagsOf::One)?;
        infos.pop().ok_or_else(|| Failure::Internal("a connection is not shown".into()))
    }

    fn unsettled(output: &Self::Output) -> Vec<String> {
        unsettled(std::slice::from_ref(output))
    }
}
