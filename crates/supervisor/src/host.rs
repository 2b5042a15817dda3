//! All gateways of a host: each in a namespace of its own, with a process that is started again when it ends.
//!
//! What is to be known of a gateway for that is its [`Place`], which holds no secret and is kept in a file, so that a
//! supervisor that was started again finds what runs. Gateways do not end with it. Beside the places stands which
//! service they are of, since another one would remove what it does not know.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rustix::process::{Pid, Signal};
use tongguan_dataplane::orders::{HostReport, Place, ServiceId};
use tongguan_dataplane::{Fence, Fences};

use crate::namespace::{Namespace, NamespaceError, TUNNEL, said};
use crate::outside::{Outside, OutsideError};
use crate::process::{Process, StartError};

/// A gateway that has ended is started again after this time, which doubles.
const AGAIN: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);
/// The interface of a gateway that leads to its peers.
const OUTSIDE: &str = "wan";
/// Number of the table by which a gateway's own packets go out, and no other packets.
const OWN: u32 = 500;
/// Longest id of a gateway.
const MAX_ID: usize = 64;
/// Longest name of an interface.
const MAX_NAME: usize = 15;
/// File in the folder that says whose the gateways are.
const SERVICE: &str = "service";
/// How a route is preferred that only counts when the TUN device is gone: nothing goes out unsealed.
const LAST: u32 = 4_096;

/// How gateways are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program, which has a subcommand `gateway`.
    pub program: PathBuf,
    /// Where places and the sockets for orders are kept.
    pub folder: PathBuf,
    /// How gateways reach their peers.
    pub outside: Outside,
    /// The user as whom gateways run.
    pub user: u32,
    /// The user who may give them orders.
    pub owner: u32,
    /// Length of a packet that every way to peers takes whole, octets; for gateways that are started from now on.
    pub path: u16,
}

/// What went wrong with a gateway.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Its id is not one that files and interfaces can be named after.
    #[error("`{0}` is not the id of a gateway")]
    Id(String),
    /// What shall be behind its peers is no block.
    #[error("`{0}` is no block of addresses")]
    Network(String),
    /// Its namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// Its process.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The way to its peers.
    #[error(transparent)]
    Outside(#[from] OutsideError),
    /// It is not known whose the gateways are.
    #[error(
        "`{}` does not say which service the gateways are of; without it they are of the one that asks first",
        path.display()
    )]
    Service {
        /// The file that should.
        path: PathBuf,
    },
    /// A file.
    #[error("`{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> HostError + '_ {
    move |source| HostError::File { path: path.to_owned(), source }
}

/// The gateways of a host.
#[derive(Debug)]
pub struct Host {
    settings: Settings,
    /// Whose they are; none if nobody has had one yet.
    service: Option<ServiceId>,
    gateways: BTreeMap<String, Gateway>,
    /// The newest order for each gateway, of those that say how new they are.
    fences: Fences,
}

#[derive(Debug)]
struct Gateway {
    place: Place,
    namespace: Namespace,
    /// None if a supervisor before this one has started it.
    process: Option<Process>,
    failures: u32,
    /// When it was started, or is to be.
    at: Instant,
}

