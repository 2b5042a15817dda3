//! The reference: how one gateway must behave, as far as its callers can see.
//!
//! [`Model::run`] is deterministic: in a state, an operation has one right answer and one next state. Two
//! things are not determined: when an accepted change settles ([`linear::Model::spontaneous`]), and
//! whether a call that was never answered took effect. Codes are the documented ones
//! (`docs/api/states.md`).

use std::fmt;
use std::rc::Rc;

use crate::linear;

/// Which certificate is meant, by its place in the world's list.
pub type Certificate = u8;
/// A name or description, by its number.
pub type Text = u32;
/// Bound certificates, by role.
pub type Bound = [Option<Certificate>; 2];

/// Role of a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The certificate for encryption.
    Encryption,
    /// The certificate for signatures.
    Signature,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Encryption, Self::Signature];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Encryption => "Encryption",
            Self::Signature => "Signature",
        }
    }

    /// Place in [`Bound`].
    #[must_use]
    pub fn place(self) -> usize {
        usize::from(self == Self::Signature)
    }
}

/// What is asked of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// AssociateVpnGatewayWithCertificate.
    Bind(Role, Certificate),
    /// DissociateVpnGatewayWithCertificate.
    Unbind(Role, Certificate),
    /// ModifyVpnGatewayAttribute: name, description.
    Modify(Option<Text>, Option<Text>),
    /// DeleteVpnGateway.
    Delete,
    /// DescribeVpnGateway.
    Describe,
    /// ListVpnCertificateAssociations.
    List,
    /// A look into the database at rest: how many changes the gateway has had, its making included.
    Changes,
}

/// What is asked, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operation {
    /// What.
    pub action: Action,
    /// As a dry run.
    pub dry: bool,
    /// Under this ClientToken.
    pub token: Option<u32>,
    /// Signed with this nonce. Only calls whose signed bytes are sent twice name it.
    pub nonce: Option<u32>,
}

/// Status of a gateway, as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Being built.
    Provisioning,
    /// At rest.
    Active,
    /// A change is being applied.
    Updating,
    /// Being removed.
    Deleting,
}

/// The codes of refusals.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Code {
    /// VpnGateway.Configuring
    Configuring,
    /// InvalidVpnGatewayInstanceId.NotFound
    GatewayNotFound,
    /// Certificate.NotFound
    CertificateNotFound,
    /// OperationDenied.CertificateDuplicated
    Duplicated,
    /// OperationDenied.CertificateTypeOccupied
    Occupied,
    /// InvalidCertificateAssociation.NotFound
    NotBound,
    /// IdempotentParameterMismatch
    TokenMismatch,
    /// SignatureNonceUsed
    NonceUsed,
    /// Any other: none is right.
    Other(String),
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// 200, and nothing else to say.
    Done,
    /// 200 with the gateway's data: status, name, description.
    Shown(Status, Text, Text),
    /// 200 with the bindings in force.
    Listed(Bound),
    /// A refusal.
    Refused(Code),
    /// Changes counted in the database; none: there is no such gateway.
    Counted(Option<u32>),
    /// 200 with something that no gateway of this world can answer.
    Strange(String),
}

/// How far a gateway's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Being built.
    Building,
    /// Built.
    Live,
    /// Being removed.
    Deleting,
    /// Removed.
    Gone,
}

/// The change under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flight {
    /// A binding being installed.
    Bind(Role, Certificate),
    /// A binding being removed.
    Unbind(Role),
    /// New attributes; shown from the beginning.
    Modify,
}

/// One state of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// How far its life has come.
    pub phase: Phase,
    /// Bindings in force.
    pub bound: Bound,
    /// The change under way.
    pub flight: Option<Flight>,
    /// Name.
    pub name: Text,
    /// Description; 0 is empty.
    pub description: Text,
    /// Accepted changes, the making included.
    pub changes: u32,
    /// Tokens of accepted calls: what they asked and were answered.
    pub tokens: Rc<Vec<(u32, Action, Answer)>>,
    /// Nonces that were used, of those that are named.
    pub nonces: Vec<u32>,
}

/// The certificate that nobody has.
pub const UNKNOWN: Certificate = Certificate::MAX;

impl Operation {
    /// A plain call.
    #[must_use]
    pub fn plain(action: Action) -> Self {
        Self { action, dry: false, token: None, nonce: None }
    }
}

impl Action {
    /// Name of the operation of the API; none for a look into the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bind(..) => "AssociateVpnGatewayWithCertificate",
            Self::Unbind(..) => "DissociateVpnGatewayWithCertificate",
            Self::Modify(..) => "ModifyVpnGatewayAttribute",
            Self::Delete => "DeleteVpnGateway",
            Self::Describe => "DescribeVpnGateway",
            Self::List => "ListVpnCertificateAssociations",
            Self::Changes => "",
        }
    }

    /// Whether it may change something.
    #[must_use]
    pub fn changes(self) -> bool {
        matches!(self, Self::Bind(..) | Self::Unbind(..) | Self::Modify(..) | Self::Delete)
    }
}

