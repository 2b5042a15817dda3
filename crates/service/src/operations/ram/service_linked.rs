//! Service-linked roles: which there are, and how one is made.
//!
//! Source: `docs/api/ram-policy.md`, section 6. A role is made at the first use of its service, or by
//! CreateServiceLinkedRole; it counts among the account's roles and is made beyond their limit. The policy of its
//! service is attached to it from the beginning.

use serde_json::json;
use tongguan_model::id::AccountId;
use tongguan_store::{Holder, PolicyKey, RoleRow, StoreError, Tx};

use crate::context::new_principal_id;

/// Beginning of the names that only service-linked roles have.
const NAMES: &str = "AliyunServiceRoleFor";

/// A service that has a role of its own in an account.
#[derive(Debug)]
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
pub(super) fn find(name: &str) -> Option<&'static Service> {
    ALL.iter().find(|service| service.name == name).copied()
}

/// Whether a name is kept for service-linked roles.
pub(super) fn is_reserved(name: &str) -> bool {
    name.get(..NAMES.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(NAMES))
}

impl Service {
    /// Makes the account's role for the service, which it must not have yet.
    ///
    /// # Errors
    /// The store fails.
    pub fn make_role(
        &self,
        tx: &Tx<'_>,
        account: &AccountId,
        now_ms: i64,
    ) -> Result<RoleRow, StoreError> {
        let trust = json!({
            "Statement": [
                {"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {"Service": [self.name]}}
            ],
            "Version": "1"
        });
        let mut role = RoleRow {
            seq: 0,
            id: new_principal_id(3),
            account: account.clone(),
            name: self.role.into(),
            description: self.description.into(),
            trust: trust.to_string(),
            max_session_seconds: 3600,
            service: Some(self.name.into()),
            console_login: false,
            created_ms: now_ms,
            updated_ms: now_ms,
        };
        role.seq = tx.insert_role(&role)?;
        tx.attach(account, PolicyKey::System(self.policy), Holder::Role(role.seq), now_ms)?;
        Ok(role)
    }

    /// Makes sure that the account has the role.
    ///
    /// # Errors
    /// The store fails.
    pub fn ensure_role(&self, tx: &Tx<'_>, account: &AccountId, now_ms: i64) -> Result<(), StoreError> {
        if tx.role(account, self.role)?.is_none() {
            self.make_role(tx, account, now_ms)?;
        }
        Ok(())
    }
}
