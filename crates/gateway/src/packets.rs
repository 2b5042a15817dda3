//! The thread that moves packets: from the TUN device through ESP to the network, and back.
//!
//! It owns the SAs. What is to change comes over a channel, and what it notices goes back over another one that is
//! bounded: what finds no place there is lost, as datagrams may be.

use std::collections::HashMap;
use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, SendFlags};
use tongguan_esp::sa::{Inbound, Life, Outbound};
use tongguan_esp::{OpenBatch, Pairs, Sad, SealBatch, Verdict, mtu};
use tongguan_ike::config::ConnectionId;
use tongguan_ike::{EspEvent, NAT_PORT};

use crate::GatewayError;
use crate::ends::Ends;

/// Notices that wait for the other thread at most.
const NOTICES: usize = 1_024;
/// Notices in a second that strangers may cause.
const UNKNOWN_PER_SECOND: u32 = 64;
/// What a gateway behind a translation sends when it has nothing else to send (RFC 3948, 4).
const KEEPALIVE: (Duration, &[u8]) = (Duration::from_secs(20), &[0xff]);
/// How often the thread looks at what is due.
const BEAT: Duration = Duration::from_secs(1);
/// How long packets go on under the SA before, when we have replaced it: the peer may take up the new one only when it
/// has dealt with our last message, which the packets may overtake. One that it sends under the new one ends the wait.
const SETTLING: Duration = Duration::from_millis(500);
/// Longest datagram of IKE (`tongguan_ike::wire`).
const LONGEST: usize = 8 * 1024;
/// Before a datagram of IKE on port 4500 (RFC 3948, 2.2).
pub(crate) const NO_SPI: [u8; 4] = [0; 4];

/// Packets and octets of a tunnel, sealed and opened.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) packets: [AtomicU64; 2],
    pub(crate) octets: [AtomicU64; 2],
}

impl Traffic {
    fn count(&self, direction: usize, octets: usize) {
        self.packets[direction].fetch_add(1, Ordering::Relaxed);
        self.octets[direction].fetch_add(octets as u64, Ordering::Relaxed);
    }
}

/// Why packets are dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Drop {
    Length,
    Replay,
    Authentication,
    Malformed,
    Selector,
    Exhausted,
    NoSa,
    Queue,
}

/// Counts of dropped packets.
#[derive(Debug, Default)]
pub(crate) struct Drops([AtomicU64; Drop::NAMES.len()]);

impl Drop {
    const NAMES: [&str; 8] =
        ["length", "replay", "authentication", "malformed", "selector", "exhausted", "no_sa", "queue"];
}

impl From<Verdict> for Drop {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Good | Verdict::Length => Self::Length,
            Verdict::Replay => Self::Replay,
            Verdict::Authentication => Self::Authentication,
            Verdict::Malformed => Self::Malformed,
            Verdict::Selector => Self::Selector,
            Verdict::Exhausted => Self::Exhausted,
        }
    }
}

