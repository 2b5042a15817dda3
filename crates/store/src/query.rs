//! Queries on a consistent state of the database. Every one is answered from an index.

use std::fmt::Write as _;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use tongguan_model::certificate::{Certificate, CertificateStatus, Issued, KeyPurposes};
use tongguan_model::gateway::{
    Binding, BindingState, BusinessStatus, ChargeType, NetworkType, Phase, Role, Status, VpnGateway, VpnType,
};
use tongguan_model::id::{AccountId, CertificateId, RegionId, VSwitchId, VpcId, VpnGatewayId};
use tongguan_model::network::{VSwitch, Vpc};
use tongguan_model::wire_enum;

use crate::rights::Rights;
use crate::{Bearer, StoreError};

/// The columns of a row, in the order in which its reader takes them.
macro_rules! columns {
    (GATEWAY) => {
        "id, account, region, name, description, vpc, vswitch, dr_vswitch, bandwidth, network_type, vpn_type, ipsec, \
         ssl, ssl_connections, charge_type, auto_propagate, resource_group, internet_ip, dr_ip, order_id, created_ms, \
         end_ms, business_status, phase, intended, applied, certificate_alert"
    };
    (BINDING) => {
        "seq, gateway, role, certificate, state, associated_ms"
    };
    (VPC) => {
        "id, account, region, name, description, cidr, user_cidrs, dns_hostname, vrouter, route_table, resource_group, \
         created_ms, ready"
    };
    (VSWITCH) => {
        "id, account, region, vpc, zone, name, description, cidr, resource_group, created_ms, ready"
    };
    (CERTIFICATE) => {
        "id, account, region, key_spec, status, exportable, subject, dns_names, csr, public_key, created_ms, \
         updated_ms, certificate, chain, sm, issuer, issued_subject, serial, signature_algorithm, \
         subject_key_identifier, not_before, not_after, key_purposes"
    };
    (INTENT) => {
        "resource, kind, generation, change, since_ms, due_ms, attempts, last_error"
    };
}
macro_rules! concat_columns {
    ($before:literal, $columns:ident, $after:literal) => {
        concat!($before, columns!($columns), $after)
    };
}
pub(crate) const GATEWAY_COLUMNS: &str = columns!(GATEWAY);
pub(crate) const BINDING_COLUMNS: &str = columns!(BINDING);
pub(crate) const VPC_COLUMNS: &str = columns!(VPC);
pub(crate) const VSWITCH_COLUMNS: &str = columns!(VSWITCH);
pub(crate) const CERTIFICATE_COLUMNS: &str = columns!(CERTIFICATE);

/// A gateway as it is stored.
pub type GatewayRow = VpnGateway;
/// A VPC as it is stored.
pub type VpcRow = Vpc;
/// A vSwitch as it is stored.
pub type VSwitchRow = VSwitch;

wire_enum! {
    /// Kinds of resource that the engine brings from intended to applied.
    pub enum IntentKind {
        /// A VPN gateway.
        Gateway = "gateway",
        /// A VPC.
        Vpc = "vpc",
        /// A vSwitch.
        VSwitch = "vswitch",
        /// A task that deletes a service-linked role: nothing of it is on the data plane.
        RoleDeletion = "role_deletion",
    }
}

/// One change that is wanted and not applied yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Id of the resource.
    pub resource: String,
    /// Its kind.
    pub kind: IntentKind,
    /// Generation that is wanted.
    pub generation: u64,
    /// What the change is, for people: `create`, `associate`, ...
    pub change: String,
    /// When it was accepted, UNIX milliseconds.
    pub since_ms: i64,
    /// When to try (again), UNIX milliseconds.
    pub due_ms: i64,
    /// Failed tries so far.
    pub attempts: u32,
    /// Why the last failed try failed.
    pub last_error: Option<String>,
}

wire_enum! {
    /// What became of a change that could not be applied.
    pub enum FaultOutcome {
        /// It is retried indefinitely, because other resources may depend on this one.
        Retrying = "retrying",
        /// What was applied before is being brought back.
        Withdrawing = "withdrawing",
        /// What was applied before is in force again.
        Withdrawn = "withdrawn",
        /// Bringing it back failed too: the data plane may hold parts of the change.
        Diverged = "diverged",
    }
}

