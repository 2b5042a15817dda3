//! One file per operation, one line in the table.
//!
//! Adding an operation touches: its file (a static [`Operation`] with its parameters, errors and
//! handler), its line in [`ALL`], one success and one refusal case under `conformance/`, and calls and recorded answers
//! under `tests/`.

pub mod kms;
pub mod location;
pub mod ram;
pub mod resourcemanager;
pub mod sts;
pub mod vpc;

use crate::api;
use crate::operation::Operation;

/// The table of operations.
pub static ALL: &[&Operation] = &[
    &api::vpc::DISSOCIATE_VPN_GATEWAY_WITH_CERTIFICATE,
    &api::vpc::ASSOCIATE_VPN_GATEWAY_WITH_CERTIFICATE,
    &api::vpc::LIST_VPN_CERTIFICATE_ASSOCIATIONS,
    &api::vpc::CREATE_VPN_GATEWAY,
    &api::vpc::DESCRIBE_VPN_GATEWAY,
    &api::vpc::DESCRIBE_VPN_GATEWAYS,
    &api::vpc::MODIFY_VPN_GATEWAY_ATTRIBUTE,
    &api::vpc::DELETE_VPN_GATEWAY,
    &api::vpc::DESCRIBE_REGIONS,
    &api::vpc::DESCRIBE_ZONES,
    &api::vpc::CREATE_VPC,
    &api::vpc::DESCRIBE_VPCS,
    &api::vpc::DESCRIBE_VPC_ATTRIBUTE,
    &api::vpc::DELETE_VPC,
    &api::vpc::CREATE_VSWITCH,
    &api::vpc::DESCRIBE_VSWITCHES,
    &api::vpc::DESCRIBE_VSWITCH_ATTRIBUTES,
    &api::vpc::DELETE_VSWITCH,
    &api::vpc::TAG_RESOURCES,
    &api::vpc::UN_TAG_RESOURCES,
    &api::vpc::LIST_TAG_RESOURCES,
    &api::vpc::DESCRIBE_ROUTE_TABLE_LIST,
    &api::vpc::MODIFY_VPC_ATTRIBUTE,
    &api::vpc::MODIFY_VSWITCH_ATTRIBUTE,
    &api::vpc::MOVE_RESOURCE_GROUP,
    &api::vpc::MOVE_VPN_RESOURCE_GROUP,
    &api::kms::CREATE_CERTIFICATE,
    &api::kms::UPLOAD_CERTIFICATE,
    &api::kms::GET_CERTIFICATE,
    &api::kms::DESCRIBE_CERTIFICATE,
    &api::kms::UPDATE_CERTIFICATE_STATUS,
    &api::kms::DELETE_CERTIFICATE,
    &api::sts::GET_CALLER_IDENTITY,
    &api::sts::ASSUME_ROLE,
    &api::location::DESCRIBE_ENDPOINTS,
    &api::ram::CREATE_USER,
    &api::ram::GET_USER,
    &api::ram::UPDATE_USER,
    &api::ram::DELETE_USER,
    &api::ram::LIST_USERS,
    &api::ram::CREATE_ACCESS_KEY,
    &api::ram::DELETE_ACCESS_KEY,
    &api::ram::UPDATE_ACCESS_KEY,
    &api::ram::LIST_ACCESS_KEYS,
    &api::ram::GET_ACCESS_KEY_LAST_USED,
    &api::ram::CREATE_GROUP,
    &api::ram::GET_GROUP,
    &api::ram::DELETE_GROUP,
    &api::ram::LIST_GROUPS,
    &api::ram::ADD_USER_TO_GROUP,
    &api::ram::REMOVE_USER_FROM_GROUP,
    &api::ram::LIST_GROUPS_FOR_USER,
    &api::ram::LIST_USERS_FOR_GROUP,
    &api::ram::DELETE_LOGIN_PROFILE,
    &api::ram::UNBIND_MFA_DEVICE,
    // Ram: roles, policies and attachments.
    &ram::create_role::OPERATION,
    &ram::get_role::OPERATION,
    &ram::update_role::OPERATION,
    &ram::delete_role::OPERATION,
    &ram::list_roles::OPERATION,
    &ram::create_policy::OPERATION,
    &ram::get_policy::OPERATION,
    &ram::delete_policy::OPERATION,
    &ram::list_policies::OPERATION,
    &ram::create_policy_version::OPERATION,
    &ram::get_policy_version::OPERATION,
    &ram::delete_policy_version::OPERATION,
    &ram::list_policy_versions::OPERATION,
    &ram::set_default_policy_version::OPERATION,
    &ram::attach_policy_to_user::OPERATION,
    &ram::attach_policy_to_group::OPERATION,
    &ram::attach_policy_to_role::OPERATION,
    &ram::detach_policy_from_user::OPERATION,
    &ram::detach_policy_from_group::OPERATION,
    &ram::detach_policy_from_role::OPERATION,
    &ram::list_policies_for_user::OPERATION,
    &ram::list_policies_for_group::OPERATION,
    &ram::list_policies_for_role::OPERATION,
    &ram::list_entities_for_policy::OPERATION,
    &ram::update_policy_description::OPERATION,
    &ram::tag_resources::OPERATION,
    &ram::untag_resources::OPERATION,
    &ram::list_tag_resources::OPERATION,
    &api::resourcemanager::CREATE_SERVICE_LINKED_ROLE,
    &api::resourcemanager::DELETE_SERVICE_LINKED_ROLE,
    &api::resourcemanager::GET_SERVICE_LINKED_ROLE_DELETION_STATUS,
    &api::ram::CREATE_SERVICE_LINKED_ROLE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::{Product, Shape};

    #[test]
    fn the_table_is_sound() {
        for (place, operation) in ALL.iter().enumerate() {
            let again = ALL[place + 1..]
                .iter()
                .any(|other| other.product == operation.product && other.action == operation.action);
            assert!(!again, "{} stands twice", operation.action);
            for parameter in operation.parameters {
                let count = operation.parameters.iter().filter(|other| other.name == parameter.name).count();
                assert_eq!(count, 1, "{} takes {} twice", operation.action, parameter.name);
                assert!(!parameter.about.is_empty());
            }
            if let Some(permission) = operation.permission {
                assert!(permission.ends_with(operation.action), "{permission}");
            }
            if let Some(subject) = operation.subject {
                assert!(operation.takes(subject), "{} has no {subject}", operation.action);
            }
        }
    }

    /// The table against the operation data that it is made from.
    #[test]
    fn the_table_agrees_with_the_recorded_documentation() {
        for operation in ALL {
            let product = operation.product.as_str().to_lowercase();
            let path =
                format!("{}/../../docs/api/{product}/{}.json", env!("CARGO_MANIFEST_DIR"), operation.action);
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
            let page: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(page["version"], operation.product.version());
            let root = page["xml_root"].as_str().unwrap();
            assert_eq!(operation.xml_root(), root);
            if let Some(action) = page["ram"]["action"].as_str() {
                assert_eq!(operation.permission, Some(action), "{}", operation.action);
            }
            if let Some(resource) = page["ram"]["resource"].as_str() {
                let ours = operation.resource.to_lowercase();
                assert_eq!(ours, resource.to_lowercase(), "{}", operation.action);
            }
            for parameter in page["parameters"].as_array().unwrap() {
                let wire = parameter["wire"].as_str().unwrap();
                let documented = parameter["documented"] != false;
                if !documented || wire.contains(".N.") {
                    continue;
                }
                let name = wire.trim_end_matches(".N");
                let known = operation.parameters.iter().find(|known| known.name == name);
                let known = known.unwrap_or_else(|| panic!("{} lacks {name}", operation.action));
                assert_eq!(known.required, parameter["required"] == true, "{}: {name}", operation.action);
                let shape = match parameter["type"].as_str().unwrap() {
                    "string" => Shape::Text,
                    "integer" | "long" => Shape::Integer,
                    "boolean" => Shape::Boolean,
                    "array<string>" => Shape::List,
                    "array<object>" => Shape::Tags,
                    "json-string" => Shape::Json,
                    other => panic!("{}: unknown type {other}", operation.action),
                };
                assert_eq!(known.shape, shape, "{}: {name}", operation.action);
            }
        }
    }

    /// Documented codes of the three certificate operations are answered with their exact texts.
    #[test]
    fn documented_errors_are_exact() {
        for operation in &ALL[..3] {
            let path = format!("{}/../../docs/api/vpc/{}.json", env!("CARGO_MANIFEST_DIR"), operation.action);
            let page: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            for error in page["errors"].as_array().unwrap() {
                let known = operation.errors.iter().any(|code| {
                    error["code"] == code.code
                        && error["message"] == code.message
                        && error["http"] == code.status
                });
                assert!(known, "{} does not answer {}", operation.action, error["code"]);
            }
        }
    }

    /// Documented codes of the operations about roles, policies and attachments are answered with their exact texts.
    #[test]
    fn documented_errors_of_roles_and_policies_are_exact() {
        let theirs = |operation: &&&Operation| {
            let action = operation.action;
            action.contains("Role") && operation.product != Product::Sts || action.contains("Polic")
        };
        let mut seen = 0;
        for operation in ALL.iter().filter(theirs) {
            seen += 1;
            let product = operation.product.as_str().to_lowercase();
            let path =
                format!("{}/../../docs/api/{product}/{}.json", env!("CARGO_MANIFEST_DIR"), operation.action);
            let page: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            for error in page["errors"].as_array().unwrap() {
                if error["http"].is_null() || error["message"].is_null() {
                    continue;
                }
                // A message without a sentence of its own is the detail.
                let message = error["message"].as_str().unwrap().replace("{The error details}", "%s");
                let known = operation.errors.iter().any(|code| {
                    let names = operation.parameters.iter().map(|parameter| parameter.name);
                    error["http"] == code.status
                        && names.chain([""]).any(|name| {
                            error["code"] == code.code.replace("<Param>", name)
                                && message == code.message.replace("<Param>", name)
                        })
                });
                assert!(known, "{} does not answer {}", operation.action, error["code"]);
            }
        }
        assert_eq!(seen, 29);
    }
}
