//! What a gateway is told: its connections, and how each of them negotiates.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tongguan_pki::{Certificate, PrivateKey};

use crate::keys::HashOrder;
use crate::suite::{Cipher, Group, Hash, Secret};
use crate::wire::Identity;

/// Names a connection; chosen by whoever configures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A connection with one peer.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its name.
    pub id: ConnectionId,
    /// Address of the peer; none if it may come from anywhere, and then it is the one to begin.
    pub remote: Option<IpAddr>,
    /// Our own address.
    pub local: IpAddr,
    /// How both prove who they are.
    pub authentication: Authentication,
    /// What we say that we are. With certificates it is the subject of the signature certificate.
    pub local_id: Identity,
    /// What the peer has to be.
    pub remote_id: PeerIdentity,
    /// Pairs of networks, ours first; one child SA for each.
    pub selectors: Vec<Selector>,
    /// What phase 1 may use, in order of preference.
    pub phase_1: Vec<Phase1Suite>,
    /// What phase 2 uses.
    pub phase_2: Phase2Suite,
    /// Lifetime of an IKE SA.
    pub phase_1_lifetime: Duration,
    /// Lifetime of a child SA.
    pub phase_2_lifetime: Duration,
    /// Order of digests in quick mode. Both are accepted, and answered in kind.
    pub hash_order: HashOrder,
    /// Whether to ask a silent peer if it is there.
    pub dead_peer_detection: bool,
    /// Whether to look for address translation on the way.
    pub nat: NatTraversal,
    /// Whether to negotiate at once and again whenever there is no SA, or only on [`crate::Command::Initiate`].
    pub immediately: bool,
}

/// What a peer has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerIdentity {
    /// Just this. With certificates it is the subject of both, DER.
    Exactly(Identity),
    /// With certificates: their subject, as [`Certificate::subject`] has it.
    Named(String),
    /// With certificates: whoever the peer's CA has issued them to.
    AnyOfCa,
}

/// Two networks, each an address and a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Selector {
    /// On our side.
    pub local: (IpAddr, u8),
    /// On the peer's side.
    pub remote: (IpAddr, u8),
}

/// How address translation is dealt with (RFC 3947).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatTraversal {
    /// Not at all: ESP goes without UDP.
    Off,
    /// Packets go in UDP if there is a translation.
    Detect,
    /// Packets go in UDP in any case, which is faster.
    Always,
}

/// How sides prove who they are.
#[derive(Clone)]
pub enum Authentication {
    /// A secret that both know.
    Psk(Arc<Secret>),
    /// Two certificates of each side (GM/T 0022-2014).
    Envelope(Arc<Credentials>),
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Psk(_) => "Psk",
            Self::Envelope(_) => "Envelope",
        })
    }
}

/// Certificates and keys of our side, and whom to trust for the peer's.
#[derive(Debug)]
pub struct Credentials {
    /// Ours, which all connections of a gateway have in common.
    pub own: Arc<OwnCertificates>,
    /// The peer's CA first, then those above it.
    pub peer_ca: Vec<Certificate>,
}

/// Certificates and keys of our side.
#[derive(Debug)]
pub struct OwnCertificates {
    /// For signatures.
    pub signature: Certificate,
    /// Its key.
    pub signature_key: PrivateKey,
    /// For encryption.
    pub encryption: Certificate,
    /// Its key.
    pub encryption_key: PrivateKey,
}

/// Algorithms of phase 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase1Suite {
    /// For messages.
    pub cipher: Cipher,
    /// For everything else.
    pub hash: Hash,
    /// With a pre-shared key; there is none with envelopes.
    pub group: Option<Group>,
}

/// Algorithms of phase 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase2Suite {
    /// For packets.
    pub cipher: Cipher,
    /// For packets.
    pub integrity: Hash,
    /// For a secret of its own, known as perfect forward secrecy.
    pub group: Option<Group>,
}
