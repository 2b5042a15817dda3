//! How large an inner packet may be, and what to do about one that is larger (RFC 4303, 3.3.4; RFC 4301, 8).

use std::net::{Ipv4Addr, Ipv6Addr};

/// SPI, sequence number and vector.
const HEAD: usize = 8 + 16;
/// Length of padding and next header.
const TRAILER: usize = 2;
const BLOCK: usize = 16;
const UDP: usize = 8;

/// The family of the outer packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A header of 20 octets.
    V4,
    /// A header of 40 octets.
    V6,
}

/// The largest inner packet that fits into an outer one of `outer` octets, with a code of `icv` octets; zero if none does.
pub fn inner(outer: usize, family: Family, udp: bool, icv: usize) -> usize {
    let header = match family {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let around = header + if udp { UDP } else { 0 } + HEAD + icv;
    (outer.saturating_sub(around) / BLOCK * BLOCK).saturating_sub(TRAILER)
}

/// Lowers the MSS that a TCP SYN announces, so that segments fit into `mtu`. True if something was changed.
pub fn clamp_mss(packet: &mut [u8], mtu: usize) -> bool {
    let Some((start, headers)) = tcp(packet) else { return false };
    let segment = mtu.saturating_sub(headers + 20).min(usize::from(u16::MAX)) as u16;
    let Some(tcp) = packet.get_mut(start..).filter(|tcp| tcp.len() >= 20) else { return false };
    const SYN: u8 = 2;
    let end = (usize::from(tcp[12] >> 4) * 4).min(tcp.len());
    if tcp[13] & SYN == 0 {
        return false;
    }
    let mut at = 20;
    while at < end {
        match (tcp[at], tcp.get(at + 1)) {
            (0, _) => return false,
            (1, _) => at += 1,
            (2, Some(4)) if at + 4 <= end => {
                let old = u16::from_be_bytes([tcp[at + 2], tcp[at + 3]]);
                if old <= segment {
                    return false;
                }
                tcp[at + 2..at + 4].copy_from_slice(&segment.to_be_bytes());
                let sum = u16::from_be_bytes([tcp[16], tcp[17]]);
                // An option may begin at an odd octet: then its octets stand in the other halves of the sum's words.
                let swap = |value: u16| if at % 2 == 0 { value } else { value.swap_bytes() };
                tcp[16..18].copy_from_slice(&adjusted(sum, swap(old), swap(segment)).to_be_bytes());
                return true;
            }
            (_, Some(length)) if *length >= 2 => at += usize::from(*length),
            (_, _) => return false,
        }
    }
    false
}

/// Where TCP begins, and how long the IP header is; none for fragments, other protocols and extension headers.
fn tcp(packet: &[u8]) -> Option<(usize, usize)> {
    const TCP: u8 = 6;
    match packet.first()? >> 4 {
        4 => {
            let header: &[u8; 20] = packet.first_chunk()?;
            let length = usize::from(header[0] & 15) * 4;
            let first = u16::from_be_bytes([header[6], header[7]]) & 0x1fff == 0;
            (header[9] == TCP && first && length >= 20).then_some((length, 20))
        }
        6 => {
            let header: &[u8; 40] = packet.first_chunk()?;
            (header[6] == TCP).then_some((40, 40))
        }
        _ => None,
    }
}

/// A checksum after one word of what it covers has changed (RFC 1624).
fn adjusted(sum: u16, old: u16, new: u16) -> u16 {
    !fold(u32::from(!sum) + u32::from(!old) + u32::from(new))
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    !fold(sum)
}

/// What is to be done about an inner packet that may be too large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// It fits.
    Fits,
    /// It may be fragmented first.
    Fragment,
    /// This ICMP message is to be sent to its source.
    TooBig(Vec<u8>),
}

/// Whether a packet fits into `mtu`; if not, and it must not be fragmented, what its source is to be told. `us` is the
/// address that the message comes from, of the packet's family.
pub fn fit(packet: &[u8], mtu: usize, us: (Ipv4Addr, Ipv6Addr)) -> Fit {
    if packet.len() <= mtu {
        return Fit::Fits;
    }
    match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() >= 20 && packet[6] & 0x40 == 0 => Fit::Fragment,
        Some(4) if packet.len() >= 20 => Fit::TooBig(too_big_v4(packet, mtu, us.0)),
        Some(6) if packet.len() >= 40 => Fit::TooBig(too_big_v6(packet, mtu, us.1)),
        _ => Fit::Fits,
    }
}

