//! Initiator against responder, in one memory: what comes of it when the network and the processes are bad.
//!
//! However it goes, once the network is good again both sides have a child SA with equal keys; and if nobody wants
//! one, both are clean.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{Dice, Faults, ID, World, envelope_pair, psk, psk_pair};
use tongguan_ike::config::{Connection, NatTraversal, Selector};
use tongguan_ike::keys::HashOrder;
use tongguan_ike::suite::{Cipher, Group, Hash};
use tongguan_ike::{Command, Event, Input};

const SM: (Cipher, Hash, Group) = (Cipher::Sm4, Hash::Sm3, Group::P256);

fn started(seed: u64, connections: [Connection; 2]) -> World {
    let mut world = World::new(seed, connections);
    world.configure(1);
    world.configure(0);
    world
}

/// So many seeds, or `TONGGUAN_SEEDS` times as many.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let factor = std::env::var("TONGGUAN_SEEDS").ok().and_then(|factor| factor.parse::<u64>().ok());
    0..usual * factor.unwrap_or(1)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn up(world: &World) {
    assert!(world.agree(), "{}", world.describe());
}

#[test]
fn every_suite_is_established_in_both_ways_to_authenticate() {
    let mut all = vec![envelope_pair()];
    for cipher in [Cipher::Sm4, Cipher::Aes128, Cipher::Aes256] {
        for hash in [Hash::Sm3, Hash::Sha1, Hash::Sha256] {
            all.push(psk_pair((cipher, hash, Group::P256)));
        }
    }
    all.push(psk_pair((Cipher::Aes128, Hash::Sha256, Group::Modp2048)));
    for pair in all {
        for secrecy in [None, Some(Group::P256)] {
            for nat in [NatTraversal::Off, NatTraversal::Detect, NatTraversal::Always] {
                let pair = pair.clone().map(|mut connection| {
                    connection.phase_2.group = secrecy;
                    Connection { nat, ..connection }
                });
                let mut world = started(1, pair);
                world.run(world.now + seconds(2));
                up(&world);
                assert_eq!(world.installed[0][0].udp, nat == NatTraversal::Always);
                assert_eq!(world.installed[0].len(), 1);
                // Main mode, INITIAL-CONTACT from both, quick mode.
                assert_eq!(world.sent, 11, "{}", world.describe());
            }
        }
    }
}

#[test]
fn both_orders_of_digests_are_understood() {
    for orders in
        [[HashOrder::Gm, HashOrder::Rfc], [HashOrder::Rfc, HashOrder::Gm], [HashOrder::Gm, HashOrder::Gm]]
    {
        let mut pair = psk_pair(SM);
        for (connection, order) in pair.iter_mut().zip(orders) {
            connection.hash_order = order;
        }
        let mut world = started(2, pair);
        world.run(world.now + seconds(2));
        up(&world);
    }
}

/// A network that is bad for a minute, and one that is good from then on.
fn bad_minute(seed: u64, pair: [Connection; 2]) {
    let mut dice = Dice(seed.wrapping_mul(77) + 5);
    let mut world = started(seed, pair);
    world.faults = Faults {
        lose: dice.roll() % 500,
        double: dice.roll() % 300,
        corrupt: dice.roll() % 200,
        delay: [5, 100, 900, 3_000][dice.roll() as usize % 4],
        longest: None,
    };
    let restarts = dice.roll() % 3;
    for _ in 0..6 {
        let next = world.now + seconds(10);
        world.run(next);
        if dice.roll() % 6 < restarts {
            world.restart(dice.roll() as usize % 2);
        }
        // Certificates of the tests are valid for longer than the clock jumps.
        world.wall += (dice.roll() % 2_000_000) as i64 - 1_000_000;
    }
    world.faults = Faults { delay: 20, ..Faults::default() };
    world.run_with_traffic(260);
    assert!(world.agree(), "seed {seed}: {}", world.describe());
}

