//! Versions of the API, and where the resources of tests are.

pub use crate::versions::*;

/// The region of everything that is made.
pub const REGION: &str = "cn-hangzhou";
/// The account of the tests' own keys.
pub const ACCOUNT: &str = "1234567890123456";

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
