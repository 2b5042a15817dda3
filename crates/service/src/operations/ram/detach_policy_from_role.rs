//! DetachPolicyFromRole: takes a policy away from a role. Source: `docs/api/ram/DetachPolicyFromRole.json`.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product, UntypedChange};

use super::attachments::{self, RESOURCE_GROUP};
use super::policies::{POLICY_NAME, POLICY_TYPE};
use super::roles;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "DetachPolicyFromRole",
    summary: "Take a policy away from a role.",
    permission: Some("ram:DetachPolicyFromRole"),
    resource: "acs:ram:*:{accountId}:role/{RoleName} + acs:ram:*:{accountId}|system:policy/{PolicyName}",
    arns: &[
        &[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":role/"), Part::Parameter("RoleName")],
        &[Part::Text("acs:ram:*:"), Part::PolicyOwner, Part::Text(":policy/"), Part::Parameter("PolicyName")],
    ],
    conditions: &[],
    parameters: &[POLICY_TYPE, POLICY_NAME, roles::ROLE_NAME, RESOURCE_GROUP],
    subject: Some("RoleName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::INCORRECT,
        &c::ROLE_NOT_FOUND,
        &c::POLICY_NOT_FOUND,
        &c::OF_A_SERVICE,
        &c::ROLE_POLICY_NOT_FOUND,
    ],
    handler: Handler::UntypedWrite(detach),
};

fn detach(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    attachments::detach(&attachments::ROLES, call, args)
}
