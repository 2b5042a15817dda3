//! AttachPolicyToUser: attaches a policy to a user. Source: `docs/api/ram/AttachPolicyToUser.json`.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product, UntypedChange};

use super::attachments::{self, RESOURCE_GROUP};
use super::names;
use super::policies::{POLICY_NAME, POLICY_TYPE};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "AttachPolicyToUser",
    summary: "Attach a policy to a user.",
    permission: Some("ram:AttachPolicyToUser"),
    resource: "acs:ram:*:{accountId}:user/{UserName} + acs:ram:*:{accountId}|system:policy/{PolicyName}",
    arns: &[
        &[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":user/"), Part::Parameter("UserName")],
        &[Part::Text("acs:ram:*:"), Part::PolicyOwner, Part::Text(":policy/"), Part::Parameter("PolicyName")],
    ],
    conditions: &[],
    parameters: &[POLICY_TYPE, POLICY_NAME, names::USER_NAME, RESOURCE_GROUP],
    subject: Some("UserName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::INCORRECT,
        &c::USER_NOT_FOUND,
        &c::POLICY_NOT_FOUND,
        &c::OF_A_SERVICE,
        &c::USER_POLICY_EXISTS,
        &c::USER_POLICY_QUOTA,
    ],
    handler: Handler::UntypedWrite(attach),
};

fn attach(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    attachments::attach(&attachments::USERS, context, call, args)
}
