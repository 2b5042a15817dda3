//! ListRoles: lists the account's roles, service-linked ones too, in the order of their creation.
//!
//! Source: `docs/api/ram/ListRoles.json`. Trust policies are not in the list.

use tongguan_store::RoleRow;

use crate::api::ram::{ListRoles, ListRolesOutput, RoleInfo};
use crate::operation::prelude::*;

use super::paging::Paging;
use super::taggable;

impl Read for ListRoles {
    type Output = ListRolesOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let paging = Paging::new(self.marker, self.max_items);
        let account = &call.principal.account;
        let roles = snapshot.roles(account, &self.tag, paging.after, paging.fetch())?;
        let page = paging.cut(call, roles, |role| role.seq)?;
        let ids: Vec<&str> = page.rows.iter().map(|role| role.id.as_str()).collect();
        let mut tags = snapshot.tags_of_all(account, &ids)?;
        let shown = |role: &RoleRow| RoleInfo {
            tags: Some(taggable::shown(tags.remove(&role.id))),
            ..RoleInfo::from(role)
        };
        Ok(Self::Output {
            roles: page.rows.iter().map(shown).collect(),
            is_truncated: page.is_truncated,
            marker: page.marker,
        })
    }
}
