//! Address blocks of VPCs, vSwitches and routes: what CreateVpc, CreateVSwitch and the operations on routes accept,
//! and which addresses of a vSwitch can be given out.
//!
//! A block must be written in the one canonical way, `a.b.c.d/n` without
//! leading zeros and without bits to the right of the mask. Errors tell apart
//! what the operations answer with different codes.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use thiserror::Error;

/// Carrier-grade NAT, where the vendor's own services are.
pub const SERVICES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);

/// Blocks no VPC or vSwitch may lie in (CreateVpc page): the vendor's services, multicast, loopback and link-local.
const RESERVED: [Ipv4Net; 4] = [
    SERVICES,
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
];

/// Addresses of a vSwitch that are never given out: the first and the last three.
const RESERVED_ADDRESSES: u64 = 4;

/// Why a block is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CidrError {
    /// Not an IPv4 block in canonical form, or with bits to the right of the mask.
    /// CreateVpc answers `InvalidParameter`, CreateVSwitch `InvalidCidrBlock.Malformed`.
    #[error("`{block}` is not an IPv4 network address with a mask length")]
    Malformed {
        /// The block as given.
        block: String,
    },
    /// Inside one of the ranges that are not for customers. No code of its own is
    /// published; `InvalidParameter` is the nearest for both operations.
    #[error("{block} lies in the reserved range {range}")]
    Reserved {
        /// The refused block.
        block: Ipv4Net,
        /// The reserved range around it.
        range: Ipv4Net,
    },
    /// Too large or too small. CreateVpc answers `IllegalParam.CidrBlockMask`,
    /// CreateVSwitch `InvalidCirdrBlock.MaskLength` (spelt so).
    #[error("the mask of {block} is not within {min} to {max}")]
    MaskLength {
        /// The refused block.
        block: Ipv4Net,
        /// Shortest mask allowed, in bits.
        min: u8,
        /// Longest mask allowed, in bits.
        max: u8,
    },
    /// The vSwitch block is not inside the block of its VPC. CreateVSwitch
    /// answers `InvalidParameter`.
    #[error("{block} is not inside the VPC block {vpc}")]
    OutsideVpc {
        /// The refused block.
        block: Ipv4Net,
        /// The block of the VPC.
        vpc: Ipv4Net,
    },
}

/// The block of a VPC: a private block (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16),
/// a part of one, or a custom block not within a reserved range; mask 8 to 28.
///
/// # Errors
/// [`CidrError::Malformed`], [`CidrError::MaskLength`] or [`CidrError::Reserved`],
/// the first that applies in this order.
pub fn vpc_block(block: &str) -> Result<Ipv4Net, CidrError> {
    let net = parse(block)?;
    check_mask(net, 8, 28)?;
    check_reserved(net)?;
    Ok(net)
}

/// The block of a vSwitch in a VPC whose block is `vpc`: inside it (or equal to
/// it), not within a reserved range, mask 16 to 29. Overlap with other vSwitches
/// is for the caller to check, see [`overlaps`].
///
/// # Errors
/// [`CidrError::Malformed`], [`CidrError::MaskLength`], [`CidrError::OutsideVpc`] or
/// [`CidrError::Reserved`], the first that applies in this order.
pub fn vswitch_block(block: &str, vpc: Ipv4Net) -> Result<Ipv4Net, CidrError> {
    let net = parse(block)?;
    check_mask(net, 16, 29)?;
    if !vpc.contains(&net) {
        return Err(CidrError::OutsideVpc { block: net, vpc });
    }
    check_reserved(net)?;
    Ok(net)
}

/// A block that a route leads to or comes from: any, in canonical form.
#[must_use]
pub fn route_block(block: &str) -> Option<Ipv4Net> {
    parse(block).ok()
}

/// Whether two blocks have an address in common.
#[must_use]
pub fn overlaps(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}

/// How many addresses of a vSwitch can be given out: all but the first and the
/// last three. DescribeVSwitches counts AvailableIpAddressCount down from this.
#[must_use]
pub fn usable_addresses(net: Ipv4Net) -> u64 {
    let size = 1u64 << (32 - net.prefix_len());
    size.saturating_sub(RESERVED_ADDRESSES)
}

/// The usable address number `index`, counted from 0, of a vSwitch; `None` when
/// there are not that many, see [`usable_addresses`].
#[must_use]
pub fn nth_address(net: Ipv4Net, index: u64) -> Option<Ipv4Addr> {
    if index >= usable_addresses(net) {
        return None;
    }
    let offset = u32::try_from(index + 1).ok()?;
    u32::from(net.network()).checked_add(offset).map(Ipv4Addr::from)
}

/// Accepts the canonical form only, so that a block is stored and compared as written.
fn parse(block: &str) -> Result<Ipv4Net, CidrError> {
    block
        .parse::<Ipv4Net>()
        .ok()
        .filter(|net| net.addr() == net.network() && net.to_string() == block)
        .ok_or_else(|| CidrError::Malformed { block: block.to_owned() })
}

fn check_mask(block: Ipv4Net, min: u8, max: u8) -> Result<(), CidrError> {
    if (min..=max).contains(&block.prefix_len()) {
        Ok(())
    } else {
        Err(CidrError::MaskLength { block, min, max })
    }
}

