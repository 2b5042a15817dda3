//! What is to be known of an inner packet: its addresses and its length.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Numbers of the protocols in ESP's trailer.
pub(crate) const IPV4: u8 = 4;
pub(crate) const IPV6: u8 = 41;

/// Source, destination and length of an IP packet, which may be followed by anything; none if its header is not
/// whole, or if it is shorter than it says.
pub fn addresses(packet: &[u8]) -> Option<(IpAddr, IpAddr, usize)> {
    match packet.first()? >> 4 {
        4 => {
            let header: &[u8; 20] = packet.first_chunk()?;
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let header_length = usize::from(header[0] & 15) * 4;
            let address =
                |at: usize| Ipv4Addr::from([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            let whole = header_length >= 20 && length >= header_length && length <= packet.len();
            whole.then(|| (address(12).into(), address(16).into(), length))
        }
        6 => {
            let header: &[u8; 40] = packet.first_chunk()?;
            let length = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
            let source = <[u8; 16]>::try_from(&header[8..24]).ok()?;
            let destination = <[u8; 16]>::try_from(&header[24..]).ok()?;
            let addresses = (Ipv6Addr::from(source).into(), Ipv6Addr::from(destination).into());
            (length <= packet.len()).then_some((addresses.0, addresses.1, length))
        }
        _ => None,
    }
}

/// The number that ESP's trailer has for a packet.
pub(crate) fn protocol(packet: &[u8]) -> Option<u8> {
    match packet.first()? >> 4 {
        4 => Some(IPV4),
        6 => Some(IPV6),
        _ => None,
    }
}