impl Host {
    /// Takes up what is in the folder: what runs goes on, and what does not is started.
    ///
    /// # Errors
    /// The folder cannot be used. What goes wrong with one gateway is logged, and tried again when it is
    /// given its place anew.
    pub fn open(settings: Settings, now: Instant) -> Result<Self, HostError> {
        settings.outside.prepare()?;
        let folder = settings.folder.clone();
        std::fs::create_dir_all(&folder).map_err(file(&folder))?;
        // Its owner finds the sockets, and nobody lists them.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o711)).map_err(file(&folder))?;
        let service = service(&folder.join(SERVICE))?;
        let mut host = Self { settings, service, gateways: BTreeMap::new(), fences: Fences::default() };
        for entry in std::fs::read_dir(&folder).map_err(file(&folder))? {
            let path = entry.map_err(file(&folder))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = std::fs::read(&path).map_err(file(&path))?;
                let place: Place =
                    serde_json::from_slice(&text).map_err(|error| file(&path)(error.into()))?;
                let id = place.id.clone();
                if let Err(error) = host.set(place, now) {
                    tracing::warn!(gateway = id, error = &error as &dyn std::error::Error, "not taken up");
                }
            }
        }
        Ok(host)
    }

    /// One without gateways, on a host of which it changes nothing.
    #[cfg(test)]
    pub(crate) fn bare(folder: PathBuf) -> Result<Self, HostError> {
        let outside = Outside::Link { name: "lo".into(), router: None };
        let settings = Settings { program: PathBuf::new(), folder, outside, user: 0, owner: 0, path: 1_500 };
        let service = service(&settings.folder.join(SERVICE))?;
        Ok(Self { settings, service, gateways: BTreeMap::new(), fences: Fences::default() })
    }

    /// The service whose the gateways are; none if nobody has had one yet.
    #[must_use]
    pub fn service(&self) -> Option<ServiceId> {
        self.service
    }

    /// From now on they are this service's, also for a supervisor that is started later.
    ///
    /// # Errors
    /// It cannot be written down; they are whose they were.
    pub fn adopt(&mut self, service: ServiceId) -> Result<(), HostError> {
        if self.service != Some(service) {
            self.replace(SERVICE, "new", format!("{service}\n").as_bytes())?;
            self.service = Some(service);
        }
        Ok(())
    }

    /// The refusal of an order for a gateway, if there was a newer one: whoever gave it was held up, and another
    /// process of the service has gone on. Not kept when the supervisor ends: gateways themselves refuse what is
    /// older.
    pub(crate) fn older(&mut self, id: &str, fence: Option<Fence>) -> Option<HostReport> {
        let newest = self.fences.pass(id, fence?).err()?;
        Some(HostReport::Failed {
            reason: format!("an order of generation {} has overtaken it", newest.generation),
        })
    }

    /// A gateway was removed by an order.
    pub(crate) fn gone(&mut self, id: &str) {
        self.fences.gone(id);
    }

    /// Gives a gateway its place, or another one, and starts it if it does not run. Answers where it takes orders.
    ///
    /// # Errors
    /// [`HostError`]. What was done is done, and asking again goes on from there.
    pub fn set(&mut self, place: Place, now: Instant) -> Result<PathBuf, HostError> {
        check(&place)?;
        if self.gateways.get(&place.id).is_some_and(|known| known.place.address != place.address) {
            self.remove(&place.id)?;
        }
        let name = format!("{}.json", place.id);
        let text = serde_json::to_vec(&place)
            .map_err(|error| file(&self.settings.folder.join(&name))(error.into()))?;
        self.replace(&name, &format!("{}.new", place.id), &text)?;
        let namespace = self.namespace(&place)?;
        let known = self.gateways.remove(&place.id);
        let before = known.as_ref().map(|known| known.place.networks.clone()).unwrap_or_default();
        let gone: Vec<String> =
            before.into_iter().filter(|network| !place.networks.contains(network)).collect();
        let (process, failures, at) =
            known.map_or((None, 0, now), |known| (known.process, known.failures, known.at));
        let id = place.id.clone();
        let gateway = Gateway { place, namespace, process, failures, at };
        for network in gone {
            // It may have gone with the device.
            let _ = gateway.namespace.ip(&format!("route del {network} dev {TUNNEL}"));
            gateway.namespace.ip(&format!("route del blackhole {network} metric {LAST}"))?;
        }
        let runs = self.is_running(&id);
        if runs {
            gateway.route()?;
        }
        self.gateways.insert(id.clone(), gateway);
        if !runs {
            self.start(&id)?;
        }
        Ok(self.control(&id))
    }

    /// Ends a gateway, and removes all that it had. Its peers notice for themselves; to have them told, whoever gives
    /// the gateway its orders leaves it without connections before.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn remove(&mut self, id: &str) -> Result<(), HostError> {
        let Some(gateway) = self.gateways.remove(id) else { return Ok(()) };
        for number in gateway.namespace.processes()? {
            if let Some(process) = Pid::from_raw(number) {
                // It may have ended meanwhile.
                let _ = rustix::process::kill_process(process, Signal::KILL);
            }
        }
        if let Some(process) = gateway.process {
            process.kill().map_err(file(&self.settings.program))?;
        }
        self.settings.outside.leave(&link(id));
        gateway.namespace.remove()?;
        for path in [self.path(id, "sock"), self.path(id, "json")] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file(&path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The gateways, each with where it takes orders.
    pub fn list(&self) -> impl Iterator<Item = (&Place, PathBuf)> {
        self.gateways.values().map(|gateway| (&gateway.place, self.control(&gateway.place.id)))
    }

    /// Starts again what has ended, each after its time. To be called about twice a second. Answers what went wrong;
    /// it is tried again.
    pub fn tick(&mut self, now: Instant) -> Vec<HostError> {
        let ids: Vec<String> = self.gateways.keys().cloned().collect();
        ids.iter().filter_map(|id| self.look(id, now).err()).collect()
    }

    fn look(&mut self, id: &str, now: Instant) -> Result<(), HostError> {
        let runs = self.is_running(id);
        let Some(gateway) = self.gateways.get_mut(id) else { return Ok(()) };
        if runs {
            if now >= gateway.at + LONGEST {
                gateway.failures = 0;
            }
            return Ok(());
        }
        if let Some(mut process) = gateway.process.take() {
            // So that it is not left as a zombie.
            process.is_running();
            gateway.at = now + LONGEST.min(AGAIN * (1 << gateway.failures.min(8)));
            gateway.failures += 1;
        }
        if now < gateway.at {
            return Ok(());
        }
        gateway.at = now + LONGEST.min(AGAIN * (1 << gateway.failures.min(8)));
        self.start(id)?;
        if let Some(gateway) = self.gateways.get_mut(id) {
            gateway.at = now;
        }
        Ok(())
    }

    /// Whether the process lives: nobody else has the socket on which it takes orders.
    fn is_running(&self, id: &str) -> bool {
        UnixStream::connect(self.control(id)).is_ok()
    }

    fn start(&mut self, id: &str) -> Result<(), HostError> {
        let (control, user, path) = (self.control(id), self.settings.user, self.settings.path);
        let Some(gateway) = self.gateways.get_mut(id) else { return Ok(()) };
        let ends = gateway.namespace.open_ends(gateway.place.address, &control, Some(user), path)?;
        std::fs::set_permissions(&control, std::fs::Permissions::from_mode(0o600)).map_err(file(&control))?;
        chown(&control, Some(self.settings.owner), None).map_err(file(&control))?;
        gateway.route()?;
        gateway.process =
            Some(Process::start(&self.settings.program, &gateway.namespace, &ends, Stdio::inherit())?);
        Ok(())
    }

    /// The namespace of a gateway, with its interface on the bridge.
    fn namespace(&self, place: &Place) -> Result<Namespace, HostError> {
        let namespace = Namespace::create(&format!("tg-{}", place.id))?;
        if namespace.ip(&format!("link show {OUTSIDE}")).is_err() {
            self.settings.outside.join(&link(&place.id), &namespace, OUTSIDE)?;
        }
        let (address, family) = (place.address, if place.address.is_ipv4() { "-4" } else { "-6" });
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        namespace.ip(&format!("addr replace {address}/{prefix} dev {OUTSIDE}"))?;
        namespace.ip(&format!("link set {OUTSIDE} up"))?;
        // What the gateway sends itself goes out here. What hosts send goes into tunnels, or nowhere.
        let way = self.settings.outside.way();
        namespace.ip(&format!("{family} route replace default {way}dev {OUTSIDE} table {OWN}"))?;
        let rules = said(&format!("-n {} {family} rule list from {address}", namespace.name()))?;
        if rules.trim().is_empty() {
            namespace.ip(&format!("{family} rule add from {address} lookup {OWN}"))?;
        }
        let forward = || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1");
        let path = Path::new("/proc/sys/net/ipv4/ip_forward");
        namespace.enter(forward)?.map_err(file(path))?;
        Ok(namespace)
    }

    /// Puts a file of the folder in the place of the one before, whole, by way of a new one.
    fn replace(&self, name: &str, new: &str, octets: &[u8]) -> Result<(), HostError> {
        let [path, new] = [name, new].map(|name| self.settings.folder.join(name));
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&new);
        opened.and_then(|mut opened| opened.write_all(octets)).map_err(file(&new))?;
        std::fs::rename(&new, &path).map_err(file(&path))
    }

    fn control(&self, id: &str) -> PathBuf {
        self.path(id, "sock")
    }

    fn path(&self, id: &str, extension: &str) -> PathBuf {
        self.settings.folder.join(format!("{id}.{extension}"))
    }
}