impl Drops {
    fn count(&self, reason: Drop) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Each reason with its count.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Drop::NAMES.into_iter().zip(self.0.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

/// A child SA to be used.
pub(crate) struct NewChild {
    pub(crate) connection: ConnectionId,
    /// None if it receives already.
    pub(crate) inbound: Option<Inbound>,
    /// None if nothing is to be sent under it yet.
    pub(crate) outbound: Option<Outbound>,
    /// The SPI under which it receives.
    pub(crate) spi: u32,
    /// The peer, and whether packets go in UDP.
    pub(crate) remote: SocketAddr,
    pub(crate) udp: bool,
    pub(crate) traffic: Arc<Traffic>,
}

/// What is to change.
pub(crate) enum Change {
    Install(Box<NewChild>),
    /// Nothing more is sent under a child SA, by the SPI under which it receives.
    Cease(u32),
    /// By the SPI under which it receives.
    Remove(u32),
    /// By networks, the connection that is to be negotiated when a packet wants it.
    Wants(Pairs<ConnectionId>),
}

/// What was noticed.
pub(crate) enum Notice {
    /// A datagram of IKE on port 4500, without what goes before it.
    Datagram(SocketAddr, Vec<u8>),
    Esp(EspEvent),
    /// A packet wants a connection that has no SA.
    Wanted(ConnectionId),
}

/// How the other thread speaks with this one.
pub(crate) struct Link {
    changes: Sender<Change>,
    pub(crate) notices: Receiver<Notice>,
    wake: OwnedFd,
    /// Readable when there are notices.
    pub(crate) woken: OwnedFd,
    pub(crate) drops: Arc<Drops>,
}

impl Link {
    /// Has something changed.
    pub(crate) fn change(&self, change: Change) -> Result<(), GatewayError> {
        self.changes.send(change).map_err(|_| GatewayError::Packets)?;
        wake(&self.wake);
        Ok(())
    }

    /// Makes [`Link::woken`] readable.
    pub(crate) fn wake_control(&self) {
        wake(&self.woken);
    }
}

fn wake(event: &OwnedFd) {
    // It fails if it is woken already.
    let _ = rustix::io::write(event, &1u64.to_ne_bytes());
}

/// Makes an event that was signalled unsignalled.
pub(crate) fn calm(event: &OwnedFd) {
    let _ = rustix::io::read(event, &mut [0; 8]);
}

/// What is remembered of a child SA.
struct Child {
    connection: ConnectionId,
    remote: SocketAddr,
    udp: bool,
    sent: Instant,
    /// When the other thread was told that the peer is there.
    told: Option<Instant>,
    life: Life,
    traffic: Arc<Traffic>,
}

/// The thread.
pub(crate) struct Worker {
    tun: OwnedFd,
    /// Largest packet on it.
    mtu: usize,
    nat: UdpSocket,
    esp: OwnedFd,
    changes: Receiver<Change>,
    woken: OwnedFd,
    notices: SyncSender<Notice>,
    wake: OwnedFd,
    sad: Sad,
    /// What is to be sent under soon, and since when it waits.
    settling: Vec<(Instant, Outbound)>,
    /// By the SPI under which they receive.
    children: HashMap<u32, Child>,
    wants: Pairs<ConnectionId>,
    wanted: HashMap<ConnectionId, Instant>,
    seal: SealBatch,
    open: OpenBatch,
    /// Where the packets of `open` come from.
    sources: Vec<SocketAddr>,
    drops: Arc<Drops>,
    unknown: u32,
    beat: Instant,
}

impl Worker {
    pub(crate) fn new(ends: &Ends) -> Result<(Self, Link), GatewayError> {
        let system = |what| move |error: std::io::Error| GatewayError::System(what, error);
        let event = || {
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            rustix::event::eventfd(0, flags).map_err(|error| system("eventfd")(error.into()))
        };
        let copy = |descriptor: std::os::fd::BorrowedFd<'_>| {
            rustix::io::ioctl_fionbio(descriptor, true).map_err(|error| system("ioctl")(error.into()))?;
            descriptor.try_clone_to_owned().map_err(system("dup"))
        };
        let (changes, receiver) = channel();
        let (notices, noticed) = sync_channel(NOTICES);
        let (to_worker, to_control) = (event()?, event()?);
        let drops = Arc::new(Drops::default());
        let both = |event: &OwnedFd| event.try_clone().map_err(system("dup"));
        let link = Link {
            changes,
            notices: noticed,
            wake: both(&to_worker)?,
            woken: both(&to_control)?,
            drops: Arc::clone(&drops),
        };
        let worker = Self {
            tun: copy(ends.tun.as_fd())?,
            mtu: ends.mtu.into(),
            nat: copy(ends.nat.as_fd())?.into(),
            esp: copy(ends.esp.as_fd())?,
            changes: receiver,
            woken: to_worker,
            notices,
            wake: to_control,
            sad: Sad::default(),
            settling: Vec::new(),
            children: HashMap::new(),
            wants: Pairs::default(),
            wanted: HashMap::new(),
            seal: SealBatch::default(),
            open: OpenBatch::default(),
            sources: Vec::with_capacity(tongguan_esp::BATCH),
            drops,
            unknown: 0,
            beat: Instant::now(),
        };
        Ok((worker, link))
    }

    /// Moves packets until something fails that cannot.
    pub(crate) fn run(mut self) {
        loop {
            if let Err(error) = self.turn() {
                tracing::error!(%error, "packets are moved no more");
                return;
            }
        }
    }

    /// Waits for something, and does what there is to do: at most one batch of each kind.
    fn turn(&mut self) -> Result<(), Errno> {
        let mut ready = [
            PollFd::new(&self.woken, PollFlags::IN),
            PollFd::new(&self.tun, PollFlags::IN),
            PollFd::new(&self.nat, PollFlags::IN),
            PollFd::new(&self.esp, PollFlags::IN),
        ];
        let beat = Timespec { tv_sec: BEAT.as_secs().cast_signed(), tv_nsec: 0 };
        match rustix::event::poll(&mut ready, Some(&beat)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let [woken, tun, nat, esp] = ready.map(|entry| !entry.revents().is_empty());
        let now = Instant::now();
        if woken {
            calm(&self.woken);
            self.changes(now);
        }
        if nat || esp {
            self.receive(nat, esp, now)?;
            self.deliver(now);
        }
        if !self.settling.is_empty() {
            self.settle(|since, _| now >= since + SETTLING);
        }
        if tun {
            self.take(now)?;
            self.send(now);
        }
        if now >= self.beat + BEAT {
            self.due(now);
        }
        Ok(())
    }

    fn changes(&mut self, now: Instant) {
        while let Ok(change) = self.changes.try_recv() {
            self.change(change, now);
        }
    }

    fn change(&mut self, change: Change, now: Instant) {
        match change {
            Change::Install(new) => {
                let child = Child {
                    connection: new.connection,
                    remote: new.remote,
                    udp: new.udp,
                    sent: now,
                    told: None,
                    life: Life::Good,
                    traffic: new.traffic,
                };
                self.children.entry(new.spi).or_insert(child);
                // Who answers has had the other's last message when it installs both directions.
                let begun = new.inbound.is_some();
                new.inbound.into_iter().for_each(|inbound| self.sad.receive(inbound));
                if let Some(outbound) = new.outbound {
                    if begun && self.sad.sends(outbound.selector()) {
                        self.settling.push((now, outbound));
                    } else {
                        self.sad.send(outbound);
                    }
                }
            }
            Change::Cease(spi) => {
                self.settle(|_, _| true);
                self.sad.cease(spi);
            }
            Change::Remove(spi) => {
                self.settle(|_, outbound| outbound.inbound() != spi);
                self.settling.retain(|(_, outbound)| outbound.inbound() != spi);
                self.children.remove(&spi);
                self.sad.remove(spi);
            }
            Change::Wants(wants) => self.wants = wants,
        }
    }

    /// Sends from now on under those SAs that have waited for it, and of which something is so.
    fn settle(&mut self, so: impl Fn(Instant, &Outbound) -> bool) {
        let waiting = std::mem::take(&mut self.settling);
        for (since, outbound) in waiting {
            if so(since, &outbound) {
                self.sad.send(outbound);
            } else {
                self.settling.push((since, outbound));
            }
        }
    }

    fn notice(&self, notice: Notice) {
        if self.notices.try_send(notice).is_err() {
            self.drops.count(Drop::Queue);
        }
        wake(&self.wake);
    }

    /// Fills a batch with what the TUN device has, each packet with its SA.
    fn take(&mut self, now: Instant) -> Result<(), Errno> {
        self.seal.clear();
        let mut without = Vec::new();
        while let Some(slot) = self.seal.slot() {
            let length = match rustix::io::read(&self.tun, &mut *slot) {
                Ok(length) => length,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            let packet = &mut slot[..length];
            match self.sad.outbound(packet).cloned() {
                Some(sa) => {
                    mtu::clamp_mss(packet, self.mtu);
                    self.seal.push(sa, length);
                }
                None => without.extend(tongguan_esp::addresses(packet)),
            }
        }
        for (source, destination, _) in without {
            self.drops.count(Drop::NoSa);
            self.want(source, destination, now);
        }
        Ok(())
    }

    /// A packet has no SA: a connection that would carry it is to be negotiated, asked for once a second.
    fn want(&mut self, source: IpAddr, destination: IpAddr, now: Instant) {
        let Some(connection) = self.wants.between(source, destination).copied() else { return };
        let last = self.wanted.get(&connection);
        if last.is_none_or(|last| now >= *last + BEAT) {
            self.wanted.insert(connection, now);
            self.notice(Notice::Wanted(connection));
        }
    }

    /// Seals the batch, and sends it.
    fn send(&mut self, now: Instant) {
        self.seal.seal();
        let mut exhausted = Vec::new();
        for (sa, result) in self.seal.results() {
            let Some(child) = self.children.get_mut(&sa.inbound()) else { continue };
            match result {
                Ok(octets) => {
                    let sent = if child.udp {
                        self.nat.send_to(octets, child.remote).is_ok()
                    } else {
                        let remote = SocketAddr::new(child.remote.ip(), 0);
                        rustix::net::sendto(&self.esp, octets, SendFlags::DONTWAIT, &remote).is_ok()
                    };
                    child.sent = now;
                    if sent {
                        child.traffic.count(0, octets.len());
                    } else {
                        self.drops.count(Drop::Queue);
                    }
                }
                Err(verdict) => self.drops.count(verdict.into()),
            }
            if sa.life() > child.life {
                child.life = sa.life();
                exhausted.push((sa.inbound(), child.life));
            }
        }
        for (spi, life) in exhausted {
            let hard = life == Life::Hard;
            self.notice(Notice::Esp(if hard { EspEvent::Hard { spi } } else { EspEvent::Soft { spi } }));
        }
    }

    /// Fills a batch with what the network has, each packet with its SA.
    fn receive(&mut self, nat: bool, esp: bool, now: Instant) -> Result<(), Errno> {
        self.open.clear();
        self.sources.clear();
        if nat {
            while let Some((length, source)) = self.receive_udp()? {
                self.sort(length, source, now);
            }
        }
        if esp {
            while let Some((length, source)) = self.receive_raw()? {
                self.sort(length, source, now);
            }
        }
        Ok(())
    }

    /// One datagram, into the next slot; what is IKE goes on at once. None if there is none, or no room.
    fn receive_udp(&mut self) -> Result<Option<(usize, SocketAddr)>, Errno> {
        loop {
            let Some(slot) = self.open.slot() else { return Ok(None) };
            let mut rest = [0; LONGEST - tongguan_esp::ROOM];
            let room = slot.len();
            let mut both = [IoSliceMut::new(&mut *slot), IoSliceMut::new(&mut rest)];
            let mut nothing = RecvAncillaryBuffer::default();
            let received = rustix::net::recvmsg(&self.nat, &mut both, &mut nothing, RecvFlags::DONTWAIT);
            let received = match received {
                Ok(received) => received,
                Err(Errno::AGAIN) => return Ok(None),
                // What an ICMP message says of an earlier datagram is not about this one.
                Err(Errno::INTR | Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH) => continue,
                Err(error) => return Err(error),
            };
            let source = received.address.and_then(|address| SocketAddr::try_from(address).ok());
            let (Some(source), length) = (source, received.bytes) else { continue };
            if length <= 1 {
                continue;
            }
            if slot.starts_with(&NO_SPI) {
                let whole = [&slot[..length.min(room)], &rest[..length.saturating_sub(room)]].concat();
                self.notice(Notice::Datagram(source, whole[NO_SPI.len().min(length)..].to_vec()));
                continue;
            }
            return Ok(Some((length, source)));
        }
    }

    /// One packet of the raw socket, into the next slot, without its IPv4 header.
    fn receive_raw(&mut self) -> Result<Option<(usize, SocketAddr)>, Errno> {
        let Some(slot) = self.open.slot() else { return Ok(None) };
        let mut header = [0; 20];
        let mut both = [IoSliceMut::new(&mut header), IoSliceMut::new(&mut *slot)];
        let mut nothing = RecvAncillaryBuffer::default();
        let received = match rustix::net::recvmsg(&self.esp, &mut both, &mut nothing, RecvFlags::DONTWAIT) {
            Ok(received) => received,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error),
        };
        let source = received.address.and_then(|address| SocketAddr::try_from(address).ok());
        // Nobody sends ESP in a header with options; what does is too short for its SA, or unknown.
        Ok(source.and_then(|source| Some((received.bytes.checked_sub(header.len())?, source))))
    }

    /// Finds the SA of what stands in the next slot.
    fn sort(&mut self, length: usize, source: SocketAddr, now: Instant) {
        let Some(spi) = self.open.spi().filter(|_| length >= 8) else {
            return self.drops.count(Drop::Length);
        };
        if !self.children.contains_key(&spi) {
            // It may have been installed in this very moment.
            self.changes(now);
        }
        let child = self.children.get(&spi);
        // One that was negotiated for UDP does not come without, and the other way round: 4500 is the port of UDP only.
        let sa =
            self.sad.inbound(spi).filter(|_| child.is_some_and(|child| child.udp == (source.port() != 0)));
        if let Some(sa) = sa {
            self.open.push(Arc::clone(sa), length);
            return self.sources.push(source);
        }
        self.drops.count(Drop::NoSa);
        self.unknown += 1;
        if self.unknown <= UNKNOWN_PER_SECOND {
            let remote = if source.port() == 0 { SocketAddr::new(source.ip(), NAT_PORT) } else { source };
            self.notice(Notice::Esp(EspEvent::UnknownSpi { remote, spi }));
        }
    }

    /// Opens the batch, and hands what is good to the TUN device.
    fn deliver(&mut self, now: Instant) {
        self.open.open();
        let (mut there, mut taken_up) = (Vec::new(), Vec::new());
        for ((sa, result), source) in self.open.results().zip(&self.sources) {
            let packet = match result {
                Ok(packet) => packet,
                Err(verdict) => {
                    self.drops.count(verdict.into());
                    continue;
                }
            };
            let Some(child) = self.children.get_mut(&sa.spi()) else { continue };
            // A translation on the way may change; an authentic packet tells where the peer is now.
            if child.udp {
                child.remote = *source;
            }
            if child.told.is_none_or(|told| now >= told + BEAT) {
                child.told = Some(now);
                there.push(child.connection);
            }
            child.traffic.count(1, packet.len());
            if self.settling.iter().any(|(_, outbound)| outbound.inbound() == sa.spi()) {
                taken_up.push(sa.spi());
            }
            if rustix::io::write(&self.tun, packet).is_err() {
                self.drops.count(Drop::Queue);
            }
        }
        if !taken_up.is_empty() {
            self.settle(|_, outbound| taken_up.contains(&outbound.inbound()));
        }
        for connection in there {
            self.notice(Notice::Esp(EspEvent::Received(connection)));
        }
    }

    /// What is due once a second.
    fn due(&mut self, now: Instant) {
        self.beat = now;
        self.unknown = 0;
        self.wanted.retain(|_, last| now < *last + BEAT);
        for child in self.children.values_mut().filter(|child| child.udp && now >= child.sent + KEEPALIVE.0) {
            child.sent = now;
            // The next one goes in twenty seconds.
            let _ = self.nat.send_to(KEEPALIVE.1, child.remote);
        }
    }
}
