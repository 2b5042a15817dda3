//! DescribeVpnCrossAccountAuthorizations: the accounts that may bind a connection to their transit routers.
//!
//! Source: `docs/api/vpc/DescribeVpnCrossAccountAuthorizations.json`. There is no operation that authorises anybody, so
//! the list of a connection that there is has nothing in it.

use tongguan_store::Snapshot;

use crate::api::vpc::{DescribeVpnCrossAccountAuthorizations, DescribeVpnCrossAccountAuthorizationsOutput};
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::connection_in;

impl Read for DescribeVpnCrossAccountAuthorizations {
    type Output = DescribeVpnCrossAccountAuthorizationsOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let found = snapshot.connection(&call.principal.account, &self.vpn_connection_id)?;
        connection_in(found, self.region)?;
        Ok(Self::Output {
            cross_account_authorizations: Vec::new(),
            page_number: self.page_number.cast_signed(),
            page_size: self.page_size.cast_signed(),
            total_count: 0,
        })
    }
}
