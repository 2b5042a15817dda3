//! What a gateway process and the supervisor of a host are told and what they answer, and how that is put on a socket.
//!
//! A [`Document`] is the whole desired state of a gateway with all that it needs: what the engine hands a driver, and
//! in addition addresses and keys. A frame is a length in four octets, the highest first, and as much JSON. Keys go
//! over the socket only; nothing here is written to a file.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tongguan_model::connection::Settings;
use zeroize::Zeroizing;

use crate::Fence;

/// Longest frame: a gateway with ten thousand connections, each with a CA of its own.
pub const MAX_FRAME: usize = 32 << 20;
/// Octets of a frame's length.
const LENGTH: usize = 4;

/// A text that nobody may see: it is wiped on drop, and not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes up a secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

/// The desired state of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Id of the gateway.
    pub id: String,
    /// Address under which its peers reach it.
    pub address: IpAddr,
    /// What connections prove themselves with, by the role of the certificate.
    pub certificates: BTreeMap<String, Credential>,
    /// Connections, by id.
    pub connections: BTreeMap<String, ConnectionDocument>,
}

impl Document {
    /// What a gateway is told that shall be no more: its peers are told, and nothing is left that could be used.
    #[must_use]
    pub fn nothing(id: &str) -> Self {
        let address = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        Self { id: id.to_owned(), address, certificates: BTreeMap::new(), connections: BTreeMap::new() }
    }
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// PEM.
    pub certificate: String,
    /// PKCS #8, PEM.
    pub key: SecretText,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionDocument {
    /// As the API has them.
    pub settings: Settings,
    /// Address of each tunnel's peer, by the tunnel's id.
    pub peers: BTreeMap<String, IpAddr>,
    /// Pre-shared key of each tunnel that has one, by the tunnel's id.
    pub keys: BTreeMap<String, SecretText>,
}

/// What is to be known of a gateway to give it a place on a host. Nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Its id.
    pub id: String,
    /// Where its peers reach it.
    pub address: IpAddr,
    /// Blocks behind its peers: what goes there goes into its tunnels.
    pub networks: Vec<String>,
}

/// Which service somebody is: made of a key in its store, and so the same after a restart, under another master key and
/// when a backup of the store was restored. It is no secret, and proves nothing: it keeps apart services that mean each
/// other no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceId(pub [u8; 16]);

/// A text that is not the id of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a service has 32 hexadecimal digits")]
pub struct NoServiceId;

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for ServiceId {
    type Err = NoServiceId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| NoServiceId)?;
        Ok(Self(id))
    }
}

impl TryFrom<String> for ServiceId {
    type Error = NoServiceId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ServiceId> for String {
    fn from(id: ServiceId) -> Self {
        id.to_string()
    }
}

/// What somebody tells the supervisor of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostRequest {
    /// On behalf of this service. To one that keeps the gateways of another service, it answers
    /// [`HostReport::Foreign`] and does nothing.
    pub service: ServiceId,
    /// What it is told.
    pub order: HostOrder,
}

/// What the supervisor of a host is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub enum HostOrder {
    /// Have a gateway, in this place. Answered by [`HostReport::Ready`] or [`HostReport::Failed`].
    Set {
        /// Its place.
        place: Place,
        /// Where several processes give orders, how new this one is: an older one than the newest is refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fence: Option<Fence>,
    },
    /// Have it no more. Answered by [`HostReport::Removed`] or [`HostReport::Failed`].
    Remove {
        /// Its id.
        id: String,
        /// As for [`HostOrder::Set`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fence: Option<Fence>,
    },
    /// Say which gateways there are. Answered by [`HostReport::Gateways`].
    List,
    /// Keep gateways for this service from now on, whoever's it kept before. Taken of root alone, and answered by
    /// [`HostReport::Adopted`].
    Adopt,
}

/// What the supervisor of a host answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case", deny_unknown_fields)]
pub enum HostReport {
    /// The gateway has its place, and its process runs.
    Ready {
        /// The socket on which it takes orders.
        control: PathBuf,
    },
    /// It is gone.
    Removed,
    /// These there are.
    Gateways {
        /// Each with the socket on which it takes orders.
        gateways: BTreeMap<String, PathBuf>,
    },
    /// They are the gateways of another service.
    Foreign {
        /// Whose.
        service: ServiceId,
    },
    /// They are this service's from now on.
    Adopted,
    /// It could not be done.
    Failed {
        /// Why, in words.
        reason: String,
    },
}

/// What a gateway process is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Be this. Answered by [`Report::Applied`], [`Report::Stale`] or [`Report::Refused`].
    Apply {
        /// Grows with each change; what is older than what is in force is refused.
        generation: u64,
        /// Where several processes give orders, how often the work on the generation was taken up: of two orders of one
        /// generation that of the earlier claim is refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claim: Option<u64>,
        /// The whole state.
        document: Box<Document>,
    },
    /// Say how the tunnels are. Answered by [`Report::Status`].
    Status,
    /// Negotiate a tunnel now.
    Initiate {
        /// Id of the tunnel.
        tunnel: String,
    },
    /// Delete all that a tunnel has, and tell its peer.
    Terminate {
        /// Id of the tunnel.
        tunnel: String,
    },
}

