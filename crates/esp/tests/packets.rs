//! Packets sealed here are what RFC 4303 says, read by a second reading of it, and come back as they went in; nothing
//! that was changed on its way does.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use ipnet::IpNet;
use proptest::prelude::*;
use tongguan_esp::sa::{CipherKey, Common, IcvLength, Inbound, IntegrityKey, Outbound, Selector};
use tongguan_esp::{BATCH, OpenBatch, ROOM, Sad, SealBatch, Verdict};
use tongguan_smcrypto::{HmacSm3Key, Sm4Key};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn east_to_west() -> Selector {
    Selector { local: net("10.0.0.0/16"), remote: net("10.1.0.0/16") }
}

fn turned(selector: Selector) -> Selector {
    Selector { local: selector.remote, remote: selector.local }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suite {
    Sm,
    Aes128Sha1,
    Aes256Sha256,
}

fn common(suite: Suite, number: u8, selector: Selector, icv: &IcvLength) -> Common {
    let (cipher, integrity) = match suite {
        Suite::Sm => (CipherKey::sm4(&[number; 16]), IntegrityKey::sm3(&[number ^ 9; 32])),
        Suite::Aes128Sha1 => (CipherKey::aes(&[number; 16]), IntegrityKey::sha1(&[number ^ 9; 20])),
        Suite::Aes256Sha256 => (CipherKey::aes(&[number; 32]), IntegrityKey::sha256(&[number ^ 9; 32])),
    };
    Common { spi: 0x1000 + u32::from(number), cipher: cipher.unwrap(), integrity, icv: icv.clone(), selector }
}

/// The sending end and the receiving end of one SA.
fn pair(suite: Suite, number: u8, icv: usize) -> (Arc<Outbound>, Arc<Inbound>) {
    let icv = IcvLength::fixed(icv).unwrap();
    let outbound =
        Outbound::new(common(suite, number, east_to_west(), &icv), 0x1000 + u32::from(number), [number; 16]);
    let inbound = Inbound::new(common(suite, number, turned(east_to_west()), &icv));
    (Arc::new(outbound), Arc::new(inbound))
}

/// An IPv4 packet from east to west.
fn packet(length: usize) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((length as u16).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 3, 4, 10, 1, 5, 6]);
    packet.extend((20..length).map(|place| (place * 31) as u8));
    packet
}

fn seal(batch: &mut SealBatch, packets: &[(Arc<Outbound>, Vec<u8>)]) -> Vec<Result<Vec<u8>, Verdict>> {
    batch.clear();
    for (sa, packet) in packets {
        batch.slot().unwrap()[..packet.len()].copy_from_slice(packet);
        batch.push(Arc::clone(sa), packet.len());
    }
    batch.seal();
    batch.results().map(|(_, result)| result.map(<[u8]>::to_vec)).collect()
}

fn open(batch: &mut OpenBatch, packets: &[(Arc<Inbound>, Vec<u8>)]) -> Vec<Result<Vec<u8>, Verdict>> {
    batch.clear();
    for (sa, packet) in packets {
        batch.slot().unwrap()[..packet.len()].copy_from_slice(packet);
        batch.push(Arc::clone(sa), packet.len());
    }
    batch.open();
    batch.results().map(|(_, result)| result.map(<[u8]>::to_vec)).collect()
}

fn one(sa: &Arc<Outbound>, packet: Vec<u8>) -> Vec<u8> {
    seal(&mut SealBatch::default(), &[(Arc::clone(sa), packet)]).remove(0).unwrap()
}

fn opened(sa: &Arc<Inbound>, packet: Vec<u8>) -> Result<Vec<u8>, Verdict> {
    open(&mut OpenBatch::default(), &[(Arc::clone(sa), packet)]).remove(0)
}

/// RFC 4303 read once more, for SM4-CBC and HMAC-SM3: sequence number, inner packet, next header.
fn by_the_rfc(number: u8, icv: usize, sealed: &[u8]) -> (u32, Vec<u8>, u8) {
    let (covered, code) = sealed.split_at(sealed.len() - icv);
    assert_eq!(HmacSm3Key::new(&[number ^ 9; 32]).mac(&[covered])[..icv], *code);
    assert_eq!(covered[..4], (0x1000 + u32::from(number)).to_be_bytes());
    let key = Sm4Key::new(&[number; 16]);
    let mut clear = Vec::new();
    for (block, before) in covered[24..].chunks(16).zip(covered[8..].chunks(16)) {
        let mut block: [u8; 16] = block.try_into().unwrap();
        key.decrypt_block(&mut block);
        clear.extend(block.iter().zip(before).map(|(octet, before)| octet ^ before));
    }
    let next = clear.pop().unwrap();
    let padding = clear.pop().unwrap();
    for count in (1..=padding).rev() {
        assert_eq!(clear.pop(), Some(count));
    }
    (u32::from_be_bytes(covered[4..8].try_into().unwrap()), clear, next)
}

