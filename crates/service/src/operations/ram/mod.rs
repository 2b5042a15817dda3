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
pub mod update_access_key;
pub mod update_user;
