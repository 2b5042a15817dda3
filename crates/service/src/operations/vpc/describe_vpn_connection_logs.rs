//! DescribeVpnConnectionLogs: what was seen of the negotiation of a connection's tunnels, the oldest first.
//!
//! Source: `docs/api/vpc/DescribeVpnConnectionLogs.json`. A line is written whenever a tunnel is seen in another state;
//! the last hundred of each tunnel are kept.

use tongguan_store::Snapshot;

use crate::api::vpc::{DescribeVpnConnectionLogs, DescribeVpnConnectionLogsOutput};
use crate::args::{Args, Paging};
use crate::call::Call;
use crate::catalogue::Refusal;
use crate::operation::{Failure, Read};

use super::connection_in;
use super::diagnosis::line;

/// Longest window that a length in minutes can give.
const MINUTES: u64 = 10;

/// The length of the window, which must be given or follow from both its ends.
pub(crate) fn period(
    args: &Args<'_>,
    name: &'static str,
    from: &Option<u64>,
    to: &Option<u64>,
) -> Result<Option<u64>, Refusal> {
    match args.number(name, 1..=MINUTES)? {
        None if from.is_none() || to.is_none() => Err(args.missing(name)),
        minutes => Ok(minutes),
    }
}

impl Read for DescribeVpnConnectionLogs {
    type Output = DescribeVpnConnectionLogsOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let found = snapshot.connection(&call.principal.account, &self.vpn_connection_id)?;
        let connection = connection_in(found, self.region)?;
        let (from, to) = self.window(call.now_ms.div_euclid(1000).max(0).cast_unsigned());
        let milliseconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
        // The last second counts to its end.
        let end = milliseconds(to).saturating_add(999);
        let seen = snapshot.observations(&connection.id, milliseconds(from), end)?;
        let wanted = |id: &str| self.tunnel_id.as_deref().is_none_or(|tunnel| tunnel == id);
        let lines: Vec<_> = seen
            .iter()
            .filter(|seen| wanted(seen.tunnel.as_str()))
            .map(|seen| line(&connection, seen))
            .collect();
        let paging = Paging { number: self.page_number, size: self.page_size };
        let (offset, size) = (usize::try_from(paging.offset()).unwrap_or(usize::MAX), paging.size as usize);
        let data: Vec<_> = lines.into_iter().skip(offset).take(size).map(Into::into).collect();
        Ok(Self::Output {
            count: data.len() as i64,
            data,
            is_completed: true,
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
        })
    }
}

impl DescribeVpnConnectionLogs {
    /// Begin and end of the window, UNIX seconds, each inclusive.
    fn window(&self, now: u64) -> (u64, u64) {
        let length = self.minute_period.unwrap_or(0) * 60;
        match (self.from, self.to) {
            (Some(from), Some(to)) => (from, to),
            (Some(from), None) => (from, from.saturating_add(length)),
            (None, to) => {
                let to = to.unwrap_or(now);
                (to.saturating_sub(length), to)
            }
        }
    }
}
