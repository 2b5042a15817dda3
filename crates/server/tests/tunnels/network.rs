//! A small network: two hosts, each behind a gateway, and what lies between the gateways.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use tongguan_supervisor::{Namespace, ip};

/// Networks that this process has made.
static COUNT: AtomicU32 = AtomicU32::new(0);
/// What every packet of a test carries, so that it is known where it must not be.
pub(crate) const MARK: &[u8] = b"not to be seen outside of a tunnel";

/// Address of a gateway. Machines on which tests run rarely have one of this block.
pub(crate) fn outside(side: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, side as u8 + 1)
}

/// Address of a host.
pub(crate) fn inside(side: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, side as u8, 2)
}

/// The block of a side.
pub(crate) fn block(side: usize) -> String {
    format!("10.77.{side}.0/24")
}

/// Two hosts, two gateways.
pub(crate) struct Network {
    pub(crate) hosts: [Namespace; 2],
    pub(crate) gateways: [Namespace; 2],
    /// Addresses of the gateways, as they know them.
    pub(crate) addresses: [Ipv4Addr; 2],
    /// Whether somebody else has made the gateways, and removes them.
    borrowed: bool,
    /// What translates the address of the first gateway, if anything does.
    translator: Option<Namespace>,
}

/// Address that a gateway behind a translation has.
pub(crate) const BEHIND: Ipv4Addr = Ipv4Addr::new(172, 31, 9, 2);

impl Network {
    /// The gateways are neighbours.
    pub(crate) fn new() -> Self {
        let network = Self::around(None, false);
        network.join([(&network.gateways[0], "wan"), (&network.gateways[1], "wan")]);
        for side in [0, 1] {
            network.gateways[side].ip(&format!("addr add {}/24 dev wan", outside(side))).unwrap();
        }
        network
    }

    /// The first gateway is behind a translation of addresses.
    pub(crate) fn with_translation() -> Self {
        let mut network = Self::around(None, true);
        let translator = network.translator.clone().unwrap();
        network.join([(&network.gateways[0], "wan"), (&translator, "in")]);
        network.join([(&translator, "out"), (&network.gateways[1], "wan")]);
        network.addresses[0] = BEHIND;
        network.gateways[0].ip(&format!("addr add {BEHIND}/24 dev wan")).unwrap();
        network.gateways[0].ip("route add default via 172.31.9.1").unwrap();
        network.gateways[1].ip(&format!("addr add {}/24 dev wan", outside(1))).unwrap();
        translator.ip("addr add 172.31.9.1/24 dev in").unwrap();
        translator.ip(&format!("addr add {}/24 dev out", outside(0))).unwrap();
        forward(&translator);
        nft(
            &translator,
            "table ip t { chain c { type nat hook postrouting priority 100; oifname \"out\" masquerade random; }; }",
        );
        network
    }

    /// From now on some of a hundred packets that arrive at a side from outside are lost.
    pub(crate) fn lose(&self, side: usize, percent: u32) {
        let rules = format!(
            "table ip l {{ chain c {{ type filter hook prerouting priority -300; \
             iifname \"wan\" numgen random mod 100 < {percent} drop; }}; }}"
        );
        nft(&self.gateways[side], &rules);
    }

    /// What lies between the gateways takes packets of this length at most.
    pub(crate) fn narrow(&self, mtu: u32) {
        self.gateways[1].ip(&format!("link set wan mtu {mtu}")).unwrap();
        // With a translator it is the way behind that, and the first gateway cannot know.
        let other = self.translator.as_ref().map_or((&self.gateways[0], "wan"), |router| (router, "out"));
        other.0.ip(&format!("link set {} mtu {mtu}", other.1)).unwrap();
    }

    /// What lies between the gateways lets no fragments pass, as many a firewall does.
    pub(crate) fn drop_fragments(&self) {
        // Before they are put together, for whoever looks into packets.
        let rules = "table ip f { chain c { type filter hook prerouting priority -500; \
                     ip frag-off & 0x3fff != 0 drop; }; }";
        self.gateways.iter().chain(&self.translator).for_each(|one| nft(one, rules));
    }

