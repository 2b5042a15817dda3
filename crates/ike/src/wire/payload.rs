//! Payloads with a structure of their own: identification, notification, delete.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::sa::DOI;
use super::{Malformed, Reader};

/// Longest name that is read.
const MAX_NAME: usize = 1024;

/// An identification payload's body (RFC 2407, 4.6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Type of the data.
    pub kind: u8,
    /// IP protocol, or zero.
    pub protocol: u8,
    /// Port, or zero.
    pub port: u16,
    /// What the type says.
    pub data: Vec<u8>,
}

impl Identity {
    /// An IPv4 address.
    pub const IPV4: u8 = 1;
    /// A domain name.
    pub const FQDN: u8 = 2;
    /// A mail address.
    pub const USER_FQDN: u8 = 3;
    /// An IPv4 network: address and mask.
    pub const IPV4_SUBNET: u8 = 4;
    /// An IPv6 address.
    pub const IPV6: u8 = 5;
    /// An IPv6 network: address and mask.
    pub const IPV6_SUBNET: u8 = 6;
    /// A distinguished name, DER.
    pub const DER_NAME: u8 = 9;
    /// Anything.
    pub const KEY_ID: u8 = 11;

    /// One for any protocol and port.
    pub fn new(kind: u8, data: impl Into<Vec<u8>>) -> Self {
        Self { kind, protocol: 0, port: 0, data: data.into() }
    }

    /// An address.
    pub fn address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::new(Self::IPV4, address.octets()),
            IpAddr::V6(address) => Self::new(Self::IPV6, address.octets()),
        }
    }

    /// A network.
    pub fn network(address: IpAddr, prefix: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
                Self::new(Self::IPV4_SUBNET, [address.octets(), mask.to_be_bytes()].concat())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
                Self::new(Self::IPV6_SUBNET, [address.octets(), mask.to_be_bytes()].concat())
            }
        }
    }

    /// The network that it names, with its prefix; an address is one of its own. None if it names none, if the mask is
    /// no prefix, or if the address has bits outside of it.
    pub fn as_network(&self) -> Option<(IpAddr, u8)> {
        let network = match (self.kind, self.data.len()) {
            (Self::IPV4, 4) => (IpAddr::V4(ipv4(&self.data)?), 32),
            (Self::IPV6, 16) => (IpAddr::V6(ipv6(&self.data)?), 128),
            (Self::IPV4_SUBNET, 8) => {
                let (address, mask) = (ipv4(&self.data[..4])?, u32::from(ipv4(&self.data[4..])?));
                let good =
                    mask.leading_ones() + mask.trailing_zeros() == 32 && u32::from(address) & !mask == 0;
                (IpAddr::V4(address), good.then_some(mask.leading_ones() as u8)?)
            }
            (Self::IPV6_SUBNET, 32) => {
                let (address, mask) = (ipv6(&self.data[..16])?, u128::from(ipv6(&self.data[16..])?));
                let good =
                    mask.leading_ones() + mask.trailing_zeros() == 128 && u128::from(address) & !mask == 0;
                (IpAddr::V6(address), good.then_some(mask.leading_ones() as u8)?)
            }
            _ => return None,
        };
        Some(network)
    }

    /// Reads a payload's body.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "identification payload");
        let [kind, protocol] = reader.array()?;
        let port = reader.u16()?;
        if reader.rest.len() > MAX_NAME {
            return Err(Malformed::Length("identification payload"));
        }
        Ok(Self { kind, protocol, port, data: reader.rest.to_vec() })
    }

    /// A payload's body.
    pub fn write(&self) -> Vec<u8> {
        let [high, low] = self.port.to_be_bytes();
        [&[self.kind, self.protocol, high, low], &self.data[..]].concat()
    }
}

fn ipv4(octets: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
}

fn ipv6(octets: &[u8]) -> Option<Ipv6Addr> {
    <[u8; 16]>::try_from(octets).ok().map(Ipv6Addr::from)
}

/// A notification payload's body (RFC 2408, 3.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// 1 ISAKMP, 3 ESP.
    pub protocol: u8,
    /// Both cookies, an ESP SPI, or nothing.
    pub spi: Vec<u8>,
    /// Type of the message.
    pub kind: u16,
    /// What the type says.
    pub data: Vec<u8>,
}

impl Notify {
    /// No proposal suits.
    pub const NO_PROPOSAL_CHOSEN: u16 = 14;
    /// Whatever went wrong with a proof of identity.
    pub const AUTHENTICATION_FAILED: u16 = 24;
    /// The networks asked for are not served.
    pub const INVALID_ID_INFORMATION: u16 = 18;
    /// The sender had no SA before this one (RFC 2407, 4.6.3.3).
    pub const INITIAL_CONTACT: u16 = 24578;
    /// Are you there? (RFC 3706)
    pub const R_U_THERE: u16 = 36136;
    /// I am.
    pub const R_U_THERE_ACK: u16 = 36137;

    /// Reads a payload's body.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "notification payload");
        let doi = reader.u32()?;
        if doi > DOI {
            return Err(Malformed::Unknown("domain of interpretation", doi));
        }
        let [protocol, spi_bytes] = reader.array()?;
        let kind = reader.u16()?;
        if spi_bytes > 16 {
            return Err(Malformed::Length("SPI"));
        }
        let spi = reader.take(spi_bytes.into())?.to_vec();
        Ok(Self { protocol, spi, kind, data: reader.rest.to_vec() })
    }

    /// A payload's body.
    pub fn write(&self) -> Vec<u8> {
        let mut out = DOI.to_be_bytes().to_vec();
        out.extend([self.protocol, self.spi.len() as u8]);
        out.extend(self.kind.to_be_bytes());
        out.extend(&self.spi);
        out.extend(&self.data);
        out
    }
}

/// A delete payload's body (RFC 2408, 3.15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// 1 ISAKMP, 3 ESP.
    pub protocol: u8,
    /// All of one length: both cookies, or ESP SPIs.
    pub spis: Vec<Vec<u8>>,
}

impl Delete {
    /// Most SPIs that are read.
    const MAX_SPIS: usize = 256;

    /// Reads a payload's body.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "delete payload");
        let doi = reader.u32()?;
        if doi != DOI {
            return Err(Malformed::Unknown("domain of interpretation", doi));
        }
        let [protocol, spi_bytes] = reader.array()?;
        let count = usize::from(reader.u16()?);
        if count > Self::MAX_SPIS {
            return Err(Malformed::TooMany("SPIs", Self::MAX_SPIS));
        }
        if count == 0 || ![4, 16].contains(&spi_bytes) {
            return Err(Malformed::Length("SPI"));
        }
        let spis = (0..count).map(|_| reader.take(spi_bytes.into()).map(<[u8]>::to_vec));
        let spis = spis.collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self { protocol, spis })
    }

    /// A payload's body.
    pub fn write(&self) -> Vec<u8> {
        let mut out = DOI.to_be_bytes().to_vec();
        out.extend([self.protocol, self.spis.first().map_or(0, Vec::len) as u8]);
        out.extend((self.spis.len() as u16).to_be_bytes());
        out.extend(self.spis.concat());
        out
    }
}