impl Code {
    /// Reads a code.
    #[must_use]
    pub fn parse(code: &str) -> Self {
        match code {
            "VpnGateway.Configuring" => Self::Configuring,
            "InvalidVpnGatewayInstanceId.NotFound" => Self::GatewayNotFound,
            "Certificate.NotFound" => Self::CertificateNotFound,
            "OperationDenied.CertificateDuplicated" => Self::Duplicated,
            "OperationDenied.CertificateTypeOccupied" => Self::Occupied,
            "InvalidCertificateAssociation.NotFound" => Self::NotBound,
            "IdempotentParameterMismatch" => Self::TokenMismatch,
            "SignatureNonceUsed" => Self::NonceUsed,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl State {
    /// A gateway whose making was accepted.
    #[must_use]
    pub fn building(name: Text) -> Self {
        Self {
            phase: Phase::Building,
            bound: [None, None],
            flight: None,
            name,
            description: 0,
            changes: 1,
            tokens: Rc::default(),
            nonces: Vec::new(),
        }
    }

    /// The status to show; none for a gateway that is gone.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match (self.phase, self.flight) {
            (Phase::Building, _) => Some(Status::Provisioning),
            (Phase::Live, None) => Some(Status::Active),
            (Phase::Live, Some(_)) => Some(Status::Updating),
            (Phase::Deleting, _) => Some(Status::Deleting),
            (Phase::Gone, _) => None,
        }
    }

    /// The same gateway without the tokens and nonces, which are of one round.
    #[must_use]
    pub fn without_memory(mut self) -> Self {
        self.tokens = Rc::default();
        self.nonces.clear();
        self
    }

    /// The call that was accepted under the token of `operation`, and its answer.
    fn remembered(&self, operation: &Operation) -> Option<(&Action, &Answer)> {
        // A dry run neither looks at tokens nor uses them up.
        let token = operation.token.filter(|_| !operation.dry)?;
        let mut known = self.tokens.iter();
        let known =
            known.find(|(known, action, _)| *known == token && action.name() == operation.action.name());
        known.map(|(_, action, answer)| (action, answer))
    }

    fn settled(&self) -> Option<Self> {
        let mut next = self.clone();
        match (self.phase, self.flight) {
            (Phase::Building, _) => next.phase = Phase::Live,
            (Phase::Deleting, _) => {
                next.phase = Phase::Gone;
                next.bound = [None, None];
            }
            (Phase::Live, Some(flight)) => {
                next.flight = None;
                match flight {
                    Flight::Bind(role, certificate) => next.bound[role.place()] = Some(certificate),
                    Flight::Unbind(role) => next.bound[role.place()] = None,
                    Flight::Modify => {}
                }
            }
            (Phase::Live, None) | (Phase::Gone, _) => return None,
        }
        Some(next)
    }

    fn begin(&self, flight: Flight) -> Self {
        Self { flight: Some(flight), changes: self.changes + 1, ..self.clone() }
    }
}

/// The model of one gateway.
#[derive(Debug, Clone, Copy, Default)]
pub struct Model;

impl Model {
    /// The right answer and the next state.
    #[must_use]
    pub fn run(&self, state: &State, operation: &Operation) -> (Answer, State) {
        if let Some(nonce) = operation.nonce {
            if state.nonces.contains(&nonce) {
                return (Answer::Refused(Code::NonceUsed), state.clone());
            }
            let (answer, mut next) = self.run(state, &Operation { nonce: None, ..*operation });
            next.nonces.push(nonce);
            next.nonces.sort_unstable();
            return (answer, next);
        }
        if let Some(token) = operation.token
            && let Some(known) = state
                .tokens
                .iter()
                .find(|(known, action, _)| *known == token && action.name() == operation.action.name())
        {
            let (_, action, answer) = known;
            let same = *action == operation.action;
            let answer = if same { answer.clone() } else { Answer::Refused(Code::TokenMismatch) };
            return (answer, state.clone());
        }
        let (answer, mut next) = act(state, operation.action);
        if operation.dry {
            return (answer, state.clone());
        }
        if let Some(token) = operation.token
            && !matches!(answer, Answer::Refused(_))
        {
            // States share what they remember alike: there are very many of them, and much is remembered.
            let tokens = Rc::make_mut(&mut next.tokens);
            tokens.push((token, operation.action, answer.clone()));
            tokens.sort_unstable_by_key(|(token, action, _)| (*token, action.name()));
        }
        (answer, next)
    }
}

/// The operation itself, without token, nonce and dry run.
fn act(state: &State, action: Action) -> (Answer, State) {
    let refused = |code| (Answer::Refused(code), state.clone());
    match action {
        Action::List => return (Answer::Listed(state.bound), state.clone()),
        Action::Changes => {
            let changes = (state.phase != Phase::Gone).then_some(state.changes);
            return (Answer::Counted(changes), state.clone());
        }
        Action::Bind(..) | Action::Unbind(..) | Action::Modify(..) | Action::Delete | Action::Describe => {}
    }
    let Some(status) = state.status() else { return refused(Code::GatewayNotFound) };
    if action == Action::Describe {
        return (Answer::Shown(status, state.name, state.description), state.clone());
    }
    if status != Status::Active {
        return refused(Code::Configuring);
    }
    match action {
        Action::Bind(role, certificate) => {
            if certificate == UNKNOWN {
                refused(Code::CertificateNotFound)
            } else if state.bound[role.place()] == Some(certificate) {
                (Answer::Done, state.clone())
            } else if state.bound.contains(&Some(certificate)) {
                refused(Code::Duplicated)
            } else if state.bound[role.place()].is_some() {
                refused(Code::Occupied)
            } else {
                (Answer::Done, state.begin(Flight::Bind(role, certificate)))
            }
        }
        Action::Unbind(role, certificate) => {
            if state.bound[role.place()] == Some(certificate) {
                (Answer::Done, state.begin(Flight::Unbind(role)))
            } else {
                refused(Code::NotBound)
            }
        }
        Action::Modify(name, description) => {
            let (name, description) = (name.unwrap_or(state.name), description.unwrap_or(state.description));
            if (name, description) == (state.name, state.description) {
                return (Answer::Shown(Status::Active, name, description), state.clone());
            }
            let next = State { name, description, ..state.begin(Flight::Modify) };
            (Answer::Shown(Status::Updating, name, description), next)
        }
        Action::Delete => {
            let next = State { phase: Phase::Deleting, changes: state.changes + 1, ..state.clone() };
            (Answer::Done, next)
        }
        Action::Describe | Action::List | Action::Changes => refused(Code::Other("not reached".into())),
    }
}

impl linear::Model for Model {
    type State = State;
    type Operation = Operation;
    type Answer = Answer;