fn check_reserved(block: Ipv4Net) -> Result<(), CidrError> {
    match RESERVED.into_iter().find(|range| range.contains(&block)) {
        Some(range) => Err(CidrError::Reserved { block, range }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn vpc_blocks() {
        for good in [
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "192.168.0.16/28",
            "11.0.0.0/8",
            "100.0.0.0/8",
            "100.128.0.0/16",
            "172.32.0.0/16",
        ] {
            assert_eq!(vpc_block(good), Ok(net(good)), "{good}");
        }
    }

    #[test]
    fn malformed_blocks() {
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "192.168.1.0/16",
            "010.0.0.0/8",
            "10.0.0.0/08",
            " 10.0.0.0/8",
            "10.0.0.0/8 ",
            "10.0.0/8",
            "fd00::/8",
            "10.0.0.0/-8",
            "十.0.0.0/8",
        ] {
            let expected = Err(CidrError::Malformed { block: bad.to_owned() });
            assert_eq!(vpc_block(bad), expected, "{bad}");
            assert_eq!(vswitch_block(bad, net("10.0.0.0/8")), expected, "{bad}");
        }
    }

    #[test]
    fn vpc_masks() {
        for bad in ["10.0.0.0/7", "0.0.0.0/0", "10.0.0.0/29", "10.0.0.0/32"] {
            assert!(matches!(vpc_block(bad), Err(CidrError::MaskLength { min: 8, max: 28, .. })), "{bad}");
        }
    }

    #[test]
    fn reserved_ranges() {
        for (bad, range) in [
            ("100.64.0.0/10", "100.64.0.0/10"),
            ("100.100.0.0/16", "100.64.0.0/10"),
            ("239.0.0.0/8", "224.0.0.0/4"),
            ("127.0.0.0/8", "127.0.0.0/8"),
            ("169.254.1.0/24", "169.254.0.0/16"),
        ] {
            let expected = CidrError::Reserved { block: net(bad), range: net(range) };
            assert_eq!(vpc_block(bad), Err(expected), "{bad}");
        }
        let wide = vpc_block("100.0.0.0/8").unwrap();
        assert!(matches!(vswitch_block("100.64.0.0/24", wide), Err(CidrError::Reserved { .. })));
        assert!(vswitch_block("100.63.0.0/24", wide).is_ok());
    }

    #[test]
    fn vswitch_blocks() {
        let vpc = net("192.168.0.0/16");
        assert_eq!(vswitch_block("192.168.0.0/16", vpc), Ok(vpc));
        assert_eq!(vswitch_block("192.168.255.248/29", vpc), Ok(net("192.168.255.248/29")));
        for bad in ["192.168.0.0/30", "10.0.0.0/15"] {
            assert!(matches!(vswitch_block(bad, vpc), Err(CidrError::MaskLength { min: 16, max: 29, .. })));
        }
        for bad in ["10.0.0.0/24", "192.169.0.0/16"] {
            let expected = CidrError::OutsideVpc { block: net(bad), vpc };
            assert_eq!(vswitch_block(bad, vpc), Err(expected));
        }
        let small = net("192.168.1.0/24");
        assert!(matches!(vswitch_block("192.168.0.0/16", small), Err(CidrError::OutsideVpc { .. })));
    }

    #[test]
    fn usable() {
        assert_eq!(usable_addresses(net("192.168.0.0/24")), 252);
        assert_eq!(usable_addresses(net("192.168.0.0/29")), 4);
        assert_eq!(usable_addresses(net("192.168.0.0/30")), 0);
        assert_eq!(usable_addresses(net("192.168.0.1/32")), 0);
        assert_eq!(usable_addresses(net("0.0.0.0/0")), (1 << 32) - 4);
        let vswitch = net("192.168.1.0/24");
        assert_eq!(nth_address(vswitch, 0), Some(Ipv4Addr::new(192, 168, 1, 1)));
        assert_eq!(nth_address(vswitch, 251), Some(Ipv4Addr::new(192, 168, 1, 252)));
        assert_eq!(nth_address(vswitch, 252), None);
        assert_eq!(nth_address(vswitch, u64::MAX), None);
        assert_eq!(nth_address(net("192.168.1.0/31"), 0), None);
    }

    prop_compose! {
        fn block()(bits: u32, prefix in 8u8..=29) -> Ipv4Net {
            Ipv4Net::new(Ipv4Addr::from(bits), prefix).unwrap().trunc()
        }
    }

    #[test]
    fn blocks_overlap_when_one_lies_in_the_other() {
        for (a, b, expected) in [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.1.0.0/16", "10.1.0.0/16", true),
            ("10.0.0.0/16", "10.1.0.0/16", false),
            ("10.1.0.0/16", "10.1.255.248/29", true),
            ("10.1.0.0/16", "10.2.0.0/29", false),
        ] {
            assert_eq!(overlaps(net(a), net(b)), expected, "{a} {b}");
            assert_eq!(overlaps(net(b), net(a)), expected, "{b} {a}");
        }
    }

    proptest! {
        #[test]
        fn overlap_is_common_addresses(a in block(), b in block()) {
            let (first, last) = (a.network().max(b.network()), a.broadcast().min(b.broadcast()));
            prop_assert_eq!(overlaps(a, b), first <= last);
            prop_assert_eq!(overlaps(a, b), overlaps(b, a));
        }

        #[test]
        fn usable_addresses_lie_inside(a in block(), index: u64) {
            let count = usable_addresses(a);
            let address = nth_address(a, index % count).unwrap();
            prop_assert!(a.contains(&address) && address != a.network());
            prop_assert!(u32::from(a.broadcast()) - u32::from(address) >= 3);
            prop_assert_eq!(nth_address(a, count), None);
        }

        #[test]
        fn accepted_blocks_print_as_written(text in r"[0-9]{1,3}\.[0-9]{1,3}\.0\.0/[0-9]{1,2}") {
            if let Ok(net) = vpc_block(&text) {
                prop_assert_eq!(net.to_string(), text);
                prop_assert_eq!(net, net.trunc());
            }
        }
    }
}
