//! ListUsersForGroup: lists the members of a group, page by page. Source: `docs/api/ram/ListUsersForGroup.json`.
//!
//! The order is that in which the users were made.

use crate::api::ram::{ListUsersForGroup, ListUsersForGroupOutput, MemberInfo};
use crate::context::iso8601;
use crate::operation::prelude::*;

use super::paging::Paging;
use super::people::find_group;

impl Read for ListUsersForGroup {
    type Output = ListUsersForGroupOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let paging = Paging::new(self.marker, self.max_items);
        let group = find_group(snapshot, &call.principal.account, &self.group_name)?;
        let members = snapshot.members(group.seq, paging.after, paging.fetch())?;
        let page = paging.cut(call, members, |member| member.user)?;
        let users = page.rows.into_iter().map(|member| MemberInfo {
            display_name: member.display_name.into(),
            join_date: iso8601(member.joined_ms).into(),
            user_name: member.name.into(),
        });
        Ok(Self::Output { is_truncated: page.is_truncated, marker: page.marker, users: users.collect() })
    }
}
