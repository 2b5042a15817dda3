//! What is offered and what is chosen, in the numbers of the wire.

use std::time::Duration;

use crate::config::{Authentication, Connection, Phase1Suite, Phase2Suite};
use crate::suite::{Cipher, Group, Hash};
use crate::wire::{Attribute, Proposal, Sa, Transform};

/// SM4-CBC in phase 1 since 2014, and before.
const SM4: [u16; 2] = [129, 127];
/// AES-CBC in phase 1.
const AES: u16 = 7;
/// Ways to authenticate in phase 1.
const PRE_SHARED_KEY: u16 = 1;
const DIGITAL_ENVELOPE: u16 = 10;
/// The asymmetric algorithm of envelopes.
const SM2: u16 = 2;
/// The one transform of phase 1.
const KEY_IKE: u8 = 1;
/// Transforms of ESP.
const ESP_SM4: u8 = 127;
const ESP_AES: u8 = 12;
/// Protocols.
pub(crate) const ISAKMP: u8 = 1;
pub(crate) const ESP: u8 = 3;
/// Modes of encapsulation: a tunnel, and one in UDP (RFC 3947).
const TUNNEL: u16 = 1;
const UDP_TUNNEL: u16 = 3;
const SECONDS: u16 = 1;

/// Attributes of phase 1 (RFC 2409, appendix A; GM/T 0022).
mod phase_1 {
    pub(super) const CIPHER: u16 = 1;
    pub(super) const HASH: u16 = 2;
    pub(super) const AUTHENTICATION: u16 = 3;
    pub(super) const GROUP: u16 = 4;
    pub(super) const LIFE_TYPE: u16 = 11;
    pub(super) const LIFE_DURATION: u16 = 12;
    pub(super) const KEY_LENGTH: u16 = 14;
    pub(super) const ASYMMETRIC: u16 = 20;
}

/// Attributes of phase 2 (RFC 2407, 4.5).
mod phase_2 {
    pub(super) const LIFE_TYPE: u16 = 1;
    pub(super) const LIFE_DURATION: u16 = 2;
    pub(super) const GROUP: u16 = 3;
    pub(super) const MODE: u16 = 4;
    pub(super) const INTEGRITY: u16 = 5;
    pub(super) const KEY_LENGTH: u16 = 6;
}

/// What phase 1 of a connection offers.
pub(crate) fn offer_phase_1(connection: &Connection) -> Sa {
    let envelope = matches!(connection.authentication, Authentication::Envelope(_));
    let mut transforms = Vec::new();
    for suite in &connection.phase_1 {
        let ciphers: &[u16] = if suite.cipher == Cipher::Sm4 { &SM4 } else { &[AES] };
        for cipher in ciphers {
            let mut attributes = vec![
                Attribute::short(phase_1::CIPHER, *cipher),
                Attribute::short(phase_1::HASH, suite.hash.number()),
                Attribute::short(
                    phase_1::AUTHENTICATION,
                    if envelope { DIGITAL_ENVELOPE } else { PRE_SHARED_KEY },
                ),
            ];
            if envelope {
                attributes.push(Attribute::short(phase_1::ASYMMETRIC, SM2));
            }
            if let Some(group) = suite.group {
                attributes.push(Attribute::short(phase_1::GROUP, group.number()));
            }
            if suite.cipher != Cipher::Sm4 {
                attributes.push(Attribute::short(phase_1::KEY_LENGTH, suite.cipher.key_bytes() as u16 * 8));
            }
            attributes.push(Attribute::short(phase_1::LIFE_TYPE, SECONDS));
            attributes.push(seconds(phase_1::LIFE_DURATION, connection.phase_1_lifetime));
            let number = transforms.len() as u8 + 1;
            transforms.push(Transform { number, id: KEY_IKE, attributes });
        }
    }
    Sa { proposals: vec![Proposal { number: 1, protocol: ISAKMP, spi: Vec::new(), transforms }] }
}

/// The first transform that a connection can do, with its suite, as an SA payload that holds nothing else.
pub(crate) fn choose_phase_1(connection: &Connection, offered: &Sa) -> Option<(Phase1Suite, Sa)> {
    for proposal in offered.proposals.iter().filter(|proposal| proposal.protocol == ISAKMP) {
        for transform in &proposal.transforms {
            if let Some(suite) = phase_1_suite(connection, transform) {
                let chosen = Proposal { transforms: vec![transform.clone()], ..proposal.clone() };
                return Some((suite, Sa { proposals: vec![chosen] }));
            }
        }
    }
    None
}

