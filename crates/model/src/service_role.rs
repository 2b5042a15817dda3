//! Service-linked roles: the services that have a role of their own in an account.
//!
//! Source: `docs/api/ram-policy.md`, section 6.

/// Beginning of the names that only service-linked roles have.
const NAMES: &str = "AliyunServiceRoleFor";

/// A service that has a role of its own in an account.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    /// The service, as trust policies name it.
    pub name: &'static str,
    /// Name of its role.
    pub role: &'static str,
    /// System policy of the role.
    pub policy: &'static str,
    /// Description of the role.
    pub description: &'static str,
}

/// The service that uses the certificates of gateways.
pub static CERTIFICATES: Service = Service {
    name: "certificate.vpn.aliyuncs.com",
    role: "AliyunServiceRoleForVPNCertificate",
    policy: "AliyunServiceRolePolicyForVPNCertificate",
    description: "VPN Gateway uses this role to access your certificates.",
};

/// Every service with a role of its own.
static ALL: &[&Service] = &[&CERTIFICATES];

/// The service of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Service> {
    ALL.iter().find(|service| service.name == name).copied()
}

/// The service whose role has this name, which is compared without case.
#[must_use]
pub fn of_role(name: &str) -> Option<&'static Service> {
    ALL.iter().find(|service| service.role.eq_ignore_ascii_case(name)).copied()
}

/// Whether a name is kept for service-linked roles.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.get(..NAMES.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(NAMES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_found_by_their_name_and_by_that_of_their_role() {
        for service in ALL {
            assert_eq!(find(service.name), Some(*service));
            assert_eq!(find(&service.name.to_uppercase()), None);
            assert_eq!(of_role(service.role), Some(*service));
            assert_eq!(of_role(&service.role.to_lowercase()), Some(*service));
            assert!(is_reserved(service.role));
        }
        assert_eq!(find(""), None);
        assert_eq!(of_role("AliyunServiceRoleForOthers"), None);
    }

    #[test]
    fn names_are_reserved_by_their_beginning() {
        assert!(is_reserved("aliyunservicerolefor"));
        assert!(is_reserved("AliyunServiceRoleForOthers"));
        for free in ["", "AliyunServiceRole", "MyAliyunServiceRoleFor", "AliyunServiceRoleFo\u{159}"] {
            assert!(!is_reserved(free), "{free}");
        }
    }
}