    fn step(&self, state: &State, operation: &Operation) -> (Answer, State) {
        self.run(state, operation)
    }

    fn spontaneous(&self, state: &State) -> Option<State> {
        state.settled()
    }

    fn unanswered(&self, state: &State, operation: &Operation) -> Vec<State> {
        if operation.nonce.is_none() && (operation.dry || !operation.action.changes()) {
            return Vec::new();
        }
        let mut nexts = vec![self.run(state, operation).1];
        // The nonce is taken before the change is made: the server may have died between the two.
        if let Some(nonce) = operation.nonce.filter(|nonce| !state.nonces.contains(nonce)) {
            let mut next = state.clone();
            next.nonces.push(nonce);
            next.nonces.sort_unstable();
            nexts.push(next);
        }
        nexts.retain(|next| next != state);
        nexts
    }

    fn observes(&self, state: &State, operation: &Operation, answer: &Answer) -> bool {
        if let Some(nonce) = operation.nonce {
            return state.nonces.contains(&nonce);
        }
        let read = operation.dry || !operation.action.changes();
        // Not a bind of what is bound: if it comes later, it may be one of what is not.
        read || matches!(answer, Answer::Refused(_)) || state.remembered(operation).is_some()
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |letter: char, text: Option<Text>| text.map_or("-".to_owned(), |n| format!("{letter}{n}"));
        match self.action {
            Action::Bind(role, certificate) => write!(f, "bind {} c{certificate}", role.name())?,
            Action::Unbind(role, certificate) => write!(f, "unbind {} c{certificate}", role.name())?,
            Action::Modify(name, description) => {
                write!(f, "modify {} {}", text('n', name), text('d', description))?;
            }
            Action::Delete => f.write_str("delete")?,
            Action::Describe => f.write_str("describe")?,
            Action::List => f.write_str("list")?,
            Action::Changes => f.write_str("count changes")?,
        }
        if self.dry {
            f.write_str(" (dry)")?;
        }
        if let Some(token) = self.token {
            write!(f, " token {token}")?;
        }
        match self.nonce {
            Some(nonce) => write!(f, " nonce {nonce}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("200"),
            Self::Shown(status, name, description) => write!(f, "200 {status:?} n{name} d{description}"),
            Self::Listed(bound) => write!(f, "200 {}", shown(*bound)),
            Self::Refused(Code::Other(code)) => write!(f, "refused, {code}"),
            Self::Refused(code) => write!(f, "refused, {code:?}"),
            Self::Counted(changes) => write!(f, "{changes:?} changes"),
            Self::Strange(text) => write!(f, "200 with {text}"),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} n{} d{}", self.phase, shown(self.bound), self.name, self.description)?;
        if let Some(flight) = self.flight {
            write!(f, ", under way: {flight:?}")?;
        }
        write!(f, ", {} changes, {} tokens", self.changes, self.tokens.len())
    }
}

fn shown(bound: Bound) -> String {
    let one = |certificate: Option<Certificate>| certificate.map_or("-".to_owned(), |c| format!("c{c}"));
    format!("[{} {}]", one(bound[0]), one(bound[1]))
}
