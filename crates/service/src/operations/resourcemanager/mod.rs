//! Product ResourceManager, version 2020-03-31: resource groups, and service-linked roles. CreateServiceLinkedRole is
//! the one of product Ram.

pub mod create_resource_group;
pub mod delete_resource_group;
pub mod delete_service_linked_role;
pub mod get_resource_group;
pub mod get_service_linked_role_deletion_status;
pub(crate) mod groups;
pub mod list_resource_groups;
pub mod list_tag_resources;
pub mod tag_resources;
pub mod untag_resources;
pub mod update_resource_group;
