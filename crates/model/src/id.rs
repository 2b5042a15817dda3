//! One type per kind of id, so that no id is taken for another.

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes a text as it came; ids are opaque and compared bytewise.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id as it is spelled on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl From<$name> for std::borrow::Cow<'static, str> {
            fn from(id: $name) -> Self {
                Self::Owned(id.0)
            }
        }
    )+};
}

ids! {
    /// An Alibaba Cloud account: sixteen decimal digits.
    AccountId,
    /// A region, such as `cn-hangzhou`.
    RegionId,
    /// A VPN gateway (`vpn-`).
    VpnGatewayId,
    /// A customer gateway (`cgw-`).
    CustomerGatewayId,
    /// An IPsec connection (`vco-`).
    ConnectionId,
    /// A tunnel of an IPsec connection (`tun-`).
    TunnelId,
    /// A VPC (`vpc-`).
    VpcId,
    /// A vSwitch (`vsw-`).
    VSwitchId,
    /// A certificate of the key management service: a GUID.
    CertificateId,
}

/// Characters of the last part of a resource id.
pub const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Length of the last part of a resource id.
pub const LENGTH: usize = 17;
/// Digits of the moment in an id of that moment: milliseconds, enough until 2059.
const MOMENT: usize = 8;
/// Random characters of an id of a moment.
pub const RANDOM: usize = LENGTH - MOMENT;

/// Composes a resource id of nothing but these bytes: prefix, region infix and seventeen characters, the bytes mapped
/// onto [`ALPHABET`].
#[must_use]
pub fn compose(prefix: &str, infix: &str, bytes: &[u8; LENGTH]) -> String {
    let mut id = begun(prefix, infix);
    id.extend(bytes.iter().map(|byte| letter(*byte)));
    id
}

/// Composes a resource id of a moment, UNIX milliseconds, and random bytes: it is greater than those of moments before.
/// What is made together thus lies together in every index by id, and the next one at its end.
#[must_use]
pub fn compose_at(prefix: &str, infix: &str, now_ms: i64, random: &[u8; RANDOM]) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut id = begun(prefix, infix);
    let ms = now_ms.max(0).cast_unsigned();
    let place = |exponent: u32| ms / 36_u64.pow(exponent) % 36;
    id.extend((0..MOMENT as u32).rev().map(|exponent| char::from(DIGITS[place(exponent) as usize])));
    id.extend(random.iter().map(|byte| letter(*byte)));
    id
}

fn begun(prefix: &str, infix: &str) -> String {
    let mut id = String::with_capacity(prefix.len() + 1 + infix.len() + LENGTH);
    id.push_str(prefix);
    id.push('-');
    id.push_str(infix);
    id
}

fn letter(byte: u8) -> char {
    char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_look_like_the_documented_ones() {
        let id = compose("vpn", "bp1", &[0; LENGTH]);
        assert_eq!(id, "vpn-bp1aaaaaaaaaaaaaaaaa");
        assert_eq!(id.len(), "vpn-bp1q8bgx4xnkm2ogjabcd".len() - 1);
    }

    #[test]
    fn ids_of_later_moments_are_greater() {
        let at = |now_ms| compose_at("vco", "bp1", now_ms, &[0; RANDOM]);
        assert_eq!(at(1_795_907_107_326), "vco-bp1mx10q0ouaaaaaaaaa");
        assert_eq!(at(0), "vco-bp100000000aaaaaaaaa");
        let moments =
            [0, 9, 10, 35, 36, 1_295, 1_296, 1_795_907_107_326, 1_795_907_107_327, 2_821_109_907_455];
        assert!(moments.windows(2).all(|pair| at(pair[0]) < at(pair[1])));
        assert_eq!(at(i64::MIN), at(0));
        assert_ne!(compose_at("vco", "bp1", 7, &[1; RANDOM]), at(7));
    }

    #[test]
    fn random_bytes_are_mapped_onto_the_alphabet() {
        let random = [0, 1, 25, 26, 35, 36, 37, 61, 62, 71, 72, 143, 144, 251, 252, 254, 255];
        assert_eq!(compose("vsw", "bp1", &random), "vsw-bp1abz09abz09a9a9acd");
    }
}
