//! CreateServiceLinkedRole: makes the role of a service before its first use.
//!
//! Source: `docs/api/resourcemanager/CreateServiceLinkedRole.json`. The limit of roles does not hold for it.
//!
//! The same operation as that of product ResourceManager, under the version of product Ram.

use crate::catalogue as c;
use crate::operation::{DryRun, Handler, Operation, Product, Shape, optional, required};

use super::service_linked;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "CreateServiceLinkedRole",
    summary: "Create the role that a service assumes for itself.",
    permission: Some("ram:CreateServiceLinkedRole"),
    resource: "*",
    parameters: &[
        required("ServiceName", Shape::Text, "Service that the role is for: certificate.vpn.aliyuncs.com."),
        optional("CustomSuffix", Shape::Text, "Refused: no service here may have several roles."),
        optional("Description", Shape::Text, "1 to 1024 characters; the preset text stays all the same."),
    ],
    subject: Some("ServiceName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::INCORRECT, &c::RAM_LENGTH, &c::RAM_INVALID_CHARS, &c::ROLE_EXISTS],
    handler: Handler::Write(service_linked::create),
};
