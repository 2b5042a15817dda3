//! GetCallerIdentity: tells who signed the request. Source: `docs/api/sts/GetCallerIdentity.json`.
//!
//! No permission is defined for it: every valid signer gets an answer.

use tongguan_model::principal::Identity;

use crate::api::sts::{GetCallerIdentity, GetCallerIdentityOutput};
use crate::operation::prelude::*;

impl Pure for GetCallerIdentity {
    type Output = GetCallerIdentityOutput;

    fn answer(&self, call: &Call) -> Result<Self::Output, Failure> {
        let principal = &call.principal;
        let account = principal.account.as_str();
        let (kind, id, user, role) = match &principal.identity {
            Identity::Root => ("Account", account.to_owned(), Some(account), None),
            Identity::User { id, .. } => ("RAMUser", id.clone(), Some(id.as_str()), None),
            Identity::Session(session) => {
                let id = format!("{}:{}", session.role_id, session.name);
                ("AssumedRoleUser", id, None, Some(session.role_id.as_str()))
            }
        };
        Ok(Self::Output {
            identity_type: kind.into(),
            account_id: account.to_owned().into(),
            principal_id: id.into(),
            user_id: user.map(|id| id.to_owned().into()),
            role_id: role.map(|id| id.to_owned().into()),
            arn: principal.arn().into(),
        })
    }
}
