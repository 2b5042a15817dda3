//! Our gateway against our gateway.

use std::time::{Duration, Instant};

use tongguan_dataplane::orders::{Document, Order, Report, SecretText};

use crate::network::{BEHIND, Echo, Network, wait};
use crate::site::{DOWN, Site, TUN, UP, Words, authority, issued, now, with_certificates, with_key};

const SUITES: [Words; 4] = [
    Words { ike: ["sm4", "sm3", "group19"], ipsec: ["sm4", "sm3", "disabled"], in_udp: true },
    Words { ike: ["aes", "sha1", "group14"], ipsec: ["aes", "sha1", "group14"], in_udp: true },
    Words { ike: ["aes256", "sha256", "group19"], ipsec: ["aes256", "sha256", "group19"], in_udp: false },
    Words { ike: ["sm4", "sm3", "group14"], ipsec: ["sm4", "sm3", "group19"], in_udp: false },
];

/// Applies a document to each site, and sees the tunnel come up and packets pass both ways.
fn bring_up(network: &Network, sites: &mut [Site; 2], document: impl Fn(usize) -> Document) {
    // The one that begins comes last.
    for side in [1, 0] {
        sites[side].apply(&document(side));
    }
    sites.iter().for_each(|site| site.wait_for(UP));
    network.assert_pings();
}

#[test]
fn hosts_reach_each_other_through_every_suite_and_nothing_is_readable_outside() {
    if !crate::possible() {
        return;
    }
    let network = Network::new();
    let watch = network.watch();
    let mut sites = [0, 1].map(|side| Site::start(&network, side));
    assert!(!network.ping(0));
    for words in SUITES {
        bring_up(&network, &mut sites, |side| with_key(side, words));
        network.assert_tcp(0, 2_000_000);
        network.assert_tcp(1, 2_000_000);
        let status = sites[0].status();
        assert!(status.packets.iter().all(|count| *count > 1_000), "{words:?} {status:?}");
        assert_eq!(status.reason, None);
    }
    watch.assert_nothing_readable();
}

#[test]
fn certificates_carry_a_tunnel_and_without_one_it_is_down_within_two_seconds() {
    if !crate::possible() {
        return;
    }
    let now = now();
    let ca = authority(now);
    let certificates = ["east", "west"].map(|name| issued(&ca, name, now));
    let network = Network::new();
    let watch = network.watch();
    let mut sites = [0, 1].map(|side| Site::start(&network, side));
    let both = [0, 1].map(|side| with_certificates(side, &ca, &certificates[side]));
    bring_up(&network, &mut sites, |side| both[side].clone());
    network.assert_tcp(0, 2_000_000);
    for (side, role) in [(0, "Signature"), (1, "Encryption")] {
        let mut less = both[side].clone();
        less.certificates.remove(role);
        let before = Instant::now();
        sites[side].apply(&less);
        sites.iter().for_each(|site| site.wait_for(DOWN));
        assert!(before.elapsed() < Duration::from_secs(2));
        assert!(!network.ping(0) && !network.ping(1));
        let reason = sites[side].status().reason.unwrap();
        assert!(reason.starts_with("a certificate is not bound"), "{reason}");
        sites[side].apply(&both[side]);
        sites.iter().for_each(|site| site.wait_for(UP));
        network.assert_pings();
    }
    // Another pair takes the place of the first.
    let mut other = both[0].clone();
    other.certificates = issued(&ca, "east", now);
    sites[0].apply(&other);
    sites.iter().for_each(|site| site.wait_for(UP));
    network.assert_pings();
    watch.assert_nothing_readable();
}

#[test]
fn a_gateway_that_was_killed_comes_back_by_itself() {
    if !crate::possible() {
        return;
    }
    let network = Network::new();
    let mut sites = [0, 1].map(|side| Site::start(&network, side));
    let documents = [0, 1].map(|side| with_key(side, SUITES[0]));
    bring_up(&network, &mut sites, |side| documents[side].clone());
    for side in [0, 1] {
        sites[side].kill();
        assert!(!network.ping(0));
        sites[side].start_again(&network, side);
        sites[side].apply(&documents[side]);
        // The peer has no reason to believe that its SAs are gone until it hears of it.
        wait("an answer", || network.ping(0) && network.ping(1));
        sites.iter().for_each(|site| site.wait_for(UP));
    }
}

/// The first gateway is behind a translation, and its address says nothing of who it is.
fn behind_a_translation(side: usize) -> Document {
    let mut document = with_key(side, SUITES[0]);
    if side == 0 {
        document.address = BEHIND.into();
    }
    for connection in document.connections.values_mut() {
        let ike = &mut connection.settings.tunnels[0].ike;
        let name = if side == 0 { &mut ike.local_id } else { &mut ike.remote_id };
        *name = Some("east.example".into());
    }
    document
}

