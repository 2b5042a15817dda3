//! DetachPolicyFromGroup: takes a policy away from a group. Source: `docs/api/ram/DetachPolicyFromGroup.json`.

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
    action: "DetachPolicyFromGroup",
    summary: "Take a policy away from a group.",
    permission: Some("ram:DetachPolicyFromGroup"),
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
        &c::GROUP_POLICY_NOT_FOUND,
    ],
    handler: Handler::UntypedWrite(detach),
};

fn detach(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    attachments::detach(&attachments::GROUPS, call, args)
}
