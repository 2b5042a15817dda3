//! The thread of orders, negotiations and timers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::io::{ErrorKind, Read as _, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use tongguan_dataplane::Fence;
use tongguan_dataplane::orders::{Document, Frames, MAX_FRAME, Order, Report, TunnelStatus, frame};
use tongguan_esp::sa::{CipherKey, Common, IcvLength, Inbound, IntegrityKey, Outbound, Selector};
use tongguan_ike::config::{Connection, ConnectionId};
use tongguan_ike::suite::{Cipher, Hash};
use tongguan_ike::{ChildSa, Command, Event, IKE_PORT, Input, NAT_PORT, Now, OneWay, Output, Router};
use tongguan_model::connection::Negotiation;
use tongguan_pki::{Random as _, SystemRandom};
use tongguan_smcrypto::Sm3;
use zeroize::Zeroizing;

use crate::GatewayError;
use crate::ends::Ends;
use crate::packets::{Change, Link, NO_SPI, NewChild, Notice, Traffic, calm};
use crate::translate::tunnels;

/// Who may give orders at the same time; another one takes the place of the oldest.
const MAX_CLIENTS: usize = 4;
/// Datagrams of IKE, and notices, that are taken before others have their turn.
const AT_ONCE: usize = 64;
/// The longest wait; the thread looks whether the other one is alive.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Longest datagram of IKE (`tongguan_ike::wire`).
const LONGEST: usize = 8 * 1024;

/// Somebody who gives orders.
struct Client {
    socket: UnixStream,
    frames: Frames,
    unsent: Zeroizing<Vec<u8>>,
}

/// A tunnel, as it was applied.
struct Tunnel {
    id: ConnectionId,
    /// Digest of all that it was made of.
    digest: [u8; 32],
    /// What it carries.
    selectors: Vec<Selector>,
    traffic: Arc<Traffic>,
    /// What went wrong since it was up.
    reason: Option<String>,
    /// Whether phase 2 has failed since then.
    failed: bool,
    /// Child SAs that it has had.
    child_sas: u64,
}

/// The thread.
pub(crate) struct Control {
    ike: UdpSocket,
    nat: UdpSocket,
    listener: UnixListener,
    clients: Vec<Client>,
    link: Link,
    router: Router,
    random: SystemRandom,
    start: Instant,
    /// Of what is in force; none if it was told nothing yet.
    fence: Option<Fence>,
    /// By the id that the API gives.
    tunnels: BTreeMap<String, Tunnel>,
    /// Ids of the API by those of negotiations.
    names: HashMap<ConnectionId, String>,
    /// Tunnels of the document that lack certificates, and why nothing is done for them.
    waiting: BTreeMap<String, &'static str>,
    next_id: u64,
    /// SPIs of child SAs that receive and do not send yet.
    expected: BTreeSet<u32>,
    /// By SPI.
    icvs: BTreeMap<u32, IcvLength>,
}

impl Control {
    pub(crate) fn new(ends: Ends, link: Link) -> Result<Self, GatewayError> {
        let system = |error| GatewayError::System("ioctl", error);
        ends.ike.set_nonblocking(true).map_err(system)?;
        ends.control.set_nonblocking(true).map_err(system)?;
        Ok(Self {
            ike: ends.ike,
            nat: ends.nat,
            listener: ends.control,
            clients: Vec::new(),
            link,
            router: Router::new(),
            random: SystemRandom,
            start: Instant::now(),
            fence: None,
            tunnels: BTreeMap::new(),
            names: HashMap::new(),
            waiting: BTreeMap::new(),
            next_id: 1,
            expected: BTreeSet::new(),
            icvs: BTreeMap::new(),
        })
    }