#[test]
fn every_length_is_sealed_as_the_rfc_says_and_opened_again() {
    let mut batch = SealBatch::default();
    let mut opening = OpenBatch::default();
    for icv in [12, 16, 32] {
        let (outbound, inbound) = pair(Suite::Sm, 7, icv);
        let all: Vec<usize> = (20..=1500).collect();
        let mut sequence = 0;
        for lengths in all.chunks(BATCH) {
            let clear: Vec<_> =
                lengths.iter().map(|length| (Arc::clone(&outbound), packet(*length))).collect();
            let sealed: Vec<Vec<u8>> = seal(&mut batch, &clear).into_iter().map(Result::unwrap).collect();
            for ((_, clear), sealed) in clear.iter().zip(&sealed) {
                sequence += 1;
                assert_eq!(by_the_rfc(7, icv, sealed), (sequence, clear.clone(), 4));
            }
            let received: Vec<_> = sealed.into_iter().map(|sealed| (Arc::clone(&inbound), sealed)).collect();
            for ((_, clear), opened) in clear.iter().zip(open(&mut opening, &received)) {
                assert_eq!(&opened.unwrap(), clear);
            }
        }
    }
}

#[test]
fn suites_and_sas_are_mixed_in_a_batch() {
    let suites = [Suite::Sm, Suite::Aes128Sha1, Suite::Aes256Sha256];
    let pairs: Vec<_> = (0..9)
        .map(|number| pair(suites[number as usize % 3], number, [12, 16, 32][number as usize / 3]))
        .collect();
    let clear: Vec<_> =
        (0..BATCH).map(|place| (Arc::clone(&pairs[place % 9].0), packet(20 + place * 23))).collect();
    let sealed = seal(&mut SealBatch::default(), &clear);
    let received: Vec<_> = sealed
        .into_iter()
        .enumerate()
        .map(|(place, sealed)| (Arc::clone(&pairs[place % 9].1), sealed.unwrap()))
        .collect();
    let results = open(&mut OpenBatch::default(), &received);
    for ((_, clear), result) in clear.iter().zip(results) {
        assert_eq!(&result.unwrap(), clear);
    }
}

#[test]
fn no_packet_with_a_changed_bit_is_opened_and_the_window_does_not_move() {
    for suite in [Suite::Sm, Suite::Aes128Sha1, Suite::Aes256Sha256] {
        let (outbound, inbound) = pair(suite, 3, 12);
        let sealed = one(&outbound, packet(40));
        let mut batch = OpenBatch::default();
        // The SPI is not looked at here: whoever fills the batch has found the SA by it. It is authenticated.
        for bit in 0..sealed.len() * 8 {
            let mut wrong = sealed.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let result = open(&mut batch, &[(Arc::clone(&inbound), wrong)]).remove(0);
            assert!(
                matches!(result, Err(Verdict::Authentication | Verdict::Replay)),
                "{suite:?} {bit} {result:?}"
            );
        }
        for length in 0..sealed.len() {
            assert!(opened(&inbound, sealed[..length].to_vec()).is_err());
        }
        assert_eq!(opened(&inbound, sealed.clone()).unwrap(), packet(40));
        assert_eq!(opened(&inbound, sealed), Err(Verdict::Replay));
    }
}

#[test]
fn a_packet_twice_in_one_batch_is_opened_once() {
    let (outbound, inbound) = pair(Suite::Sm, 4, 16);
    let sealed = one(&outbound, packet(100));
    let twice = [(Arc::clone(&inbound), sealed.clone()), (inbound, sealed)];
    let results = open(&mut OpenBatch::default(), &twice);
    assert_eq!(results, [Ok(packet(100)), Err(Verdict::Replay)]);
}

#[test]
fn addresses_outside_of_the_selector_are_dropped() {
    let (outbound, inbound) = pair(Suite::Sm, 5, 12);
    for (place, octet) in [(12, 11), (13, 9), (16, 11), (17, 0)] {
        let mut foreign = packet(60);
        foreign[place] = octet;
        assert_eq!(opened(&inbound, one(&outbound, foreign)), Err(Verdict::Selector));
    }
    let mut longer = packet(60);
    longer[3] = 61;
    assert_eq!(opened(&inbound, one(&outbound, longer)), Err(Verdict::Malformed));
    // Octets after the inner packet are padding against the analysis of traffic.
    let mut padded = packet(60);
    padded.extend([0; 300]);
    assert_eq!(opened(&inbound, one(&outbound, padded)), Ok(packet(60)));
}

