//! What strangers can do, and what a peer gets that is not who it has to be: nothing.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use support::{Dice, ID, WALL, World, address, entity, envelope_pair, psk, psk_pair};
use tongguan_ike::config::{Authentication, Connection, Credentials, OwnCertificates};
use tongguan_ike::suite::{Cipher, Group, Hash};
use tongguan_ike::wire::{self, Header, Identity, kind};
use tongguan_ike::{
    Event, FIRST_MESSAGES_PER_SECOND, Input, MAX_HALF_OPEN, MAX_HALF_OPEN_OF_NETWORK,
    MAX_HALF_OPEN_OF_SOURCE, Now, Output, Router,
};
use tongguan_pki::{Ca, Certificate, KeySpec, PrivateKey, Subject, Usage, create_csr};

const SM: (Cipher, Hash, Group) = (Cipher::Sm4, Hash::Sm3, Group::P256);

/// The first message that a side of a pair sends.
fn first_message(pair: &[Connection; 2]) -> Vec<u8> {
    let mut world = World::new(1, pair.clone());
    world.configure(0);
    world.wire.remove(0)
}

fn with_cookie(message: &[u8], cookie: u64) -> Vec<u8> {
    [&cookie.to_be_bytes(), &message[8..]].concat()
}

/// A responder that is to be found from anywhere.
fn open_to_all() -> (Router, Vec<u8>) {
    let pair = psk_pair(SM);
    let message = first_message(&pair);
    let mut router = Router::new();
    let connection = Connection { remote: None, immediately: false, ..pair[1].clone() };
    let now = Now { steady: Duration::ZERO, wall: WALL };
    assert!(router.configure(connection, now, &mut Dice(1)).is_empty());
    (router, message)
}

fn receive(router: &mut Router, from: IpAddr, millis: u64, octets: &[u8]) -> Vec<Output> {
    let now = Now { steady: Duration::from_millis(millis), wall: WALL };
    let (local, remote) = (SocketAddr::new(address(1), 500), SocketAddr::new(from, 500));
    router.handle(now, Input::Datagram { local, remote, octets }, &mut Dice(millis + 7))
}

fn answers(out: &[Output]) -> usize {
    out.iter().filter(|output| matches!(output, Output::Send { .. })).count()
}

#[test]
fn an_address_that_is_not_configured_gets_no_answer_and_no_memory() {
    let pair = psk_pair(SM);
    let message = first_message(&pair);
    let mut world = World::new(1, pair);
    world.configure(1);
    for last in 0..=255 {
        let stranger = IpAddr::from([198, 51, 100, last]);
        assert_eq!(answers(&receive(&mut world.sides[1], stranger, 0, &message)), 0);
    }
    assert_eq!(world.sides[1].counts(), [0, 0]);
    assert_eq!(answers(&receive(&mut world.sides[1], address(0), 0, &message)), 1);
}

#[test]
fn sources_networks_and_all_have_their_bounds() {
    let (mut router, message) = open_to_all();
    let mut cookies = 1..;
    let mut flood = |router: &mut Router, from: [u8; 4], millis: u64| {
        let message = with_cookie(&message, cookies.next().unwrap());
        answers(&receive(router, from.into(), millis, &message))
    };
    // One address in ten seconds: first as fast as it may, then until it has as many as it may.
    let at_once: usize = (0..50).map(|_| flood(&mut router, [203, 0, 113, 1], 0)).sum();
    assert_eq!(at_once, FIRST_MESSAGES_PER_SECOND as usize);
    let later: usize = (1..50).map(|step| flood(&mut router, [203, 0, 113, 1], step * 200)).sum();
    assert_eq!(at_once + later, MAX_HALF_OPEN_OF_SOURCE);
    let near: usize = (2..100).map(|last| flood(&mut router, [203, 0, 113, last], 10_000)).sum();
    assert_eq!(MAX_HALF_OPEN_OF_SOURCE + near, MAX_HALF_OPEN_OF_NETWORK);
    let mut all = MAX_HALF_OPEN_OF_NETWORK;
    for third in 0..=255 {
        all += (0..32).map(|last| flood(&mut router, [100, 64, third, last], 10_000)).sum::<usize>();
    }
    assert_eq!(all, MAX_HALF_OPEN);
    // They are gone after half a minute.
    let now = Now { steady: Duration::from_secs(41), wall: WALL };
    router.handle(now, Input::Tick, &mut Dice(1));
    assert_eq!(router.counts(), [0, 0]);
    assert_eq!(flood(&mut router, [203, 0, 113, 1], 41_000), 1);
}

