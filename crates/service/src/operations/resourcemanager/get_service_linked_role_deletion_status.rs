//! GetServiceLinkedRoleDeletionStatus: shows how far the removal of a service-linked role has come.
//!
//! Source: `docs/api/resourcemanager/GetServiceLinkedRoleDeletionStatus.json`. A task is
//! remembered for a day, and of one role the last hundred.

use crate::catalogue as c;
use crate::operation::{DryRun, Handler, Operation, Part, Product, Shape, required};
use crate::operations::ram::service_linked;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::ResourceManager,
    action: "GetServiceLinkedRoleDeletionStatus",
    summary: "Read the state of such a removal.",
    permission: Some("ram:GetServiceLinkedRoleDeletionStatus"),
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[],
    parameters: &[required(
        "DeletionTaskId",
        Shape::Text,
        "Id of the task, as DeleteServiceLinkedRole answered it.",
    )],
    subject: Some("DeletionTaskId"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::ROLE_NOT_FOUND],
    handler: Handler::Read(service_linked::deletion_status),
};
