//! AttachPolicyToGroup: attaches a policy to a group. Source: `docs/api/ram/AttachPolicyToGroup.json`.

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
    action: "AttachPolicyToGroup",
    summary: "Attach a policy to a group.",
    permission: Some("ram:AttachPolicyToGroup"),
    resource: "acs:ram:*:{accountId}:group/{GroupName} + acs:ram:*:{accountId}|system:policy/{PolicyName}",
    arns: &[
        &[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":group/"), Part::Parameter("GroupName")],
        &[Part::Text("acs:ram:*:"), Part::PolicyOwner, Part::Text(":policy/"), Part::Parameter("PolicyName")],
    ],
    conditions: &[],
    parameters: &[POLICY_TYPE, POLICY_NAME, names::GROUP_NAME, RESOURCE_GROUP],
    subject: Some("GroupName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::INCORRECT,
        &c::GROUP_NOT_FOUND,
        &c::POLICY_NOT_FOUND,
        &c::OF_A_SERVICE,
        &c::GROUP_POLICY_EXISTS,
        &c::GROUP_POLICY_QUOTA,
    ],
    handler: Handler::UntypedWrite(attach),
};

fn attach(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    attachments::attach(&attachments::GROUPS, context, call, args)
}
