//! The supervisor itself: takes orders of whoever owns the gateways of a host, and looks after these.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use tongguan_dataplane::orders::{Frames, HostOrder, HostReport, frame};

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
    let mut frames = Frames::default();
    let mut octets = [0; 4_096];
    let order = loop {
        if let Some(order) = frames.take::<HostOrder>().map_err(io::Error::other)? {
            break order;
        }
        match client.read(&mut octets)? {
            0 => return Ok(()),
            length => frames.push(&octets[..length]),
        }
    };
    let now = Instant::now();
    let report = match order {
        HostOrder::Set { place } => host.set(place, now).map(|control| HostReport::Ready { control }),
        HostOrder::Remove { id } => host.remove(&id).map(|()| HostReport::Removed),
        HostOrder::List => {
            let gateways = host.list().map(|(place, control)| (place.id.clone(), control)).collect();
            Ok(HostReport::Gateways { gateways })
        }
    };
    let report = report.unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "an order could not be carried out");
        HostReport::Failed { reason: with_causes(&error) }
    });
    client.write_all(&frame(&report).map_err(io::Error::other)?)
}

/// An error with what caused it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