/// What a gateway process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case", deny_unknown_fields)]
pub enum Report {
    /// This generation is in force: installed on the gateway, whether peers answer or not.
    Applied {
        /// The generation.
        generation: u64,
    },
    /// A newer one is in force.
    Stale {
        /// The one in force.
        generation: u64,
    },
    /// It cannot be done, and the one before stays in force.
    Refused {
        /// The generation that was refused.
        generation: u64,
        /// Why, in words.
        reason: String,
    },
    /// Of each tunnel.
    Status {
        /// The generation in force; none if the process was told nothing yet.
        generation: Option<u64>,
        /// By id of the tunnel.
        tunnels: BTreeMap<String, TunnelStatus>,
        /// Packets that were dropped, by reason.
        dropped: BTreeMap<String, u64>,
    },
}

/// How a tunnel is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunnelStatus {
    /// How far its negotiation has come, as the API says it.
    pub negotiation: String,
    /// What went wrong last, in words; none if nothing did since it was up.
    pub reason: Option<String>,
    /// Child SAs that it has had.
    pub child_sas: u64,
    /// Packets that were sealed and opened.
    pub packets: [u64; 2],
    /// Their octets.
    pub octets: [u64; 2],
}

/// A frame that is none.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It is longer than any may be.
    #[error("a frame of {0} octets is too long")]
    Length(usize),
    /// It is not what it has to be. What it holds is not repeated: it may be a secret.
    #[error("a frame that cannot be read, at column {0}")]
    Content(usize),
}

/// A value as a frame.
///
/// # Errors
/// It is too long.
pub fn frame(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let written = |error: serde_json::Error| FrameError::Content(error.column());
    let mut counted = Counted(0);
    serde_json::to_writer(&mut counted, value).map_err(written)?;
    let Counted(length) = counted;
    let head =
        u32::try_from(length).ok().filter(|_| length <= MAX_FRAME).ok_or(FrameError::Length(length))?;
    // Of the length that it will have: growing would leave copies of secrets behind.
    let mut out = Zeroizing::new(Vec::with_capacity(LENGTH + length));
    out.extend_from_slice(&head.to_be_bytes());
    serde_json::to_writer(&mut *out, value).map_err(written)?;
    Ok(out)
}

/// How much was written.
struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0 += octets.len();
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Frames out of octets as they come.
#[derive(Default)]
pub struct Frames(Zeroizing<Vec<u8>>);

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Frames")
    }
}

impl Frames {
    /// Takes octets.
    pub fn push(&mut self, octets: &[u8]) {
        let needed = self.0.len() + octets.len();
        if needed > self.0.capacity() {
            // Growing by itself would leave a copy of what is there behind. As long as the frame is not whole there
            // is room for as much again, so that a long one is not copied with every piece.
            let mut head = [0; LENGTH];
            let come =
                self.0.iter().chain(octets).zip(&mut head).map(|(octet, place)| *place = *octet).count();
            let whole = if come == LENGTH { LENGTH + u32::from_be_bytes(head) as usize } else { 0 };
            let room = needed.max(whole.min(2 * needed));
            let mut grown = Zeroizing::new(Vec::with_capacity(room));
            grown.extend_from_slice(&self.0);
            self.0 = grown;
        }
        self.0.extend_from_slice(octets);
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// It is too long, or not what it has to be.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some(head) = self.0.first_chunk::<LENGTH>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::Length(length));
        }
        let Some(body) = self.0.get(LENGTH..LENGTH + length) else { return Ok(None) };
        let value = serde_json::from_slice(body).map_err(|error| FrameError::Content(error.column()))?;
        self.0 = Zeroizing::new(self.0[LENGTH + length..].to_vec());
        Ok(Some(value))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let all = [Order::Status, Order::Initiate { tunnel: "tun-1".into() }];
        let octets: Vec<u8> = all.iter().flat_map(|order| frame(order).unwrap().to_vec()).collect();
        for size in 1..octets.len() {
            let mut frames = Frames::default();
            let mut out = Vec::new();
            for piece in octets.chunks(size) {
                frames.push(piece);
                while let Some(order) = frames.take::<Order>().unwrap() {
                    out.push(order);
                }
            }
            assert_eq!(out, all);
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_and_not_repeated() {
        let mut frames = Frames::default();
        frames.push(&u32::MAX.to_be_bytes());
        assert!(matches!(frames.take::<Order>(), Err(FrameError::Length(_))));
        let mut frames = Frames::default();
        let secret = br#"{"order":"a secret"}"#;
        frames.push(&(secret.len() as u32).to_be_bytes());
        frames.push(secret);
        let error = frames.take::<Order>().unwrap_err();
        assert!(matches!(error, FrameError::Content(_)) && !error.to_string().contains("secret"));
    }

    #[test]
    fn the_id_of_a_service_is_read_as_it_is_written_and_nothing_else_is() {
        let id = ServiceId([0xa7; 16]);
        let request = HostRequest { service: id, order: HostOrder::List };
        let mut frames = Frames::default();
        frames.push(&frame(&request).unwrap());
        assert_eq!(frames.take::<HostRequest>().unwrap(), Some(request));
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "a7", &"a7".repeat(17), &"g7".repeat(16), &format!(" {id}")] {
            assert_eq!(wrong.parse::<ServiceId>(), Err(NoServiceId), "{wrong}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        assert!(!format!("{:?}", SecretText::new("hidden".into())).contains("hidden"));
    }
}