#[test]
fn a_repeated_first_message_is_answered_three_times_a_second_with_the_same_octets() {
    let (mut router, message) = open_to_all();
    let from = IpAddr::from([203, 0, 113, 1]);
    let mut seen = BTreeSet::new();
    let mut count = 0;
    for _ in 0..100 {
        for output in receive(&mut router, from, 5, &message) {
            if let Output::Send { octets, .. } = output {
                assert!(octets.len() <= 3 * message.len());
                count += 1;
                seen.insert(octets);
            }
        }
    }
    assert_eq!((count, seen.len(), router.counts()), (4, 1, [0, 1]));
}

#[test]
fn a_notification_that_nobody_has_proved_changes_nothing() {
    let mut world = World::new(3, psk_pair(SM));
    world.configure(1);
    world.configure(0);
    world.run(world.now + Duration::from_secs(2));
    assert!(world.agree());
    let (header, _) = Header::read(&world.wire[2]).unwrap();
    for (number, data) in [(24, vec![]), (14, vec![]), (36136, vec![0; 4]), (24578, vec![])] {
        let notify = wire::Notify { protocol: 1, spi: vec![0; 16], kind: number, data };
        let header = Header { exchange: wire::exchange::INFORMATIONAL, message_id: 9, ..header };
        let message = wire::message(header, &[(kind::NOTIFY, notify.write())]);
        let before = (world.installed.clone().map(|all| all.len()), world.sent);
        let (local, remote) = (SocketAddr::new(address(1), 500), SocketAddr::new(address(0), 500));
        world.input(1, Input::Datagram { local, remote, octets: &message });
        assert_eq!(before, (world.installed.clone().map(|all| all.len()), world.sent));
    }
    assert!(world.agree());
}

#[test]
fn a_recorded_negotiation_that_is_played_again_establishes_nothing() {
    for pair in [psk_pair(SM), envelope_pair()] {
        let mut world = World::new(4, pair.clone());
        world.configure(1);
        world.configure(0);
        world.run(world.now + Duration::from_secs(2));
        assert!(world.agree());
        let mut target = World::new(5, pair);
        target.configure(1);
        let (local, remote) = (SocketAddr::new(address(1), 500), SocketAddr::new(address(0), 500));
        for _ in 0..3 {
            for octets in &world.wire {
                target.input(1, Input::Datagram { local, remote, octets });
            }
        }
        assert!(target.installed[1].is_empty());
        assert_eq!(target.sides[1].counts()[0], 0);
    }
}

#[test]
fn messages_that_are_played_again_move_nothing() {
    for pair in [psk_pair(SM), envelope_pair()] {
        let mut world = World::new(9, pair);
        world.configure(1);
        world.configure(0);
        // Questions whether the peer is there are among them.
        world.run(world.now + Duration::from_secs(100));
        assert!(world.agree());
        let recorded = world.wire.clone();
        let elsewhere = SocketAddr::new(IpAddr::from([203, 0, 113, 9]), 4500);
        for _ in 0..2 {
            for octets in &recorded {
                for side in [0, 1] {
                    let now = world.now();
                    let local = SocketAddr::new(address(side), 4500);
                    let input = Input::Datagram { local, remote: elsewhere, octets };
                    for output in world.sides[side].handle(now, input, &mut Dice(9)) {
                        // Answers that were lost are given again, to the peer that is known.
                        let expected = match &output {
                            Output::Send { remote, .. } => remote.ip() == address(1 - side),
                            Output::Event(Event::Dropped(..) | Event::Limited(_)) => true,
                            _ => false,
                        };
                        assert!(expected, "{output:?}");
                    }
                }
            }
            world.run(world.now + Duration::from_secs(100));
            assert!(world.agree(), "{}", world.describe());
            assert_eq!((world.installed[0].len(), world.installed[1].len()), (1, 1));
        }
    }
}