    /// Runs until something fails that cannot.
    pub(crate) fn run(mut self, worker: &JoinHandle<()>) -> Result<Infallible, GatewayError> {
        loop {
            if worker.is_finished() {
                return Err(GatewayError::Packets);
            }
            self.turn()?;
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the one place in this process that it comes from")]
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { steady: self.start.elapsed(), wall: wall.as_secs().cast_signed() }
    }

    /// Waits for something, and does what there is to do.
    fn turn(&mut self) -> Result<(), GatewayError> {
        let wait = self.router.next_timer().map(|due| due.saturating_sub(self.start.elapsed()));
        // A millisecond more, so that what is due is due then.
        let wait = wait.map_or(LONGEST_WAIT, |wait| (wait + Duration::from_millis(1)).min(LONGEST_WAIT));
        let wait = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: i64::from(wait.subsec_nanos()) };
        let mut ready = vec![
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(&self.ike, PollFlags::IN),
            PollFd::new(&self.link.woken, PollFlags::IN),
        ];
        for client in &self.clients {
            let output = if client.unsent.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            ready.push(PollFd::from_borrowed_fd(client.socket.as_fd(), PollFlags::IN | output));
        }
        match rustix::event::poll(&mut ready, Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(GatewayError::System("poll", error.into())),
        }
        let ready: Vec<bool> = ready.iter().map(|entry| !entry.revents().is_empty()).collect();
        if ready[1] {
            self.datagrams()?;
        }
        if ready[2] {
            calm(&self.link.woken);
            self.notices()?;
        }
        if self.router.next_timer().is_some_and(|due| due <= self.start.elapsed()) {
            self.input(Input::Tick)?;
        }
        for place in (0..self.clients.len()).rev().filter(|place| ready[3 + place]) {
            let mut client = self.clients.remove(place);
            if self.serve(&mut client)? {
                self.clients.insert(place, client);
            }
        }
        if ready[0] {
            self.accept();
        }
        Ok(())
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            if socket.set_nonblocking(true).is_err() {
                continue;
            }
            if self.clients.len() >= MAX_CLIENTS {
                self.clients.remove(0);
            }
            self.clients.push(Client { socket, frames: Frames::default(), unsent: Zeroizing::default() });
        }
    }

    /// Takes a client's orders and gives it its answers; false if it is gone.
    fn serve(&mut self, client: &mut Client) -> Result<bool, GatewayError> {
        let mut octets = Zeroizing::new(vec![0; 64 * 1024]);
        let mut there = true;
        for _ in 0..AT_ONCE {
            match client.socket.read(&mut octets) {
                Ok(0) => there = false,
                Ok(length) => {
                    client.frames.push(&octets[..length]);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => there = false,
            }
            break;
        }
        loop {
            let order = match client.frames.take::<Order>() {
                Ok(Some(order)) => order,
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "an order that cannot be read");
                    return Ok(false);
                }
            };
            let report = self.order(order)?;
            match frame(&report) {
                Ok(_) if client.unsent.len() > MAX_FRAME => {
                    tracing::warn!("somebody gives orders and reads no reports");
                    return Ok(false);
                }
                Ok(octets) => client.unsent.extend_from_slice(&octets),
                Err(error) => tracing::warn!(%error, "a report that cannot be written"),
            }
        }
        while !client.unsent.is_empty() {
            match client.socket.write(&client.unsent) {
                Ok(sent) => drop(client.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return Ok(false),
            }
        }
        Ok(there)
    }

    fn order(&mut self, order: Order) -> Result<Report, GatewayError> {
        let command = match order {
            Order::Apply { generation, claim, document } => {
                let fence = Fence { generation, claim: claim.unwrap_or_default() };
                return self.apply(fence, &document);
            }
            Order::Status => return Ok(self.status()),
            Order::Initiate { tunnel } => (tunnel, Command::Initiate as fn(ConnectionId) -> Command),
            Order::Terminate { tunnel } => (tunnel, Command::Terminate as fn(ConnectionId) -> Command),
        };
        if let Some(id) = self.tunnels.get(&command.0).map(|tunnel| tunnel.id) {
            self.input(Input::Command(command.1(id)))?;
        }
        Ok(self.status())
    }

    /// Makes a document true: what has not changed goes on undisturbed. A generation may come again, with other
    /// certificates: some go out of service by themselves.
    fn apply(&mut self, fence: Fence, document: &Document) -> Result<Report, GatewayError> {
        let generation = fence.generation;
        if let Some(newer) = self.fence.filter(|newer| *newer > fence) {
            return Ok(Report::Stale { generation: newer.generation });
        }
        let wanted = match tunnels(document) {
            Ok(wanted) => wanted,
            Err(refused) => return Ok(Report::Refused { generation, reason: refused.to_string() }),
        };
        let names: BTreeSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
        let gone = self.tunnels.keys().filter(|name| !names.contains(name.as_str()));
        let gone: Vec<String> = gone.cloned().collect();
        self.waiting = without_certificates(document, &names);
        for name in gone {
            if let Some(tunnel) = self.tunnels.remove(&name) {
                let out = self.router.remove(tunnel.id, self.now(), &mut self.random);
                self.carry_out(out)?;
                self.names.remove(&tunnel.id);
            }
        }
        let digests = digests(document);
        for (name, connection) in wanted {
            let digest = digests.get(name.as_str()).copied().unwrap_or_default();
            self.configure(name, digest, connection)?;
        }
        let wants = self.tunnels.values().flat_map(|tunnel| {
            let id = tunnel.id;
            tunnel.selectors.iter().map(move |selector| (*selector, id))
        });
        self.link.change(Change::Wants(wants.collect()))?;
        self.fence = Some(fence);
        tracing::info!(generation, tunnels = self.tunnels.len(), "applied");
        Ok(Report::Applied { generation })
    }

    fn configure(
        &mut self,
        name: String,
        digest: [u8; 32],
        connection: Connection,
    ) -> Result<(), GatewayError> {
        let known = self.tunnels.get(&name);
        if known.is_some_and(|known| known.digest == digest) {
            return Ok(());
        }
        let (id, traffic) = match known {
            Some(known) => (known.id, Arc::clone(&known.traffic)),
            None => {
                self.next_id += 1;
                (ConnectionId(self.next_id), Arc::default())
            }
        };
        let connection = Connection { id, ..connection };
        let selectors = connection.selectors.iter().map(selector).collect();
        let tunnel = Tunnel { id, digest, selectors, traffic, reason: None, failed: false, child_sas: 0 };
        self.names.insert(id, name.clone());
        self.tunnels.insert(name, tunnel);
        let out = self.router.configure(connection, self.now(), &mut self.random);
        self.carry_out(out)
    }

    fn status(&self) -> Report {
        let applied = self.tunnels.iter().map(|(name, tunnel)| {
            let negotiation = match self.router.has(tunnel.id) {
                [true, true] => Negotiation::IpsecEstablished,
                [true, false] if tunnel.failed => Negotiation::IpsecNotEstablished,
                [true, false] => Negotiation::IkeEstablished,
                [false, _] => Negotiation::IkeNotEstablished,
            };
            let count = |counts: &[std::sync::atomic::AtomicU64; 2]| {
                [&counts[0], &counts[1]].map(|count| count.load(Ordering::Relaxed))
            };
            let status = TunnelStatus {
                negotiation: negotiation.as_str().to_owned(),
                reason: tunnel.reason.clone(),
                child_sas: tunnel.child_sas,
                packets: count(&tunnel.traffic.packets),
                octets: count(&tunnel.traffic.octets),
            };
            (name.clone(), status)
        });
        let waiting = self.waiting.iter().map(|(name, reason)| {
            let status = TunnelStatus {
                negotiation: Negotiation::IkeNotEstablished.as_str().to_owned(),
                reason: Some((*reason).to_owned()),
                child_sas: 0,
                packets: [0; 2],
                octets: [0; 2],
            };
            (name.clone(), status)
        });
        let dropped = self.link.drops.all().map(|(name, count)| (name.to_owned(), count)).collect();
        Report::Status {
            generation: self.fence.map(|fence| fence.generation),
            tunnels: applied.chain(waiting).collect(),
            dropped,
        }
    }

    fn input(&mut self, input: Input<'_>) -> Result<(), GatewayError> {
        let out = self.router.handle(self.now(), input, &mut self.random);
        self.carry_out(out)
    }

    /// What has come to port 500.
    fn datagrams(&mut self) -> Result<(), GatewayError> {
        let mut octets = [0; LONGEST];
        for _ in 0..AT_ONCE {
            match self.ike.recv_from(&mut octets) {
                Ok((length, remote)) => self.datagram(IKE_PORT, remote, &octets[..length])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // What an ICMP message says of an earlier datagram.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn datagram(&mut self, port: u16, remote: SocketAddr, octets: &[u8]) -> Result<(), GatewayError> {
        let Ok(local) = self.ike.local_addr() else { return Ok(()) };
        let local = SocketAddr::new(local.ip(), port);
        self.input(Input::Datagram { local, remote, octets })
    }

    fn notices(&mut self) -> Result<(), GatewayError> {
        for _ in 0..AT_ONCE {
            match self.link.notices.try_recv() {
                Ok(Notice::Datagram(remote, octets)) => self.datagram(NAT_PORT, remote, &octets)?,
                Ok(Notice::Esp(event)) => self.input(Input::Esp(event))?,
                Ok(Notice::Wanted(id)) => {
                    if !self.router.has(id)[1] {
                        self.input(Input::Command(Command::Initiate(id)))?;
                    }
                }
                Err(_) => return Ok(()),
            }
        }
        // There may be more.
        self.link.wake_control();
        Ok(())
    }

    fn carry_out(&mut self, out: Vec<Output>) -> Result<(), GatewayError> {
        // Packets are expected before the peer hears that it may send them.
        let (sends, others): (Vec<Output>, Vec<Output>) =
            out.into_iter().partition(|output| matches!(output, Output::Send { .. }));
        for output in others.into_iter().chain(sends) {
            match output {
                Output::Send { local, remote, octets } => self.send(local.port(), remote, &octets),
                Output::Expect(child) => {
                    self.expected.insert(child.inbound.spi);
                    self.install(&child, [true, false])?;
                }
                Output::Install(child) => {
                    let receives = self.expected.remove(&child.inbound.spi);
                    self.install(&child, [!receives, true])?;
                }
                Output::Cease { spi, .. } => self.link.change(Change::Cease(spi))?,
                Output::Remove { spi, .. } => {
                    self.expected.remove(&spi);
                    self.icvs.remove(&spi);
                    self.link.change(Change::Remove(spi))?;
                }
                Output::Event(event) => self.event(event),
            }
        }
        Ok(())
    }

    fn send(&self, port: u16, remote: SocketAddr, octets: &[u8]) {
        let sent = if port == NAT_PORT {
            self.nat.send_to(&[&NO_SPI[..], octets].concat(), remote)
        } else {
            self.ike.send_to(octets, remote)
        };
        if let Err(error) = sent {
            tracing::debug!(%remote, %error, "a datagram was not sent");
        }
    }

    /// Hands the directions of a child SA that are asked for to the other thread: receiving, sending.
    fn install(&mut self, child: &ChildSa, [receiving, sending]: [bool; 2]) -> Result<(), GatewayError> {
        let Some(tunnel) = self.names.get(&child.connection).and_then(|name| self.tunnels.get(name)) else {
            return Ok(());
        };
        // Both directions share what is learnt, whenever they are installed.
        let icv = self.icvs.entry(child.inbound.spi).or_insert_with(IcvLength::learnt).clone();
        let common = |way: &OneWay| -> Option<Common> {
            Some(Common {
                spi: way.spi,
                cipher: match child.cipher {
                    Cipher::Sm4 => CipherKey::sm4(&way.cipher_key).ok()?,
                    Cipher::Aes128 | Cipher::Aes256 => CipherKey::aes(&way.cipher_key).ok()?,
                },
                integrity: match child.integrity {
                    Hash::Sm3 => IntegrityKey::sm3(&way.integrity_key),
                    Hash::Sha1 => IntegrityKey::sha1(&way.integrity_key),
                    Hash::Sha256 => IntegrityKey::sha256(&way.integrity_key),
                },
                icv: icv.clone(),
                selector: selector(&child.selector),
            })
        };
        let mut seed = [0; 16];
        let (Some(inbound), Some(outbound), Ok(())) =
            (common(&child.inbound), common(&child.outbound), self.random.fill(&mut seed))
        else {
            tracing::error!("a child SA that cannot be installed");
            return Ok(());
        };
        let new = NewChild {
            connection: child.connection,
            inbound: receiving.then(|| Inbound::new(inbound)),
            outbound: sending.then(|| Outbound::new(outbound, child.inbound.spi, seed)),
            spi: child.inbound.spi,
            remote: child.remote,
            udp: child.udp,
            traffic: Arc::clone(&tunnel.traffic),
        };
        self.link.change(Change::Install(Box::new(new)))
    }

    /// Log, and what is remembered for whoever asks why.
    fn event(&mut self, event: Event) {
        let of = |control: &mut Self, id: ConnectionId, change: &dyn Fn(&str, &mut Tunnel)| {
            let Some(name) = control.names.get(&id) else { return };
            if let Some(tunnel) = control.tunnels.get_mut(name) {
                change(name, tunnel);
            }
        };
        match event {
            Event::IkeEstablished(id) => {
                of(self, id, &|tunnel, _| tracing::info!(tunnel, "IKE SA established"))
            }
            Event::IkeClosed(id, reason) => of(self, id, &|name, tunnel| {
                tracing::info!(tunnel = name, reason, "IKE SA closed");
                if !reason.starts_with("replaced") {
                    // What a peer says against it is said more exactly.
                    tunnel.reason.get_or_insert_with(|| reason.to_owned());
                }
            }),
            Event::ChildEstablished(id, spi) => of(self, id, &|name, tunnel| {
                tracing::info!(tunnel = name, spi = format!("{spi:08x}"), "ESP SAs established");
                (tunnel.reason, tunnel.failed) = (None, false);
                tunnel.child_sas += 1;
            }),
            Event::ChildClosed(id, spi, reason) => of(self, id, &|name, tunnel| {
                tracing::info!(tunnel = name, spi = format!("{spi:08x}"), reason, "ESP SAs closed");
                if !reason.starts_with("replaced") {
                    tunnel.reason = Some(reason.to_owned());
                }
            }),
            Event::Dropped(Some(id), reason) => {
                let [phase_1, phase_2] = self.router.has(id);
                of(self, id, &|name, tunnel| {
                    tracing::info!(tunnel = name, reason, "a message was dropped");
                    // Of a tunnel that is up, it may have come twice, or from somebody else.
                    if !phase_2 {
                        tunnel.failed |= phase_1;
                        tunnel.reason = Some(reason.clone());
                    }
                });
            }
            Event::Dropped(None, reason) => tracing::debug!(reason, "a message was dropped"),
            Event::Limited(bound) => tracing::warn!(bound, "a bound was hit"),
            Event::PeerRefuses(id, number) => of(self, id, &|name, tunnel| {
                let reason = refusal(number);
                tracing::info!(tunnel = name, reason, "the peer refuses");
                tunnel.reason = Some(reason);
            }),
        }
    }
}

/// What a peer says instead of an answer (RFC 2408, 3.14.1), and what to look at.
fn refusal(number: u16) -> String {
    let words = match number {
        14 => "no proposal chosen: compare encryption, authentication, DH group and lifetimes of both sides",
        15 => "bad proposal syntax",
        16 => "payload malformed: where both use a pre-shared key, compare that",
        17 => "invalid key information",
        18 => "invalid identification: compare the networks and the identities of both sides",
        20 => "invalid certificate",
        23 => "invalid hash",
        24 => "authentication failed: compare keys, certificates and identities",
        25 => "invalid signature",
        _ => return format!("the peer refuses with notification {number}"),
    };
    format!("the peer refuses: {words}")
}

fn selector(selector: &tongguan_ike::config::Selector) -> Selector {
    let net = |(address, prefix)| IpNet::new_assert(address, prefix);
    Selector { local: net(selector.local), remote: net(selector.remote) }
}

/// Tunnels of a document that are not done, as certificates are missing.
fn without_certificates(document: &Document, done: &BTreeSet<&str>) -> BTreeMap<String, &'static str> {
    let tunnels = document.connections.values().flat_map(|connection| &connection.settings.tunnels);
    let left = tunnels.map(|tunnel| tunnel.id.as_str()).filter(|name| !done.contains(name));
    left.map(|name| (name.to_owned(), "a certificate is not bound: both roles are needed")).collect()
}

/// By tunnel, a digest of all that it is made of: its connection, and the certificates if it uses them.
fn digests(document: &Document) -> BTreeMap<&str, [u8; 32]> {
    let certificates = digest(&document.certificates);
    let of_connection = document.connections.values().flat_map(|connection| {
        let tunnels = &connection.settings.tunnels;
        let with_ca = tunnels.iter().any(|tunnel| tunnel.remote_ca.is_some());
        let digest = digest(&(document.address, connection, with_ca.then_some(certificates)));
        tunnels.iter().map(move |tunnel| (tunnel.id.as_str(), digest))
    });
    of_connection.collect()
}

fn digest(value: &impl serde::Serialize) -> [u8; 32] {
    let mut digested = Digested(Sm3::new());
    // Nothing of it fails: there are no maps but those with texts as keys, and the digest takes everything.
    let _ = serde_json::to_writer(&mut digested, value);
    digested.0.finish()
}

/// A digest of what is written, which leaves no copy of it.
struct Digested(Sm3);

impl Write for Digested {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.update(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
