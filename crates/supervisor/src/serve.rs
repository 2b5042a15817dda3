//! The supervisor itself: takes orders of the service whose the gateways of a host are, and looks after these.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use tongguan_dataplane::orders::{Frames, HostOrder, HostReport, HostRequest, ServiceId, frame};

use crate::host::{Host, HostError, Settings};

/// How often gateways are looked at.
const BEAT: Duration = Duration::from_millis(500);
/// How long somebody may take to say what is wanted, since nobody else is served meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes orders at a socket, until something fails that cannot.
///
/// # Errors
/// The socket or the folder cannot be used, another supervisor has it, or the way out cannot be prepared.
pub fn serve(socket: &Path, settings: Settings) -> Result<std::convert::Infallible, HostError> {
    let of_socket = |source| HostError::File { path: socket.to_owned(), source };
    let owner = settings.owner;
    // Two of them would each start what the other has ended.
    if UnixStream::connect(socket).is_ok() {
        return Err(of_socket(io::ErrorKind::AddrInUse.into()));
    }
    let mut host = Host::open(settings, Instant::now())?;
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(of_socket(error)),
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(of_socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(of_socket)?;
    chown(socket, Some(owner), None).map_err(of_socket)?;
    listener.set_nonblocking(true).map_err(of_socket)?;
    tracing::info!(socket = %socket.display(), gateways = host.list().count(), "the supervisor takes orders");
    let mut next = Instant::now();
    loop {
        let wait = next.saturating_duration_since(Instant::now());
        let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
        let mut ready = [PollFd::new(&listener, PollFlags::IN)];
        match rustix::event::poll(&mut ready, Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(of_socket(error.into())),
        }
        if let Ok((client, _)) = listener.accept()
            // Whoever goes away is not answered.
            && let Err(error) = answer(client, owner, &mut host)
        {
            tracing::debug!(%error, "an order that was not answered");
        }
        let now = Instant::now();
        if now >= next {
            next = now + BEAT;
            for error in host.tick(now) {
                tracing::warn!(error = &error as &dyn std::error::Error, "a gateway could not be started");
            }
        }
    }
}

/// One order, one answer.
fn answer(mut client: UnixStream, owner: u32, host: &mut Host) -> io::Result<()> {
    // Whoever has connected before the socket had its mode.
    let user = rustix::net::sockopt::socket_peercred(&client)?.uid.as_raw();
    if user != 0 && user != owner {
        tracing::warn!(user, "somebody who may give no orders");
        return Ok(());
    }
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let Some(HostRequest { service, order }) = read(&mut client)? else { return Ok(()) };
    let report = carry_out(service, order, user, host).unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "an order could not be carried out");
        HostReport::Failed { reason: with_causes(&error) }
    });
    client.write_all(&frame(&report).map_err(io::Error::other)?)
}

/// The next frame; none if the other side ends before.
fn read<T: DeserializeOwned>(socket: &mut UnixStream) -> io::Result<Option<T>> {
    let mut frames = Frames::default();
    let mut octets = [0; 4_096];
    loop {
        if let Some(whole) = frames.take().map_err(io::Error::other)? {
            return Ok(Some(whole));
        }
        match socket.read(&mut octets)? {
            0 => return Ok(None),
            length => frames.push(&octets[..length]),
        }
    }
}

/// Does what a user wants on behalf of a service, if the gateways are that service's.
fn carry_out(
    service: ServiceId,
    order: HostOrder,
    user: u32,
    host: &mut Host,
) -> Result<HostReport, HostError> {
    let whose = host.service().filter(|whose| *whose != service);
    match (order, whose) {
        // A service that is pointed here by mistake does not do this as well.
        (HostOrder::Adopt, _) if user != 0 => {
            Ok(HostReport::Failed { reason: "only root hands gateways over".into() })
        }
        (HostOrder::Adopt, whose) => {
            host.adopt(service)?;
            let before = whose.map(String::from);
            tracing::warn!(%service, before, "the gateways are of this service from now on");
            Ok(HostReport::Adopted)
        }
        (_, Some(whose)) => {
            tracing::debug!(%service, %whose, "an order of another service");
            Ok(HostReport::Foreign { service: whose })
        }
        (HostOrder::Set { place, fence }, None) => {
            if let Some(refused) = host.older(&place.id, fence) {
                return Ok(refused);
            }
            // From the first one on they are whose that is.
            host.adopt(service)?;
            host.set(place, Instant::now()).map(|control| HostReport::Ready { control })
        }
        (HostOrder::Remove { id, fence }, None) => {
            if let Some(refused) = host.older(&id, fence) {
                return Ok(refused);
            }
            host.remove(&id)?;
            host.gone(&id);
            Ok(HostReport::Removed)
        }
        (HostOrder::List, None) => {
            let gateways = host.list().map(|(place, control)| (place.id.clone(), control)).collect();
            Ok(HostReport::Gateways { gateways })
        }
    }
}

