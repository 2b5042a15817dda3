//! VPN gateways and the certificates bound to them (`states.md`, sections 1 and 3).
//!
//! A gateway records two numbers, the generation that is *intended* and the one that is *applied*.
//! Its [`Status`] follows from them and from its [`Phase`]; it is never stored, so it cannot be stuck.
//! A change is accepted only while both are equal, which makes work on one gateway serial.

use crate::certificate::{BindingFacts, Role};
use crate::id::{AccountId, CertificateId, RegionId, VSwitchId, VpcId, VpnGatewayId};
use crate::wire_enum;

wire_enum! {
    /// State of a gateway as DescribeVpnGateway shows it.
    pub enum Status {
        /// Ordered and not paid: nothing is built.
        Init = "init",
        /// Being built.
        Provisioning = "provisioning",
        /// At rest.
        Active = "active",
        /// A change is being applied.
        Updating = "updating",
        /// Being removed.
        Deleting = "deleting",
    }
}

wire_enum! {
    /// Kind of gateway: what algorithms its tunnels use.
    pub enum VpnType {
        /// International algorithms.
        Normal = "Normal",
        /// ShangMi: SM2, SM3, SM4; carries two certificates.
        NationalStandard = "NationalStandard",
    }
}

wire_enum! {
    /// Where a gateway's own address lies.
    pub enum NetworkType {
        /// Public addresses.
        Public = "public",
        /// Addresses of its vSwitch.
        Private = "private",
    }
}

wire_enum! {
    /// How a gateway is charged, as it is read (`CreateVpnGateway` spells it differently).
    pub enum ChargeType {
        /// Subscription (`PREPAY`).
        Prepay = "Prepay",
        /// Pay as you go (`POSTPAY`).
        PostpayByFlow = "PostpayByFlow",
    }
}

wire_enum! {
    /// Whether the account's debts lock the gateway. Nothing is ever charged here, so it stays `Normal`
    /// unless an operator locks it.
    pub enum BusinessStatus {
        /// Usable.
        Normal = "Normal",
        /// Locked for debt.
        FinancialLocked = "FinancialLocked",
    }
}

wire_enum! {
    /// How far a gateway's life has come.
    pub enum Phase {
        /// An order that waits for its payment.
        Unpaid = "unpaid",
        /// Built or being built.
        Live = "live",
        /// Accepted for deletion.
        Deleting = "deleting",
    }
}

wire_enum! {
    /// How far a binding has come.
    pub enum BindingState {
        /// Accepted, being installed; not listed yet.
        Associating = "associating",
        /// In force.
        Associated = "associated",
        /// Being removed; still listed.
        Dissociating = "dissociating",
    }
}

wire_enum! {
    /// How far something has come that hangs on a gateway and is applied with it, such as a connection.
    pub enum ChildState {
        /// Accepted, and not in force yet.
        Creating = "creating",
        /// In force.
        Active = "active",
        /// In force as it was before a change that was accepted.
        Updating = "updating",
        /// In force until its removal, which was accepted, is applied.
        Deleting = "deleting",
    }
}

impl ChildState {
    /// Whether it shall be in force with the gateway's next generation.
    #[must_use]
    pub const fn is_wanted(self) -> bool {
        match self {
            Self::Creating | Self::Active | Self::Updating => true,
            Self::Deleting => false,
        }
    }
}