    fn around(gateways: Option<[Namespace; 2]>, translated: bool) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let tag = format!("{:x}-{number}", std::process::id());
        let create = |kind: &str, side: usize| Namespace::create(&format!("tgt-{tag}-{kind}{side}")).unwrap();
        let hosts = [0, 1].map(|side| create("h", side));
        let borrowed = gateways.is_some();
        let gateways = gateways.unwrap_or_else(|| [0, 1].map(|side| create("g", side)));
        let translator = translated.then(|| create("t", 0));
        let addresses = [outside(0), outside(1)];
        let network = Self { hosts, gateways, addresses, borrowed, translator };
        for side in [0, 1] {
            let (host, gateway) = (&network.hosts[side], &network.gateways[side]);
            network.join([(host, "eth"), (gateway, "lan")]);
            gateway.ip(&format!("addr add 10.77.{side}.1/24 dev lan")).unwrap();
            host.ip(&format!("addr add {}/24 dev eth", inside(side))).unwrap();
            host.ip(&format!("route add default via 10.77.{side}.1")).unwrap();
            forward(gateway);
        }
        network
    }

    /// The same hosts behind gateways that something else has made.
    pub(crate) fn of(gateways: [Namespace; 2]) -> Self {
        Self::around(Some(gateways), false)
    }

    pub(crate) fn join(&self, [(left, left_name), (right, right_name)]: [(&Namespace, &str); 2]) {
        ip(&format!(
            "link add {left_name} netns {} type veth peer name {right_name} netns {}",
            left.name(),
            right.name()
        ))
        .unwrap();
        left.ip(&format!("link set {left_name} up")).unwrap();
        right.ip(&format!("link set {right_name} up")).unwrap();
    }

    /// Whether the host of a side gets an answer from that of the other side.
    pub(crate) fn ping(&self, from: usize) -> bool {
        let target = inside(1 - from);
        self.hosts[from].enter(|| echo(target, None).unwrap() == Echo::Answer).unwrap()
    }

    /// What the host of a side gets for a packet of some length that must not be fragmented.
    pub(crate) fn ping_whole(&self, from: usize, length: usize) -> Echo {
        let target = inside(1 - from);
        self.hosts[from].enter(|| echo(target, Some(length)).unwrap()).unwrap()
    }

    /// The host of a side takes no ICMP messages that say what is wrong, as many do not.
    pub(crate) fn ignore_icmp(&self, side: usize) {
        let rules = "table ip i { chain c { type filter hook input priority 0; \
                     icmp type destination-unreachable drop; }; }";
        nft(&self.hosts[side], rules);
    }

    /// Asserts that hosts reach each other, with packets that were lost until now.
    pub(crate) fn assert_pings(&self) {
        for side in [0, 1] {
            wait(&format!("an answer to the host of side {side}"), || self.ping(side));
        }
    }

    /// Sends octets from the host of a side to that of the other by TCP, and asserts that they arrive as they are.
    pub(crate) fn assert_tcp(&self, from: usize, octets: usize) {
        let address = SocketAddr::from((inside(1 - from), 7777));
        let listener = self.hosts[1 - from].enter(|| TcpListener::bind(address).unwrap()).unwrap();
        let sent: Vec<u8> = MARK.iter().copied().cycle().take(octets).collect();
        let received = std::thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                let (mut socket, _) = listener.accept().unwrap();
                let mut received = Vec::new();
                socket.read_to_end(&mut received).unwrap();
                received
            });
            let patience = Duration::from_secs(20);
            let connect = || TcpStream::connect_timeout(&address, patience).unwrap();
            self.hosts[from].enter(connect).unwrap().write_all(&sent).unwrap();
            receiver.join().unwrap()
        });
        assert!(received == sent, "{} octets of {octets} arrived", received.len());
    }

    /// Watches the link between the gateways.
    pub(crate) fn watch(&self) -> Watch {
        let socket = || {
            /// All protocols, in the order of the network.
            const ALL: NonZeroU32 = NonZeroU32::new((0x0003u16).to_be() as u32).unwrap();
            let protocol = Protocol::from_raw(ALL);
            let flags = SocketFlags::CLOEXEC;
            rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, Some(protocol)).unwrap()
        };
        // All interfaces of the gateway; of the frames, those of the outer link are recognised by that link's
        // address: a packet that leaves as it is has the addresses of hosts.
        let wan = hardware_address(&self.gateways[0], "wan");
        let socket = self.gateways[0].enter(socket).unwrap();
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_millis(100)))
            .unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&ends);
        let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let seeing = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            let mut frame = vec![0; 65_536];
            while !ending.load(Ordering::Relaxed) {
                let length = match rustix::net::recv(&socket, &mut frame, RecvFlags::empty()) {
                    Ok((length, _)) => length,
                    Err(Errno::AGAIN | Errno::INTR) => continue,
                    Err(error) => panic!("{error}"),
                };
                let frame = &frame[..length];
                let outer = frame.len() > 14 && (frame[..6] == wan || frame[6..12] == wan);
                if outer {
                    seeing.lock().unwrap().push(frame.to_vec());
                }
            }
        });
        Watch { ends, seen, thread: Some(thread) }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let own = self.gateways.iter().filter(|_| !self.borrowed);
        for namespace in self.hosts.iter().chain(own).chain(&self.translator) {
            // What is left goes with the machine.
            let _ = namespace.clone().remove();
        }
    }
}

