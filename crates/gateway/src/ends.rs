//! What a gateway works with: opened by whoever has the right to, and handed over as file descriptors.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use tongguan_esp::mtu;

/// Largest packet on the TUN device: with everything around it it fits into an Ethernet frame, whatever the length of
/// the code is, in UDP or not.
pub const TUNNEL_MTU: u16 = 1_400;
/// The longest code of a packet.
const LONGEST_CODE: usize = 32;

/// The MTU of the TUN device where paths take outer packets of this length whole: what is around an inner packet fits
/// in as well, whatever the length of the code is, in UDP or not. At most [`TUNNEL_MTU`].
#[must_use]
pub fn tunnel_mtu(path: u16) -> u16 {
    let inner = mtu::inner(path.into(), mtu::Family::V4, true, LONGEST_CODE);
    u16::try_from(inner).unwrap_or(TUNNEL_MTU).min(TUNNEL_MTU)
}

/// How many descriptors are handed over.
const COUNT: usize = 5;
/// What goes before the user's number, so that nothing else is taken for it.
const GREETING: [u8; 4] = *b"gw2 ";

/// What a gateway works with.
#[derive(Debug)]
pub struct Ends {
    /// A TUN device without packet information: what hosts send into the tunnel, and what came out of it.
    pub tun: OwnedFd,
    /// UDP port 500, bound to the gateway's address: IKE.
    pub ike: UdpSocket,
    /// UDP port 4500: IKE and ESP.
    pub nat: UdpSocket,
    /// A raw socket for ESP without UDP.
    pub esp: OwnedFd,
    /// Where orders come from.
    pub control: UnixListener,
    /// The user as whom the gateway is to run; none if it stays who it is.
    pub user: Option<u32>,
    /// MTU of the TUN device.
    pub mtu: u16,
}

/// The ends did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum EndsError {
    /// The socket failed.
    #[error("the socket failed")]
    Socket(#[from] std::io::Error),
    /// Something else arrived.
    #[error("what arrived is not what a gateway works with")]
    Other,
}

impl From<rustix::io::Errno> for EndsError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Socket(error.into())
    }
}

impl Ends {
    /// Hands the ends over.
    ///
    /// # Errors
    /// The socket failed.
    pub fn send(&self, socket: &UnixStream) -> Result<(), EndsError> {
        let all: [BorrowedFd<'_>; COUNT] =
            [self.tun.as_fd(), self.ike.as_fd(), self.nat.as_fd(), self.esp.as_fd(), self.control.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(COUNT))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        rights.push(SendAncillaryMessage::ScmRights(&all));
        let user = self.user.unwrap_or(u32::MAX).to_be_bytes();
        let mtu = self.mtu.to_be_bytes();
        let text = [IoSlice::new(&GREETING), IoSlice::new(&user), IoSlice::new(&mtu)];
        rustix::net::sendmsg(socket, &text, &mut rights, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Takes the ends.
    ///
    /// # Errors
    /// [`EndsError`].
    pub fn receive(socket: &UnixStream) -> Result<Self, EndsError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(COUNT))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let (mut greeting, mut user, mut mtu) = ([0; GREETING.len()], [0; 4], [0; 2]);
        let mut text =
            [IoSliceMut::new(&mut greeting), IoSliceMut::new(&mut user), IoSliceMut::new(&mut mtu)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
        let received = rustix::net::recvmsg(socket, &mut text, &mut rights, flags)?;
        let mut all = Vec::new();
        for message in rights.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                all.extend(descriptors);
            }
        }
        let all: [OwnedFd; COUNT] = all.try_into().map_err(|_| EndsError::Other)?;
        if received.bytes != GREETING.len() + user.len() + mtu.len() || greeting != GREETING {
            return Err(EndsError::Other);
        }
        let [tun, ike, nat, esp, control] = all;
        let user = Some(u32::from_be_bytes(user)).filter(|user| *user != u32::MAX);
        let mtu = u16::from_be_bytes(mtu);
        Ok(Self { tun, ike: ike.into(), nat: nat.into(), esp, control: control.into(), user, mtu })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn ends_arrive_as_they_were_sent() {
        let (here, there) = UnixStream::pair().unwrap();
        let folder = std::env::temp_dir().join(format!("ends-{}", std::process::id()));
        let ends = Ends {
            tun: File::open("/dev/null").unwrap().into(),
            ike: UdpSocket::bind("127.0.0.1:0").unwrap(),
            nat: UdpSocket::bind("127.0.0.1:0").unwrap(),
            esp: File::open("/dev/zero").unwrap().into(),
            control: UnixListener::bind(&folder).unwrap(),
            user: Some(65_534),
            mtu: 1_182,
        };
        ends.send(&here).unwrap();
        let received = Ends::receive(&there).unwrap();
        std::fs::remove_file(folder).unwrap();
        assert_eq!(received.ike.local_addr().unwrap(), ends.ike.local_addr().unwrap());
        assert_eq!(received.nat.local_addr().unwrap(), ends.nat.local_addr().unwrap());
        assert_eq!((received.user, received.mtu), (ends.user, ends.mtu));
    }

    #[test]
    fn what_is_around_an_inner_packet_fits_into_the_path() {
        for (path, inner) in [(1_500, 1_400), (1_400, 1_310), (1_280, 1_182), (576, 478), (0, 0)] {
            assert_eq!(tunnel_mtu(path), inner, "{path}");
        }
        assert_eq!(tunnel_mtu(u16::MAX), TUNNEL_MTU);
    }

    #[test]
    fn something_else_is_refused() {
        for text in [&b"gw2 \0\0\0\0\0\0"[..], b"GET / HT", b""] {
            let (here, there) = UnixStream::pair().unwrap();
            rustix::io::write(&here, text).unwrap();
            drop(here);
            assert!(matches!(Ends::receive(&there), Err(EndsError::Other)));
        }
    }
}