/// A change that the data plane did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Id of the resource.
    pub resource: String,
    /// Its kind.
    pub kind: IntentKind,
    /// What the change was, for people.
    pub change: String,
    /// Why it could not be applied, as the data plane said.
    pub reason: String,
    /// Failed tries.
    pub attempts: u32,
    /// When the change was accepted, UNIX milliseconds.
    pub since_ms: i64,
    /// When it was given up, UNIX milliseconds.
    pub failed_ms: i64,
    /// What became of it.
    pub outcome: FaultOutcome,
}

/// A page of a list with the number of all that match.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Those on the page.
    pub items: Vec<T>,
    /// All that match.
    pub total: u64,
}

/// What an answered idempotent call left behind.
#[derive(Debug, Clone)]
pub struct StoredToken {
    /// Fingerprint of its parameters.
    pub fingerprint: Vec<u8>,
    /// Its answer without the request id: a JSON object.
    pub answer: String,
    /// When it was answered, UNIX milliseconds.
    pub created_ms: i64,
}

/// A certificate's private key, sealed.
#[derive(Debug, Clone)]
pub struct CertificateKey {
    /// Sealed PKCS #8 document.
    pub sealed: Vec<u8>,
}

/// One tag with its resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRow {
    /// Id of the resource.
    pub resource: String,
    /// Key.
    pub key: String,
    /// Value; may be empty.
    pub value: String,
}

/// One tag to look for: the key, and the value if it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagFilter {
    /// Key.
    pub key: String,
    /// Value; none matches every value.
    pub value: Option<String>,
}

/// Which gateways a list asks for; everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct GatewayFilter {
    /// Id.
    pub id: Option<String>,
    /// VPC.
    pub vpc: Option<String>,
    /// Status.
    pub status: Option<Status>,
    /// Business status.
    pub business_status: Option<BusinessStatus>,
    /// Resource group.
    pub resource_group: Option<String>,
    /// Tags.
    pub tags: Vec<TagFilter>,
}

/// Which VPCs or vSwitches a list asks for; everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct NetworkFilter {
    /// Region; none means every region.
    pub region: Option<String>,
    /// Ids; empty means all.
    pub ids: Vec<String>,
    /// Name.
    pub name: Option<String>,
    /// VPC (vSwitches only).
    pub vpc: Option<String>,
    /// Zone (vSwitches only).
    pub zone: Option<String>,
    /// Resource group.
    pub resource_group: Option<String>,
    /// Route table.
    pub route_table: Option<String>,
    /// vRouter (VPCs only).
    pub router: Option<String>,
    /// Tags.
    pub tags: Vec<TagFilter>,
}

/// Which bindings a list asks for: AND between the members, OR inside a list.
#[derive(Debug, Clone, Default)]
pub struct BindingFilter {
    /// Gateways; empty means all.
    pub gateways: Vec<String>,
    /// Certificates; empty means all.
    pub certificates: Vec<String>,
    /// Role.
    pub role: Option<Role>,
}

/// A binding with its place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingRow {
    /// Place; pages go from high to low.
    pub seq: i64,
    /// The binding.
    pub binding: Binding,
}

/// One consistent state of the database.
pub struct Snapshot<'c> {
    connection: &'c Connection,
    rights: Option<&'c Rights>,
}

impl std::fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshot")
    }
}

type Answer<T> = Result<T, StoreError>;

