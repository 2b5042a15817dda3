//! Versions of the API, and where the resources of tests are.

/// Version of product Vpc.
pub const VPC: &str = "2016-04-28";
/// Version of product Kms.
pub const KMS: &str = "2016-01-20";
/// Version of product Location.
pub const LOCATION: &str = "2015-06-12";
/// Version of product Sts.
pub const STS: &str = "2015-04-01";
/// Version of product Ram.
pub const RAM: &str = "2015-05-01";
/// Version of product ResourceManager.
pub const RESOURCE_MANAGER: &str = "2020-03-31";
/// Version of product Ecs.
pub const ECS: &str = "2014-05-26";
/// Version of product Alb.
pub const ALB: &str = "2020-06-16";
/// The region of everything that is made.
pub const REGION: &str = "cn-hangzhou";
/// The account of the tests' own keys.
pub const ACCOUNT: &str = "1234567890123456";

/// Version of a product, by its name.
pub fn version(product: &str) -> &'static str {
    match product {
        "Vpc" => VPC,
        "Kms" => KMS,
        "Location" => LOCATION,
        "Sts" => STS,
        "Ram" => RAM,
        "ResourceManager" => RESOURCE_MANAGER,
        "Ecs" => ECS,
        "Alb" => ALB,
        _ => panic!("no product {product}"),
    }
}

#[cfg(all(test, feature = "rig"))]
mod tests {
    use tongguan_service::operation::Product;

    use super::*;

    #[test]
    fn the_service_answers_these_versions() {
        for product in Product::ALL {
            assert_eq!(version(product.as_str()), product.version());
        }
    }
}
