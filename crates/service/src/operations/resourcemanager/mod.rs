//! Product ResourceManager (2020-03-31): service-linked roles. How they are made stands with product Ram, whose
//! CreateServiceLinkedRole this product answers too.

pub mod delete_service_linked_role;
pub mod get_service_linked_role_deletion_status;