impl<'c> Snapshot<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        Self { connection, rights: None }
    }

    /// One that can vouch for rows that confer rights.
    pub(crate) fn vouching(connection: &'c Connection, rights: &'c Rights) -> Self {
        Self { connection, rights: Some(rights) }
    }

    pub(crate) fn rights(&self) -> Option<&'c Rights> {
        self.rights
    }

    pub(crate) fn connection(&self) -> &'c Connection {
        self.connection
    }

    /// The account's gateway of this id.
    ///
    /// # Errors
    /// A database error, as for every query below.
    pub fn gateway(&self, account: &AccountId, id: &str) -> Answer<Option<VpnGateway>> {
        let sql = concat_columns!("SELECT ", GATEWAY, " FROM vpn_gateway WHERE id = ?1 AND account = ?2");
        self.own(sql, account, id, gateway)
    }

    /// The gateway of this id, whoever owns it: for the engine.
    ///
    /// # Errors
    /// A database error.
    pub fn gateway_of_any_account(&self, id: &str) -> Answer<Option<VpnGateway>> {
        self.one(concat_columns!("SELECT ", GATEWAY, " FROM vpn_gateway WHERE id = ?1"), id, gateway)
    }

    /// A page of the account's gateways in a region, newest first.
    ///
    /// # Errors
    /// A database error.
    pub fn gateways(
        &self,
        account: &AccountId,
        region: &str,
        filter: &GatewayFilter,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<VpnGateway>> {
        let mut search = Search::of(account, Some(region));
        search.equal("id", filter.id.as_deref());
        search.equal("vpc", filter.vpc.as_deref());
        search.equal("business_status", filter.business_status.map(BusinessStatus::as_str));
        search.equal("resource_group", filter.resource_group.as_deref());
        search.tags("id", &filter.tags);
        if let Some(status) = filter.status {
            search.raw(match status {
                Status::Init => "phase = 'unpaid'",
                Status::Provisioning => "phase = 'live' AND applied = 0",
                Status::Updating => "phase = 'live' AND applied > 0 AND applied < intended",
                Status::Active => "phase = 'live' AND applied > 0 AND applied = intended",
                Status::Deleting => "phase = 'deleting'",
            });
        }
        self.page("vpn_gateway", columns!(GATEWAY), &search, offset, limit, gateway)
    }

    /// The certificates on a gateway, in the order in which they were accepted.
    ///
    /// # Errors
    /// A database error.
    pub fn bindings_of(&self, gateway: &VpnGatewayId) -> Answer<Vec<Binding>> {
        self.all(
            concat_columns!("SELECT ", BINDING, " FROM binding WHERE gateway = ?1 ORDER BY seq"),
            params![gateway.as_str()],
            |row| Ok(binding(row)?.binding),
        )
    }

    /// The gateways on which a certificate is bound.
    ///
    /// # Errors
    /// A database error.
    pub fn gateways_with(&self, certificate: &CertificateId) -> Answer<Vec<VpnGatewayId>> {
        self.all(
            "SELECT gateway FROM binding WHERE certificate = ?1 ORDER BY seq",
            params![certificate.as_str()],
            |row| Ok(VpnGatewayId::new(row.get::<_, String>(0)?)),
        )
    }

    /// A page of the bindings in force in a region, newest first, after place `before` if given.
    ///
    /// # Errors
    /// A database error.
    pub fn bindings(
        &self,
        account: &AccountId,
        region: &str,
        filter: &BindingFilter,
        before: Option<i64>,
        limit: u64,
    ) -> Answer<Page<BindingRow>> {
        let mut search = Search::of(account, Some(region));
        search.any("gateway", &filter.gateways);
        search.any("certificate", &filter.certificates);
        search.equal("role", filter.role.map(Role::as_str));
        let narrowed = search.narrowed;
        search.raw("state <> 'associating'");
        let all = search.clause();
        let first = before.is_none();
        if let Some(before) = before {
            search.values.push(Value::Integer(before));
            let place = search.values.len();
            search.raw(&format!("seq < ?{place}"));
        }
        let clause = search.clause();
        let sql = format!(
            "SELECT {} FROM binding WHERE {clause} ORDER BY seq DESC LIMIT {limit}",
            columns!(BINDING)
        );
        let items = self.all(&sql, params_from_iter(&search.values), binding)?;
        let total = match (first && (items.len() as u64) < limit, narrowed) {
            (true, _) => items.len() as u64,
            (false, false) => self.tally("binding", account, region)?,
            (false, true) => {
                let values = search.values.len() - usize::from(!first);
                self.count("binding", &all, &search.values[..values])?
            }
        };
        Ok(Page { items, total })
    }

    /// The account's VPC of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn vpc(&self, account: &AccountId, id: &str) -> Answer<Option<Vpc>> {
        let sql = concat_columns!("SELECT ", VPC, " FROM vpc WHERE id = ?1 AND account = ?2");
        self.own(sql, account, id, vpc)
    }

    /// A page of the account's VPCs, newest first.
    ///
    /// # Errors
    /// A database error.
    pub fn vpcs(
        &self,
        account: &AccountId,
        filter: &NetworkFilter,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<Vpc>> {
        let mut search = Search::of(account, filter.region.as_deref());
        search.any("id", &filter.ids);
        search.equal("name", filter.name.as_deref());
        search.equal("resource_group", filter.resource_group.as_deref());
        search.equal("route_table", filter.route_table.as_deref());
        search.equal("vrouter", filter.router.as_deref());
        search.tags("id", &filter.tags);
        self.page("vpc", columns!(VPC), &search, offset, limit, vpc)
    }

    /// The account's vSwitch of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn vswitch(&self, account: &AccountId, id: &str) -> Answer<Option<VSwitch>> {
        let sql = concat_columns!("SELECT ", VSWITCH, " FROM vswitch WHERE id = ?1 AND account = ?2");
        self.own(sql, account, id, vswitch)
    }

    /// A page of the account's vSwitches, newest first.
    ///
    /// # Errors
    /// A database error.
    pub fn vswitches(
        &self,
        account: &AccountId,
        filter: &NetworkFilter,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<VSwitch>> {
        let mut search = Search::of(account, filter.region.as_deref());
        search.any("id", &filter.ids);
        search.equal("name", filter.name.as_deref());
        search.equal("vpc", filter.vpc.as_deref());
        search.equal("zone", filter.zone.as_deref());
        search.equal("resource_group", filter.resource_group.as_deref());
        if let Some(table) = &filter.route_table {
            search.values.push(Value::Text(table.clone()));
            let place = search.values.len();
            search.raw(&format!("vpc IN (SELECT id FROM vpc WHERE route_table = ?{place})"));
        }
        search.tags("id", &filter.tags);
        self.page("vswitch", columns!(VSWITCH), &search, offset, limit, vswitch)
    }

    /// The vSwitches of a VPC, oldest first.
    ///
    /// # Errors
    /// A database error.
    pub fn vswitches_in(&self, vpc: &VpcId) -> Answer<Vec<VSwitch>> {
        self.all(
            concat_columns!("SELECT ", VSWITCH, " FROM vswitch WHERE vpc = ?1 ORDER BY seq"),
            params![vpc.as_str()],
            vswitch,
        )
    }

    /// How many gateways stand in a VPC.
    ///
    /// # Errors
    /// A database error.
    pub fn gateways_in_vpc(&self, vpc: &VpcId) -> Answer<u64> {
        self.number("SELECT count(*) FROM vpn_gateway WHERE vpc = ?1", params![vpc.as_str()])
    }

    /// How many gateways stand in a vSwitch.
    ///
    /// # Errors
    /// A database error.
    pub fn gateways_in_vswitch(&self, vswitch: &VSwitchId) -> Answer<u64> {
        self.number(
            "SELECT (SELECT count(*) FROM vpn_gateway WHERE vswitch = ?1) \
             + (SELECT count(*) FROM vpn_gateway WHERE dr_vswitch = ?1)",
            params![vswitch.as_str()],
        )
    }

    /// Whether a gateway has this address.
    ///
    /// # Errors
    /// A database error.
    pub fn address_in_use(&self, ip: &str) -> Answer<bool> {
        Ok(self.number("SELECT count(*) FROM address WHERE ip = ?1", params![ip])? > 0)
    }

    /// The account's certificate of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn certificate(&self, account: &AccountId, id: &str) -> Answer<Option<Certificate>> {
        let sql = concat_columns!("SELECT ", CERTIFICATE, " FROM certificate WHERE id = ?1 AND account = ?2");
        self.own(sql, account, id, certificate)
    }

    /// Private key of the account's certificate of this id, sealed.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`].
    pub fn certificate_key(&self, account: &AccountId, id: &str) -> Answer<Option<CertificateKey>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT sealed_private_key FROM certificate WHERE account = ?1 AND id = ?2")?;
        let sealed = statement.query_row(params![account.as_str(), id], |row| row.get(0)).optional()?;
        let Some(sealed) = sealed else { return Ok(None) };
        self.vouch(Bearer::Certificate(id))?;
        Ok(Some(CertificateKey { sealed }))
    }

    /// A resource's tags, by key.
    ///
    /// # Errors
    /// A database error.
    pub fn tags_of(&self, resource: &str) -> Answer<Vec<TagRow>> {
        self.all(
            "SELECT resource, key, value FROM tag WHERE resource = ?1 ORDER BY key",
            params![resource],
            tag,
        )
    }

    /// Tags on resources of one kind, by resource and key, from (resource, key) `after` on: those on
    /// `resources` (all if empty) that carry every tag of `filter`.
    ///
    /// # Errors
    /// A database error.
    #[expect(clippy::too_many_arguments, reason = "one argument per parameter of ListTagResources")]
    pub fn tags(
        &self,
        account: &AccountId,
        region: &str,
        kind: &str,
        resources: &[String],
        filter: &[TagFilter],
        after: Option<(&str, &str)>,
        limit: u64,
    ) -> Answer<Vec<TagRow>> {
        let mut search = Search::of(account, Some(region));
        search.equal("kind", Some(kind));
        search.any("resource", resources);
        search.tags("resource", filter);
        if let Some((resource, key)) = after {
            search.values.push(Value::Text(resource.into()));
            search.values.push(Value::Text(key.into()));
            let place = search.values.len();
            search.raw(&format!("(resource, key) > (?{}, ?{place})", place - 1));
        }
        let sql = format!(
            "SELECT resource, key, value FROM tag WHERE {} ORDER BY resource, key LIMIT {limit}",
            search.clause()
        );
        self.all(&sql, params_from_iter(&search.values), tag)
    }

    /// What is kept of an answered call with this token.
    ///
    /// # Errors
    /// A database error.
    pub fn token(&self, account: &AccountId, action: &str, token: &str) -> Answer<Option<StoredToken>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT fingerprint, answer, created_ms FROM client_token WHERE account = ?1 AND action = ?2 AND token = ?3",
        )?;
        let found = statement.query_row(params![account.as_str(), action, token], |row| {
            Ok(StoredToken { fingerprint: row.get(0)?, answer: row.get(1)?, created_ms: row.get(2)? })
        });
        Ok(found.optional()?)
    }

    /// Changes that are due at `now_ms`, oldest first.
    ///
    /// # Errors
    /// A database error.
    pub fn intents_due(&self, now_ms: i64, limit: u32) -> Answer<Vec<Intent>> {
        self.all(
            concat_columns!("SELECT ", INTENT, " FROM intent WHERE due_ms <= ?1 ORDER BY due_ms LIMIT ?2"),
            params![now_ms, limit],
            intent,
        )
    }

    /// When the next change is due, UNIX milliseconds.
    ///
    /// # Errors
    /// A database error.
    pub fn next_intent(&self) -> Answer<Option<i64>> {
        Ok(self
            .connection
            .prepare_cached("SELECT min(due_ms) FROM intent")?
            .query_row([], |row| row.get(0))?)
    }

    /// The change under way on a resource.
    ///
    /// # Errors
    /// A database error.
    pub fn intent(&self, resource: &str) -> Answer<Option<Intent>> {
        self.one(concat_columns!("SELECT ", INTENT, " FROM intent WHERE resource = ?1"), resource, intent)
    }

    /// Every change under way, longest waiting first, at most `limit`.
    ///
    /// # Errors
    /// A database error.
    pub fn intents(&self, limit: u32) -> Answer<Vec<Intent>> {
        self.all(
            concat_columns!("SELECT ", INTENT, " FROM intent ORDER BY since_ms, resource LIMIT ?1"),
            params![limit],
            intent,
        )
    }

    /// Changes that could not be applied, newest first, at most `limit`.
    ///
    /// # Errors
    /// A database error.
    pub fn faults(&self, limit: u32) -> Answer<Vec<Fault>> {
        self.all(
            "SELECT resource, kind, change, reason, attempts, since_ms, failed_ms, outcome FROM fault \
             ORDER BY failed_ms DESC, resource LIMIT ?1",
            params![limit],
            fault,
        )
    }

    /// The change of this resource that could not be applied last.
    ///
    /// # Errors
    /// A database error.
    pub fn fault(&self, resource: &str) -> Answer<Option<Fault>> {
        let sql = "SELECT resource, kind, change, reason, attempts, since_ms, failed_ms, outcome FROM fault \
                   WHERE resource = ?1";
        self.one(sql, resource, fault)
    }

    /// What the data plane has for a resource: generation and document.
    ///
    /// # Errors
    /// A database error.
    pub fn applied(&self, resource: &str) -> Answer<Option<(u64, String)>> {
        self.one("SELECT generation, document FROM applied WHERE resource = ?1", resource, |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
        })
    }

    /// The region of the account's gateway, VPC, vSwitch or certificate of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn region_of(&self, account: &AccountId, id: &str) -> Answer<Option<RegionId>> {
        let table = match id.split_once('-').map(|(prefix, _)| prefix) {
            Some("vpn") => "vpn_gateway",
            Some("vpc") => "vpc",
            Some("vsw") => "vswitch",
            _ => "certificate",
        };
        let sql = format!("SELECT region FROM {table} WHERE id = ?1 AND account = ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let region = statement.query_row(params![id, account.as_str()], |row| row.get::<_, String>(0));
        Ok(region.optional()?.map(RegionId::new))
    }

    /// The account that was made first.
    ///
    /// # Errors
    /// A database error.
    pub fn first_account(&self) -> Answer<Option<AccountId>> {
        let sql = "SELECT id FROM account ORDER BY created_ms, id LIMIT 1";
        let id: Option<String> =
            self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
        Ok(id.map(AccountId::new))
    }

    /// Whether there is any access key.
    ///
    /// # Errors
    /// A database error.
    pub fn has_access_keys(&self) -> Answer<bool> {
        Ok(self.number("SELECT EXISTS (SELECT 1 FROM access_key)", [])? > 0)
    }

    /// How many the account has of a kind in a region.
    ///
    /// # Errors
    /// A database error.
    pub fn tally(&self, kind: &str, account: &AccountId, region: &str) -> Answer<u64> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT value FROM tally WHERE kind = ?1 AND account = ?2 AND region = ?3")?;
        let value: Option<i64> =
            statement.query_row(params![kind, account.as_str(), region], |row| row.get(0)).optional()?;
        Ok(value.unwrap_or(0).max(0).cast_unsigned())
    }

    /// How many tokens of the account are remembered.
    ///
    /// # Errors
    /// A database error.
    pub fn client_tokens(&self, account: &AccountId) -> Answer<u64> {
        self.tally(crate::write::CLIENT_TOKEN, account, "")
    }

    /// How many of them are a principal's.
    ///
    /// # Errors
    /// A database error.
    pub fn client_tokens_of(&self, account: &AccountId, principal: &str) -> Answer<u64> {
        self.tally(crate::write::CLIENT_TOKEN_BY, account, principal)
    }

    /// How many the account has of a kind in all regions.
    ///
    /// # Errors
    /// A database error.
    pub fn tally_everywhere(&self, kind: &str, account: &AccountId) -> Answer<u64> {
        let sql = "SELECT coalesce(sum(value), 0) FROM tally WHERE kind = ?1 AND account = ?2";
        self.number(sql, params![kind, account.as_str()])
    }

    /// Result of the call with this request id in the audit record: HTTP status and error code.
    ///
    /// # Errors
    /// A database error.
    pub fn audited(&self, request_id: &str) -> Answer<Option<(u16, Option<String>)>> {
        let sql = "SELECT status, code FROM audit WHERE request_id = ?1";
        self.one(sql, request_id, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The account's row of this id. A foreign one is left out by the query, not after it was read: it takes the
    /// time of an unknown one.
    fn own<T>(
        &self,
        sql: &str,
        account: &AccountId,
        id: &str,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Answer<Option<T>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([id, account.as_str()], read).optional()?)
    }

    fn one<T>(&self, sql: &str, id: &str, read: fn(&Row<'_>) -> rusqlite::Result<T>) -> Answer<Option<T>> {
        Ok(self.connection.prepare_cached(sql)?.query_row([id], read).optional()?)
    }

    fn all<T, P: rusqlite::Params>(
        &self,
        sql: &str,
        values: P,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Answer<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(values, read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn number<P: rusqlite::Params>(&self, sql: &str, values: P) -> Answer<u64> {
        let number: i64 = self.connection.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
        Ok(number.max(0).cast_unsigned())
    }

    fn count(&self, table: &str, clause: &str, values: &[Value]) -> Answer<u64> {
        self.number(&format!("SELECT count(*) FROM {table} WHERE {clause}"), params_from_iter(values))
    }

    fn page<T>(
        &self,
        table: &str,
        columns: &str,
        search: &Search,
        offset: u64,
        limit: u64,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Answer<Page<T>> {
        let clause = search.clause();
        let sql = format!(
            "SELECT {columns} FROM {table} WHERE {clause} ORDER BY seq DESC LIMIT {limit} OFFSET {offset}"
        );
        let items = self.all(&sql, params_from_iter(&search.values), read)?;
        let total = match (&search.region, search.narrowed) {
            _ if offset == 0 && (items.len() as u64) < limit => items.len() as u64,
            (Some(region), false) => self.tally(table, &search.account, region)?,
            (None, false) => self.tally_everywhere(table, &search.account)?,
            (_, true) => self.count(table, &clause, &search.values)?,
        };
        Ok(Page { items, total })
    }
}

/// Conditions of a list, with the values that they name.
struct Search {
    account: AccountId,
    region: Option<String>,
    conditions: String,
    values: Vec<Value>,
    /// Whether anything but account and region restricts it, so that totals must be counted.
    narrowed: bool,
    /// Whether ids are named: then they choose the index, and account and region only check.
    by_id: bool,
}

impl Search {
    fn of(account: &AccountId, region: Option<&str>) -> Self {
        let mut values = vec![Value::Text(account.as_str().into())];
        values.extend(region.map(|region| Value::Text(region.into())));
        let region = region.map(Into::into);
        let conditions = String::with_capacity(128);
        Self { account: account.clone(), region, conditions, values, narrowed: false, by_id: false }
    }

    /// The WHERE clause. A plus sign keeps SQLite from using an index on the column.
    fn clause(&self) -> String {
        let scope = match (self.by_id, self.region.is_some()) {
            (false, false) => "account = ?1",
            (false, true) => "account = ?1 AND region = ?2",
            (true, false) => "+account = ?1",
            (true, true) => "+account = ?1 AND +region = ?2",
        };
        [scope, &self.conditions].concat()
    }

    fn raw(&mut self, condition: &str) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self.narrowed = true;
    }

    fn equal(&mut self, column: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.values.push(Value::Text(value.into()));
            let place = self.values.len();
            self.raw(&format!("{column} = ?{place}"));
        }
    }

    fn any(&mut self, column: &str, values: &[String]) {
        if values.is_empty() {
            return;
        }
        self.by_id = true;
        let mut places = String::new();
        for value in values {
            self.values.push(Value::Text(value.clone()));
            let comma = if places.is_empty() { "" } else { ", " };
            let _ = write!(places, "{comma}?{}", self.values.len());
        }
        self.raw(&format!("{column} IN ({places})"));
    }

    fn tags(&mut self, column: &str, tags: &[TagFilter]) {
        for tag in tags {
            self.by_id = true;
            self.values.push(Value::Text(tag.key.clone()));
            let mut condition = format!(
                "{column} IN (SELECT t.resource FROM tag t WHERE t.account = ?1 AND t.key = ?{}",
                self.values.len()
            );
            if let Some(value) = &tag.value {
                self.values.push(Value::Text(value.clone()));
                let _ = write!(condition, " AND t.value = ?{}", self.values.len());
            }
            condition.push(')');
            self.raw(&condition);
        }
    }
}

pub(crate) fn gateway(row: &Row<'_>) -> rusqlite::Result<VpnGateway> {
    Ok(VpnGateway {
        id: VpnGatewayId::new(row.get::<_, String>(0)?),
        account: AccountId::new(row.get::<_, String>(1)?),
        region: RegionId::new(row.get::<_, String>(2)?),
        name: row.get(3)?,
        description: row.get(4)?,
        vpc: VpcId::new(row.get::<_, String>(5)?),
        vswitch: row.get::<_, Option<String>>(6)?.map(VSwitchId::new),
        disaster_recovery_vswitch: row.get::<_, Option<String>>(7)?.map(VSwitchId::new),
        bandwidth: row.get(8)?,
        network_type: word(row, 9, NetworkType::parse)?,
        vpn_type: word(row, 10, VpnType::parse)?,
        ipsec: row.get(11)?,
        ssl: row.get(12)?,
        ssl_connections: row.get(13)?,
        charge_type: word(row, 14, ChargeType::parse)?,
        auto_propagate: row.get(15)?,
        resource_group: row.get(16)?,
        internet_ip: row.get(17)?,
        disaster_recovery_ip: row.get(18)?,
        order_id: row.get(19)?,
        created_ms: row.get(20)?,
        end_ms: row.get(21)?,
        business_status: word(row, 22, BusinessStatus::parse)?,
        phase: word(row, 23, Phase::parse)?,
        intended: row.get::<_, i64>(24)?.cast_unsigned(),
        applied: row.get::<_, i64>(25)?.cast_unsigned(),
        certificate_alert: row.get(26)?,
    })
}

pub(crate) fn binding(row: &Row<'_>) -> rusqlite::Result<BindingRow> {
    Ok(BindingRow {
        seq: row.get(0)?,
        binding: Binding {
            gateway: VpnGatewayId::new(row.get::<_, String>(1)?),
            role: word(row, 2, Role::parse)?,
            certificate: CertificateId::new(row.get::<_, String>(3)?),
            state: word(row, 4, BindingState::parse)?,
            associated_ms: row.get(5)?,
        },
    })
}

pub(crate) fn vpc(row: &Row<'_>) -> rusqlite::Result<Vpc> {
    Ok(Vpc {
        id: VpcId::new(row.get::<_, String>(0)?),
        account: AccountId::new(row.get::<_, String>(1)?),
        region: RegionId::new(row.get::<_, String>(2)?),
        name: row.get(3)?,
        description: row.get(4)?,
        cidr: row.get(5)?,
        user_cidrs: row.get(6)?,
        dns_hostname: row.get(7)?,
        vrouter: row.get(8)?,
        route_table: row.get(9)?,
        resource_group: row.get(10)?,
        created_ms: row.get(11)?,
        ready: row.get(12)?,
    })
}

pub(crate) fn vswitch(row: &Row<'_>) -> rusqlite::Result<VSwitch> {
    Ok(VSwitch {
        id: VSwitchId::new(row.get::<_, String>(0)?),
        account: AccountId::new(row.get::<_, String>(1)?),
        region: RegionId::new(row.get::<_, String>(2)?),
        vpc: VpcId::new(row.get::<_, String>(3)?),
        zone: row.get(4)?,
        name: row.get(5)?,
        description: row.get(6)?,
        cidr: row.get(7)?,
        resource_group: row.get(8)?,
        created_ms: row.get(9)?,
        ready: row.get(10)?,
    })
}

pub(crate) fn certificate(row: &Row<'_>) -> rusqlite::Result<Certificate> {
    let pem: Option<String> = row.get(12)?;
    let issued = match pem {
        None => None,
        Some(certificate) => Some(Issued {
            certificate,
            chain: row.get(13)?,
            sm: row.get(14)?,
            issuer: row.get(15)?,
            subject: row.get(16)?,
            serial: row.get(17)?,
            signature_algorithm: row.get(18)?,
            subject_key_identifier: row.get(19)?,
            not_before: row.get(20)?,
            not_after: row.get(21)?,
            purposes: row.get::<_, Option<u8>>(22)?.map(KeyPurposes::from_bits),
        }),
    };
    let names: String = row.get(7)?;
    Ok(Certificate {
        id: CertificateId::new(row.get::<_, String>(0)?),
        account: AccountId::new(row.get::<_, String>(1)?),
        region: RegionId::new(row.get::<_, String>(2)?),
        key_spec: row.get(3)?,
        status: word(row, 4, CertificateStatus::parse)?,
        exportable: row.get(5)?,
        subject: row.get(6)?,
        dns_names: names.split('\n').filter(|name| !name.is_empty()).map(Into::into).collect(),
        csr: row.get(8)?,
        public_key: row.get(9)?,
        created_ms: row.get(10)?,
        updated_ms: row.get(11)?,
        issued,
    })
}

fn intent(row: &Row<'_>) -> rusqlite::Result<Intent> {
    Ok(Intent {
        resource: row.get(0)?,
        kind: word(row, 1, IntentKind::parse)?,
        generation: row.get::<_, i64>(2)?.cast_unsigned(),
        change: row.get(3)?,
        since_ms: row.get(4)?,
        due_ms: row.get(5)?,
        attempts: row.get(6)?,
        last_error: row.get(7)?,
    })
}

fn fault(row: &Row<'_>) -> rusqlite::Result<Fault> {
    Ok(Fault {
        resource: row.get(0)?,
        kind: word(row, 1, IntentKind::parse)?,
        change: row.get(2)?,
        reason: row.get(3)?,
        attempts: row.get(4)?,
        since_ms: row.get(5)?,
        failed_ms: row.get(6)?,
        outcome: word(row, 7, FaultOutcome::parse)?,
    })
}

fn tag(row: &Row<'_>) -> rusqlite::Result<TagRow> {
    Ok(TagRow { resource: row.get(0)?, key: row.get(1)?, value: row.get(2)? })
}

/// Reads a column that holds one of an enum's words.
pub(crate) fn word<T>(row: &Row<'_>, column: usize, parse: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    parse(text).ok_or_else(|| {
        let damaged = StoreError::Damaged(format!("unknown word `{text}` in column {column}"));
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(damaged))
    })
}