#[test]
fn what_cannot_be_sealed_is_refused_and_disturbs_nobody() {
    let (outbound, inbound) = pair(Suite::Sm, 6, 12);
    let mut batch = SealBatch::default();
    batch.slot().unwrap()[..100].fill(0);
    batch.push(Arc::clone(&outbound), 100);
    batch.push(Arc::clone(&outbound), ROOM);
    batch.slot().unwrap()[..50].copy_from_slice(&packet(50));
    batch.push(Arc::clone(&outbound), 50);
    batch.seal();
    let results: Vec<_> = batch.results().map(|(_, result)| result.map(<[u8]>::to_vec)).collect();
    assert_eq!((&results[0], &results[1]), (&Err(Verdict::Malformed), &Err(Verdict::Length)));
    assert_eq!(opened(&inbound, results[2].clone().unwrap()), Ok(packet(50)));
}

#[test]
fn a_full_batch_takes_nothing_more() {
    let (outbound, _) = pair(Suite::Sm, 6, 12);
    let mut batch = SealBatch::default();
    for _ in 0..BATCH {
        batch.slot().unwrap()[..50].copy_from_slice(&packet(50));
        batch.push(Arc::clone(&outbound), 50);
    }
    assert!(batch.slot().is_none());
    batch.clear();
    assert!(batch.slot().is_some());
}

#[test]
fn the_length_of_codes_is_learnt_and_used_for_our_packets() {
    for icv in [12, 16, 32] {
        let (peer, _) = pair(Suite::Sm, 8, icv);
        let learnt = IcvLength::learnt();
        let inbound = Arc::new(Inbound::new(common(Suite::Sm, 8, turned(east_to_west()), &learnt)));
        let ours = Arc::new(Outbound::new(common(Suite::Sm, 8, east_to_west(), &learnt), 0x1008, [1; 16]));
        assert_eq!(by_the_rfc(8, 12, &one(&ours, packet(77))).1, packet(77));
        let mut wrong = one(&peer, packet(30));
        wrong[30] ^= 1;
        assert!(opened(&inbound, wrong).is_err());
        assert_eq!(learnt.known(), None);
        for length in [40, 41, 1400] {
            assert_eq!(opened(&inbound, one(&peer, packet(length))), Ok(packet(length)), "{icv}");
        }
        assert_eq!(learnt.known(), Some(icv));
        assert_eq!(by_the_rfc(8, icv, &one(&ours, packet(77))).1, packet(77));
    }
}

#[test]
fn vectors_are_neither_repeated_nor_in_sequence() {
    let (outbound, _) = pair(Suite::Sm, 9, 12);
    let vectors: Vec<u128> = (0..500)
        .map(|_| u128::from_be_bytes(one(&outbound, packet(20))[8..24].try_into().unwrap()))
        .collect();
    let different: std::collections::BTreeSet<u128> =
        vectors.windows(2).map(|pair| pair[0] ^ pair[1]).collect();
    assert_eq!(different.len(), 499);
    assert!(different.iter().all(|difference| difference.count_ones() > 20));
}