#[test]
fn a_gateway_behind_a_translation_is_reached_through_it() {
    if !crate::possible() {
        return;
    }
    let network = Network::with_translation();
    let mut sites = [0, 1].map(|side| Site::start(&network, side));
    bring_up(&network, &mut sites, behind_a_translation);
    network.assert_tcp(0, 1_000_000);
    network.assert_tcp(1, 1_000_000);
}

#[test]
fn a_tunnel_comes_up_and_comes_back_though_a_fifth_of_all_packets_is_lost() {
    if !crate::possible() {
        return;
    }
    let network = Network::new();
    let mut sites = [0, 1].map(|side| Site::start(&network, side));
    [0, 1].iter().for_each(|side| network.lose(*side, 20));
    for side in [1, 0] {
        sites[side].apply(&with_key(side, SUITES[0]));
    }
    // Of a negotiation each step may have to be made several times, at growing distances.
    sites.iter().for_each(|site| site.wait_longer_for(UP, 4));
    network.assert_pings();
    sites[1].kill();
    sites[1].start_again(&network, 1);
    sites[1].apply(&with_key(1, SUITES[0]));
    sites[1].wait_longer_for(UP, 4);
    network.assert_pings();
}

/// Largest inner packet, whatever the path takes.
const MTU: usize = 1_400;

#[test]
fn large_transfers_pass_whatever_the_path_takes() {
    if !crate::possible() {
        return;
    }
    let network = Network::new();
    let mut sites = [0, 1].map(|side| Site::start(&network, side));
    for words in [SUITES[0], SUITES[3]] {
        bring_up(&network, &mut sites, |side| with_key(side, words));
        for mtu in [1_500, 1_400, 1_280] {
            network.narrow(mtu);
            network.assert_tcp(0, 500_000);
            network.assert_tcp(1, 500_000);
            // What must not be fragmented passes up to the MTU of the tunnel; beyond, its source is told.
            for side in [0, 1] {
                wait("an answer to the longest packet", || network.ping_whole(side, MTU) == Echo::Answer);
                assert_eq!(network.ping_whole(side, MTU + 1), Echo::TooLong(MTU as u16));
                assert_eq!(network.ping_whole(side, 1_500), Echo::TooLong(MTU as u16));
            }
        }
    }
}

#[test]
fn large_transfers_pass_a_narrow_router_and_hosts_that_ignore_icmp() {
    if !crate::possible() {
        return;
    }
    let network = Network::with_translation();
    let mut sites = [0, 1].map(|side| Site::start(&network, side));
    bring_up(&network, &mut sites, behind_a_translation);
    for mtu in [1_500, 1_400, 1_280] {
        network.narrow(mtu);
        network.assert_tcp(0, 500_000);
        network.assert_tcp(1, 500_000);
        for side in [0, 1] {
            wait("an answer to the longest packet", || network.ping_whole(side, MTU) == Echo::Answer);
        }
    }
    // Segments fit, as the hosts are told so when they begin.
    [0, 1].iter().for_each(|side| network.ignore_icmp(*side));
    network.assert_tcp(0, 500_000);
    network.assert_tcp(1, 500_000);
}

#[test]
fn where_fragments_are_dropped_large_transfers_pass_if_it_is_said_what_the_path_takes() {
    if !crate::possible() {
        return;
    }
    const PATH: u16 = 1_280;
    /// What is left of it inside.
    const INNER: usize = 1_182;
    let network = Network::with_translation();
    network.narrow(PATH.into());
    network.drop_fragments();
    let mut sites = [0, 1].map(|side| Site::start(&network, side));
    bring_up(&network, &mut sites, behind_a_translation);
    for side in [0, 1] {
        assert_eq!(network.ping_whole(side, MTU), Echo::Nothing, "fragments pass");
    }
    drop(sites);
    let mut sites = [0, 1].map(|side| Site::start_narrow(&network, side, PATH));
    bring_up(&network, &mut sites, behind_a_translation);
    for side in [0, 1] {
        network.assert_tcp(side, 500_000);
        wait("an answer to the longest packet", || network.ping_whole(side, INNER) == Echo::Answer);
        assert_eq!(network.ping_whole(side, INNER + 1), Echo::TooLong(INNER as u16));
    }
    // Hosts that do not hear of it send segments that fit, as they were told so when they began.
    [0, 1].iter().for_each(|side| network.ignore_icmp(*side));
    network.assert_tcp(0, 500_000);
    network.assert_tcp(1, 500_000);
}

#[test]
fn keys_are_gone_from_memory_with_their_connection() {
    if !crate::possible() {
        return;
    }
    let now = now();
    let ca = authority(now);
    let certificates = ["east", "west"].map(|name| issued(&ca, name, now));
    let network = Network::new();
    let mut sites = [0, 1].map(|side| Site::start(&network, side));
    let secret = "known to both sides, and to nobody else";
    let keyed = |side: usize| {
        let mut document = with_key(side, SUITES[0]);
        for connection in document.connections.values_mut() {
            connection.keys.insert(TUN.into(), SecretText::new(secret.into()));
        }
        document
    };
    let certified = |side: usize| with_certificates(side, &ca, &certificates[side]);
    let pem = certificates[0]["Signature"].key.expose().lines().nth(1).unwrap().to_owned();
    for (make, searched) in
        [(&keyed as &dyn Fn(usize) -> Document, secret.as_bytes()), (&certified, pem.as_bytes())]
    {
        for side in [1, 0] {
            sites[side].apply(&make(side));
        }
        sites.iter().for_each(|site| site.wait_for(UP));
        if searched == secret.as_bytes() {
            assert!(sites[0].occurrences(searched) > 0, "the search finds nothing");
        }
        let mut nothing = make(0);
        nothing.connections.clear();
        nothing.certificates.clear();
        sites[0].apply(&nothing);
        assert_eq!(sites[0].occurrences(searched), 0);
    }
}

