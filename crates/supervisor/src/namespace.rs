//! Network namespaces, and what is opened inside.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::net::sockopt::Ipv4PathMtuDiscovery;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType};
use rustix::thread::LinkNameSpaceType;
use tongguan_gateway::{Ends, tunnel_mtu};

/// Name of the TUN device of a gateway.
pub const TUNNEL: &str = "tg0";
/// Where named namespaces are, by the convention of `ip netns`.
const FOLDER: &str = "/run/netns";
/// The protocol of ESP.
const ESP: NonZeroU32 = NonZeroU32::new(50).expect("it is not zero");
const PORTS: [u16; 2] = [tongguan_gateway::IKE_PORT, tongguan_gateway::NAT_PORT];

/// What went wrong with a namespace.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// A system call.
    #[error("{0}")]
    System(String, #[source] io::Error),
    /// The program `ip` failed, and said this.
    #[error("`ip {arguments}` failed: {said}")]
    Ip {
        /// What it was called with.
        arguments: String,
        /// What it said.
        said: String,
    },
}

fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> NamespaceError {
    move |error| NamespaceError::System(what.into(), error)
}

/// Calls `ip` with arguments that are separated by spaces.
///
/// # Errors
/// It is not there, or says that something is wrong.
pub fn ip(arguments: &str) -> Result<(), NamespaceError> {
    said(arguments).map(drop)
}

/// The same, and answers what it says.
pub(crate) fn said(arguments: &str) -> Result<String, NamespaceError> {
    let output =
        Command::new("ip").args(arguments.split(' ')).output().map_err(system("`ip` of iproute2"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(NamespaceError::Ip { arguments: arguments.to_owned(), said })
}

/// A network namespace with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// The namespace of a name, which is created if there is none.
    ///
    /// # Errors
    /// [`NamespaceError`].
    pub fn create(name: &str) -> Result<Self, NamespaceError> {
        let namespace = Self { name: name.to_owned() };
        if !namespace.path().exists() {
            ip(&format!("netns add {name}"))?;
            namespace.ip("link set lo up")?;
        }
        Ok(namespace)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.name)
    }

    /// Calls `ip` inside.
    ///
    /// # Errors
    /// As [`ip`].
    pub fn ip(&self, arguments: &str) -> Result<(), NamespaceError> {
        ip(&format!("-n {} {arguments}", self.name))
    }

    /// Removes it. What is open inside goes on until it is closed.
    ///
    /// # Errors
    /// As [`ip`].
    pub fn remove(self) -> Result<(), NamespaceError> {
        ip(&format!("netns delete {}", self.name))
    }

    /// Does something inside, in a thread of its own.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    ///
    /// # Panics
    /// As what it does.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        let link = File::open(self.path()).map_err(system(format!("the namespace {}", self.name)))?;
        let enter = || {
            rustix::thread::move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(inside())
        };
        let ended = std::thread::scope(|scope| scope.spawn(enter).join());
        let entered: Result<T, rustix::io::Errno> =
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        entered.map_err(|error| system(format!("the namespace {}", self.name))(error.into()))
    }

    /// Opens what a gateway works with: its TUN device, which is brought up, its sockets, and at `control` where it
    /// takes orders. `path` is the length of a packet that every way to its peers takes whole, octets.
    ///
    /// # Errors
    /// [`NamespaceError`].
    pub fn open_ends(
        &self,
        address: IpAddr,
        control: &Path,
        user: Option<u32>,
        path: u16,
    ) -> Result<Ends, NamespaceError> {
        // A gateway that was killed leaves it.
        match std::fs::remove_file(control) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(system(format!("the socket {}", control.display()))(error));
            }
            _ => {}
        }
        let listener =
            UnixListener::bind(control).map_err(system(format!("the socket {}", control.display())))?;
        let mtu = tunnel_mtu(path);
        let opened = self.enter(|| {
            let tun = tun(mtu).map_err(system("the TUN device"))?;
            let bind = |port: u16| {
                let socket = UdpSocket::bind(SocketAddr::new(address, port));
                socket.and_then(with_fragments).map_err(system(format!("UDP port {port} of {address}")))
            };
            let [ike, nat] = [bind(PORTS[0])?, bind(PORTS[1])?];
            let esp = raw(address).map_err(system(format!("the raw socket of {address}")))?;
            Ok((tun, ike, nat, esp))
        });
        let (tun, ike, nat, esp) = opened??;
        self.ip(&format!("link set {TUNNEL} up"))?;
        Ok(Ends { tun, ike, nat, esp, control: listener, user, mtu })
    }
}

fn tun(mtu: u16) -> io::Result<OwnedFd> {
    let device = tun_rs::DeviceBuilder::new().name(TUNNEL).mtu(mtu).build_sync()?;
    device.as_fd().try_clone_to_owned()
}

/// Outer packets may be fragmented on their way: two certificates make a message longer than many a path takes.
fn with_fragments(socket: UdpSocket) -> io::Result<UdpSocket> {
    /// Room for a burst of packets while the other direction has its turn.
    const BUFFER: usize = 4 << 20;
    if socket.local_addr()?.is_ipv4() {
        rustix::net::sockopt::set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DONT)?;
    }
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER)?;
    Ok(socket)
}

fn raw(address: IpAddr) -> io::Result<OwnedFd> {
    let (family, any) = match address {
        IpAddr::V4(address) => (AddressFamily::INET, IpAddr::V4(address)),
        // IPv6 outside is not negotiated; the descriptor is there all the same.
        IpAddr::V6(_) => (AddressFamily::INET, IpAddr::V4(Ipv4Addr::LOCALHOST)),
    };
    let protocol = Protocol::from_raw(ESP);
    let socket = rustix::net::socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?;
    rustix::net::sockopt::set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DONT)?;
    rustix::net::bind(&socket, &SocketAddr::new(any, 0))?;
    Ok(socket)
}
