//! Changes to rows, inside a transaction of the writer.

use std::collections::BTreeMap;
use std::ops::Deref;

use rusqlite::{Connection, OptionalExtension as _, Params, params};
use tongguan_model::certificate::{Certificate, CertificateStatus, Issued, KeyPurposes};
use tongguan_model::gateway::{Binding, BindingState, VpnGateway};
use tongguan_model::id::{AccountId, CertificateId, VSwitchId, VpcId, VpnGatewayId};
use tongguan_model::network::{VSwitch, Vpc};

use crate::rights::Rights;
use crate::{Fault, FaultOutcome, Intent, IntentKind, Snapshot, StoreError};

/// Faults remembered: those of resources that are gone stay until newer ones push them out.
const FAULTS_KEPT: u32 = 1_000;

/// A transaction of the writer: every query of [`Snapshot`], and changes.
#[derive(Debug)]
pub struct Tx<'c> {
    snapshot: Snapshot<'c>,
}

impl<'c> Deref for Tx<'c> {
    type Target = Snapshot<'c>;

    fn deref(&self) -> &Self::Target {
        &self.snapshot
    }
}

/// What to keep of an answered idempotent call.
#[derive(Debug)]
pub struct NewToken<'a> {
    /// Account of the caller.
    pub account: &'a AccountId,
    /// The caller in its account.
    pub principal: &'a str,
    /// Operation.
    pub action: &'a str,
    /// The caller's token.
    pub token: &'a str,
    /// Fingerprint of the parameters.
    pub fingerprint: &'a [u8],
    /// Answer without the request id, a JSON object.
    pub answer: &'a str,
    /// Id of the request that was answered.
    pub request_id: &'a str,
    /// When, UNIX milliseconds.
    pub created_ms: i64,
}

type Done = Result<(), StoreError>;

/// Kind of the tally that counts an account's remembered tokens.
pub(crate) const CLIENT_TOKEN: &str = "client_token";
/// Kind of the tally that counts them by principal, which stands in the place of the region.
pub(crate) const CLIENT_TOKEN_BY: &str = "client_token_by";