/// Certificates of a test, made by some CA.
struct Maker {
    ca: Ca,
}

impl Maker {
    fn ours() -> Self {
        let (certificate, key) = entity("ca");
        Self { ca: Ca::from_parts(key, certificate).unwrap() }
    }

    fn other() -> Self {
        let subject = Subject::parse("CN=ca,OU=tests,O=tongguan,C=CN").unwrap();
        Self { ca: Ca::new(KeySpec::EcSm2, &subject, 0, WALL * 2).unwrap() }
    }

    fn issue(&self, name: &str, usage: Usage, until: i64) -> (Certificate, PrivateKey) {
        let key = PrivateKey::generate(KeySpec::EcSm2).unwrap();
        let subject = Subject::parse(&format!("CN={name},OU=tests,O=tongguan,C=CN")).unwrap();
        let csr = create_csr(&key, &subject, &[]).unwrap();
        (self.ca.issue(&csr, usage, 0, until).unwrap(), key)
    }
}

/// The initiator with other certificates.
fn with_certificates(
    signature: (Certificate, PrivateKey),
    encryption: (Certificate, PrivateKey),
) -> [Connection; 2] {
    let [initiator, responder] = envelope_pair();
    let (ca, _) = entity("ca");
    let own = OwnCertificates {
        signature: signature.0,
        signature_key: signature.1,
        encryption: encryption.0,
        encryption_key: encryption.1,
    };
    let local_id = Identity::new(Identity::DER_NAME, own.signature.subject_der());
    let credentials = Credentials { own: Arc::new(own), peer_ca: vec![ca] };
    let authentication = Authentication::Envelope(Arc::new(credentials));
    [Connection { local_id, authentication, ..initiator }, responder]
}

/// The responder cannot open what is meant for its encryption certificate.
fn with_another_key([initiator, mut responder]: [Connection; 2]) -> [Connection; 2] {
    if let Authentication::Envelope(credentials) = &responder.authentication {
        let (signature, signature_key) = entity("west-sign");
        let own = OwnCertificates {
            signature,
            signature_key,
            encryption: credentials.own.encryption.clone(),
            encryption_key: PrivateKey::generate(KeySpec::EcSm2).unwrap(),
        };
        let credentials = Credentials { own: Arc::new(own), peer_ca: credentials.peer_ca.clone() };
        responder.authentication = Authentication::Envelope(Arc::new(credentials));
    }
    [initiator, responder]
}