impl Gateway {
    /// What goes into tunnels, and nowhere else when there is no process.
    fn route(&self) -> Result<(), NamespaceError> {
        for network in &self.place.networks {
            self.namespace.ip(&format!("route replace blackhole {network} metric {LAST}"))?;
            self.namespace.ip(&format!("route replace {network} dev {TUNNEL}"))?;
        }
        Ok(())
    }
}

impl Namespace {
    /// Numbers of the processes inside.
    fn processes(&self) -> Result<Vec<i32>, HostError> {
        let output = Command::new("ip").args(["netns", "pids", self.name()]).output();
        let output = output.map_err(file(Path::new("ip")))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.split_whitespace().filter_map(|number| number.parse().ok()).collect())
    }
}

/// Whose the gateways are, as a file says; none if there is no file.
fn service(path: &Path) -> Result<Option<ServiceId>, HostError> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let known = text.trim_end().parse();
            known.map(Some).map_err(|_| HostError::Service { path: path.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file(path)(error)),
    }
}

/// Name of the host's end of what leads to a gateway.
fn link(id: &str) -> String {
    format!("tg{}", &id[id.len().saturating_sub(MAX_NAME - 2)..])
}

/// Ids become names of files, of namespaces and of interfaces; blocks become arguments.
fn check(Place { id, networks, .. }: &Place) -> Result<(), HostError> {
    if let Some(wrong) = networks.iter().find(|network| network.parse::<IpNet>().is_err()) {
        return Err(HostError::Network(wrong.chars().take(MAX_ID).collect()));
    }
    let known = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    if id.is_empty() || id.len() > MAX_ID || id.starts_with('-') || !id.chars().all(known) {
        return Err(HostError::Id(id.chars().take(MAX_ID).collect()));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_say_whose_gateways_are_is_an_error_and_its_lack_is_none() {
        let path = std::env::temp_dir().join(format!("service-{}", std::process::id()));
        assert_eq!(service(&path).unwrap(), None);
        let id = ServiceId([7; 16]);
        for (text, whose) in [(format!("{id}\n"), Some(id)), (String::new(), None), ("0707\n".into(), None)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(service(&path).ok().flatten(), whose);
            assert_eq!(service(&path).is_ok(), whose.is_some());
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_would_be_something_else_is_refused() {
        let place = |id: &str, network: &str| Place {
            id: id.into(),
            address: [192, 0, 2, 1].into(),
            networks: vec![network.into()],
        };
        for wrong in ["", "-a", "../a", "a b", "a/b", "a\nb", "ä", &"a".repeat(65)] {
            assert!(matches!(check(&place(wrong, "10.0.0.0/8")), Err(HostError::Id(_))), "{wrong}");
        }
        for wrong in ["", "10.0.0.0", "10.0.0.0/8 dev eth0", "default", "10.0.0.0/33"] {
            assert!(matches!(check(&place("vpn-1", wrong)), Err(HostError::Network(_))), "{wrong}");
        }
        assert!(check(&place("vpn-bp1q8bgx4xnkx7omdj8z", "10.0.0.0/8")).is_ok());
    }
}
