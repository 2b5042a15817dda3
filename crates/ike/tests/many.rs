//! A gateway with many connections: what each of them costs, however many there are.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use support::{Dice, WALL, psk};
use tongguan_ike::config::{Connection, ConnectionId, PeerIdentity};
use tongguan_ike::suite::{Cipher, Group, Hash};
use tongguan_ike::wire::Identity;
use tongguan_ike::{Input, Now, Output, Router};

/// What an established connection may take in memory, without its ESP SAs.
const MOST_OCTETS: i64 = 8 * 1024;

/// Address of a spoke.
fn spoke(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + number).into()
}

/// The connection of the hub with a spoke, or the other way round.
fn connection(number: u32, of_hub: bool) -> Connection {
    let connection = psk(usize::from(!of_hub), (Cipher::Sm4, Hash::Sm3, Group::P256));
    let hub = support::address(0);
    let (local, remote) = if of_hub { (hub, spoke(number)) } else { (spoke(number), hub) };
    Connection {
        id: ConnectionId(u64::from(number)),
        local,
        remote: Some(remote),
        local_id: Identity::address(local),
        remote_id: PeerIdentity::Exactly(Identity::address(remote)),
        immediately: of_hub,
        ..connection
    }
}

/// A hub, and all of its spokes in one router.
struct Star {
    routers: [Router; 2],
    dice: [Dice; 2],
    under_way: VecDeque<(usize, Output)>,
    now: Duration,
}

impl Star {
    fn new() -> Self {
        Self {
            routers: [Router::new(), Router::new()],
            dice: [Dice(1), Dice(2)],
            under_way: VecDeque::new(),
            now: Duration::from_secs(1),
        }
    }

    fn configure(&mut self, side: usize, connection: Connection) {
        let now = Now { steady: self.now, wall: WALL };
        let out = self.routers[side].configure(connection, now, &mut self.dice[side]);
        self.under_way.extend(out.into_iter().map(|output| (1 - side, output)));
    }

    fn input(&mut self, side: usize, input: Input<'_>) {
        let now = Now { steady: self.now, wall: WALL };
        let out = self.routers[side].handle(now, input, &mut self.dice[side]);
        self.under_way.extend(out.into_iter().map(|output| (1 - side, output)));
    }

    /// Delivers what is under way, and what is said because of it.
    fn deliver(&mut self) {
        while let Some((to, output)) = self.under_way.pop_front() {
            if let Output::Send { local, remote, octets } = output {
                self.input(to, Input::Datagram { local: remote, remote: local, octets: &octets });
            }
        }
    }

    /// Lets time pass up to a moment.
    fn run(&mut self, until: Duration) {
        self.deliver();
        loop {
            let next = self.routers.iter().filter_map(Router::next_timer).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            for side in [0, 1] {
                self.input(side, Input::Tick);
            }
            self.deliver();
        }
        self.now = until;
    }
}

/// The router of a hub whose connections are all up, and have been for some minutes.
fn established(count: u32) -> Router {
    let mut star = Star::new();
    for number in 1..=count {
        star.configure(1, connection(number, false));
        star.configure(0, connection(number, true));
        star.deliver();
    }
    star.run(Duration::from_secs(300));
    let [hub, spokes] = star.routers;
    assert_eq!([hub.counts(), spokes.counts()], [[count as usize, 0]; 2]);
    for number in 1..=count {
        assert_eq!(hub.has(ConnectionId(number.into())), [true; 2], "{number}");
    }
    hub
}

#[test]
fn ten_thousand_idle_connections_find_room() {
    let octets = |count| {
        let mut hub = None;
        let taken = allocation_counter::measure(|| hub = Some(established(count)));
        drop(hub);
        taken.bytes_current
    };
    let (few, many) = (octets(20), octets(84));
    let each = (many - few) / 64;
    assert!(each > 1_024 && each <= MOST_OCTETS, "{each} octets for each");
}

#[test]
fn a_start_takes_as_long_for_each_connection_however_many_there_are() {
    // Configured, and each asked for its timers as a gateway does between two orders.
    let start = |count: u32| {
        let mut star = Star::new();
        let connections: Vec<_> = (1..=count).map(|number| connection(number, true)).collect();
        let before = Instant::now();
        for connection in connections {
            star.configure(0, connection);
            assert!(star.routers[0].next_timer().is_some());
        }
        star.now += Duration::from_secs(2);
        star.under_way.clear();
        star.input(0, Input::Tick);
        // Everybody is asked again.
        assert_eq!(star.under_way.len(), count as usize);
        before.elapsed()
    };
    const FEW: u32 = 400;
    const TIMES: u32 = 10;
    let fastest = |count| (0..3).map(|_| start(count)).min().unwrap();
    let (few, many) = (fastest(FEW), fastest(FEW * TIMES));
    // Were each looked at for each other, it would be a hundred times as long.
    assert!(many < few * TIMES * 4, "{FEW}: {few:?}, {TIMES} times as many: {many:?}");
}
