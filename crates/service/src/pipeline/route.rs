//! Which operation a verified request asks for, and whether its signature may be used for that.

use tongguan_model::region::Region;
use tongguan_rpc::{Family, Incoming, Verified};

use crate::catalogue::{self, Refusal};
use crate::operation::{self, Operation, Product};

/// The region in the scope of who signs for a product without regions.
const CENTER: &str = "center";

/// The operation that a verified request asks for, if its signature may be used for that.
pub(crate) fn route<'r>(
    verified: &Verified<'r, '_>,
    default_region: &Region,
) -> Result<&'static Operation, Refusal> {
    let given = |value: Option<&'r str>, name: &'static str| match value {
        Some(value) if !value.is_empty() => Ok(value),
        Some(_) | None => Err(Refusal::new(&catalogue::MISSING).parameter(name)),
    };
    let version = given(verified.version(), "Version")?;
    let action = given(verified.action(), "Action")?;
    let product = Product::of_version(version).ok_or_else(|| Refusal::new(&catalogue::INVALID_VERSION))?;
    let operation =
        operation::find(product, action).ok_or_else(|| Refusal::new(&catalogue::ACTION_NOT_FOUND))?;
    fits(verified, operation, default_region)?;
    Ok(operation)
}

/// Whether the scope of the signing key covers the operation: a key that was derived for one product and region
/// opens no other. The region is the one that the call names, where the operation reads it, or the service's;
/// products without regions are signed for `center` too.
fn fits(verified: &Verified<'_, '_>, operation: &Operation, default_region: &Region) -> Result<(), Refusal> {
    let not_covered =
        |detail: &str| Err(Refusal::new(&catalogue::SIGNATURE_INCOMPLETE).because(format!("({detail})")));
    let scope = match (verified.family(), verified.scope()) {
        (Family::V1 | Family::V3, None) => return Ok(()),
        (Family::V4, Some(scope)) => scope,
        _ => return not_covered("Credential has no scope"),
    };
    if !scope.product.eq_ignore_ascii_case(operation.product.as_str()) {
        return not_covered("the scope of Credential is for another product");
    }
    let regional = operation.takes("RegionId") || operation.resource.contains("{RegionId}");
    let named = verified.parameters().get("RegionId").filter(|_| regional);
    let central = operation.product.conventions().central.then_some(CENTER);
    if [named, central, Some(default_region.id)].into_iter().flatten().any(|region| region == scope.region) {
        return Ok(());
    }
    not_covered("the scope of Credential is for another region")
}

/// The product that a request is meant for, before anything of it is verified: that of its version, else that which
/// alone has the action. For what an answer says beside the refusal; nothing is granted by it.
pub(crate) fn product(incoming: &Incoming<'_>) -> Option<Product> {
    if let Some(product) = incoming.claims().version().and_then(Product::of_version) {
        return Some(product);
    }
    let action = incoming.claims().action()?;
    let mut having = operation::ALL.iter().filter(|known| known.action == action);
    let product = having.next()?.product;
    having.all(|other| other.product == product).then_some(product)
}
