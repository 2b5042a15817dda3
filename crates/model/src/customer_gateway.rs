//! Customer gateways: the far ends of tunnels, as somebody registers them.

use std::net::Ipv4Addr;

/// The autonomous system that the vendor keeps for its own side: no customer gateway may have it.
pub const OWN_ASN: u32 = 45_104;

/// Blocks that no device of a customer can be reached at: shared, loopback, link-local, multicast, and the last one.
const UNREACHABLE: [(Ipv4Addr, u32); 5] = [
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(255, 0, 0, 0), 8),
];

/// The static IPv4 address of a device; none for any other text, for the address of nothing (0.0.0.0) and for the
/// blocks that the documentation excludes.
#[must_use]
pub fn device_address(text: &str) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = text.parse().ok()?;
    let within =
        |(block, bits): &(Ipv4Addr, u32)| address.to_bits() >> (32 - bits) == block.to_bits() >> (32 - bits);
    (!address.is_unspecified() && !UNREACHABLE.iter().any(within)).then_some(address)
}

/// The number of an autonomous system, 1 to 4294967295, as decimal digits or as `high.low` with sixteen bits each;
/// none for any other text.
#[must_use]
pub fn asn(text: &str) -> Option<u32> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = match text.split_once('.') {
        None if digits(text) => text.parse().ok()?,
        Some((high, low)) if digits(high) && digits(low) => {
            let (high, low): (u16, u16) = (high.parse().ok()?, low.parse().ok()?);
            u32::from(high) << 16 | u32::from(low)
        }
        None | Some(_) => return None,
    };
    (number > 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_an_address_that_can_be_reached() {
        for good in
            ["101.12.0.1", "10.0.0.1", "192.168.1.1", "100.63.255.255", "100.128.0.0", "223.255.255.255"]
        {
            assert!(device_address(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "0.0.0.0",
            "1.2.3",
            "1.2.3.4/32",
            "01.2.3.4",
            " 1.2.3.4",
            "::1",
            "100.64.0.0",
            "100.127.255.255",
            "127.1.1.1",
            "169.254.10.1",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
        ] {
            assert!(device_address(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn autonomous_systems_are_numbered_in_two_ways() {
        for (text, number) in [
            ("1", Some(1)),
            ("65530", Some(65_530)),
            ("4294967295", Some(u32::MAX)),
            ("123.456", Some(8_061_384)),
            ("0.1", Some(1)),
            ("65535.65535", Some(u32::MAX)),
            ("0", None),
            ("0.0", None),
            ("4294967296", None),
            ("65536.0", None),
            ("1.65536", None),
            ("1.2.3", None),
            ("1.", None),
            (".1", None),
            ("+1", None),
            ("-1", None),
            (" 1", None),
            ("", None),
            ("a", None),
        ] {
            assert_eq!(asn(text), number, "{text}");
        }
    }
}