fn phase_1_suite(connection: &Connection, transform: &Transform) -> Option<Phase1Suite> {
    let number = |kind| transform.number_of(kind);
    let method = match connection.authentication {
        Authentication::Envelope(_) => DIGITAL_ENVELOPE,
        Authentication::Psk(_) => PRE_SHARED_KEY,
    };
    let envelope = method == DIGITAL_ENVELOPE;
    let fits = transform.id == KEY_IKE
        && number(phase_1::AUTHENTICATION) == Some(method.into())
        && (!envelope || number(phase_1::ASYMMETRIC).is_none_or(|algorithm| algorithm == u64::from(SM2)))
        && known(transform, &[1, 2, 3, 4, 11, 12, 14, 20]);
    if !fits {
        return None;
    }
    connection.phase_1.iter().copied().find(|suite| {
        let cipher = number(phase_1::CIPHER);
        let bits = number(phase_1::KEY_LENGTH);
        let cipher_fits = if suite.cipher == Cipher::Sm4 {
            SM4.iter().any(|id| cipher == Some(u64::from(*id))) && bits.is_none_or(|bits| bits == 128)
        } else {
            cipher == Some(AES.into()) && bits == Some(suite.cipher.key_bytes() as u64 * 8)
        };
        let group = suite.group.map(|group| u64::from(group.number()));
        cipher_fits
            && number(phase_1::HASH) == Some(suite.hash.number().into())
            && (envelope || number(phase_1::GROUP) == group)
    })
}

/// What phase 2 of a connection offers, to be received under `spi`.
pub(crate) fn offer_phase_2(connection: &Connection, spi: u32, udp: bool) -> Sa {
    let suite = connection.phase_2;
    let mut attributes = vec![
        Attribute::short(phase_2::LIFE_TYPE, SECONDS),
        seconds(phase_2::LIFE_DURATION, connection.phase_2_lifetime),
        Attribute::short(phase_2::MODE, if udp { UDP_TUNNEL } else { TUNNEL }),
        Attribute::short(phase_2::INTEGRITY, integrity(suite.integrity)),
    ];
    if let Some(group) = suite.group {
        attributes.push(Attribute::short(phase_2::GROUP, group.number()));
    }
    if suite.cipher != Cipher::Sm4 {
        attributes.push(Attribute::short(phase_2::KEY_LENGTH, suite.cipher.key_bytes() as u16 * 8));
    }
    let transform = Transform { number: 1, id: esp(suite.cipher), attributes };
    let spi = spi.to_be_bytes().to_vec();
    Sa { proposals: vec![Proposal { number: 1, protocol: ESP, spi, transforms: vec![transform] }] }
}

/// The peer's SPI, and the first transform that a connection can do.
pub(crate) fn choose_phase_2(connection: &Connection, offered: &Sa, udp: bool) -> Option<(u32, Proposal)> {
    for proposal in offered.proposals.iter().filter(|proposal| proposal.protocol == ESP) {
        let Ok(spi) = <[u8; 4]>::try_from(&proposal.spi[..]) else { continue };
        // A proposal of the same number goes with another protocol, which is not done here.
        let alone = offered.proposals.iter().filter(|other| other.number == proposal.number).count() == 1;
        let fitting = proposal.transforms.iter().find(|transform| fits(&connection.phase_2, transform, udp));
        let spi = u32::from_be_bytes(spi);
        if let Some(transform) = fitting.filter(|_| alone && spi >= MIN_SPI) {
            return Some((spi, Proposal { transforms: vec![transform.clone()], ..proposal.clone() }));
        }
    }
    None
}

/// SPIs below are reserved (RFC 4303, 2.1).
pub(crate) const MIN_SPI: u32 = 256;

fn fits(suite: &Phase2Suite, transform: &Transform, udp: bool) -> bool {
    let number = |kind| transform.number_of(kind);
    let bits = number(phase_2::KEY_LENGTH);
    let key_fits = match suite.cipher {
        Cipher::Sm4 => bits.is_none_or(|bits| bits == 128),
        Cipher::Aes128 | Cipher::Aes256 => bits == Some(suite.cipher.key_bytes() as u64 * 8),
    };
    let mode = if udp { UDP_TUNNEL } else { TUNNEL };
    transform.id == esp(suite.cipher)
        && key_fits
        && number(phase_2::MODE) == Some(mode.into())
        && number(phase_2::INTEGRITY) == Some(integrity(suite.integrity).into())
        && number(phase_2::GROUP) == suite.group.map(|group| u64::from(Group::number(group)))
        && transform.attributes.iter().all(|attribute| (1..=6).contains(&attribute.kind))
}