/// What may be wrong with certificates and keys, beside a pair with which nothing is.
fn cases() -> Vec<(&'static str, [Connection; 2])> {
    let (ours, later) = (Maker::ours(), WALL * 2);
    let elsewhere = Subject::parse("CN=ca,OU=elsewhere,O=tongguan,C=CN").unwrap();
    let elsewhere = Maker { ca: Ca::new(KeySpec::EcSm2, &elsewhere, 0, WALL * 2).unwrap() };
    let sign = |maker: &Maker, name: &str, until| maker.issue(name, Usage::Signature, until);
    let encrypt = |maker: &Maker, name: &str, until| maker.issue(name, Usage::Encryption, until);
    let wrong_key = |(certificate, _)| (certificate, PrivateKey::generate(KeySpec::EcSm2).unwrap());
    let fine = || with_certificates(sign(&ours, "east", later), encrypt(&ours, "east", later));
    vec![
        ("fine", fine()),
        ("digest of the envelope", with_another_key(fine())),
        (
            "another CA",
            with_certificates(sign(&Maker::other(), "east", later), encrypt(&ours, "east", later)),
        ),
        (
            "a CA of another name",
            with_certificates(sign(&elsewhere, "east", later), encrypt(&elsewhere, "east", later)),
        ),
        ("another name", with_certificates(sign(&ours, "north", later), encrypt(&ours, "north", later))),
        ("two names", with_certificates(sign(&ours, "east", later), encrypt(&ours, "north", later))),
        ("expired", with_certificates(sign(&ours, "east", WALL - 1), encrypt(&ours, "east", later))),
        (
            "expired encryption",
            with_certificates(sign(&ours, "east", later), encrypt(&ours, "east", WALL - 1)),
        ),
        ("usage", with_certificates(encrypt(&ours, "east", later), encrypt(&ours, "east", later))),
        ("usage of encryption", with_certificates(sign(&ours, "east", later), sign(&ours, "east", later))),
        (
            "wrong signature",
            with_certificates(wrong_key(sign(&ours, "east", later)), encrypt(&ours, "east", later)),
        ),
    ]
}

