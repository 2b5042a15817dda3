//! ListUsers: lists the users, page by page, in the order of creation. Source: `docs/api/ram/ListUsers.json`.

use crate::api::ram::{ListUsers, ListUsersOutput};
use crate::operation::prelude::*;

use super::paging::Paging;

impl Read for ListUsers {
    type Output = ListUsersOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let paging = Paging::new(self.marker, self.max_items);
        let users = snapshot.users(&call.principal.account, paging.after, paging.fetch())?;
        let page = paging.cut(call, users, |user| user.seq)?;
        Ok(Self::Output {
            is_truncated: page.is_truncated,
            marker: page.marker,
            users: page.rows.into_iter().map(Into::into).collect(),
        })
    }
}