#[test]
fn sas_are_replaced_under_traffic_and_no_packet_is_lost() {
    if !crate::possible() {
        return;
    }
    let network = Network::new();
    let mut sites = [0, 1].map(|side| Site::start(&network, side));
    bring_up(&network, &mut sites, |side| {
        let mut document = with_key(side, SUITES[0]);
        for connection in document.connections.values_mut() {
            connection.settings.tunnels[0].ike.lifetime = 14;
            connection.settings.tunnels[0].ipsec.lifetime = 6;
        }
        document
    });
    let mut sent = 0;
    while sites[0].status().child_sas < 5 {
        assert!(network.ping(sent % 2), "packet {sent} of side {} was lost", sent % 2);
        sent += 1;
    }
    assert!(sent > 20, "{sent}");
}

#[test]
fn orders_are_taken_once_and_in_order_and_what_cannot_be_done_changes_nothing() {
    if !crate::possible() {
        return;
    }
    let network = Network::new();
    let mut sites = [0, 1].map(|side| Site::start(&network, side));
    for side in [1, 0] {
        sites[side].apply(&with_key(side, SUITES[0]));
    }
    sites.iter().for_each(|site| site.wait_for(UP));
    let document = Box::new(with_key(0, SUITES[0]));
    let apply = |generation| Order::Apply { generation, claim: None, document: document.clone() };
    assert_eq!(sites[0].order(&apply(1)), Report::Applied { generation: 1 });
    assert_eq!(sites[0].order(&apply(0)), Report::Stale { generation: 1 });
    let wrong = Words { ike: ["des", "md5", "group14"], ..SUITES[0] };
    let order = Order::Apply { generation: 2, claim: None, document: Box::new(with_key(0, wrong)) };
    let Report::Refused { generation: 2, reason } = sites[0].order(&order) else { panic!("not refused") };
    assert!(reason.contains("des is not done"), "{reason}");
    // The same document under a new generation disturbs nothing.
    let before = sites[0].status().packets;
    assert_eq!(sites[0].order(&apply(3)), Report::Applied { generation: 3 });
    assert!(network.ping(0));
    let after = sites[0].status();
    assert!(after.negotiation == UP && after.packets[0] > before[0]);
    // The one that may not begin by itself is negotiated when a packet wants it.
    let _ = sites[1].order(&Order::Terminate { tunnel: TUN.into() });
    sites[1].apply(&with_key(1, SUITES[0]));
    network.assert_pings();
}

#[test]
fn suites_that_do_not_match_are_said_in_words() {
    if !crate::possible() {
        return;
    }
    let network = Network::new();
    let mut sites = [0, 1].map(|side| Site::start(&network, side));
    sites[1].apply(&with_key(1, SUITES[0]));
    let other = Words { ike: ["aes", "sm3", "group19"], ..SUITES[0] };
    sites[0].apply(&with_key(0, other));
    wait("a reason", || sites[1].status().reason.is_some() || sites[0].status().reason.is_some());
    assert_eq!(sites[0].status().negotiation, DOWN);
    assert!(!network.ping(0));
}

#[test]
fn a_gateway_has_no_rights() {
    if !crate::possible() {
        return;
    }
    let network = Network::new();
    let site = Site::start(&network, 0);
    let status = || std::fs::read_to_string(format!("/proc/{}/status", site.id())).unwrap();
    wait("the filter of system calls", || status().contains("Seccomp:\t2"));
    let status = status();
    for line in ["Uid:\t65534\t65534\t65534\t65534", "Gid:\t65534\t65534\t65534\t65534", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{set}: {status}");
    }
    // Where root itself may not raise the limit of locked memory, none is locked, and the gateway says so.
    let here = std::fs::read_to_string("/proc/self/status").unwrap();
    let rights = here.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    const MAY_RAISE: u64 = 1 << 24;
    if u64::from_str_radix(rights.trim(), 16).unwrap() & MAY_RAISE != 0 {
        let locked = status.lines().find(|line| line.starts_with("VmLck:")).unwrap();
        assert!(!locked.contains(" 0 kB"), "{locked}");
    }
    // Only what it was given, and what its threads wake each other with.
    let open = std::fs::read_dir(format!("/proc/{}/fd", site.id())).unwrap().count();
    assert!(open <= 20, "{open} descriptors");
}
