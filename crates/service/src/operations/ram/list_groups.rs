//! ListGroups: lists the groups, page by page, in the order of creation. Source: `docs/api/ram/ListGroups.json`.

use crate::api::ram::{ListGroups, ListGroupsOutput};
use crate::operation::prelude::*;

use super::paging::Paging;

impl Read for ListGroups {
    type Output = ListGroupsOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let paging = Paging::new(self.marker, self.max_items);
        let groups = snapshot.groups(&call.principal.account, paging.after, paging.fetch())?;
        let page = paging.cut(call, groups, |group| group.seq)?;
        Ok(Self::Output {
            is_truncated: page.is_truncated,
            marker: page.marker,
            groups: page.rows.into_iter().map(Into::into).collect(),
        })
    }
}