/// A VPN gateway. Its bindings and tags are kept apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpnGateway {
    /// Id, prefix `vpn-`.
    pub id: VpnGatewayId,
    /// Owner.
    pub account: AccountId,
    /// Region.
    pub region: RegionId,
    /// Name.
    pub name: String,
    /// Description; may be empty.
    pub description: String,
    /// VPC that it serves.
    pub vpc: VpcId,
    /// First vSwitch; empty if the region places it itself.
    pub vswitch: Option<VSwitchId>,
    /// Second vSwitch.
    pub disaster_recovery_vswitch: Option<VSwitchId>,
    /// Bandwidth, Mbit/s.
    pub bandwidth: u32,
    /// Where its address lies.
    pub network_type: NetworkType,
    /// Kind.
    pub vpn_type: VpnType,
    /// IPsec-VPN on.
    pub ipsec: bool,
    /// SSL-VPN on.
    pub ssl: bool,
    /// Concurrent SSL clients.
    pub ssl_connections: u32,
    /// Charging.
    pub charge_type: ChargeType,
    /// Exchange routes with the VPC by itself.
    pub auto_propagate: bool,
    /// Resource group.
    pub resource_group: String,
    /// First address.
    pub internet_ip: String,
    /// Second address, if it has two vSwitches.
    pub disaster_recovery_ip: Option<String>,
    /// Order number.
    pub order_id: i64,
    /// Creation, UNIX milliseconds.
    pub created_ms: i64,
    /// End of the paid term, UNIX milliseconds.
    pub end_ms: i64,
    /// Locked or not.
    pub business_status: BusinessStatus,
    /// Life phase.
    pub phase: Phase,
    /// Generation that is wanted; grows by one with each accepted change.
    pub intended: u64,
    /// Generation that the data plane has.
    pub applied: u64,
    /// Which bound certificates are out of service, for people; none if all are ACTIVE.
    pub certificate_alert: Option<String>,
}

/// One certificate in one role on one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Gateway.
    pub gateway: VpnGatewayId,
    /// Role.
    pub role: Role,
    /// Certificate: of an SM pair in Cas the half of the role.
    pub certificate: CertificateId,
    /// What the caller names it by: its id, or that of the upload to Cas that it came with.
    pub named: CertificateId,
    /// How far it has come.
    pub state: BindingState,
    /// When it was accepted, UNIX milliseconds.
    pub associated_ms: i64,
}

/// Why a gateway refuses a change. The service gives each its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not settled: a change is under way.
    Configuring,
    /// Not an SM gateway.
    NotNationalStandard,
    /// The certificate is not ACTIVE, not SM or out of its validity.
    CertificateNotBindable,
    /// The certificate's keyUsage does not allow what the role needs.
    CertificateUsage,
    /// The certificate holds the other role there.
    CertificateDuplicated,
    /// The role holds another certificate.
    RoleOccupied,
    /// No such (role, certificate) on the gateway.
    NotBound,
    /// Inside the paid term.
    PaidTerm,
    /// Locked for debt.
    FinancialLocked,
    /// IPsec-VPN is off.
    NoIpsec,
    /// An SM gateway without both certificates.
    CertificatesMissing,
    /// Connections are left on it.
    HasConnections,
}

/// What a bind comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// This very binding is in force: nothing to do.
    AlreadyBound,
    /// A new binding.
    New(Binding),
}

/// What giving a change up comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withdrawal {
    /// The gateway was never built: it goes.
    Remove,
    /// What was applied before comes back: bindings not in force yet leave, those being removed stay.
    Restore {
        /// Bindings to remove.
        leave: Vec<Binding>,
        /// Bindings to put back in force.
        stay: Vec<Binding>,
    },
}

