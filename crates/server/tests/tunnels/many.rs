//! A gateway with more than one connection, and with ten thousand.

use std::time::{Duration, Instant};

use tongguan_dataplane::orders::Document;
use tongguan_supervisor::Namespace;
use tongguan_testkit::program::memory_kib;

use crate::network::{Echo, Network, block, echo, forward, inside, outside, wait};
use crate::site::{Site, TUN, UP, Words, authority, issued, now, renamed, with_certificates, with_key};

const WORDS: Words =
    Words { ike: ["sm4", "sm3", "group19"], ipsec: ["sm4", "sm3", "disabled"], in_udp: true };

/// A third side: a gateway that is a neighbour of the first one alone, and a host behind it.
struct Third {
    gateway: Namespace,
    host: Namespace,
}

impl Third {
    const SIDE: usize = 2;

    fn new(network: &Network) -> Self {
        let name = |kind: &str| format!("{}-{kind}", network.gateways[0].name());
        let third = Self {
            gateway: Namespace::create(&name("g")).unwrap(),
            host: Namespace::create(&name("h")).unwrap(),
        };
        let (gateway, host) = (&third.gateway, &third.host);
        network.join([(&network.gateways[0], "wan2"), (gateway, "wan")]);
        network.join([(host, "eth"), (gateway, "lan")]);
        let side = Self::SIDE;
        network.gateways[0].ip(&format!("route add {}/32 dev wan2", outside(side))).unwrap();
        gateway.ip(&format!("addr add {}/24 dev wan", outside(side))).unwrap();
        gateway.ip(&format!("addr add 10.77.{side}.1/24 dev lan")).unwrap();
        host.ip(&format!("addr add {}/24 dev eth", inside(side))).unwrap();
        host.ip(&format!("route add default via 10.77.{side}.1")).unwrap();
        forward(gateway);
        third
    }

    fn reaches(&self, side: usize) -> bool {
        self.host.enter(|| echo(inside(side), None).unwrap() == Echo::Answer).unwrap()
    }
}

impl Drop for Third {
    fn drop(&mut self) {
        for namespace in [&self.gateway, &self.host] {
            // What is left goes with the machine.
            let _ = namespace.clone().remove();
        }
    }
}

#[test]
fn two_tunnels_of_one_gateway_live_and_end_by_themselves() {
    if !crate::possible() {
        return;
    }
    let network = Network::new();
    let third = Third::new(&network);
    let mut hub = Site::start_at(&network.gateways[0], outside(0), &[1, Third::SIDE]);
    let mut spoke = Site::start(&network, 1);
    let mut other = Site::start_at(&third.gateway, outside(Third::SIDE), &[0, 1]);
    let both = {
        let mut document = with_key(0, WORDS);
        let mut second = renamed(&document.connections["vco-1"], "tun-2", outside(Third::SIDE));
        second.settings.remote_subnet = block(Third::SIDE);
        document.connections.insert("vco-2".into(), second);
        document
    };
    let of_third = {
        let mut document = with_key(1, WORDS);
        document.address = outside(Third::SIDE).into();
        for connection in document.connections.values_mut() {
            connection.settings.local_subnet = block(Third::SIDE);
        }
        document
    };
    spoke.apply(&with_key(1, WORDS));
    other.apply(&of_third);
    hub.apply(&both);
    let up =
        |hub: &Site, tunnel: &str| hub.statuses().get(tunnel).is_some_and(|status| status.negotiation == UP);
    wait("both tunnels", || up(&hub, TUN) && up(&hub, "tun-2"));
    network.assert_pings();
    wait("an answer to the third host", || third.reaches(0));
    // What was not agreed on does not pass, though there are two tunnels on the way.
    assert!(!third.reaches(1));

    // Each counts what it carries.
    let before = hub.statuses();
    assert!(network.ping(0));
    let after = hub.statuses();
    assert!(after[TUN].packets[0] > before[TUN].packets[0]);
    assert_eq!(after["tun-2"].packets, before["tun-2"].packets);

    // One goes: the other is as it was.
    let mut less = both.clone();
    less.connections.remove("vco-2");
    hub.apply(&less);
    assert!(!third.reaches(0) && network.ping(0) && network.ping(1));
    assert_eq!(hub.statuses().keys().collect::<Vec<_>>(), [TUN]);
    assert_eq!(hub.status().child_sas, after[TUN].child_sas);
    hub.apply(&both);
    wait("the second tunnel", || third.reaches(0));
    assert_eq!(hub.status().child_sas, after[TUN].child_sas);
}

/// A document with so many connections that nobody asks for.
fn with_many(one: &Document, count: u32) -> Document {
    let connection = &one.connections["vco-1"];
    let mut document = one.clone();
    document.connections = (0..count)
        .map(|number| {
            let peer = std::net::Ipv4Addr::from(0xc612_0000 + number);
            let mut connection = renamed(connection, &format!("tun-{number}"), peer);
            connection.settings.effect_immediately = false;
            connection.settings.remote_subnet =
                format!("{}/32", std::net::Ipv4Addr::from(0xac10_0000 + number));
            (format!("vco-{number}"), connection)
        })
        .collect();
    document
}

#[test]
fn ten_thousand_connections_are_applied_in_time_and_find_room() {
    if !crate::possible() {
        return;
    }
    const MANY: u32 = 10_000;
    const MOST_KIB: u64 = 200_000_000 / 1_024;
    let now = now();
    let ca = authority(now);
    let one = with_certificates(0, &ca, &issued(&ca, "east", now));
    let network = Network::new();
    let took = |count: u32| {
        let mut site = Site::start(&network, 0);
        let document = with_many(&one, count);
        let before = Instant::now();
        site.apply(&document);
        let took = before.elapsed();
        assert_eq!(site.statuses().len(), count as usize);
        let memory = memory_kib(site.id(), "VmRSS").unwrap();
        assert!(memory < MOST_KIB, "{memory} KiB with {count}");
        // One more: the others are found as they are.
        let mut more = with_many(&one, count + 1);
        more.connections.remove("vco-0");
        site.apply(&more);
        assert_eq!(site.statuses().len(), count as usize);
        took
    };
    let few = took(MANY / 10).max(Duration::from_millis(50));
    let many = took(MANY);
    assert!(many < few * 40, "{few:?} for a tenth of them, {many:?} for all");
}