impl<'c> Tx<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        Self { snapshot: Snapshot::new(connection) }
    }

    pub(crate) fn vouching(connection: &'c Connection, rights: &'c Rights) -> Self {
        Self { snapshot: Snapshot::vouching(connection, rights) }
    }

    /// Makes sure that the account has a row.
    ///
    /// # Errors
    /// A database error, as for every change below.
    pub fn ensure_account(&self, account: &AccountId, now_ms: i64) -> Done {
        self.execute(
            "INSERT INTO account (id, created_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![account.as_str(), now_ms],
        )
    }

    /// Stores an access key, replacing the secret of one that exists.
    ///
    /// # Errors
    /// A database error.
    pub fn put_access_key(&self, id: &str, account: &AccountId, sealed_secret: &[u8], now_ms: i64) -> Done {
        self.execute(
            "INSERT INTO access_key (id, account, sealed_secret, created_ms) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (id) DO UPDATE SET sealed_secret = excluded.sealed_secret, account = excluded.account",
            params![id, account.as_str(), sealed_secret, now_ms],
        )
    }

    /// Stores a new VPC.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_vpc(&self, vpc: &Vpc) -> Done {
        self.execute(
            "INSERT INTO vpc (id, account, region, name, description, cidr, user_cidrs, dns_hostname, vrouter, \
             route_table, resource_group, created_ms, ready) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                vpc.id.as_str(),
                vpc.account.as_str(),
                vpc.region.as_str(),
                vpc.name,
                vpc.description,
                vpc.cidr,
                vpc.user_cidrs,
                vpc.dns_hostname,
                vpc.vrouter,
                vpc.route_table,
                vpc.resource_group,
                vpc.created_ms,
                vpc.ready
            ],
        )?;
        self.count("vpc", &vpc.account, vpc.region.as_str(), 1)
    }

    /// Removes a VPC and all that hangs on its id.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_vpc(&self, vpc: &Vpc) -> Done {
        self.forget(vpc.id.as_str())?;
        self.execute("DELETE FROM vpc WHERE id = ?1", params![vpc.id.as_str()])?;
        self.count("vpc", &vpc.account, vpc.region.as_str(), -1)
    }

    /// Marks a VPC as built.
    ///
    /// # Errors
    /// A database error.
    pub fn vpc_ready(&self, id: &VpcId) -> Done {
        self.execute("UPDATE vpc SET ready = 1 WHERE id = ?1", params![id.as_str()])
    }

    /// Stores what may change on a VPC: name, description, block, DNS host names.
    ///
    /// # Errors
    /// A database error.
    pub fn update_vpc(&self, vpc: &Vpc) -> Done {
        self.execute(
            "UPDATE vpc SET name = ?2, description = ?3, cidr = ?4, dns_hostname = ?5 WHERE id = ?1",
            params![vpc.id.as_str(), vpc.name, vpc.description, vpc.cidr, vpc.dns_hostname],
        )
    }

    /// Moves a VPC and its vSwitches to a resource group.
    ///
    /// # Errors
    /// A database error.
    pub fn move_vpc(&self, id: &VpcId, group: &str) -> Done {
        self.execute("UPDATE vpc SET resource_group = ?2 WHERE id = ?1", params![id.as_str(), group])?;
        self.execute("UPDATE vswitch SET resource_group = ?2 WHERE vpc = ?1", params![id.as_str(), group])
    }

    /// Stores a new vSwitch.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_vswitch(&self, vswitch: &VSwitch) -> Done {
        self.execute(
            "INSERT INTO vswitch (id, account, region, vpc, zone, name, description, cidr, resource_group, created_ms, \
             ready) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                vswitch.id.as_str(),
                vswitch.account.as_str(),
                vswitch.region.as_str(),
                vswitch.vpc.as_str(),
                vswitch.zone,
                vswitch.name,
                vswitch.description,
                vswitch.cidr,
                vswitch.resource_group,
                vswitch.created_ms,
                vswitch.ready
            ],
        )?;
        self.count("vswitch", &vswitch.account, vswitch.region.as_str(), 1)
    }

    /// Removes a vSwitch and all that hangs on its id.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_vswitch(&self, vswitch: &VSwitch) -> Done {
        self.forget(vswitch.id.as_str())?;
        self.execute("DELETE FROM vswitch WHERE id = ?1", params![vswitch.id.as_str()])?;
        self.count("vswitch", &vswitch.account, vswitch.region.as_str(), -1)
    }

    /// Marks a vSwitch as built.
    ///
    /// # Errors
    /// A database error.
    pub fn vswitch_ready(&self, id: &VSwitchId) -> Done {
        self.execute("UPDATE vswitch SET ready = 1 WHERE id = ?1", params![id.as_str()])
    }

    /// Stores what may change on a vSwitch: name and description.
    ///
    /// # Errors
    /// A database error.
    pub fn update_vswitch(&self, vswitch: &VSwitch) -> Done {
        self.execute(
            "UPDATE vswitch SET name = ?2, description = ?3 WHERE id = ?1",
            params![vswitch.id.as_str(), vswitch.name, vswitch.description],
        )
    }

    /// Stores a new gateway.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_gateway(&self, gateway: &VpnGateway) -> Done {
        self.execute(
            "INSERT INTO vpn_gateway (id, account, region, name, description, vpc, vswitch, dr_vswitch, bandwidth, \
             network_type, vpn_type, ipsec, ssl, ssl_connections, charge_type, auto_propagate, resource_group, \
             internet_ip, dr_ip, order_id, created_ms, end_ms, business_status, phase, intended, applied) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
             ?22, ?23, ?24, ?25, ?26)",
            params![
                gateway.id.as_str(),
                gateway.account.as_str(),
                gateway.region.as_str(),
                gateway.name,
                gateway.description,
                gateway.vpc.as_str(),
                gateway.vswitch.as_ref().map(VSwitchId::as_str),
                gateway.disaster_recovery_vswitch.as_ref().map(VSwitchId::as_str),
                gateway.bandwidth,
                gateway.network_type.as_str(),
                gateway.vpn_type.as_str(),
                gateway.ipsec,
                gateway.ssl,
                gateway.ssl_connections,
                gateway.charge_type.as_str(),
                gateway.auto_propagate,
                gateway.resource_group,
                gateway.internet_ip,
                gateway.disaster_recovery_ip,
                gateway.order_id,
                gateway.created_ms,
                gateway.end_ms,
                gateway.business_status.as_str(),
                gateway.phase.as_str(),
                gateway.intended.cast_signed(),
                gateway.applied.cast_signed()
            ],
        )?;
        self.count("vpn_gateway", &gateway.account, gateway.region.as_str(), 1)
    }

    /// Stores what may change on a gateway: name, description, route propagation, phase, generations.
    ///
    /// # Errors
    /// A database error.
    pub fn update_gateway(&self, gateway: &VpnGateway) -> Done {
        self.execute(
            "UPDATE vpn_gateway SET name = ?2, description = ?3, auto_propagate = ?4, phase = ?5, intended = ?6, \
             applied = ?7 WHERE id = ?1",
            params![
                gateway.id.as_str(),
                gateway.name,
                gateway.description,
                gateway.auto_propagate,
                gateway.phase.as_str(),
                gateway.intended.cast_signed(),
                gateway.applied.cast_signed()
            ],
        )
    }

    /// Moves a gateway to a resource group.
    ///
    /// # Errors
    /// A database error.
    pub fn move_gateway(&self, id: &VpnGatewayId, group: &str) -> Done {
        self.execute("UPDATE vpn_gateway SET resource_group = ?2 WHERE id = ?1", params![id.as_str(), group])
    }

    /// Stores a gateway's generations alone.
    ///
    /// # Errors
    /// A database error.
    pub fn update_generations(&self, id: &VpnGatewayId, intended: u64, applied: u64) -> Done {
        self.execute(
            "UPDATE vpn_gateway SET intended = ?2, applied = ?3 WHERE id = ?1",
            params![id.as_str(), intended.cast_signed(), applied.cast_signed()],
        )
    }

    /// Writes down which of a gateway's bound certificates are out of service.
    ///
    /// # Errors
    /// A database error.
    pub fn refresh_certificate_alert(&self, id: &VpnGatewayId) -> Done {
        self.execute(
            "UPDATE vpn_gateway SET certificate_alert = (SELECT group_concat(b.role || ' ' || c.id || ' ' || c.status, \
             ', ') FROM binding b JOIN certificate c ON c.id = b.certificate \
             WHERE b.gateway = vpn_gateway.id AND c.status <> 'ACTIVE') WHERE id = ?1",
            params![id.as_str()],
        )
    }

    /// Removes a gateway with its bindings, addresses, tags and intent.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_gateway(&self, gateway: &VpnGateway) -> Done {
        for binding in self.bindings_of(&gateway.id)? {
            self.delete_binding(gateway, &binding)?;
        }
        self.execute("DELETE FROM address WHERE gateway = ?1", params![gateway.id.as_str()])?;
        self.forget(gateway.id.as_str())?;
        self.execute("DELETE FROM vpn_gateway WHERE id = ?1", params![gateway.id.as_str()])?;
        self.count("vpn_gateway", &gateway.account, gateway.region.as_str(), -1)
    }

    /// Reserves an address for a gateway.
    ///
    /// # Errors
    /// A database error, also if the address is taken.
    pub fn reserve_address(&self, ip: &str, gateway: &VpnGatewayId) -> Done {
        self.execute("INSERT INTO address (ip, gateway) VALUES (?1, ?2)", params![ip, gateway.as_str()])
    }

    /// Stores a binding that was accepted.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_binding(&self, gateway: &VpnGateway, binding: &Binding) -> Done {
        self.execute(
            "INSERT INTO binding (gateway, role, certificate, account, region, state, associated_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                gateway.id.as_str(),
                binding.role.as_str(),
                binding.certificate.as_str(),
                gateway.account.as_str(),
                gateway.region.as_str(),
                binding.state.as_str(),
                binding.associated_ms
            ],
        )?;
        self.count_binding(gateway, binding.state, 1)
    }

    /// Moves a binding on to `state`.
    ///
    /// # Errors
    /// A database error.
    pub fn set_binding_state(&self, gateway: &VpnGateway, binding: &Binding, state: BindingState) -> Done {
        self.execute(
            "UPDATE binding SET state = ?3 WHERE gateway = ?1 AND role = ?2",
            params![gateway.id.as_str(), binding.role.as_str(), state.as_str()],
        )?;
        let listed = |state| state != BindingState::Associating;
        match (listed(binding.state), listed(state)) {
            (false, true) => self.count_binding(gateway, state, 1),
            (true, false) => self.count_binding(gateway, binding.state, -1),
            (true, true) | (false, false) => Ok(()),
        }
    }

    /// Removes a binding.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_binding(&self, gateway: &VpnGateway, binding: &Binding) -> Done {
        self.execute(
            "DELETE FROM binding WHERE gateway = ?1 AND role = ?2",
            params![gateway.id.as_str(), binding.role.as_str()],
        )?;
        self.count_binding(gateway, binding.state, -1)
    }

    /// Stores a new certificate with its sealed private key.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_certificate(&self, certificate: &Certificate, sealed_private_key: &[u8]) -> Done {
        self.execute(
            "INSERT INTO certificate (id, account, region, key_spec, status, exportable, subject, dns_names, csr, \
             public_key, sealed_private_key, created_ms, updated_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                certificate.id.as_str(),
                certificate.account.as_str(),
                certificate.region.as_str(),
                certificate.key_spec,
                certificate.status.as_str(),
                certificate.exportable,
                certificate.subject,
                certificate.dns_names.join("\n"),
                certificate.csr,
                certificate.public_key,
                sealed_private_key,
                certificate.created_ms,
                certificate.updated_ms
            ],
        )?;
        self.count("certificate", &certificate.account, certificate.region.as_str(), 1)
    }

    /// Stores what was uploaded for a certificate, which becomes active.
    ///
    /// # Errors
    /// A database error.
    pub fn certificate_issued(&self, id: &CertificateId, issued: &Issued, now_ms: i64) -> Done {
        self.execute(
            "UPDATE certificate SET status = 'ACTIVE', updated_ms = ?2, certificate = ?3, chain = ?4, sm = ?5, \
             issuer = ?6, issued_subject = ?7, serial = ?8, signature_algorithm = ?9, subject_key_identifier = ?10, \
             not_before = ?11, not_after = ?12, key_purposes = ?13 WHERE id = ?1",
            params![
                id.as_str(),
                now_ms,
                issued.certificate,
                issued.chain,
                issued.sm,
                issued.issuer,
                issued.subject,
                issued.serial,
                issued.signature_algorithm,
                issued.subject_key_identifier,
                issued.not_before,
                issued.not_after,
                issued.purposes.map(KeyPurposes::bits)
            ],
        )
    }

    /// Stores a certificate's state.
    ///
    /// # Errors
    /// A database error.
    pub fn set_certificate_status(&self, id: &CertificateId, status: CertificateStatus, now_ms: i64) -> Done {
        self.execute(
            "UPDATE certificate SET status = ?2, updated_ms = ?3 WHERE id = ?1",
            params![id.as_str(), status.as_str(), now_ms],
        )
    }

    /// Removes a certificate with its key.
    ///
    /// # Errors
    /// A database error, also if it is bound.
    pub fn delete_certificate(&self, certificate: &Certificate) -> Done {
        self.execute("DELETE FROM certificate WHERE id = ?1", params![certificate.id.as_str()])?;
        self.count("certificate", &certificate.account, certificate.region.as_str(), -1)
    }

    /// Writes a tag, replacing the value of its key.
    ///
    /// # Errors
    /// A database error.
    pub fn put_tag(
        &self,
        account: &AccountId,
        region: &str,
        kind: &str,
        resource: &str,
        key: &str,
        value: &str,
    ) -> Done {
        self.execute(
            "INSERT INTO tag (resource, key, value, kind, account, region) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (resource, key) DO UPDATE SET value = excluded.value",
            params![resource, key, value, kind, account.as_str(), region],
        )
    }

    /// Removes a tag, or all of a resource's tags.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_tags(&self, resource: &str, key: Option<&str>) -> Done {
        self.execute(
            "DELETE FROM tag WHERE resource = ?1 AND (?2 IS NULL OR key = ?2)",
            params![resource, key],
        )
    }

    /// Writes down what is wanted; one change per resource.
    ///
    /// # Errors
    /// A database error, also if a change is under way.
    pub fn insert_intent(
        &self,
        resource: &str,
        kind: IntentKind,
        generation: u64,
        change: &str,
        now_ms: i64,
        due_ms: i64,
    ) -> Done {
        self.execute(
            "INSERT INTO intent (resource, kind, generation, change, since_ms, due_ms, attempts) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)",
            params![resource, kind.as_str(), generation.cast_signed(), change, now_ms, due_ms],
        )
    }

    /// Postpones a change: it is still in progress, or its try failed for this reason.
    ///
    /// # Errors
    /// A database error.
    pub fn postpone_intent(&self, intent: &Intent, due_ms: i64, failure: Option<&str>) -> Done {
        self.execute(
            "UPDATE intent SET due_ms = ?3, attempts = attempts + (?4 IS NOT NULL), \
             last_error = coalesce(?4, last_error) WHERE resource = ?1 AND generation = ?2",
            params![intent.resource, intent.generation.cast_signed(), due_ms, failure],
        )
    }

    /// Makes every change that waits for a moment due now: after a start, or when the clock has jumped.
    ///
    /// # Errors
    /// A database error.
    pub fn hurry_intents(&self, now_ms: i64, parked: i64) -> Done {
        self.execute(
            "UPDATE intent SET due_ms = ?1 WHERE due_ms > ?1 AND due_ms <> ?2",
            params![now_ms, parked],
        )
    }

    /// Writes down that a resource's change could not be applied, in place of what stood there.
    ///
    /// # Errors
    /// A database error.
    pub fn put_fault(&self, fault: &Fault) -> Done {
        self.execute(
            "INSERT INTO fault (resource, kind, change, reason, attempts, since_ms, failed_ms, outcome) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (resource) DO UPDATE SET kind = excluded.kind, \
             change = excluded.change, reason = excluded.reason, attempts = excluded.attempts, \
             since_ms = excluded.since_ms, failed_ms = excluded.failed_ms, outcome = excluded.outcome",
            params![
                fault.resource,
                fault.kind.as_str(),
                fault.change,
                fault.reason,
                fault.attempts,
                fault.since_ms,
                fault.failed_ms,
                fault.outcome.as_str()
            ],
        )?;
        self.execute(
            "DELETE FROM fault WHERE resource IN (SELECT resource FROM fault ORDER BY failed_ms DESC LIMIT -1 OFFSET ?1)",
            params![FAULTS_KEPT],
        )
    }

    /// Sets what became of a resource's failed change.
    ///
    /// # Errors
    /// A database error.
    pub fn set_fault_outcome(&self, resource: &str, outcome: FaultOutcome) -> Done {
        self.execute("UPDATE fault SET outcome = ?2 WHERE resource = ?1", params![resource, outcome.as_str()])
    }

    /// Forgets a resource's fault: a later change was applied.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_fault(&self, resource: &str) -> Done {
        self.execute("DELETE FROM fault WHERE resource = ?1", params![resource])
    }

    /// Notes that the records of the audit journal up to this number are in the database.
    pub(crate) fn journalled(&self, number: u64) -> Done {
        let sql = "UPDATE store SET journal = max(journal, ?1)";
        self.execute(sql, params![number.cast_signed()])
    }

    /// Counts a batch of the writer, and the audit records moved with it, up to number `journal`.
    pub(crate) fn count_group(&self, groups: u64, journal: u64) -> Done {
        self.execute(
            "UPDATE store SET groups = ?1, journal = max(journal, ?2)",
            params![groups.cast_signed(), journal.cast_signed()],
        )
    }

    /// Strikes a change off.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_intent(&self, resource: &str) -> Done {
        self.execute("DELETE FROM intent WHERE resource = ?1", params![resource])
    }

    /// Writes down what the data plane has.
    ///
    /// # Errors
    /// A database error.
    pub fn put_applied(&self, resource: &str, generation: u64, document: &str, now_ms: i64) -> Done {
        self.execute(
            "INSERT INTO applied (resource, generation, document, applied_ms) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (resource) DO UPDATE SET generation = excluded.generation, document = excluded.document, \
             applied_ms = excluded.applied_ms",
            params![resource, generation.cast_signed(), document, now_ms],
        )
    }

    /// Keeps an answered idempotent call.
    ///
    /// # Errors
    /// A database error.
    pub fn put_token(&self, token: &NewToken<'_>) -> Done {
        let find = "SELECT principal FROM client_token WHERE account = ?1 AND action = ?2 AND token = ?3";
        let key = params![token.account.as_str(), token.action, token.token];
        let mut statement = self.connection().prepare_cached(find)?;
        let before: Option<String> = statement.query_row(key, |row| row.get(0)).optional()?;
        match before {
            Some(before) => self.count(CLIENT_TOKEN_BY, token.account, &before, -1)?,
            None => self.count(CLIENT_TOKEN, token.account, "", 1)?,
        }
        self.count(CLIENT_TOKEN_BY, token.account, token.principal, 1)?;
        let values = params![
            token.account.as_str(),
            token.action,
            token.token,
            token.fingerprint,
            token.answer,
            token.request_id,
            token.created_ms,
            token.principal
        ];
        self.execute(
            "INSERT INTO client_token (account, action, token, fingerprint, answer, request_id, created_ms, principal) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (account, action, token) DO UPDATE SET \
             fingerprint = excluded.fingerprint, answer = excluded.answer, request_id = excluded.request_id, \
             created_ms = excluded.created_ms, principal = excluded.principal",
            values,
        )
    }

    /// Forgets the oldest idempotent calls from before a moment, at most `batch` of them; answers how many.
    ///
    /// # Errors
    /// A database error.
    pub fn expire_tokens(&self, before_ms: i64, batch: u32) -> Result<usize, StoreError> {
        let mut statement = self.connection().prepare_cached(
            "DELETE FROM client_token WHERE (account, action, token) IN (SELECT account, action, token \
             FROM client_token WHERE created_ms < ?1 ORDER BY created_ms LIMIT ?2) RETURNING account, principal",
        )?;
        let owner = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let rows = statement.query_map(params![before_ms, batch], owner)?;
        let mut expired = 0;
        let mut by_owner: BTreeMap<(String, String), i64> = BTreeMap::new();
        for owner in rows {
            *by_owner.entry(owner?).or_default() += 1;
            expired += 1;
        }
        for ((account, principal), number) in by_owner {
            let account = AccountId::new(account);
            self.count(CLIENT_TOKEN, &account, "", -number)?;
            self.count(CLIENT_TOKEN_BY, &account, &principal, -number)?;
            // Principals come and go; none leaves a row behind.
            self.execute(
                "DELETE FROM tally WHERE kind = ?1 AND account = ?2 AND region = ?3 AND value = 0",
                params![CLIENT_TOKEN_BY, account.as_str(), principal],
            )?;
        }
        Ok(expired)
    }

    /// Removes what hangs on a resource's id: tags, intent, applied state.
    fn forget(&self, resource: &str) -> Done {
        self.delete_tags(resource, None)?;
        self.delete_intent(resource)?;
        self.execute("DELETE FROM applied WHERE resource = ?1", params![resource])
    }

    /// The tally of bindings counts those that a list shows: all but the ones still being installed.
    fn count_binding(&self, gateway: &VpnGateway, state: BindingState, by: i64) -> Done {
        match state {
            BindingState::Associating => Ok(()),
            BindingState::Associated | BindingState::Dissociating => {
                self.count("binding", &gateway.account, gateway.region.as_str(), by)
            }
        }
    }

    pub(crate) fn count(&self, kind: &str, account: &AccountId, region: &str, by: i64) -> Done {
        self.execute(
            "INSERT INTO tally (kind, account, region, value) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (kind, account, region) DO UPDATE SET value = value + excluded.value",
            params![kind, account.as_str(), region, by],
        )
    }

    pub(crate) fn execute(&self, sql: &str, values: impl Params) -> Done {
        self.connection().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }
}