#[test]
fn after_a_bad_minute_both_sides_agree() {
    for seed in seeds(300) {
        bad_minute(seed, psk_pair(SM));
    }
}

#[test]
fn after_a_bad_minute_both_sides_agree_when_both_begin() {
    for seed in seeds(150) {
        bad_minute(seed, [0, 1].map(|side| psk(side, SM)));
    }
}

#[test]
fn after_a_bad_minute_envelopes_agree() {
    let pair = envelope_pair();
    for seed in seeds(15) {
        bad_minute(seed, pair.clone());
    }
}

#[test]
fn a_restart_at_any_message_is_overcome() {
    for pair in [psk_pair(SM), envelope_pair(), [0, 1].map(|side| psk(side, SM))] {
        for count in 1..=12 {
            for side in [0, 1] {
                let mut world = started(count as u64, pair.clone());
                world.restart = Some((count, side));
                world.run_with_traffic(120);
                assert!(world.agree(), "{side} restarted at {count}: {}", world.describe());
            }
        }
    }
}

#[test]
fn without_a_network_nothing_is_left() {
    for seed in 0..20 {
        let mut world = started(seed, psk_pair(SM).map(|c| Connection { immediately: false, ..c }));
        world.faults.lose = 300;
        world.input(0, Input::Command(Command::Initiate(ID)));
        let half = seed * 40;
        world.run(world.now + Duration::from_millis(half));
        world.faults.lose = 1_000;
        world.run(world.now + seconds(200));
        assert!(world.is_clean(), "seed {seed}: {}", world.describe());
    }
}

#[test]
fn each_pair_of_networks_has_a_quick_mode_of_its_own() {
    let net = |octets: [u8; 2]| (std::net::IpAddr::from([octets[0], octets[1], 0, 0]), 16);
    for pair in [psk_pair(SM), envelope_pair()] {
        let mut sides = pair;
        for side in [0, 1] {
            let more = Selector { local: net([172, 16 + side]), remote: net([172, 17 - side]) };
            sides[usize::from(side)].selectors.push(more);
        }
        let mut world = started(5, sides);
        world.run(world.now + seconds(10));
        for side in [0, 1] {
            let carried: Vec<_> = world.sending(side).map(|child| child.selector).collect();
            let wanted = &world.connections[side].selectors;
            assert!(wanted.iter().all(|one| carried.contains(one)), "{carried:?} {}", world.describe());
        }
    }
}

/// Users meet it as a tunnel with certificates that never comes up, while one with a key does.
#[test]
fn where_fragments_are_dropped_it_is_said_what_is_too_long() {
    const WHOLE: usize = 1_248;
    for (pair, said) in [(psk_pair(SM), false), (envelope_pair(), true)] {
        let mut world = started(4, pair);
        world.faults.longest = Some(WHOLE);
        world.run(world.now + seconds(60));
        let told =
            |event: &Event| matches!(event, Event::IkeClosed(ID, why) if why.contains("fragments of UDP"));
        assert_eq!(world.events[0].iter().any(told), said, "{}", world.describe());
        assert_eq!(world.agree(), !said);
        assert_eq!(world.wire.iter().any(|octets| octets.len() > WHOLE), said);
    }
}

#[test]
fn terminating_tells_the_peer() {
    for pair in [psk_pair(SM), envelope_pair()] {
        for side in [0, 1] {
            let mut world = started(3, pair.clone().map(|c| Connection { immediately: false, ..c }));
            world.input(0, Input::Command(Command::Initiate(ID)));
            world.run(world.now + seconds(2));
            up(&world);
            world.input(side, Input::Command(Command::Terminate(ID)));
            world.run(world.now + seconds(2));
            assert!(world.is_clean(), "{}", world.describe());
        }
    }
}

