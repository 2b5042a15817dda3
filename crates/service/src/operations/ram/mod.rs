//! Product Ram (2015-05-01): who there is in an account, and what they may do.

pub mod names;
pub mod paging;
pub mod people;

pub mod add_user_to_group;
pub mod create_access_key;
pub mod create_group;
pub mod create_user;
pub mod delete_access_key;
pub mod delete_group;
pub mod delete_login_profile;
pub mod delete_user;
pub mod get_access_key_last_used;
pub mod get_group;
pub mod get_user;
pub mod list_access_keys;
pub mod list_groups;
pub mod list_groups_for_user;
pub mod list_users;
pub mod list_users_for_group;
pub mod remove_user_from_group;
pub mod unbind_mfa_device;
pub mod update_access_key;
pub mod update_user;

// Roles, policies and attachments.
pub mod attach_policy_to_group;
pub mod attach_policy_to_role;
pub mod attach_policy_to_user;
pub mod create_policy;
pub mod create_policy_version;
pub mod create_role;
pub mod create_service_linked_role;
pub mod delete_policy;
pub mod delete_policy_version;
pub mod delete_role;
pub mod detach_policy_from_group;
pub mod detach_policy_from_role;
pub mod detach_policy_from_user;
pub mod get_policy;
pub mod get_policy_version;
pub mod get_role;
pub mod list_entities_for_policy;
pub mod list_policies;
pub mod list_policies_for_group;
pub mod list_policies_for_role;
pub mod list_policies_for_user;
pub mod list_policy_versions;
pub mod list_roles;
pub mod list_tag_resources;
pub mod service_linked;
pub mod set_default_policy_version;
pub mod tag_resources;
pub mod untag_resources;
pub mod update_policy_description;
pub mod update_role;

mod attachments;
pub(crate) mod policies;
pub(crate) mod roles;
mod system;
pub(crate) mod taggable;
pub(crate) mod trust;