/// What went over the link between the gateways.
pub(crate) struct Watch {
    ends: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Asserts that packets went over it, and that nothing in them could be read.
    pub(crate) fn assert_nothing_readable(self) {
        let seen = self.frames();
        assert!(seen.len() > 10, "{} packets", seen.len());
        let readable = seen.iter().filter(|frame| is_readable(frame)).count();
        assert_eq!(readable, 0, "of {} packets", seen.len());
    }

    /// How many that could be read went over it until now.
    pub(crate) fn readable(&self) -> usize {
        self.seen.lock().unwrap().iter().filter(|frame| is_readable(frame)).count()
    }

    /// Ends; what went over it, as frames of Ethernet.
    pub(crate) fn frames(mut self) -> Vec<Vec<u8>> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn is_readable(frame: &[u8]) -> bool {
    frame.windows(MARK.len()).any(|part| part == MARK)
}

/// Address of an interface of Ethernet.
fn hardware_address(namespace: &Namespace, interface: &str) -> [u8; 6] {
    let output = std::process::Command::new("ip")
        .args(["-n", namespace.name(), "-o", "link", "show", interface])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let address = text.split(" link/ether ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let octets: Vec<u8> = address.split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
    octets.try_into().unwrap()
}

/// Has a namespace forward packets.
pub(crate) fn forward(namespace: &Namespace) {
    namespace.enter(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap().unwrap();
}

/// Gives rules to the packet filter of a namespace.
fn nft(namespace: &Namespace, rules: &str) {
    let mut child = std::process::Command::new("ip")
        .args(["netns", "exec", namespace.name(), "nft", "-f", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{rules}");
}

/// What comes back for an echo request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    Answer,
    /// It is too long, and this would not be (RFC 1191).
    TooLong(u16),
    Nothing,
}

/// Asks for an echo, and waits a second for it. With a length the packet has that, and must not be fragmented.
pub(crate) fn echo(target: Ipv4Addr, length: Option<usize>) -> std::io::Result<Echo> {
    const ICMP: NonZeroU32 = NonZeroU32::new(1).unwrap();
    const HEADER: usize = 20;
    let protocol = Protocol::from_raw(ICMP);
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_millis(200)))?;
    if length.is_some() {
        // Whatever was learnt of the path before.
        sockopt::set_ip_mtu_discover(&socket, sockopt::Ipv4PathMtuDiscovery::PROBE)?;
    }
    let number = COUNT.fetch_add(1, Ordering::Relaxed) as u16;
    let mut request = vec![8, 0, 0, 0, 0x74, 0x67];
    request.extend(number.to_be_bytes());
    request.extend(MARK);
    request.resize(length.map_or(request.len(), |length| length - HEADER), 0);
    let sum =
        request.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
    let mut sum: u32 = sum.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    request[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    match rustix::net::sendto(&socket, &request, SendFlags::empty(), &SocketAddr::from((target, 0))) {
        Ok(_) => {}
        // There is no way to it.
        Err(Errno::NETUNREACH | Errno::HOSTUNREACH) => return Ok(Echo::Nothing),
        Err(error) => return Err(error.into()),
    }
    let end = Instant::now() + Duration::from_secs(1);
    let mut answer = [0; 2_048];
    while Instant::now() < end {
        match rustix::net::recv(&socket, &mut answer, RecvFlags::empty()) {
            Ok((received, _)) if received >= HEADER + 8 => {
                let icmp = &answer[HEADER..received];
                if icmp[0] == 0 && icmp[4..] == request[4..] {
                    return Ok(Echo::Answer);
                }
                let quoted = icmp.get(8 + HEADER + 4..8 + HEADER + 8);
                if icmp[..2] == [3, 4] && quoted == Some(&request[4..8]) {
                    return Ok(Echo::TooLong(u16::from_be_bytes([icmp[6], icmp[7]])));
                }
            }
            Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::HOSTUNREACH | Errno::MSGSIZE) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Echo::Nothing)
}

/// Waits for something to become so.
pub(crate) fn wait(what: &str, so: impl FnMut() -> bool) {
    wait_longer(what, 1, so);
}

/// The same, for a multiple of the usual time.
pub(crate) fn wait_longer(what: &str, times: u32, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + tongguan_testkit::PATIENCE * times;
    while !so() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
