//! CreateServiceLinkedRole: the same operation as that of product ResourceManager, under the version of product Ram.

use crate::operation::{Operation, Product};
use crate::operations::resourcemanager::create_service_linked_role;

/// The operation.
pub static OPERATION: Operation = create_service_linked_role::of(Product::Ram);