/// Destination unreachable, fragmentation needed (RFC 1191).
fn too_big_v4(packet: &[u8], mtu: usize, us: Ipv4Addr) -> Vec<u8> {
    // As much as fits into the 576 octets that everyone takes (RFC 1812, 4.3.2.3).
    let quoted = &packet[..packet.len().min(576 - 28)];
    let mut icmp = vec![3, 4, 0, 0, 0, 0];
    icmp.extend((mtu.min(usize::from(u16::MAX)) as u16).to_be_bytes());
    icmp.extend(quoted);
    let sum = checksum(&[&icmp]);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut out = vec![0x45, 0xc0];
    out.extend(((20 + icmp.len()) as u16).to_be_bytes());
    out.extend([0, 0, 0, 0, 64, 1, 0, 0]);
    out.extend(us.octets());
    out.extend(&packet[12..16]);
    let sum = checksum(&[&out]);
    out[10..12].copy_from_slice(&sum.to_be_bytes());
    out.extend(icmp);
    out
}

/// Packet too big (RFC 4443, 3.2).
fn too_big_v6(packet: &[u8], mtu: usize, us: Ipv6Addr) -> Vec<u8> {
    const ICMP: u8 = 58;
    let quoted = &packet[..packet.len().min(1280 - 48)];
    let mut icmp = vec![2, 0, 0, 0];
    icmp.extend((mtu as u32).to_be_bytes());
    icmp.extend(quoted);
    let source = us.octets();
    let destination = &packet[8..24];
    let length = (icmp.len() as u32).to_be_bytes();
    let sum = checksum(&[&source, destination, &length, &[0, 0, 0, ICMP], &icmp]);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut out = vec![0x60, 0, 0, 0];
    out.extend((icmp.len() as u16).to_be_bytes());
    out.extend([ICMP, 64]);
    out.extend(source);
    out.extend(destination);
    out.extend(icmp);
    out
}