#[test]
fn the_longest_selector_wins_and_the_newest_of_its_sas() {
    let icv = IcvLength::learnt();
    let mut sad = Sad::default();
    let mut install = |number: u8, local: &str, remote: &str| {
        let selector = Selector { local: net(local), remote: net(remote) };
        let inbound = Inbound::new(common(Suite::Sm, number, selector, &icv));
        let outbound = Outbound::new(common(Suite::Sm, number, selector, &icv), inbound.spi(), [number; 16]);
        sad.install(inbound, outbound);
    };
    install(1, "0.0.0.0/0", "0.0.0.0/0");
    install(2, "10.0.0.0/16", "10.1.0.0/16");
    install(3, "10.0.0.0/16", "10.1.5.0/24");
    install(4, "10.0.0.0/16", "10.1.0.0/16");
    install(5, "fd00::/64", "fd01::/64");
    let spi = |sad: &Sad, source: &str, destination: &str| {
        sad.between(source.parse().unwrap(), destination.parse().unwrap()).map(|sa| sa.spi() - 0x1000)
    };
    assert_eq!(spi(&sad, "10.0.3.4", "10.1.5.6"), Some(3));
    assert_eq!(spi(&sad, "10.0.3.4", "10.1.6.6"), Some(4));
    assert_eq!(spi(&sad, "10.9.3.4", "10.1.6.6"), Some(1));
    assert_eq!(spi(&sad, "fd00::1", "fd01::1"), Some(5));
    assert_eq!(spi(&sad, "fd00:0:0:1::1", "fd01::1"), None);
    assert_eq!(sad.outbound(&packet(60)).map(|sa| sa.spi()), Some(0x1003));
    let before = sad.clone();
    sad.remove(0x1004);
    assert_eq!(spi(&sad, "10.0.3.4", "10.1.6.6"), Some(2));
    sad.remove(0x1003);
    assert_eq!(spi(&sad, "10.0.3.4", "10.1.5.6"), Some(2));
    assert_eq!((sad.counts(), before.counts()), ([3, 3], [5, 5]));
    assert!(sad.inbound(0x1003).is_none() && before.inbound(0x1003).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_octets_make_the_opener_stumble(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..BATCH)) {
        let inbound = Arc::new(Inbound::new(common(Suite::Sm, 1, east_to_west(), &IcvLength::learnt())));
        let received: Vec<_> = packets.into_iter().map(|packet| (Arc::clone(&inbound), packet)).collect();
        for result in open(&mut OpenBatch::default(), &received) {
            prop_assert!(result.is_err());
        }
    }

    #[test]
    fn packets_that_overtake_each_other_are_opened_once_each(order in prop::collection::vec(0usize..40, 1..120)) {
        let (outbound, inbound) = pair(Suite::Sm, 2, 12);
        let sealed: Vec<Vec<u8>> = (0..40).map(|length| one(&outbound, packet(20 + length))).collect();
        let mut seen = std::collections::BTreeSet::new();
        for places in order.chunks(BATCH) {
            let received: Vec<_> =
                places.iter().map(|place| (Arc::clone(&inbound), sealed[*place].clone())).collect();
            for (place, result) in places.iter().zip(open(&mut OpenBatch::default(), &received)) {
                prop_assert_eq!(result.is_ok(), seen.insert(*place));
            }
        }
    }
}

#[test]
fn ten_thousand_pairs_of_sas_find_room() {
    const MOST_OCTETS: i64 = 8 * 1024;
    let octets = |count: u32| {
        let mut kept = None;
        let taken = allocation_counter::measure(|| {
            let mut sad = Sad::default();
            for number in 0..count {
                let local = IpNet::new_assert([10, (number >> 8) as u8, number as u8, 0].into(), 24);
                let selector = Selector { local, remote: net("192.168.0.0/16") };
                let icv = IcvLength::learnt();
                let make = || Common { spi: 0x1000 + number, ..common(Suite::Sm, 1, selector, &icv) };
                sad.install(Inbound::new(make()), Outbound::new(make(), 0x1000 + number, [1; 16]));
            }
            assert_eq!(sad.counts(), [count as usize; 2]);
            kept = Some(sad);
        });
        drop(kept);
        taken.bytes_current
    };
    let each = (octets(1_000) - octets(100)) / 900;
    assert!(each > 1_024 && each <= MOST_OCTETS, "{each} octets for each");
}

#[test]
fn sas_are_removed_one_by_one_however_many_there_are() {
    let mut sad = Sad::default();
    let selector = |number: u32| Selector {
        local: IpNet::new_assert([10, number as u8, 0, 0].into(), 16 + (number % 3) as u8),
        remote: net("10.1.0.0/16"),
    };
    let icv = IcvLength::learnt();
    for number in 0..200 {
        let make = || Common { spi: 0x1000 + number, ..common(Suite::Sm, 1, selector(number / 2), &icv) };
        sad.install(Inbound::new(make()), Outbound::new(make(), 0x1000 + number, [1; 16]));
    }
    // Two for each selector: the newer one, then the older one, then none.
    for number in (0..200).rev() {
        let of = selector(number / 2);
        let found = |sad: &Sad| sad.between(of.local.addr(), of.remote.addr()).map(|sa| sa.inbound());
        assert_eq!(found(&sad), Some(0x1000 + number));
        sad.cease(0x1000 + number);
        assert_eq!(sad.counts(), [number as usize + 1, number as usize]);
        sad.remove(0x1000 + number);
        sad.remove(0x1000 + number);
        assert_eq!(found(&sad), (number % 2 == 1).then_some(0x1000 + number - 1));
        assert_eq!(sad.sends(of), number % 2 == 1);
        assert_eq!(sad.counts(), [number as usize; 2]);
    }
}
