//! Which certificates are on which gateways.

use std::cmp::Reverse;

use tongguan_model::certificate::{CertificateStatus, Role};
use tongguan_model::gateway::{Binding, BindingState, VpnGateway};
use tongguan_model::id::{AccountId, CertificateId, VpnGatewayId};

use super::search::{Page, Search};
use super::{Answer, Columns as _, Done, Relation};
use crate::{Snapshot, Tx};

/// Which bindings a query selects: AND between the members, OR inside a list.
#[derive(Debug, Clone, Default)]
pub struct BindingFilter {
    /// Gateways; empty means all.
    pub gateways: Vec<String>,
    /// Certificates, as they were named; empty means all.
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

table! {
    Binding as binding in "binding" {
        both { gateway, role, certificate, named, state, associated_ms }
        write(owner: &VpnGateway) { account = owner.account, region = owner.region }
    }
}

columns! { BindingRow { seq, binding = Binding::COLUMNS } }

/// A certificate that is bound and not being removed, with what decides whether it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundCertificate {
    /// Gateway.
    pub gateway: VpnGatewayId,
    /// Role.
    pub role: Role,
    /// Certificate.
    pub certificate: CertificateId,
    /// What the caller names it by.
    pub named: CertificateId,
    /// Its state.
    pub status: CertificateStatus,
    /// Start of validity, UNIX seconds.
    pub not_before: i64,
    /// End of validity, UNIX seconds.
    pub not_after: i64,
}

columns! {
    BoundCertificate {
        gateway = "b.gateway", role = "b.role", certificate = "b.certificate", named = "b.named", status = "c.status",
        not_before = "c.not_before", not_after = "c.not_after",
    }
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[
    (
        "a binding is half-way only on a gateway that is not settled",
        "SELECT b.gateway || ' ' || b.role FROM binding b JOIN vpn_gateway g ON g.id = b.gateway \
         WHERE b.state <> 'associated' AND g.applied >= g.intended",
    ),
    (
        "at most one binding of a gateway is half-way",
        "SELECT gateway FROM binding WHERE state <> 'associated' GROUP BY gateway HAVING count(*) > 1",
    ),
    (
        "a binding, its gateway and its certificate are of one account, and the gateway takes certificates",
        "SELECT b.gateway || ' ' || b.role FROM binding b JOIN vpn_gateway g ON g.id = b.gateway \
         JOIN certificate c ON c.id = b.certificate WHERE b.account <> g.account OR b.region <> g.region \
         OR c.account <> g.account OR g.vpn_type <> 'NationalStandard' OR c.certificate IS NULL",
    ),
    (
        "a binding has what it is named by, and of a pair the half of its role",
        "SELECT b.gateway || ' ' || b.role FROM binding b JOIN certificate c ON c.id = b.certificate \
         WHERE b.named <> coalesce(CAST(c.upload AS TEXT), c.id) OR c.half <> b.role",
    ),
    (
        "the two roles of a gateway have two certificates",
        "SELECT gateway FROM binding GROUP BY gateway, certificate HAVING count(*) > 1",
    ),
];

impl Snapshot<'_> {
    /// The certificates on a gateway, in the order in which they were accepted.
    ///
    /// # Errors
    /// A database error.
    pub fn bindings_of(&self, gateway: &VpnGatewayId) -> Answer<Vec<Binding>> {
        // They are two at most: sorting them here is a fifth of what SQLite's own sorter costs.
        let sql = sql!("SELECT ", BindingRow::COLUMNS, " FROM binding WHERE gateway = ?1");
        let mut rows: Vec<BindingRow> = self.session.all(sql, &binds![gateway])?;
        rows.sort_unstable_by_key(|row| row.seq);
        Ok(rows.into_iter().map(|row| row.binding).collect())
    }

    /// The same of a gateway that was read: where it takes no certificates, they are not looked for.
    ///
    /// # Errors
    /// A database error.
    pub fn bindings_on(&self, gateway: &VpnGateway) -> Answer<Vec<Binding>> {
        if gateway.takes_certificates().is_ok() { self.bindings_of(&gateway.id) } else { Ok(Vec::new()) }
    }

    /// The certificates that are in force on a gateway: also those that are being removed.
    ///
    /// # Errors
    /// A database error.
    pub fn bindings_in_force(&self, gateway: &VpnGatewayId) -> Answer<Vec<Binding>> {
        let mut bindings = self.bindings_of(gateway)?;
        bindings.retain(|binding| binding.state != BindingState::Associating);
        Ok(bindings)
    }

    /// The certificates that are bound to a gateway, or to all whoever owns them, and are not being removed.
    ///
    /// # Errors
    /// A database error.
    pub fn bound_certificates(&self, gateway: Option<&VpnGatewayId>) -> Answer<Vec<BoundCertificate>> {
        let sql = sql!(
            "SELECT ",
            BoundCertificate::COLUMNS,
            " FROM binding b JOIN certificate c ON c.id = b.certificate \
             WHERE b.state <> 'dissociating' AND b.gateway = coalesce(?1, b.gateway) ORDER BY b.gateway, b.role"
        );
        self.session.all(sql, &binds![gateway])
    }

    /// The gateways on which something is bound that is named so: a certificate of Kms, or one of an upload to Cas.
    ///
    /// # Errors
    /// A database error.
    pub fn gateways_with(&self, named: &CertificateId) -> Answer<Vec<VpnGatewayId>> {
        let sql = "SELECT gateway FROM binding WHERE named = ?1 GROUP BY gateway ORDER BY min(seq)";
        self.session.all(sql, &binds![named])
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
        search.any("named", &filter.certificates);
        search.equal("role", filter.role.as_ref());
        let narrowed = search.narrowed;
        search.raw("state <> 'associating'");
        let all = search.clause();
        let first = before.is_none();
        if let Some(before) = &before {
            let place = search.value(before);
            search.raw(&format!("seq < ?{place}"));
        }
        let clause = search.clause();
        // Named gateways have a few bindings each: sorting those here is a fifth of what SQLite's own sorter costs.
        let few = !filter.gateways.is_empty();
        let page = if few { String::new() } else { format!(" ORDER BY seq DESC LIMIT {limit}") };
        let sql = format!("SELECT {} FROM binding WHERE {clause}{page}", BindingRow::COLUMNS);
        let mut items: Vec<BindingRow> = self.session.all(&sql, &search.values)?;
        items.sort_unstable_by_key(|row| Reverse(row.seq));
        let total = match (first && (few || (items.len() as u64) < limit), narrowed) {
            (true, _) => items.len() as u64,
            (false, false) => self.tally("binding", account, region)?,
            (false, true) => {
                let values = search.values.len() - usize::from(!first);
                self.count_where("binding", &all, &search.values[..values])?
            }
        };
        items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Page { items, total })
    }
}

impl Tx<'_> {
    /// Stores a binding that was accepted.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_binding(&self, gateway: &VpnGateway, binding: &Binding) -> Done {
        insert(self.session, binding, gateway)?;
        self.count_binding(gateway, binding.state, 1)
    }

    /// Moves a binding on to `state`.
    ///
    /// # Errors
    /// A database error.
    pub fn set_binding_state(&self, gateway: &VpnGateway, binding: &Binding, state: BindingState) -> Done {
        update!(self.session, "binding" { state: state } where { gateway: gateway.id, role: binding.role })?;
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
            &binds![gateway.id, binding.role],
        )?;
        self.count_binding(gateway, binding.state, -1)
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
}
