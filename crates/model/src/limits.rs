//! Every limit an account or a call runs into, by name.
//!
//! One table gives name, default and meaning; the struct, its default, setting
//! by name (configuration) and listing (documentation, `iter`) come from it, so
//! they cannot disagree. Defaults are the documented ones where a document
//! exists, and say so. Nothing here is enforced; the operations do that.

use thiserror::Error;

/// Declares [`Quotas`] and everything derived from the list of limits.
macro_rules! quotas {
    ($($name:ident = $default:literal, $doc:literal;)+) => {
        /// Limits of the service, each with the documented default.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Quotas {
            $(#[doc = $doc] pub $name: u64,)+
        }

        impl Default for Quotas {
            /// The documented limits.
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Quotas {
            /// Names of all limits, in the order of [`Quotas::iter`].
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            /// Sets the limit `name` to `value`. Any value is accepted; 0 forbids the thing.
            ///
            /// # Errors
            /// [`UnknownQuota`] when no limit has that name; nothing is changed then.
            pub fn set(&mut self, name: &str, value: u64) -> Result<(), UnknownQuota> {
                match name {
                    $(stringify!($name) => self.$name = value,)+
                    _ => return Err(UnknownQuota { name: name.to_owned() }),
                }
                Ok(())
            }

            /// Name, current value and meaning of every limit, in a fixed order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64, &'static str)> + use<> {
                [$((stringify!($name), self.$name, $doc)),+].into_iter()
            }
        }
    };
}

quotas! {
    vpn_gateways_per_account = 30,
        "VPN gateways of one account over all regions (documented: 30).";
    customer_gateways_per_region = 100,
        "Customer gateways of one account in one region (documented: 100).";
    vpn_connections_per_gateway = 10,
        "IPsec connections of one VPN gateway (documented: 10).";
    vpn_routes_per_gateway = 20,
        "Destination routes of one VPN gateway, and as many policy routes (documented: 20 each).";
    vco_routes_per_attachment = 100,
        "Routes of one IPsec connection without a VPN gateway (no published limit).";
    vpn_attachments_per_region = 100,
        "IPsec connections without a VPN gateway of one account in one region (no published limit).";
    vpcs_per_region = 10,
        "VPCs of one account in one region (documented default: 10).";
    vswitches_per_vpc = 150,
        "vSwitches of one VPC (documented: 150).";
    secondary_cidrs_per_vpc = 5,
        "Secondary IPv4 blocks of one VPC (documented: 5).";
    resource_groups_per_account = 30,
        "Resource groups of one account, the default one not counted (documented: 30).";
    tags_per_resource = 20,
        "Tags on one resource, and Tag.N of one call (documented: 20).";
    certificates_per_account = 1_000,
        "KMS and CAS certificates of one account (no published limit).";
    csrs_per_account = 1_000,
        "Certificate requests in CAS of one account (no published limit).";
    ids_per_filter = 20,
        "Ids in one filter of ListVpnCertificateAssociations (documented: 20).";
    tagged_resources_per_call = 50,
        "ResourceId.N of one TagResources, UntagResources or ListTagResources call (documented: 50).";
    ram_users_per_account = 1_000,
        "RAM users of one account (documented: 1000).";
    ram_groups_per_account = 50,
        "RAM groups of one account (documented: 50).";
    ram_groups_per_user = 5,
        "Groups that one RAM user is in (documented: 5).";
    ram_access_keys_per_user = 2,
        "Access keys of one RAM user, and access keys that an account makes for itself (documented: 2 a user).";
    client_token_hours = 24,
        "Hours for which the answer to a ClientToken is remembered.";
    client_tokens_per_account = 1_000_000,
        "ClientTokens remembered for one account; a call with a further one is refused with Throttling.User.";
    ram_roles_per_account = 1_000,
        "Roles of one account; a service-linked role counts and is made beyond it (documented: 1000).";
    ram_policies_per_account = 1_500,
        "Custom policies of one account (documented: 1500).";
    ram_versions_per_policy = 5,
        "Versions of one custom policy (documented: 5).";
    ram_system_policies_per_principal = 20,
        "System policies attached to one user, group or role (documented: 20).";
    ram_policies_per_user = 10,
        "Custom policies attached to one user (documented: 10).";
    ram_policies_per_group = 5,
        "Custom policies attached to one group (documented: 5).";
    ram_policies_per_role = 5,
        "Custom policies attached to one role (documented: 5).";
    session_chained_seconds = 3_600,
        "Seconds that a session lives at most which another session made (no published limit); below 900 no session may assume a role.";
    session_chain_seconds = 43_200,
        "Seconds after the first session of a chain at which all that came of it are over (no published limit).";
    session_chain_roles = 8,
        "Different roles that a chain of sessions may have come through (no published limit).";
    apply_attempts = 12,
        "Failed tries to apply a change to a gateway before it is withdrawn.";
    apply_seconds = 30,
        "Seconds that one try to apply a change may take.";
    audit_records = 500_000,
        "Audit records of reads and refusals kept of one account; its own oldest go first.";
    audit_changes = 500_000,
        "Audit records of changes kept of one account, and as many of temporary keys that it issued; its own oldest go first.";
    audit_strangers = 50_000,
        "Audit records of refused requests without a valid signature kept, of all together; the oldest go first.";
    audit_strangers_per_minute = 60,
        "Such requests recorded one by one of one source in a minute, eight times as many of all; further ones are counted.";
    audit_days = 200,
        "Days that audit records are kept at most; 0: as long as their number allows.";
    audit_change_days = 180,
        "Days that records of changes and issued keys are kept, whatever `audit_days` says; a warning if their number does not allow it.";
    nonces = 16_000_000,
        "Signature nonces remembered at one time (37 bytes of memory and 40 on disk each), in shares by account and principal.";
}

/// A limit was named that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no quota is named `{name}`; known quotas: {}", Quotas::NAMES.join(", "))]
pub struct UnknownQuota {
    /// The name as given.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_documented_ones() {
        let quotas = Quotas::default();
        assert_eq!(quotas.vpn_gateways_per_account, 30);
        assert_eq!(quotas.vswitches_per_vpc, 150);
        assert_eq!(quotas.tags_per_resource, 20);
        assert_eq!(quotas.ids_per_filter, 20);
    }

    #[test]
    fn every_listed_name_can_be_set() {
        let mut quotas = Quotas::default();
        for (i, name) in Quotas::NAMES.iter().enumerate() {
            quotas.set(name, i as u64 + 7).unwrap();
        }
        for (i, (name, value, doc)) in quotas.iter().enumerate() {
            assert_eq!(name, Quotas::NAMES[i]);
            assert_eq!(value, i as u64 + 7);
            assert!(doc.ends_with('.'), "{name}");
        }
        assert_eq!(quotas.iter().count(), Quotas::NAMES.len());
    }

    #[test]
    fn unknown_name_is_refused_and_lists_the_known() {
        let mut quotas = Quotas::default();
        let error = quotas.set("vpn_gateway", 1).unwrap_err();
        assert_eq!(quotas, Quotas::default());
        let text = error.to_string();
        assert!(text.contains("`vpn_gateway`"));
        assert!(Quotas::NAMES.iter().all(|name| text.contains(name)));
    }
}
