//! The system policies that are known: embedded documents, each parsed at its first use.

use std::sync::{Arc, LazyLock};

use super::Policy;

/// The system policy of that exact name, parsed at its first use and shared by all that have it.
#[must_use]
pub fn system_policy(name: &str) -> Option<Arc<Policy>> {
    find_system(name).map(|system| Arc::clone(&system.policy))
}

/// The document of a system policy as GetPolicyVersion prints it.
#[must_use]
pub fn system_policy_document(name: &str) -> Option<&'static str> {
    find_system(name).map(|system| system.document)
}

/// Names of all system policies, in a fixed order. Those that begin with
/// `AliyunServiceRolePolicy` belong to service-linked roles; nobody attaches them.
pub fn system_policy_names() -> impl Iterator<Item = &'static str> {
    SYSTEM_POLICIES.iter().map(|system| system.name)
}

struct SystemPolicy {
    name: &'static str,
    document: &'static str,
    policy: LazyLock<Arc<Policy>>,
}

fn find_system(name: &str) -> Option<&'static SystemPolicy> {
    SYSTEM_POLICIES.iter().find(|system| system.name == name)
}

macro_rules! system_policies {
    ($($name:literal),+ $(,)?) => {
        [$(SystemPolicy {
            name: $name,
            document: include_str!(concat!($name, ".json")),
            policy: LazyLock::new(|| {
                let policy = Policy::parse(include_str!(concat!($name, ".json")));
                Arc::new(policy.expect("embedded system policies are well formed, a test parses each"))
            }),
        }),+]
    };
}

/// Each says what the newest known version of the vendor's document says, in our
/// order of members, except three: AdministratorAccess is inferred, the VPN gateway
/// and KMS FullAccess policies are proposals after their sisters. ReadOnlyAccess,
/// PowerUserAccess, AliyunKMSCryptoAdminAccess and AliyunServiceRolePolicyForVpn are
/// left out: their documents are not known whole.
static SYSTEM_POLICIES: [SystemPolicy; 11] = system_policies![
    "AdministratorAccess",
    "AliyunVPNGatewayFullAccess",
    "AliyunVPNGatewayReadOnlyAccess",
    "AliyunVPCFullAccess",
    "AliyunVPCReadOnlyAccess",
    "AliyunKMSFullAccess",
    "AliyunKMSReadOnlyAccess",
    "AliyunKMSCryptoUserAccess",
    "AliyunKMSSecretUserAccess",
    "AliyunSTSAssumeRoleAccess",
    "AliyunServiceRolePolicyForVPNCertificate",
];
