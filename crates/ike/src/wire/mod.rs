//! ISAKMP messages (RFC 2408): header and chain of payloads.
//!
//! Reading is strict: lengths fit exactly, reserved octets are zero, payloads are of kinds that are known and no more
//! than [`MAX_PAYLOADS`]. One thing is not looked at: what follows the chain in an encrypted message is padding, and
//! products fill it with zeroes or with anything.

mod payload;
mod sa;

pub use payload::{Delete, Identity, Notify};
pub use sa::{Attribute, MAX_TRANSFORMS, Proposal, Sa, Transform};

/// Largest datagram that is read.
pub const MAX_DATAGRAM: usize = 8 * 1024;
/// Most payloads of a message.
pub const MAX_PAYLOADS: usize = 32;
/// Length of the header.
pub const HEADER_BYTES: usize = 28;
/// Length of a payload's own header.
pub const GENERIC_BYTES: usize = 4;

/// A cookie. Both together name an IKE SA.
pub type Cookie = [u8; 8];

/// Versions in the header: major and minor in four bits each.
pub mod version {
    /// RFC 2408, and the edition of 2010.
    pub const V1_0: u8 = 0x10;
    /// GM/T 0022-2014.
    pub const V1_1: u8 = 0x11;
}

/// Types of exchanges (RFC 2408, 3.1; RFC 2409, 5.5).
pub mod exchange {
    /// Identity protection, which RFC 2409 calls main mode.
    pub const MAIN: u8 = 2;
    /// Informational.
    pub const INFORMATIONAL: u8 = 5;
    /// Quick mode.
    pub const QUICK: u8 = 32;
}

/// The flag of an encrypted body.
pub const ENCRYPTED: u8 = 1;
/// The flag of a message that waits for CONNECTED.
const COMMIT: u8 = 2;

