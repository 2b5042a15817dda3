//! GetCallerIdentity: tells who signed the request. Source: `docs/api/sts/GetCallerIdentity.json`.
//!
//! No permission is defined for it: every valid signer gets an answer.

use serde::Serialize;
use tongguan_model::principal::Identity;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::context::Context;
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Sts,
    action: "GetCallerIdentity",
    summary: "Tell who signed this request.",
    permission: None,
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[],
    parameters: &[],
    subject: None,
    dry_run: DryRun::None,
    errors: &[],
    handler: Handler::Pure(identity),
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CallerIdentity<'a> {
    request_id: &'a str,
    identity_type: &'static str,
    account_id: &'a str,
    principal_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_id: Option<&'a str>,
    arn: String,
}

fn identity(_: &Context, call: &Call, _: &Args<'_>) -> Result<Reply, Failure> {
    let principal = &call.principal;
    let account_id = principal.account.as_str();
    let assumed;
    let (identity_type, principal_id, user_id, role_id) = match &principal.identity {
        Identity::Root => ("Account", account_id, Some(account_id), None),
        Identity::User { id, .. } => ("RAMUser", id.as_str(), Some(id.as_str()), None),
        Identity::Session(session) => {
            assumed = format!("{}:{}", session.role_id, session.name);
            ("AssumedRoleUser", assumed.as_str(), None, Some(session.role_id.as_str()))
        }
    };
    call.reply(&CallerIdentity {
        request_id: &call.request_id,
        identity_type,
        account_id,
        principal_id,
        user_id,
        role_id,
        arn: principal.arn(),
    })
}
