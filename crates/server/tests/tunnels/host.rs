//! Gateways of a host, as the supervisor keeps them: started, started again, found again, removed.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tongguan_dataplane::orders::{Document, Order, Place, Report};
use tongguan_supervisor::{Host, Namespace, Outside, Settings, ip};
use tongguan_testkit::program::binary;

use crate::network::{Network, block, outside, wait};
use crate::site::{NOBODY, TUN, UP, Words, order_at, with_key};

const WORDS: Words =
    Words { ike: ["sm4", "sm3", "group19"], ipsec: ["sm4", "sm3", "disabled"], in_udp: true };

/// A bridge of the host, which goes with the test.
pub(crate) struct Bridge(String);

impl Bridge {
    /// Under this name, with the number of the process added.
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("{name}{}", std::process::id());
        ip(&format!("link add {name} type bridge")).unwrap();
        ip(&format!("link set {name} up")).unwrap();
        Self(name)
    }

    /// The way out of gateways that are on it.
    pub(crate) fn outside(&self) -> Outside {
        Outside::Bridge { name: self.0.clone(), pool: None }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = ip(&format!("link del {}", self.0));
    }
}

/// What gateways of these ids leave behind if the test fails: it goes with this.
pub(crate) struct Cleared(pub(crate) [String; 2]);

impl Drop for Cleared {
    fn drop(&mut self) {
        for id in &self.0 {
            kill_all(id);
            let _ = ip(&format!("netns delete tg-{id}"));
        }
    }
}

/// How gateways of a test are kept.
pub(crate) fn settings(folder: &TempDir, outside: Outside) -> Settings {
    let folder = folder.path().join("gateways");
    Settings { program: binary(), folder, outside, user: NOBODY, owner: 0, path: 1_500 }
}

fn id(side: usize) -> String {
    format!("vpn-{}-{side}", std::process::id())
}

fn processes(side: usize) -> Vec<i32> {
    processes_of(&id(side))
}

/// Numbers of the processes of a gateway.
pub(crate) fn processes_of(id: &str) -> Vec<i32> {
    let namespace = format!("tg-{id}");
    let output = Command::new("ip").args(["netns", "pids", &namespace]).output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect()
}

/// Kills the processes of a gateway.
pub(crate) fn kill_all(id: &str) {
    for number in processes_of(id) {
        let _ = rustix::process::kill_process(Pid::from_raw(number).unwrap(), Signal::KILL);
    }
}

/// Whether a gateway has applied a document.
pub(crate) fn apply(control: &Path, generation: u64, document: &Document) -> bool {
    let order = Order::Apply { generation, claim: None, document: Box::new(document.clone()) };
    order_at(control, &order) == Report::Applied { generation }
}

fn is_up(control: &Path) -> bool {
    let Report::Status { tunnels, .. } = order_at(control, &Order::Status) else { panic!("no status") };
    tunnels.get(TUN).is_some_and(|tunnel| tunnel.negotiation == UP)
}

#[test]
fn gateways_are_started_again_and_outlive_whoever_started_them() {
    if !crate::possible() {
        return;
    }
    let (folder, bridge) = (TempDir::new().unwrap(), Bridge::new("tgt"));
    let settings = settings(&folder, bridge.outside());
    let _cleared = Cleared([0, 1].map(id));
    let mut host = Host::open(settings.clone(), Instant::now()).unwrap();
    let places = [0, 1].map(|side| Place {
        id: id(side),
        address: outside(side).into(),
        networks: vec![block(1 - side)],
    });
    let controls = places.clone().map(|place| host.set(place, Instant::now()).unwrap());
    let gateways = [0, 1].map(|side| Namespace::create(&format!("tg-{}", id(side))).unwrap());
    let network = Network::of(gateways);
    let documents = [0, 1].map(|side| with_key(side, WORDS));
    for side in [1, 0] {
        assert!(apply(&controls[side], 1, &documents[side]));
    }
    wait("both tunnels", || controls.iter().all(|control| is_up(control)));
    network.assert_pings();

    // One ends, and is started again; what it shall be is told by whoever has the keys.
    let before = processes(0);
    assert_eq!(before.len(), 1);
    rustix::process::kill_process(Pid::from_raw(before[0]).unwrap(), Signal::KILL).unwrap();
    wait("another process", || {
        let wrong = host.tick(Instant::now());
        assert!(wrong.is_empty(), "{wrong:?}");
        processes(0).first().is_some_and(|number| *number != before[0])
    });
    assert!(!network.ping(0));
    assert!(apply(&controls[0], 1, &documents[0]));
    wait("both tunnels", || controls.iter().all(|control| is_up(control)));
    network.assert_pings();

    // The supervisor ends: nothing else does. Another one finds what runs, and starts nothing.
    let before = [processes(0), processes(1)];
    drop(host);
    network.assert_pings();
    let mut host = Host::open(settings, Instant::now()).unwrap();
    assert!(host.tick(Instant::now()).is_empty());
    assert_eq!([processes(0), processes(1)], before);
    assert_eq!(host.list().map(|(place, _)| place.clone()).collect::<Vec<_>>(), places);
    // The same place once more disturbs nothing.
    assert_eq!(host.set(places[1].clone(), Instant::now()).unwrap(), controls[1]);
    assert_eq!(processes(1), before[1]);
    network.assert_pings();

    for side in [0, 1] {
        host.remove(&id(side)).unwrap();
        assert!(!Path::new("/run/netns").join(format!("tg-{}", id(side))).exists());
    }
    assert!(!network.ping(0));
    assert_eq!(host.list().count(), 0);
    assert_eq!(std::fs::read_dir(folder.path().join("gateways")).unwrap().count(), 0);
}

/// A link of a host that leads nowhere, which goes with the test.
struct Uplink(Namespace);

impl Uplink {
    const NAME: &str = "eth0";

    fn new() -> Self {
        let host = Namespace::create(&format!("tgt-{}-up", std::process::id())).unwrap();
        host.ip(&format!("link add {} type bridge", Self::NAME)).unwrap();
        host.ip(&format!("link set {} up", Self::NAME)).unwrap();
        Self(host)
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        let _ = self.0.clone().remove();
    }
}

#[test]
fn gateways_are_neighbours_on_a_link_of_the_host() {
    if !crate::possible() {
        return;
    }
    let (folder, uplink) = (TempDir::new().unwrap(), Uplink::new());
    let settings = settings(&folder, Outside::Link { name: Uplink::NAME.into(), router: None });
    let ids = [2, 3].map(id);
    let place = |side: usize| Place {
        id: ids[side].clone(),
        address: outside(side).into(),
        networks: vec![block(1 - side)],
    };
    // Links are made in the network of whoever asks for them.
    let mut host = uplink.0.enter(|| Host::open(settings, Instant::now()).unwrap()).unwrap();
    let controls = [0, 1].map(|side| {
        let set = || host.set(place(side), Instant::now()).unwrap();
        uplink.0.enter(set).unwrap()
    });
    let gateways = [0, 1].map(|side| Namespace::create(&format!("tg-{}", ids[side])).unwrap());
    let network = Network::of(gateways);
    for side in [1, 0] {
        assert!(apply(&controls[side], 1, &with_key(side, WORDS)));
    }
    wait("both tunnels", || controls.iter().all(|control| is_up(control)));
    network.assert_pings();
    for id in &ids {
        uplink.0.enter(|| host.remove(id).unwrap()).unwrap();
    }
    assert_eq!(std::fs::read_dir(folder.path().join("gateways")).unwrap().count(), 0);
}