impl VpnGateway {
    /// The status to show, derived from phase and generations.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.phase {
            Phase::Unpaid => Status::Init,
            Phase::Deleting => Status::Deleting,
            Phase::Live if self.applied == 0 => Status::Provisioning,
            Phase::Live if self.applied < self.intended => Status::Updating,
            Phase::Live => Status::Active,
        }
    }

    /// Checks that no change is under way.
    ///
    /// # Errors
    /// [`Refusal::Configuring`] in every state but `active`.
    pub fn settled(&self) -> Result<(), Refusal> {
        if self.status() == Status::Active { Ok(()) } else { Err(Refusal::Configuring) }
    }

    /// Checks that no change is under way and no debt locks the gateway: for work on what hangs on it.
    ///
    /// # Errors
    /// Not settled, then locked.
    pub fn usable(&self) -> Result<(), Refusal> {
        self.settled()?;
        match self.business_status {
            BusinessStatus::Normal => Ok(()),
            BusinessStatus::FinancialLocked => Err(Refusal::FinancialLocked),
        }
    }

    /// Whether the gateway has what its tunnels authenticate with, given the bindings that are in force: an SM gateway
    /// needs both certificates.
    #[must_use]
    pub fn can_negotiate(&self, in_force: &[Binding]) -> bool {
        match self.vpn_type {
            VpnType::Normal => true,
            VpnType::NationalStandard => {
                Role::ALL.iter().all(|role| in_force.iter().any(|held| held.role == *role))
            }
        }
    }

    /// Checks that a connection can be made, given the gateway's bindings: all are in force if it is settled.
    ///
    /// # Errors
    /// In this order: not settled, locked, IPsec-VPN off, a certificate missing.
    pub fn connect(&self, bindings: &[Binding]) -> Result<(), Refusal> {
        self.usable()?;
        if !self.ipsec {
            return Err(Refusal::NoIpsec);
        }
        if self.can_negotiate(bindings) { Ok(()) } else { Err(Refusal::CertificatesMissing) }
    }

    /// Checks that the gateway is of the kind that carries certificates.
    ///
    /// # Errors
    /// [`Refusal::NotNationalStandard`] on every other kind.
    pub fn takes_certificates(&self) -> Result<(), Refusal> {
        match self.vpn_type {
            VpnType::NationalStandard => Ok(()),
            VpnType::Normal => Err(Refusal::NotNationalStandard),
        }
    }

    /// Checks a bind of `certificate`, which the caller names `named`, in `role` at `now_ms`, given the gateway's
    /// present bindings. The two roles need two certificates, and may name them alike: a pair in Cas has both under
    /// one id.
    ///
    /// # Errors
    /// In this order: not settled, not an SM gateway, certificate not bindable, certificate in the other role, role
    /// taken, not for this role by its keyUsage.
    pub fn bind(
        &self,
        bindings: &[Binding],
        role: Role,
        named: &CertificateId,
        certificate: &CertificateId,
        facts: BindingFacts,
        now_ms: i64,
    ) -> Result<Bind, Refusal> {
        self.settled()?;
        self.takes_certificates()?;
        if bindings.iter().any(|held| held.role == role && held.named == *named) {
            return Ok(Bind::AlreadyBound);
        }
        if !facts.bindable(now_ms.div_euclid(1000)) {
            return Err(Refusal::CertificateNotBindable);
        }
        if bindings.iter().any(|held| held.certificate == *certificate) {
            return Err(Refusal::CertificateDuplicated);
        }
        if bindings.iter().any(|held| held.role == role) {
            return Err(Refusal::RoleOccupied);
        }
        if !facts.purposes.serve(role) {
            return Err(Refusal::CertificateUsage);
        }
        Ok(Bind::New(Binding {
            gateway: self.id.clone(),
            role,
            certificate: certificate.clone(),
            named: named.clone(),
            state: BindingState::Associating,
            associated_ms: now_ms,
        }))
    }

    /// Checks an unbind of what is named `named` in `role`: the role is part of the key.
    ///
    /// # Errors
    /// Not settled, then not bound.
    pub fn unbind(&self, bindings: &[Binding], role: Role, named: &CertificateId) -> Result<(), Refusal> {
        self.settled()?;
        let bound = bindings.iter().any(|held| held.role == role && held.named == *named);
        if bound { Ok(()) } else { Err(Refusal::NotBound) }
    }

    /// What giving up the change under way comes to, given the gateway's present bindings: the gateway's
    /// last applied state is to be in force again.
    #[must_use]
    pub fn withdraw(&self, bindings: &[Binding]) -> Withdrawal {
        if self.applied == 0 {
            return Withdrawal::Remove;
        }
        let in_state = |state| bindings.iter().filter(|held| held.state == state).cloned().collect();
        Withdrawal::Restore {
            leave: in_state(BindingState::Associating),
            stay: in_state(BindingState::Dissociating),
        }
    }

    /// Checks a deletion at `now_ms` of a gateway with so many connections. An unpaid order can be cancelled by
    /// deleting it, since it could never come to rest otherwise. Bindings do not stand in the way (no page says so):
    /// they end with the gateway.
    ///
    /// # Errors
    /// Not settled, inside the paid term, or not empty.
    pub fn delete(&self, connections: u64, now_ms: i64) -> Result<(), Refusal> {
        if self.phase == Phase::Unpaid {
            return Ok(());
        }
        self.settled()?;
        if self.charge_type == ChargeType::Prepay && now_ms < self.end_ms {
            return Err(Refusal::PaidTerm);
        }
        if connections > 0 { Err(Refusal::HasConnections) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::CertificateStatus;
    use crate::certificate::KeyPurposes;
    use proptest::prelude::*;

    #[test]
    fn status_follows_from_phase_and_generations() {
        let mut gateway = sm_gateway();
        for (phase, intended, applied, status) in [
            (Phase::Unpaid, 1, 0, Status::Init),
            (Phase::Live, 1, 0, Status::Provisioning),
            (Phase::Live, 1, 1, Status::Active),
            (Phase::Live, 2, 1, Status::Updating),
            (Phase::Deleting, 3, 2, Status::Deleting),
        ] {
            (gateway.phase, gateway.intended, gateway.applied) = (phase, intended, applied);
            assert_eq!(gateway.status(), status);
        }
    }

    #[test]
    fn giving_up_brings_back_what_was_applied() {
        let mut gateway = sm_gateway();
        let held = |role, state| Binding {
            gateway: gateway.id.clone(),
            role,
            certificate: CertificateId::new("c"),
            named: CertificateId::new("c"),
            state,
            associated_ms: 0,
        };
        let arriving = held(Role::Encryption, BindingState::Associating);
        let going = held(Role::Signature, BindingState::Dissociating);
        let bindings = [arriving.clone(), going.clone(), held(Role::Signature, BindingState::Associated)];
        (gateway.intended, gateway.applied) = (2, 1);
        let restore = Withdrawal::Restore { leave: vec![arriving], stay: vec![going] };
        assert_eq!(gateway.withdraw(&bindings), restore);
        (gateway.intended, gateway.applied) = (1, 0);
        assert_eq!(gateway.withdraw(&bindings), Withdrawal::Remove);
    }

    #[test]
    fn a_bind_wrong_in_two_ways_gets_the_earlier_refusal() {
        let certificate = CertificateId::new("c");
        let mut gateway = sm_gateway();
        gateway.vpn_type = VpnType::Normal;
        gateway.intended = 2;
        let unfit = BindingFacts { sm: false, ..fit() };
        let bind =
            |gateway: &VpnGateway| gateway.bind(&[], Role::Signature, &certificate, &certificate, unfit, 0);
        assert_eq!(bind(&gateway), Err(Refusal::Configuring));
        gateway.applied = 2;
        assert_eq!(bind(&gateway), Err(Refusal::NotNationalStandard));
        gateway.vpn_type = VpnType::NationalStandard;
        assert_eq!(bind(&gateway), Err(Refusal::CertificateNotBindable));
    }

    #[test]
    fn a_certificate_serves_only_the_roles_of_its_key_usage() {
        let (gateway, certificate) = (sm_gateway(), CertificateId::new("c"));
        let bind = |role, sign, encrypt| {
            let facts = BindingFacts { purposes: KeyPurposes { sign, encrypt }, ..fit() };
            gateway.bind(&[], role, &certificate, &certificate, facts, 0).map(|_| ())
        };
        for (role, sign, encrypt, outcome) in [
            (Role::Signature, true, false, Ok(())),
            (Role::Signature, false, true, Err(Refusal::CertificateUsage)),
            (Role::Encryption, false, true, Ok(())),
            (Role::Encryption, true, false, Err(Refusal::CertificateUsage)),
            (Role::Encryption, false, false, Err(Refusal::CertificateUsage)),
        ] {
            assert_eq!(bind(role, sign, encrypt), outcome, "{role:?} {sign} {encrypt}");
        }
    }

    #[test]
    fn a_subscription_is_not_released_inside_its_term() {
        let mut gateway = sm_gateway();
        gateway.charge_type = ChargeType::Prepay;
        gateway.end_ms = 1_000;
        assert_eq!(gateway.delete(1, 999), Err(Refusal::PaidTerm));
        assert_eq!(gateway.delete(1, 1_000), Err(Refusal::HasConnections));
        assert_eq!(gateway.delete(0, 1_000), Ok(()));
        gateway.phase = Phase::Unpaid;
        assert_eq!(gateway.delete(0, 0), Ok(()));
    }

    #[test]
    fn a_connection_that_is_refused_for_two_reasons_gets_the_earlier_one() {
        let mut gateway = sm_gateway();
        let held = |role| Binding {
            gateway: gateway.id.clone(),
            role,
            certificate: CertificateId::new("c"),
            named: CertificateId::new("c"),
            state: BindingState::Associated,
            associated_ms: 0,
        };
        let both = [held(Role::Encryption), held(Role::Signature)];
        assert_eq!(gateway.connect(&both), Ok(()));
        for bindings in [&both[..1], &both[1..], &[]] {
            assert_eq!(gateway.connect(bindings), Err(Refusal::CertificatesMissing));
        }
        gateway.ipsec = false;
        assert_eq!(gateway.connect(&[]), Err(Refusal::NoIpsec));
        gateway.business_status = BusinessStatus::FinancialLocked;
        assert_eq!(gateway.connect(&[]), Err(Refusal::FinancialLocked));
        gateway.intended += 1;
        assert_eq!(gateway.connect(&[]), Err(Refusal::Configuring));
        gateway = VpnGateway { vpn_type: VpnType::Normal, ..sm_gateway() };
        assert_eq!(gateway.connect(&[]), Ok(()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is asked in whatever order, at most one binding per role, never one certificate in both roles, and
        /// an unbind succeeds exactly for what is bound. The last of the three is a pair: its name is the same in both
        /// roles, and it has a certificate for each.
        #[test]
        fn bindings_keep_their_invariants(steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0u8..3), 1..60)) {
            let gateway = sm_gateway();
            let mut bindings: Vec<Binding> = Vec::new();
            for (bind, encryption, number) in steps {
                let role = if encryption { Role::Encryption } else { Role::Signature };
                let named = CertificateId::new(format!("c{number}"));
                let pair = number == 2;
                let certificate =
                    if pair { CertificateId::new(format!("c{number}{role}")) } else { named.clone() };
                let held = bindings.iter().position(|b| b.role == role && b.named == named);
                if bind {
                    match gateway.bind(&bindings, role, &named, &certificate, fit(), 0) {
                        Ok(Bind::AlreadyBound) => prop_assert!(held.is_some()),
                        Ok(Bind::New(binding)) => bindings.push(binding),
                        Err(Refusal::CertificateDuplicated) => prop_assert!(!pair),
                        Err(refusal) => prop_assert_eq!(refusal, Refusal::RoleOccupied),
                    }
                } else {
                    let answer = gateway.unbind(&bindings, role, &named);
                    prop_assert_eq!(answer.is_ok(), held.is_some());
                    if let Some(position) = held { bindings.remove(position); }
                }
                prop_assert!(bindings.len() <= 2);
                if let [one, other] = &bindings[..] {
                    prop_assert!(one.role != other.role && one.certificate != other.certificate);
                }
            }
        }
    }

    fn fit() -> BindingFacts {
        BindingFacts {
            status: CertificateStatus::Active,
            sm: true,
            not_before: i64::MIN,
            not_after: i64::MAX,
            purposes: KeyPurposes::ANY,
        }
    }

    fn sm_gateway() -> VpnGateway {
        VpnGateway {
            id: VpnGatewayId::new("vpn-1"),
            account: AccountId::new("1"),
            region: RegionId::new("cn-hangzhou"),
            name: "n".into(),
            description: String::new(),
            vpc: VpcId::new("vpc-1"),
            vswitch: None,
            disaster_recovery_vswitch: None,
            bandwidth: 10,
            network_type: NetworkType::Public,
            vpn_type: VpnType::NationalStandard,
            ipsec: true,
            ssl: false,
            ssl_connections: 5,
            charge_type: ChargeType::PostpayByFlow,
            auto_propagate: false,
            resource_group: String::new(),
            internet_ip: String::new(),
            disaster_recovery_ip: None,
            order_id: 1,
            created_ms: 0,
            end_ms: 0,
            business_status: BusinessStatus::Normal,
            phase: Phase::Live,
            intended: 1,
            applied: 1,
            certificate_alert: None,
        }
    }
}