#[test]
fn sas_are_replaced_before_they_end_and_there_is_always_one() {
    for seed in seeds(15) {
        let pair = psk_pair(SM).map(|connection| Connection {
            phase_1_lifetime: seconds(1_800),
            phase_2_lifetime: seconds(600),
            ..connection
        });
        let mut world = started(seed, pair);
        world.faults.lose = 100 * (seed % 3);
        world.run(world.now + seconds(40));
        for _ in 0..80 {
            world.run_with_traffic(60);
            // The third message of quick mode may just have been lost.
            let longest = if world.faults.lose > 0 { 40 } else { 0 };
            for _ in 0..longest {
                if !world.agree() {
                    world.run_with_traffic(1);
                }
            }
            assert!(world.agree(), "seed {seed}: {}", world.describe());
        }
        let established = |event: &&Event| matches!(event, Event::ChildEstablished(..));
        assert!(world.events[0].iter().filter(established).count() >= 7);
        assert!(world.installed[0].len() <= 3, "{}", world.describe());
    }
}

#[test]
fn what_was_sent_under_the_sa_before_still_arrives() {
    const SLOWEST: u64 = 900;
    for (seed, lifetime) in [(1, 600), (2, 600), (3, 40), (4, 40), (5, 40)] {
        let pair = psk_pair(SM).map(|connection| Connection {
            phase_1_lifetime: seconds(3 * lifetime),
            phase_2_lifetime: seconds(lifetime),
            ..connection
        });
        let mut world = started(seed, pair);
        world.faults.delay = SLOWEST;
        world.run(world.now + seconds(30));
        up(&world);
        // One side sends under the newest, the other, as some programs do, under the oldest until it hears of its end.
        let mut under_way = std::collections::VecDeque::new();
        for _ in 0..(12 * lifetime * 10) {
            let next = world.now + Duration::from_millis(100);
            world.run(next);
            let spis = [world.sending(0).next_back(), world.sending(1).next()];
            for (side, child) in spis.into_iter().enumerate() {
                under_way.push_back((
                    next + Duration::from_millis(SLOWEST),
                    1 - side,
                    child.unwrap().outbound.spi,
                ));
            }
            while under_way.front().is_some_and(|(arrival, ..)| *arrival <= world.now) {
                let (_, to, spi) = under_way.pop_front().unwrap();
                let there = world.installed[to].iter().any(|child| child.inbound.spi == spi);
                assert!(there, "seed {seed}, {spi:x} at {to}: {}", world.describe());
            }
        }
        let established = |event: &&Event| matches!(event, Event::ChildEstablished(..));
        assert!(world.events[0].iter().filter(established).count() >= 10);
    }
}

#[test]
fn a_dead_peer_is_noticed() {
    let mut world = started(4, psk_pair(SM));
    world.run(world.now + seconds(2));
    up(&world);
    world.faults.lose = 1_000;
    world.run(world.now + seconds(30));
    assert!(world.installed.iter().all(Vec::is_empty), "{}", world.describe());
    world.faults.lose = 0;
    world.run_with_traffic(120);
    up(&world);
}

#[test]
fn a_wrong_secret_establishes_nothing() {
    let mut pair = psk_pair(SM);
    pair[1].authentication =
        tongguan_ike::config::Authentication::Psk(std::sync::Arc::new(zeroize::Zeroizing::new(vec![1; 9])));
    let mut world = started(5, pair);
    world.run(world.now + seconds(100));
    assert!(world.installed.iter().all(Vec::is_empty));
    let established = |event: &Event| matches!(event, Event::IkeEstablished(_));
    assert!(!world.events.iter().flatten().any(established), "{}", world.describe());
}

/// A valid negotiation, of which one bit of one message is changed for good.
#[test]
fn no_changed_negotiation_is_established_with_different_keys() {
    for (pair, seeds) in [(psk_pair(SM), seeds(100)), (envelope_pair(), seeds(15))] {
        for seed in seeds {
            let mut world = started(seed, pair.clone());
            world.faults.corrupt = 1_000;
            world.run(world.now + seconds(30));
            assert!(world.installed.iter().all(Vec::is_empty), "seed {seed}: {}", world.describe());
        }
    }
}
