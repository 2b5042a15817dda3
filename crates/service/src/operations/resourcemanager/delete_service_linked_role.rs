//! DeleteServiceLinkedRole: writes down that a service-linked role is to be removed; the engine decides.
//!
//! Source: `docs/api/resourcemanager/DeleteServiceLinkedRole.json`. While a removal is not decided, a further call
//! answers the same task.

use crate::catalogue as c;
use crate::operation::{Condition, DryRun, Handler, Operation, Part, Product, Shape, required};
use crate::operations::ram::service_linked;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::ResourceManager,
    action: "DeleteServiceLinkedRole",
    summary: "Start the removal of a service-linked role.",
    permission: Some("ram:DeleteServiceLinkedRole"),
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[Condition { key: "ram:servicename", parameter: "RoleName", service_of_role: true }],
    parameters: &[required("RoleName", Shape::Text, "Name of the service-linked role.")],
    subject: Some("RoleName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::ROLE_NOT_FOUND],
    handler: Handler::UntypedWrite(service_linked::delete),
};