/// Cuts an IPv4 packet into fragments of at most `mtu` octets (RFC 791). None if its header is not whole, or has options,
/// or `mtu` leaves no room.
pub fn fragments(packet: &[u8], mtu: usize) -> Option<Vec<Vec<u8>>> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let room = mtu.checked_sub(20)? / 8 * 8;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] != 0x45 || room == 0 || length != packet.len() {
        return None;
    }
    let field = u16::from_be_bytes([header[6], header[7]]);
    let (flags, offset) = (field & 0xe000, field & 0x1fff);
    const MORE: u16 = 0x2000;
    let pieces: Vec<&[u8]> = packet[20..].chunks(room).collect();
    let last = pieces.len().saturating_sub(1);
    let cut = pieces.iter().enumerate().map(|(count, piece)| {
        let mut head = *header;
        head[2..4].copy_from_slice(&((20 + piece.len()) as u16).to_be_bytes());
        let more = if count < last { MORE } else { 0 };
        let field = flags | more | (offset + (count * room / 8) as u16);
        head[6..8].copy_from_slice(&field.to_be_bytes());
        head[10..12].fill(0);
        let sum = checksum(&[&head]);
        head[10..12].copy_from_slice(&sum.to_be_bytes());
        [&head[..], piece].concat()
    });
    Some(cut.collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const US: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::new(10, 0, 0, 1), Ipv6Addr::LOCALHOST);

    fn v4(length: usize, keep: bool) -> Vec<u8> {
        let mut packet = vec![0x45, 0];
        packet.extend((length as u16).to_be_bytes());
        packet.extend([0, 7, if keep { 0x40 } else { 0 }, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1]);
        packet.extend((20..length).map(|place| place as u8));
        let sum = checksum(&[&packet[..20]]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    #[test]
    fn the_largest_inner_packet_fits_and_one_octet_more_does_not() {
        for (outer, family, udp, icv) in
            [(1500, Family::V4, true, 12), (1500, Family::V6, false, 32), (1400, Family::V4, false, 16)]
        {
            let header = if family == Family::V4 { 20 } else { 40 } + if udp { 8 } else { 0 };
            let outside = |inner: usize| header + 24 + (inner + 2).next_multiple_of(16) + icv;
            let inner = inner(outer, family, udp, icv);
            assert!(outside(inner) <= outer && outside(inner + 1) > outer, "{inner}");
        }
        assert_eq!(inner(1500, Family::V4, true, 12), 1422);
        assert_eq!(inner(40, Family::V4, true, 12), 0);
    }

    #[test]
    fn what_must_not_be_cut_is_answered_and_the_answer_adds_up() {
        assert_eq!(fit(&v4(1400, true), 1400, US), Fit::Fits);
        assert_eq!(fit(&v4(1401, false), 1400, US), Fit::Fragment);
        let Fit::TooBig(answer) = fit(&v4(1401, true), 1400, US) else { panic!("no answer") };
        assert_eq!((checksum(&[&answer[..20]]), checksum(&[&answer[20..]])), (0, 0));
        assert_eq!(
            (&answer[16..20], &answer[20..22], &answer[26..28]),
            (&[10, 1, 0, 1][..], &[3, 4][..], &[5, 120][..])
        );
        let mut packet = vec![0x60, 0, 0, 0, 5, 120, 6, 64];
        packet.extend([1; 32]);
        packet.extend([9; 1400]);
        let Fit::TooBig(answer) = fit(&packet, 1400, US) else { panic!("no answer") };
        let length = (answer.len() as u32 - 40).to_be_bytes();
        assert_eq!(checksum(&[&answer[8..40], &length, &[0, 0, 0, 58], &answer[40..]]), 0);
        assert_eq!(answer.len(), 1280);
    }

    #[test]
    fn fragments_are_what_was_cut() {
        let packet = v4(1401, false);
        for mtu in [68, 576, 1400] {
            let cut = fragments(&packet, mtu).unwrap();
            let whole: Vec<u8> = cut.iter().flat_map(|piece| piece[20..].to_vec()).collect();
            assert_eq!(whole, packet[20..]);
            let mut offset = 0;
            for (count, piece) in cut.iter().enumerate() {
                assert!(piece.len() <= mtu && checksum(&[&piece[..20]]) == 0);
                let field = u16::from_be_bytes([piece[6], piece[7]]);
                assert_eq!(usize::from(field & 0x1fff) * 8, offset);
                assert_eq!(field & 0x2000 != 0, count + 1 < cut.len());
                offset += piece.len() - 20;
            }
        }
        assert_eq!(fragments(&packet, 27), None);
    }

    #[test]
    fn the_segment_size_of_a_syn_is_lowered_and_its_checksum_adds_up() {
        for before in [&[][..], &[1], &[1, 1], &[3, 3, 7]] {
            let mut options = before.to_vec();
            options.extend([2, 4, 0x05, 0xb4]);
            options.resize(options.len().next_multiple_of(4), 1);
            let mut tcp = vec![
                0,
                80,
                1,
                0,
                0,
                0,
                0,
                1,
                0,
                0,
                0,
                0,
                (20 + options.len() as u8) << 2,
                2,
                9,
                9,
                0,
                0,
                0,
                0,
            ];
            tcp.extend(&options);
            let sum = checksum(&[&tcp]);
            tcp[16..18].copy_from_slice(&sum.to_be_bytes());
            let mut packet = v4(20, true);
            packet[9] = 6;
            packet.extend(&tcp);
            assert!(clamp_mss(&mut packet, 1400), "{before:?}");
            assert_eq!(checksum(&[&packet[20..]]), 0, "{before:?}");
            let place = 40 + before.len() + 2;
            assert_eq!(packet[place..place + 2], 1360u16.to_be_bytes());
            let again = packet.clone();
            assert!(!clamp_mss(&mut packet, 1400) && packet == again);
            packet[33] = 16;
            assert!(!clamp_mss(&mut packet, 1000));
        }
        for length in 0..44 {
            clamp_mss(&mut v4(60, true)[..length], 100);
        }
    }
}
