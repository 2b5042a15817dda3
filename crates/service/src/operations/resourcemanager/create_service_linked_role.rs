//! CreateServiceLinkedRole: makes the role of a service before its first use.
//!
//! Source: `docs/api/resourcemanager/CreateServiceLinkedRole.json`. The limit of roles does not hold for it.
//! Product Ram answers it under its own version, too.

use crate::catalogue as c;
use crate::operation::{
    Condition, DryRun, Handler, Operation, Parameter, Part, Product, Shape, optional, required,
};
use crate::operations::ram::service_linked;

/// The operation.
pub static OPERATION: Operation = of(Product::ResourceManager);

const PARAMETERS: &[Parameter] = &[
    required("ServiceName", Shape::Text, "Service that the role is for: certificate.vpn.aliyuncs.com."),
    optional("CustomSuffix", Shape::Text, "Refused: no service here may have several roles."),
    optional("Description", Shape::Text, "1 to 1024 characters; the preset text stays all the same."),
];
static ERRORS: [&c::Code; 5] =
    [&c::NO_PERMISSION, &c::INCORRECT, &c::RAM_LENGTH, &c::RAM_INVALID_CHARS, &c::ROLE_EXISTS];

/// The operation under the version of this product.
pub(crate) const fn of(product: Product) -> Operation {
    Operation {
        product,
        action: "CreateServiceLinkedRole",
        summary: "Create the role that a service assumes for itself.",
        permission: Some("ram:CreateServiceLinkedRole"),
        resource: "*",
        arns: &[&[Part::Text("*")]],
        conditions: &[Condition { key: "ram:servicename", parameter: "ServiceName", service_of_role: false }],
        parameters: PARAMETERS,
        subject: Some("ServiceName"),
        dry_run: DryRun::None,
        errors: &ERRORS,
        handler: Handler::UntypedWrite(service_linked::create),
    }
}
