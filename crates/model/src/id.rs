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

/// Characters of the random part of a resource id.
pub const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Length of the random part of a resource id.
pub const RANDOM_LENGTH: usize = 17;

/// Composes a resource id as the service does: prefix, region infix and seventeen characters.
///
/// `random` supplies the entropy; bytes are mapped onto [`ALPHABET`].
#[must_use]
pub fn compose(prefix: &str, infix: &str, random: &[u8; RANDOM_LENGTH]) -> String {
    let mut id = String::with_capacity(prefix.len() + 1 + infix.len() + RANDOM_LENGTH);
    id.push_str(prefix);
    id.push('-');
    id.push_str(infix);
    for byte in random {
        id.push(char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_look_like_the_documented_ones() {
        let id = compose("vpn", "bp1", &[0; RANDOM_LENGTH]);
        assert_eq!(id, "vpn-bp1aaaaaaaaaaaaaaaaa");
        assert_eq!(id.len(), "vpn-bp1q8bgx4xnkm2ogjabcd".len() - 1);
    }

    #[test]
    fn random_bytes_are_mapped_onto_the_alphabet() {
        let random = [0, 1, 25, 26, 35, 36, 37, 61, 62, 71, 72, 143, 144, 251, 252, 254, 255];
        assert_eq!(compose("vsw", "bp1", &random), "vsw-bp1abz09abz09a9a9acd");
    }
}
