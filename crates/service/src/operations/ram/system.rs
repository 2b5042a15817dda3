//! What is known of each system policy beside its document, which is the model's: version, dates, description.
//!
//! Source: `docs/api/ram-policy.md`, section 8: version and date of the newest form known. Where no date is known the
//! day of the API version stands, and version 1. The descriptions are ours.

use tongguan_model::policy;

/// Beginning of the names of policies that belong to service-linked roles.
const OF_SERVICES: &str = "AliyunServiceRolePolicy";
/// Date of a policy whose own is not known: that of the API version.
const FIRST: &str = "2015-05-01T00:00:00Z";

/// A system policy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SystemPolicy {
    /// Name, exact.
    pub name: &'static str,
    /// Number of the version in force, the only one that is known.
    pub version: u32,
    /// Since when that version is.
    pub date: &'static str,
    /// What the policy is for.
    pub description: &'static str,
}

impl SystemPolicy {
    /// Its document.
    pub(super) fn document(&self) -> &'static str {
        policy::system_policy_document(self.name).unwrap_or_default()
    }

    /// Whether it belongs to a service-linked role, so that no caller attaches it.
    pub(super) fn is_of_a_service(&self) -> bool {
        self.name.starts_with(OF_SERVICES)
    }
}

const fn known(
    name: &'static str,
    version: u32,
    date: &'static str,
    description: &'static str,
) -> SystemPolicy {
    SystemPolicy { name, version, date, description }
}

/// Every system policy, in the model's order.
pub(super) static ALL: &[SystemPolicy] = &[
    known("AdministratorAccess", 1, FIRST, "Full access to everything in the account."),
    known("AliyunVPNGatewayFullAccess", 1, FIRST, "Full access to VPN gateways."),
    known("AliyunVPNGatewayReadOnlyAccess", 9, "2026-06-22T00:00:00Z", "Read-only access to VPN gateways."),
    known("AliyunVPCFullAccess", 12, "2023-04-07T00:00:00Z", "Full access to virtual private clouds."),
    known(
        "AliyunVPCReadOnlyAccess",
        9,
        "2025-08-07T00:00:00Z",
        "Read-only access to virtual private clouds.",
    ),
    known("AliyunKMSFullAccess", 1, FIRST, "Full access to key management."),
    known("AliyunKMSReadOnlyAccess", 3, "2025-09-23T00:00:00Z", "Read-only access to key management."),
    known("AliyunKMSCryptoUserAccess", 2, "2026-07-09T00:00:00Z", "Use of the keys of key management."),
    known("AliyunKMSSecretUserAccess", 1, FIRST, "Use of the secrets of key management."),
    known("AliyunSTSAssumeRoleAccess", 1, "2017-04-27T00:00:00Z", "Assuming roles."),
    known(
        "AliyunServiceRolePolicyForVPNCertificate",
        4,
        "2022-10-08T00:00:00Z",
        "Policy of the service-linked role with which VPN Gateway accesses certificates.",
    ),
];

/// The system policy of this name; case makes no difference.
pub(super) fn find(name: &str) -> Option<&'static SystemPolicy> {
    ALL.iter().find(|known| known.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_policy_of_the_model_is_known() {
        let names: Vec<&str> = ALL.iter().map(|known| known.name).collect();
        assert_eq!(names, policy::system_policy_names().collect::<Vec<_>>());
        assert!(ALL.iter().all(|known| !known.document().is_empty() && known.version > 0));
        assert_eq!(find("administratoraccess"), Some(&ALL[0]));
        assert_eq!(ALL.iter().filter(|known| known.is_of_a_service()).count(), 1);
    }
}
