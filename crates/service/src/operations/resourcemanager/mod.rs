//! Product ResourceManager (2020-03-31): service-linked roles. What they do stands with product Ram.

pub mod create_service_linked_role;
pub mod delete_service_linked_role;
pub mod get_service_linked_role_deletion_status;
