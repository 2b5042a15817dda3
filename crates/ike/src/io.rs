//! What goes into a gateway's negotiations and what comes out: values, no sockets.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::{ConnectionId, Selector};
use crate::suite::{Cipher, Hash, Secret};

/// UDP port of IKE.
pub const IKE_PORT: u16 = 500;
/// UDP port of IKE and ESP where addresses are translated. Datagrams of IKE begin with four octets of zero there,
/// which whoever moves them takes off and puts on.
pub const NAT_PORT: u16 = 4500;

/// What time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since some moment, and without jumps.
    pub steady: Duration,
    /// Seconds since 1970, for certificates alone.
    pub wall: i64,
}

/// What happens.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A datagram has come.
    Datagram {
        /// Where it was received.
        local: SocketAddr,
        /// Where it comes from.
        remote: SocketAddr,
        /// All of it.
        octets: &'a [u8],
    },
    /// Time has passed; see [`crate::Router::next_timer`].
    Tick,
    /// Somebody wants something.
    Command(Command),
    /// Something happened to packets.
    Esp(EspEvent),
}

/// What an operator, or a packet without an SA, wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Negotiate.
    Initiate(ConnectionId),
    /// Delete all SAs, and tell the peer. A connection that is to be there immediately is negotiated again.
    Terminate(ConnectionId),
}

/// What happened to packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EspEvent {
    /// A child SA has carried so much that it should be replaced.
    Soft {
        /// The SPI under which we receive.
        spi: u32,
    },
    /// A child SA must not carry more.
    Hard {
        /// The SPI under which we receive.
        spi: u32,
    },
    /// A packet for no SA of ours.
    UnknownSpi {
        /// Where it comes from.
        remote: SocketAddr,
        /// What it says.
        spi: u32,
    },
    /// An authentic packet: the peer is there.
    Received(ConnectionId),
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram.
    Send {
        /// From here.
        local: SocketAddr,
        /// To there.
        remote: SocketAddr,
        /// All of it.
        octets: Vec<u8>,
    },
    /// Receive under a child SA already, before sending what follows: the peer may use it before its last message has
    /// come. [`Output::Install`] follows, or [`Output::Remove`].
    Expect(Box<ChildSa>),
    /// Receive and send under a new child SA, before sending what follows. Of those with the same selector, send under
    /// the newest.
    Install(Box<ChildSa>),
    /// Send nothing more under a child SA: the peer is told that it is gone. What comes under it is still received,
    /// until [`Output::Remove`].
    Cease {
        /// Whose it is.
        connection: ConnectionId,
        /// The SPI under which we receive.
        spi: u32,
    },
    /// Forget a child SA.
    Remove {
        /// Whose it is.
        connection: ConnectionId,
        /// The SPI under which we received.
        spi: u32,
    },
    /// Something for log and counters.
    Event(Event),
}

/// A pair of ESP SAs.
#[derive(Clone)]
pub struct ChildSa {
    /// Whose it is.
    pub connection: ConnectionId,
    /// What it carries.
    pub selector: Selector,
    /// The cipher.
    pub cipher: Cipher,
    /// The digest of HMAC.
    pub integrity: Hash,
    /// How we receive.
    pub inbound: OneWay,
    /// How we send.
    pub outbound: OneWay,
    /// Our end, as IKE has it.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Whether packets go in UDP between these; else they go without, and without ports.
    pub udp: bool,
}

/// One direction of a [`ChildSa`].
#[derive(Clone, PartialEq, Eq)]
pub struct OneWay {
    /// The SPI.
    pub spi: u32,
    /// The cipher's key.
    pub cipher_key: Secret,
    /// The key of HMAC.
    pub integrity_key: Secret,
}

impl std::fmt::Debug for ChildSa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildSa")
            .field("connection", &self.connection)
            .field("selector", &self.selector)
            .field("inbound", &self.inbound.spi)
            .field("outbound", &self.outbound.spi)
            .finish_non_exhaustive()
    }
}

/// Something that happened, for log and counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An IKE SA is there.
    IkeEstablished(ConnectionId),
    /// An IKE SA is gone, and why.
    IkeClosed(ConnectionId, &'static str),
    /// A child SA is there: its inbound SPI.
    ChildEstablished(ConnectionId, u32),
    /// A child SA is gone, and why.
    ChildClosed(ConnectionId, u32, &'static str),
    /// A message was dropped, and why. Nothing has changed.
    Dropped(Option<ConnectionId>, String),
    /// A bound was hit: its name.
    Limited(&'static str),
    /// The peer has said why it refuses; not authenticated, so nothing has changed.
    PeerRefuses(ConnectionId, u16),
}