/// Has the supervisor at a socket keep gateways for a service from now on, whoever's it kept before. It takes that of
/// root alone.
///
/// # Errors
/// There is none, or it says why not.
pub fn adopt(socket: &Path, service: ServiceId) -> io::Result<()> {
    let mut supervisor = UnixStream::connect(socket)?;
    let request = HostRequest { service, order: HostOrder::Adopt };
    supervisor.write_all(&frame(&request).map_err(io::Error::other)?)?;
    match read(&mut supervisor)? {
        Some(HostReport::Adopted) => Ok(()),
        Some(HostReport::Failed { reason }) => Err(io::Error::other(reason)),
        Some(_) => Err(io::Error::other("the supervisor answers another question")),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// An error with what caused it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tongguan_dataplane::Fence;
    use tongguan_dataplane::orders::Place;

    use super::*;

    #[test]
    fn gateways_are_of_one_service_and_root_alone_hands_them_over() {
        let folder = std::env::temp_dir().join(format!("supervisor-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let [one, other] = [1, 2].map(|octet| ServiceId([octet; 16]));
        let list = |host: &mut Host, service| carry_out(service, HostOrder::List, 1_000, host).unwrap();
        let mut host = Host::bare(folder.clone()).unwrap();
        let none = || HostReport::Gateways { gateways: std::collections::BTreeMap::new() };
        // Nothing can be lost yet, and to ask makes nobody the owner.
        assert_eq!([list(&mut host, one), list(&mut host, other)], [none(), none()]);
        assert_eq!(host.service(), None);
        let refused = carry_out(other, HostOrder::Adopt, 1_000, &mut host).unwrap();
        assert!(matches!(refused, HostReport::Failed { .. }) && host.service().is_none());
        assert_eq!(carry_out(one, HostOrder::Adopt, 0, &mut host).unwrap(), HostReport::Adopted);
        let mode = std::fs::metadata(folder.join("service")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // Another supervisor knows it as well.
        let mut host = Host::bare(folder.clone()).unwrap();
        let foreign = HostReport::Foreign { service: one };
        assert_eq!([list(&mut host, one), list(&mut host, other)], [none(), foreign.clone()]);
        let remove = HostOrder::Remove { id: "vpn-1".into(), fence: None };
        assert_eq!(carry_out(other, remove, 0, &mut host).unwrap(), foreign);
        assert_eq!(carry_out(other, HostOrder::Adopt, 0, &mut host).unwrap(), HostReport::Adopted);
        assert_eq!(list(&mut host, one), HostReport::Foreign { service: other });
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_order_that_was_overtaken_is_refused() {
        let folder = std::env::temp_dir().join(format!("overtaken-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut host = Host::bare(folder.clone()).unwrap();
        let mut remove = |generation, claim| {
            let fence = Some(Fence { generation, claim });
            let order = HostOrder::Remove { id: "vpn-1".into(), fence };
            carry_out(ServiceId([1; 16]), order, 1_000, &mut host).unwrap()
        };
        assert_eq!(remove(2, 3), HostReport::Removed);
        for (generation, claim) in [(2, 2), (1, 9)] {
            assert!(matches!(remove(generation, claim), HostReport::Failed { .. }), "{generation} {claim}");
        }
        assert_eq!([remove(2, 3), remove(3, 1)], [HostReport::Removed, HostReport::Removed]);
        // Whoever alone gives orders does not say how new they are.
        let order = HostOrder::Remove { id: "vpn-1".into(), fence: None };
        let report = carry_out(ServiceId([1; 16]), order, 1_000, &mut host).unwrap();
        assert_eq!(report, HostReport::Removed);
        // Nor is a gateway given its place by an order from before it was removed.
        let place = Place { id: "vpn-1".into(), address: [192, 0, 2, 1].into(), networks: Vec::new() };
        let order = HostOrder::Set { place, fence: Some(Fence { generation: 2, claim: 9 }) };
        let report = carry_out(ServiceId([1; 16]), order, 1_000, &mut host).unwrap();
        assert!(matches!(report, HostReport::Failed { .. }), "{report:?}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