/// Whether a transform has no attributes but some, and none but lifetimes twice.
fn known(transform: &Transform, kinds: &[u16]) -> bool {
    transform.attributes.iter().all(|attribute| {
        let lifetime = [phase_1::LIFE_TYPE, phase_1::LIFE_DURATION].contains(&attribute.kind);
        kinds.contains(&attribute.kind) && (lifetime || transform.number_of(attribute.kind).is_some())
    })
}

fn esp(cipher: Cipher) -> u8 {
    match cipher {
        Cipher::Sm4 => ESP_SM4,
        Cipher::Aes128 | Cipher::Aes256 => ESP_AES,
    }
}

fn integrity(hash: Hash) -> u16 {
    match hash {
        Hash::Sha1 => 2,
        Hash::Sha256 => 5,
        Hash::Sm3 => 20,
    }
}

fn seconds(kind: u16, lifetime: Duration) -> Attribute {
    Attribute::number(kind, u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use zeroize::Zeroizing;

    use super::*;
    use crate::config::{ConnectionId, NatTraversal, PeerIdentity};
    use crate::keys::HashOrder;
    use crate::wire::Identity;

    fn connection() -> Connection {
        let [local, remote] = [1, 2].map(|last| std::net::IpAddr::from([192, 0, 2, last]));
        Connection {
            id: ConnectionId(1),
            remote: Some(remote),
            local,
            authentication: Authentication::Psk(Arc::new(Zeroizing::new(b"a secret".to_vec()))),
            local_id: Identity::address(local),
            remote_id: PeerIdentity::Exactly(Identity::address(remote)),
            selectors: Vec::new(),
            phase_1: vec![Phase1Suite { cipher: Cipher::Sm4, hash: Hash::Sm3, group: Some(Group::P256) }],
            phase_2: Phase2Suite { cipher: Cipher::Sm4, integrity: Hash::Sm3, group: None },
            phase_1_lifetime: Duration::from_secs(86_400),
            phase_2_lifetime: Duration::from_secs(3_600),
            hash_order: HashOrder::Rfc,
            dead_peer_detection: true,
            nat: NatTraversal::Detect,
            immediately: false,
        }
    }

    /// Products number SM4 as 127 or 129, and some name the one length that its keys have.
    #[test]
    fn both_numbers_of_sm4_are_offered_and_taken_with_and_without_a_length() {
        let connection = connection();
        let offered = offer_phase_1(&connection);
        let transforms = &offered.proposals[0].transforms;
        let ciphers: Vec<u64> =
            transforms.iter().map(|one| one.number_of(phase_1::CIPHER).unwrap()).collect();
        assert_eq!(ciphers, [129, 127]);
        let lengths = transforms.iter().map(|one| one.number_of(phase_1::KEY_LENGTH));
        assert!(lengths.eq([None, None]));
        for transform in transforms {
            for (bits, taken) in [(None, true), (Some(128), true), (Some(256), false)] {
                let mut transform = transform.clone();
                transform.attributes.extend(bits.map(|bits| Attribute::short(phase_1::KEY_LENGTH, bits)));
                let proposals =
                    vec![Proposal { transforms: vec![transform], ..offered.proposals[0].clone() }];
                let chosen = choose_phase_1(&connection, &Sa { proposals: proposals.clone() });
                // What is taken is answered as it was offered.
                assert_eq!(chosen.map(|(_, sa)| sa.proposals), taken.then_some(proposals), "{bits:?}");
            }
        }
        let offered = offer_phase_2(&connection, 300, true);
        assert_eq!(offered.proposals[0].transforms[0].number_of(phase_2::KEY_LENGTH), None);
        for (bits, taken) in [(None, true), (Some(128), true), (Some(192), false)] {
            let mut offered = offered.clone();
            let attributes = &mut offered.proposals[0].transforms[0].attributes;
            attributes.extend(bits.map(|bits| Attribute::short(phase_2::KEY_LENGTH, bits)));
            assert_eq!(choose_phase_2(&connection, &offered, true).is_some(), taken, "{bits:?}");
        }
    }
}
