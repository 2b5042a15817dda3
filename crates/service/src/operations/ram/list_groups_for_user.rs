//! ListGroupsForUser: lists the groups that a user is in, all at once. Source: `docs/api/ram/ListGroupsForUser.json`.

use crate::api::ram::{JoinedGroupInfo, ListGroupsForUser, ListGroupsForUserOutput};
use crate::context::iso8601;
use crate::operation::prelude::*;

use super::people::find_user;

impl Read for ListGroupsForUser {
    type Output = ListGroupsForUserOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let user = find_user(snapshot, &call.principal.account, &self.user_name)?;
        let groups =
            snapshot.groups_of_user(user.seq)?.into_iter().map(|(group, joined_ms)| JoinedGroupInfo {
                comments: group.comments.into(),
                group_id: group.id.into(),
                group_name: group.name.into(),
                join_date: iso8601(joined_ms).into(),
            });
        Ok(Self::Output { groups: groups.collect() })
    }
}
