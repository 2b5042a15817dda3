//! Nothing that can be read leaves a gateway, at any moment of its life: hosts send all the time, and whatever takes
//! the default route is seen.

use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tongguan_dataplane::orders::{Order, Place, Report, TunnelStatus};
use tongguan_supervisor::{Host, Namespace, TUNNEL};

use crate::host::{Bridge, Cleared, apply, processes_of, settings};
use crate::network::{MARK, Network, block, inside, outside, wait};
use crate::site::{TUN, UP, authority, issued, now, order_at, with_certificates};

fn id(side: usize) -> String {
    format!("vpn-{}-m{side}", std::process::id())
}

fn tunnel(control: &Path) -> Option<TunnelStatus> {
    let Report::Status { mut tunnels, .. } = order_at(control, &Order::Status) else { panic!("no status") };
    tunnels.remove(TUN)
}

fn is_up(control: &Path) -> bool {
    tunnel(control).is_some_and(|tunnel| tunnel.negotiation == UP)
}

/// Hosts that send to each other all the time, and do not mind whether that arrives.
struct Chatter<'a> {
    ends: &'a AtomicBool,
}

impl Drop for Chatter<'_> {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

fn chatter(network: &Network, side: usize, ends: &AtomicBool) {
    let send = || {
        let socket = UdpSocket::bind((inside(side), 0)).unwrap();
        while !ends.load(Ordering::Relaxed) {
            // There may be no way.
            let _ = socket.send_to(MARK, (inside(1 - side), 9));
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    network.hosts[side].enter(send).unwrap();
}

/// Packets that found no tunnel.
fn lost(control: &Path) -> u64 {
    let Report::Status { dropped, .. } = order_at(control, &Order::Status) else { panic!("no status") };
    dropped["no_sa"]
}

#[test]
fn nothing_readable_goes_out_at_start_replacement_unbinding_and_death() {
    if !crate::possible() {
        return;
    }
    let now = now();
    let ca = authority(now);
    let certificates = ["east", "west"].map(|name| issued(&ca, name, now));
    let documents = [0, 1].map(|side| {
        let mut document = with_certificates(side, &ca, &certificates[side]);
        for connection in document.connections.values_mut() {
            connection.settings.tunnels[0].ike.lifetime = 20;
            connection.settings.tunnels[0].ipsec.lifetime = 8;
        }
        document
    });
    let (folder, bridge) = (TempDir::new().unwrap(), Bridge::new("tgm"));
    let settings = settings(&folder, bridge.outside());
    let _cleared = Cleared([0, 1].map(id));
    let mut host = Host::open(settings, Instant::now()).unwrap();
    let places = [0, 1].map(|side| Place {
        id: id(side),
        address: outside(side).into(),
        networks: vec![block(1 - side)],
    });
    let controls = places.map(|place| host.set(place, Instant::now()).unwrap());
    let gateways = [0, 1].map(|side| Namespace::create(&format!("tg-{}", id(side))).unwrap());
    // Whatever is sent to the link goes out: somebody is there to take it.
    for (side, gateway) in gateways.iter().enumerate() {
        let neighbour = format!("neigh replace {} lladdr 02:00:00:00:00:09 dev wan", inside(1 - side));
        gateway.ip(&neighbour).unwrap();
    }
    let network = Network::of(gateways);
    let watch = network.watch();
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let chatter = |side| {
            let (network, ends) = (&network, &ends);
            scope.spawn(move || self::chatter(network, side, ends))
        };
        let _ended = Chatter { ends: &ends };
        let _talking = [chatter(0), chatter(1)];
        let up = || controls.iter().all(|control| is_up(control));
        // Before the first order, and while certificates and keys are proved.
        wait("packets without a tunnel", || lost(&controls[0]) > 20);
        for side in [1, 0] {
            assert!(apply(&controls[side], 1, &documents[side]));
        }
        wait("both tunnels", up);
        network.assert_pings();
        wait("three replacements", || tunnel(&controls[0]).is_some_and(|tunnel| tunnel.child_sas > 3));
        // One role less: packets find no tunnel again.
        let mut less = documents[0].clone();
        less.certificates.remove("Signature");
        let before = lost(&controls[0]);
        assert!(apply(&controls[0], 2, &less));
        wait("packets without a tunnel", || lost(&controls[0]) > before + 20);
        assert!(!network.ping(0));
        assert!(apply(&controls[0], 3, &documents[0]));
        wait("both tunnels", up);
        // A process dies in the middle of it, and another takes its place.
        let number = processes_of(&id(0))[0];
        rustix::process::kill_process(Pid::from_raw(number).unwrap(), Signal::KILL).unwrap();
        wait("another process", || {
            host.tick(Instant::now());
            processes_of(&id(0)).first().is_some_and(|other| *other != number)
        });
        wait("packets without a tunnel", || lost(&controls[0]) > 20);
        assert!(apply(&controls[0], 4, &documents[0]));
        wait("both tunnels", up);
        network.assert_pings();
        let mut nothing = documents[0].clone();
        nothing.connections.clear();
        assert!(apply(&controls[0], 5, &nothing));
        let before = lost(&controls[0]);
        wait("packets without a tunnel", || lost(&controls[0]) > before + 20);
        assert_eq!(watch.readable(), 0);
        // Were they not held back, they would be seen: hosts have neither a way around the tunnel nor a default route.
        let gateway = &network.gateways[0];
        gateway.ip("route add default dev wan").unwrap();
        gateway.ip(&format!("route del {} dev {TUNNEL}", block(1))).unwrap();
        gateway.ip(&format!("route del blackhole {} metric 4096", block(1))).unwrap();
        wait("a packet that can be read", || watch.readable() > 0);
    });
    assert!(watch.frames().len() > 1_000);
    for side in [0, 1] {
        host.remove(&id(side)).unwrap();
    }
}