/// Kinds of payloads (RFC 2408, 3.1; RFC 3947; GM/T 0022).
pub mod kind {
    /// End of the chain.
    pub const NONE: u8 = 0;
    /// Security association.
    pub const SA: u8 = 1;
    /// Key exchange.
    pub const KEY_EXCHANGE: u8 = 4;
    /// Identification.
    pub const ID: u8 = 5;
    /// Certificate.
    pub const CERTIFICATE: u8 = 6;
    /// Certificate request.
    pub const CERTIFICATE_REQUEST: u8 = 7;
    /// Hash.
    pub const HASH: u8 = 8;
    /// Signature.
    pub const SIGNATURE: u8 = 9;
    /// Nonce.
    pub const NONCE: u8 = 10;
    /// Notification.
    pub const NOTIFY: u8 = 11;
    /// Delete.
    pub const DELETE: u8 = 12;
    /// Vendor id.
    pub const VENDOR_ID: u8 = 13;
    /// Digest of an address and port (RFC 3947).
    pub const NAT_D: u8 = 20;
    /// Original address (RFC 3947).
    pub const NAT_OA: u8 = 21;
    /// Symmetric key, encrypted (GM/T 0022).
    pub const SYMMETRIC_KEY: u8 = 128;
    /// All of them.
    pub const KNOWN: [u8; 14] = [
        SA,
        KEY_EXCHANGE,
        ID,
        CERTIFICATE,
        CERTIFICATE_REQUEST,
        HASH,
        SIGNATURE,
        NONCE,
        NOTIFY,
        DELETE,
        VENDOR_ID,
        NAT_D,
        NAT_OA,
        SYMMETRIC_KEY,
    ];
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends within what it announces, or goes on after its end.
    #[error("the {0} has a wrong length")]
    Length(&'static str),
    /// An octet that must be zero is not.
    #[error("a reserved octet of the {0} is not zero")]
    Reserved(&'static str),
    /// A version, exchange, flag or kind of payload that is not spoken.
    #[error("the {0} {1} is not known")]
    Unknown(&'static str, u32),
    /// More of something than is read.
    #[error("there are more than {1} {0}")]
    TooMany(&'static str, usize),
    /// A payload that must be there is not, or is there twice, or not at its place.
    #[error("the payloads are not those of this message: {0}")]
    Payloads(&'static str),
}

/// The header of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Of the initiator of the IKE SA.
    pub initiator: Cookie,
    /// Of its responder; zero in the first message.
    pub responder: Cookie,
    /// Kind of the first payload.
    pub next: u8,
    /// One of [`version`].
    pub version: u8,
    /// One of [`exchange`].
    pub exchange: u8,
    /// Whether the body is encrypted.
    pub encrypted: bool,
    /// Zero in main mode.
    pub message_id: u32,
}

impl Header {
    /// Splits a datagram into header and body.
    ///
    /// # Errors
    /// What is wrong with the header, or that the datagram is longer or shorter than it says.
    pub fn read(datagram: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let (head, body) = datagram.split_first_chunk::<HEADER_BYTES>().ok_or(Malformed::Length("header"))?;
        let mut reader = Reader::new(head, "header");
        let (initiator, responder) = (reader.array()?, reader.array()?);
        let [next, version, exchange, flags] = reader.array()?;
        let (message_id, length) = (reader.u32()?, reader.u32()?);
        if datagram.len() > MAX_DATAGRAM || usize::try_from(length) != Ok(datagram.len()) {
            return Err(Malformed::Length("message"));
        }
        if ![version::V1_0, version::V1_1].contains(&version) {
            return Err(Malformed::Unknown("version", version.into()));
        }
        if ![exchange::MAIN, exchange::INFORMATIONAL, exchange::QUICK].contains(&exchange) {
            return Err(Malformed::Unknown("exchange", exchange.into()));
        }
        if flags & !(ENCRYPTED | COMMIT) != 0 {
            return Err(Malformed::Unknown("flag", flags.into()));
        }
        let encrypted = flags & ENCRYPTED != 0;
        Ok((Self { initiator, responder, next, version, exchange, encrypted, message_id }, body))
    }

    /// The header of a message with a body of some length.
    pub fn write(&self, body: usize) -> [u8; HEADER_BYTES] {
        let mut head = [0; HEADER_BYTES];
        head[..8].copy_from_slice(&self.initiator);
        head[8..16].copy_from_slice(&self.responder);
        let flags = if self.encrypted { ENCRYPTED } else { 0 };
        head[16..20].copy_from_slice(&[self.next, self.version, self.exchange, flags]);
        head[20..24].copy_from_slice(&self.message_id.to_be_bytes());
        head[24..].copy_from_slice(&((HEADER_BYTES + body) as u32).to_be_bytes());
        head
    }
}

/// A payload of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload<'a> {
    /// One of [`kind`].
    pub kind: u8,
    /// With its header, as digests cover it.
    pub whole: &'a [u8],
    /// What follows its header.
    pub body: &'a [u8],
}

/// A payload to be written: its kind and its body.
pub type Draft = (u8, Vec<u8>);

/// Whether something may follow a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It ends with the message.
    Nothing,
    /// It was encrypted, and any octets may follow.
    Padding,
}

/// The payloads of a body.
///
/// # Errors
/// [`Malformed`]: a length, a reserved octet, an unknown kind, too many.
pub fn payloads(first: u8, body: &[u8], after: After) -> Result<Vec<Payload<'_>>, Malformed> {
    let mut found = Vec::new();
    let (mut next, mut rest) = (first, body);
    while next != kind::NONE {
        if !kind::KNOWN.contains(&next) {
            return Err(Malformed::Unknown("payload", next.into()));
        }
        if found.len() == MAX_PAYLOADS {
            return Err(Malformed::TooMany("payloads", MAX_PAYLOADS));
        }
        let [following, reserved, high, low] =
            *rest.first_chunk::<GENERIC_BYTES>().ok_or(Malformed::Length("payload"))?;
        if reserved != 0 {
            return Err(Malformed::Reserved("payload"));
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < GENERIC_BYTES || length > rest.len() {
            return Err(Malformed::Length("payload"));
        }
        let (whole, remaining) = rest.split_at(length);
        found.push(Payload { kind: next, whole, body: &whole[GENERIC_BYTES..] });
        (next, rest) = (following, remaining);
    }
    if after == After::Nothing && !rest.is_empty() {
        return Err(Malformed::Length("message"));
    }
    Ok(found)
}

/// Writes payloads one after the other; answers the kind of the first as well.
pub fn chain(payloads: &[Draft]) -> (u8, Vec<u8>) {
    let mut out = Vec::new();
    for (place, (_, body)) in payloads.iter().enumerate() {
        let next = payloads.get(place + 1).map_or(kind::NONE, |(kind, _)| *kind);
        out.extend(generic(next, body.len()));
        out.extend(body);
    }
    (payloads.first().map_or(kind::NONE, |(kind, _)| *kind), out)
}

/// A whole message that is not encrypted.
pub fn message(header: Header, payloads: &[Draft]) -> Vec<u8> {
    let (next, body) = chain(payloads);
    let header = Header { next, ..header };
    [&header.write(body.len())[..], &body].concat()
}

/// A payload's own header.
pub fn generic(next: u8, body: usize) -> [u8; GENERIC_BYTES] {
    let [high, low] = ((GENERIC_BYTES + body) as u16).to_be_bytes();
    [next, 0, high, low]
}

/// Reads numbers off the front of something.
struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    fn new(rest: &'a [u8], what: &'static str) -> Self {
        Self { rest, what }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Length(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Length(self.what))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[octet]| octet)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    fn zero(&mut self, octets: usize) -> Result<(), Malformed> {
        if self.take(octets)?.iter().any(|octet| *octet != 0) {
            return Err(Malformed::Reserved(self.what));
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn end(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed::Length(self.what)) }
    }
}
