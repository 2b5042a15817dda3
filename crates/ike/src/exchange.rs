//! Exchanges under way, as an IKE SA keeps them: what was sent and is sent again, and what a quick mode waits for.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::Selector;
use crate::io::{ChildSa, Now, Output};
use crate::suite::{Block, KeyPair, Secret};
use crate::wire::Header;

/// When something is sent again, after the first time: 1, 2, 4, 8 and 16 seconds.
const TRIES: u32 = 5;

/// A message that is sent again until it is answered.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) octets: Vec<u8>,
    tries: u32,
    pub(crate) next: Duration,
    /// When it was sent first.
    pub(crate) first: Duration,
}

impl Sent {
    pub(crate) fn new(octets: Vec<u8>, now: Now) -> Self {
        Self { octets, tries: 0, next: now.steady + Duration::from_secs(1), first: now.steady }
    }

    /// What is to be done when [`Sent::next`] has come: false if it was sent often enough.
    pub(crate) fn again(&mut self, now: Now) -> bool {
        self.tries += 1;
        self.next = now.steady + Duration::from_secs(1 << self.tries.min(TRIES));
        self.tries <= TRIES
    }
}

/// An exchange, by its message id.
pub(crate) enum Quick {
    /// Initiator: message 1 is sent.
    Asked(Box<Asked>),
    /// Initiator: message 3 is sent, and is sent again if message 2 comes again.
    Done { until: Duration, digest: [u8; 32], answer: Vec<u8> },
    /// Responder: message 2 is sent.
    Answered(Box<Answered>),
    /// Responder: message 3 has come.
    Finished { until: Duration },
}

/// What the initiator has asked for.
pub(crate) struct Asked {
    pub(crate) selector: Selector,
    pub(crate) spi: u32,
    pub(crate) nonce: Secret,
    pub(crate) pair: Option<KeyPair>,
    pub(crate) vector: Block,
    pub(crate) sent: Sent,
}

/// What the responder has answered.
pub(crate) struct Answered {
    pub(crate) new: New,
    pub(crate) proof: Secret,
    pub(crate) vector: Block,
    pub(crate) digest: [u8; 32],
    pub(crate) sent: Sent,
}

/// A child SA that both sides have.
#[derive(Clone)]
pub(crate) struct New {
    pub(crate) child: ChildSa,
    pub(crate) initiated: bool,
    /// The smaller nonce: of two child SAs that were made at once, the one with the smaller goes.
    pub(crate) nonce: Vec<u8>,
}

impl Quick {
    /// What is to be done if it goes before it was finished: its child SA is expected no more.
    pub(crate) fn unexpected(&self) -> Option<Output> {
        let Self::Answered(answered) = self else { return None };
        let child = &answered.new.child;
        Some(Output::Remove { connection: child.connection, spi: child.inbound.spi })
    }

    /// When something is due.
    pub(crate) fn next(&self) -> Duration {
        match self {
            Self::Asked(asked) => asked.sent.next,
            Self::Answered(answered) => answered.sent.next,
            Self::Done { until, .. } | Self::Finished { until } => *until,
        }
    }
}

/// A protected message, decrypted.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) header: Header,
    pub(crate) body: &'a [u8],
    pub(crate) datagram: &'a [u8],
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}