#[test]
fn whatever_is_wrong_takes_as_long() {
    let wrong = cases().into_iter().filter(|(name, _)| *name != "fine");
    let mut worlds: Vec<_> = wrong
        .map(|(name, pair)| {
            let mut world = World::new(6, pair);
            world.configure(1);
            world.configure(0);
            world.run(world.now + Duration::from_millis(500));
            let third = world.wire.iter().find(|octets| octets[16] == kind::SYMMETRIC_KEY).unwrap().clone();
            (name, world, third)
        })
        .collect();
    let count = worlds.len();
    // The third message is looked at as often as it comes.
    let mut take = |place: usize| {
        let (_, world, third) = &mut worlds[place];
        let (local, remote) = (SocketAddr::new(address(1), 500), SocketAddr::new(address(0), 500));
        world.input(1, Input::Datagram { local, remote, octets: third });
        let (first, took, answered) = *world.taken.last().unwrap();
        assert_eq!((first, answered), (kind::SYMMETRIC_KEY, 0));
        took.as_secs_f64()
    };
    // Each beside the first, in turns, so that what else the machine does strikes both; of the ratios the median
    // counts.
    for place in 1..count {
        let mut ratios: Vec<f64> = (0..31)
            .map(|_| {
                let (before, between, after) = (take(0), take(place), take(0));
                2.0 * between / (before + after)
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        // Where no signature of a certificate is verified, it would be five sixths.
        assert!((0.9..1.1).contains(&ratios[15]), "{place}: {ratios:?}");
    }
}

#[test]
fn answers_to_who_has_proved_nothing_are_bounded() {
    // Whoever sends first messages in the name of a peer: with keys he gets less than he sends;
    // with certificates the second message holds two of them, so their number bounds the octets.
    for (pair, most) in [(psk_pair(SM), 1.0), (envelope_pair(), 8.0)] {
        let message = first_message(&pair);
        let mut router = Router::new();
        let now = Now { steady: Duration::ZERO, wall: WALL };
        let connection = Connection { immediately: false, ..pair[1].clone() };
        router.configure(connection, now, &mut Dice(1));
        let (mut sent, mut answered, mut longest) = (0, 0, 0.0f64);
        // A thousand in a second, each with a cookie of its own, and each twice.
        for number in 1..=1_000 {
            let message = with_cookie(&message, number);
            for _ in 0..2 {
                for output in receive(&mut router, address(0), number, &message) {
                    if let Output::Send { octets, .. } = output {
                        answered += octets.len();
                        longest = longest.max(octets.len() as f64 / message.len() as f64);
                    }
                }
                sent += message.len();
            }
        }
        assert!(longest > 0.0 && longest < most, "{longest} times as long");
        assert!(answered * 5 < sent, "{answered} octets for {sent}");
    }
}

#[test]
fn whatever_is_wrong_with_certificates_there_is_one_answer() {
    let cases = cases();
    let mut reasons = BTreeSet::new();
    for (name, pair) in cases {
        let mut world = World::new(6, pair);
        world.configure(1);
        world.configure(0);
        world.run(world.now + Duration::from_secs(20));
        if name == "fine" {
            assert!(world.agree(), "{}", world.describe());
            continue;
        }
        // The responder has answered the first message, and nothing after that.
        let answered: BTreeSet<&Vec<u8>> = world
            .wire
            .iter()
            .filter(|octets| octets[8..16] != [0; 8])
            .filter(|octets| octets[16] == kind::SA)
            .collect();
        let beyond = world.wire.iter().filter(|octets| octets[16] == kind::SYMMETRIC_KEY);
        let beyond: BTreeSet<&Vec<u8>> = beyond.collect();
        assert_eq!((answered.len(), beyond.len()), (1, 1), "{name}");
        assert!(world.installed.iter().all(Vec::is_empty), "{name}");
        let dropped = world.events[1].iter().find_map(|event| match event {
            Event::Dropped(Some(id), reason) if *id == ID => Some(reason.clone()),
            _ => None,
        });
        reasons.insert(dropped.unwrap_or_else(|| panic!("{name}: {}", world.describe())));
    }
    assert!(reasons.len() >= 6, "{reasons:#?}");
}

#[test]
fn an_envelope_for_somebody_else_is_not_opened() {
    let mut world = World::new(7, with_another_key(envelope_pair()));
    world.configure(1);
    world.configure(0);
    world.run(world.now + Duration::from_secs(20));
    assert!(world.installed.iter().all(Vec::is_empty));
    let told = |event: &Event| matches!(event, Event::Dropped(_, reason) if reason.contains("not encrypted under this key"));
    assert!(world.events[1].iter().any(told), "{}", world.describe());
}

#[test]
fn nothing_of_a_secret_is_shown() {
    let shown = format!("{:?} {:?}", psk(0, SM), envelope_pair()[0]);
    assert!(!shown.contains("secret of both") && !shown.contains("97, 32, 115"), "{shown}");
    let mut world = World::new(8, psk_pair(SM));
    world.configure(1);
    world.configure(0);
    world.run(world.now + Duration::from_secs(2));
    let child = &world.installed[0][0];
    let shown = format!("{child:?} {:?}", world.sides[0]);
    assert!(
        !shown.contains(&format!("{:?}", &child.inbound.cipher_key[..4]).replace(['[', ']'], "")),
        "{shown}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any octets at any time of a negotiation: nothing breaks, and what was there goes on.
    #[test]
    fn any_octets_are_survived(
        seed in 0u64..50,
        octets in prop::collection::vec(any::<u8>(), 0..300),
        header in any::<bool>(),
        millis in 0u64..400,
    ) {
        let mut world = World::new(seed, psk_pair(SM));
        world.configure(1);
        world.configure(0);
        world.run(world.now + Duration::from_millis(millis));
        for side in [0, 1] {
            let mut octets = octets.clone();
            if header && octets.len() >= 28 {
                // A header that is taken for one of the negotiation.
                if let Some(known) = world.wire.last() {
                    octets[..24].copy_from_slice(&known[..24]);
                }
                let length = (octets.len() as u32).to_be_bytes();
                octets[24..28].copy_from_slice(&length);
            }
            let (local, remote) = (SocketAddr::new(address(side), 500), SocketAddr::new(address(1 - side), 500));
            world.input(side, Input::Datagram { local, remote, octets: &octets });
        }
        world.run_with_traffic(40);
        prop_assert!(world.agree(), "{}", world.describe());
    }

    /// Whatever is read as a message is written as it was.
    #[test]
    fn what_is_read_of_an_sa_is_written_the_same(body in prop::collection::vec(any::<u8>(), 0..120)) {
        if let Ok(sa) = wire::Sa::read(&body) {
            prop_assert_eq!(sa.write(), body);
        }
    }
}
