//! ListEntitiesForPolicy: lists to whom a policy is attached, each kind in the order of attachment.
//!
//! Source: `docs/api/ram/ListEntitiesForPolicy.json`.

use tongguan_model::id::AccountId;
use tongguan_store::EntityRow;

use crate::api::ram::{
    ListEntitiesForPolicy, ListEntitiesForPolicyGroupsGroup as Group, ListEntitiesForPolicyOutput,
    ListEntitiesForPolicyRolesRole as Role, ListEntitiesForPolicyUsersUser as User,
};
use crate::context::iso8601;
use crate::operation::prelude::*;

use super::{policies, roles};

impl Read for ListEntitiesForPolicy {
    type Output = ListEntitiesForPolicyOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        let policy = policies::find(snapshot, account, self.policy_type, &self.policy_name)?;
        let entities = snapshot.entities(account, policy.key())?;
        Ok(Self::Output {
            users: entities.users.into_iter().map(user).collect(),
            groups: entities.groups.into_iter().map(group).collect(),
            roles: entities.roles.into_iter().map(|row| role(account, row)).collect(),
        })
    }
}

fn user(row: EntityRow) -> User {
    User {
        user_id: row.id.into(),
        user_name: row.name.into(),
        display_name: row.text.into(),
        attach_date: iso8601(row.attached_ms).into(),
    }
}

fn group(row: EntityRow) -> Group {
    Group {
        group_name: row.name.into(),
        comments: row.text.into(),
        attach_date: iso8601(row.attached_ms).into(),
    }
}

fn role(account: &AccountId, row: EntityRow) -> Role {
    Role {
        arn: roles::arn(account, &row.name, row.service.is_some()).into(),
        role_id: row.id.into(),
        role_name: row.name.into(),
        description: row.text.into(),
        attach_date: iso8601(row.attached_ms).into(),
    }
}
