//! A data plane of gateways that move packets: the supervisor of a host gives each its place, and each takes its orders
//! itself, so that keys go to no other process.
//!
//! Nothing is kept here but where gateways are, and the newest order that each was given. What a gateway shall be is
//! known to the engine alone, which tells it again to one that was started again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tongguan_model::connection::Negotiation;

use crate::orders::{
    Document, Frames, HostOrder, HostReport, HostRequest, Order, Place, Report, ServiceId, frame,
};
use crate::{
    Applying, Attempt, DataPlane, Desired, Fence, Fences, GatewayState, Later, Look, Progress, Seen,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Gateways that are asked at the same time.
const AT_ONCE: usize = 64;

/// The gateways of a host. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gateways {
    /// Where the supervisor takes orders.
    supervisor: Arc<PathBuf>,
    /// Whose gateways they are.
    service: ServiceId,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Held while a gateway is being told something.
    lanes: HashMap<String, Lane>,
    /// The newest that each was told.
    fences: Fences,
    /// Where each takes its orders, as the supervisor has said last.
    controls: BTreeMap<String, PathBuf>,
}

type Lane = Arc<tokio::sync::Mutex<()>>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("`{}` cannot be reached: {source}", path.display())]
    Unreachable { path: PathBuf, source: io::Error },
    #[error("whoever listens at `{}` is user {user}, neither root nor this service's own", path.display())]
    Stranger { path: PathBuf, user: u32 },
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("the connection ended: {0}")]
    Ended(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] crate::orders::FrameError),
}

const OTHER: &str = "it answers another question";

/// Why the supervisor does nothing for this service.
fn foreign(whose: ServiceId, ours: ServiceId) -> String {
    format!("the supervisor keeps the gateways of another service ({whose}), not of this one ({ours})")
}

impl Gateways {
    /// Those that the supervisor that takes orders at this socket keeps for a service.
    #[must_use]
    pub fn new(supervisor: PathBuf, service: ServiceId) -> Self {
        Self { supervisor: Arc::new(supervisor), service, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane(&self, id: &str) -> Lane {
        Arc::clone(self.state().lanes.entry(id.to_owned()).or_default())
    }

    /// Lets an order through, unless the gateway was given a newer one.
    fn pass(&self, id: &str, fence: Fence) -> Result<(), Progress> {
        let passed = self.state().fences.pass(id, fence);
        passed
            .map_err(|newest| Progress::Failed(format!("generation {} has overtaken it", newest.generation)))
    }

    /// Gives a gateway its place, and then tells it what it shall be.
    async fn set(
        self,
        generation: u64,
        claim: Option<u64>,
        document: Document,
        networks: Vec<String>,
    ) -> Progress {
        let lane = self.lane(&document.id);
        let _told = lane.lock().await;
        let fence = Fence { generation, claim: claim.unwrap_or_default() };
        if let Err(overtaken) = self.pass(&document.id, fence) {
            return overtaken;
        }
        let among = claim.map(|_| fence);
        let place = Place { id: document.id.clone(), address: document.address, networks };
        let order = Order::Apply { generation, claim, document: Box::new(document) };
        match self.tell(&place, among, &order).await {
            // Where others give orders too, one of them has overtaken this one.
            Ok(Report::Stale { generation: newer }) if among.is_none() => {
                // It was told by a service that knew more than the store does now: that was put back to an older state.
                tracing::warn!(
                    gateway = place.id,
                    newer,
                    generation,
                    "a gateway is newer than the store: it begins anew"
                );
                if let Err(progress) = self.take_away(&place.id, None).await {
                    return progress;
                }
                self.tell(&place, None, &order).await.map_or_else(|progress| progress, told)
            }
            Ok(report) => told(report),
            Err(progress) => progress,
        }
    }

    async fn tell(&self, place: &Place, fence: Option<Fence>, order: &Order) -> Result<Report, Progress> {
        let control = match self.ask_host(HostOrder::Set { place: place.clone(), fence }).await? {
            HostReport::Ready { control } => control,
            HostReport::Failed { reason } => return Err(Progress::Failed(reason)),
            _ => return Err(Progress::Failed(OTHER.into())),
        };
        self.state().controls.insert(place.id.clone(), control.clone());
        let report = ask(&control, order).await;
        report.map_err(|error| Progress::Failed(format!("the gateway does not answer: {error}")))
    }

    /// Has a gateway tell its peers, as far as it can be done, and then be no more.
    async fn remove(self, generation: u64, claim: Option<u64>, id: String) -> Progress {
        let lane = self.lane(&id);
        let _told = lane.lock().await;
        let fence = Fence { generation, claim: claim.unwrap_or_default() };
        if let Err(overtaken) = self.pass(&id, fence) {
            return overtaken;
        }
        let control = self.state().controls.get(&id).cloned();
        if let Some(control) = control {
            let document = Box::new(Document::nothing(&id));
            // Peers notice in any case, only later.
            let _ = ask::<Report>(&control, &Order::Apply { generation, claim, document }).await;
        }
        match self.take_away(&id, claim.map(|_| fence)).await {
            Ok(()) => {
                let mut state = self.state();
                state.lanes.remove(&id);
                state.fences.gone(&id);
                state.controls.remove(&id);
                Progress::Applied
            }
            Err(progress) => progress,
        }
    }

    async fn take_away(&self, id: &str, fence: Option<Fence>) -> Result<(), Progress> {
        match self.ask_host(HostOrder::Remove { id: id.to_owned(), fence }).await? {
            HostReport::Removed => Ok(()),
            HostReport::Failed { reason } => Err(Progress::Failed(reason)),
            _ => Err(Progress::Failed(OTHER.into())),
        }
    }

    async fn ask_host(&self, order: HostOrder) -> Result<HostReport, Progress> {
        let request = HostRequest { service: self.service, order };
        match ask(&self.supervisor, &request).await {
            Ok(HostReport::Foreign { service }) => Err(Progress::Away(foreign(service, self.service))),
            Ok(report) => Ok(report),
            Err(error) => Err(Progress::Away(format!("the supervisor does not answer: {error}"))),
        }
    }

    async fn see(self) -> Look {
        let away = match self.ask_host(HostOrder::List).await {
            Ok(HostReport::Gateways { gateways }) => {
                self.state().controls = gateways;
                None
            }
            Ok(HostReport::Failed { reason }) | Err(Progress::Away(reason)) => Some(reason),
            Ok(_) | Err(_) => Some(OTHER.to_owned()),
        };
        let mut left = self.state().controls.clone().into_iter();
        let (mut asked, mut gateways) = (JoinSet::new(), BTreeMap::new());
        loop {
            while asked.len() < AT_ONCE
                && let Some((id, control)) = left.next()
            {
                asked.spawn(async move { (id, seen(ask(&control, &Order::Status).await)) });
            }
            match asked.join_next().await {
                None => return Look { away, gateways },
                Some(Ok((id, seen))) => drop(gateways.insert(id, seen)),
                Some(Err(error)) => tracing::error!(%error, "a gateway could not be looked at"),
            }
        }
    }
}

fn told(report: Report) -> Progress {
    match report {
        Report::Applied { .. } => Progress::Applied,
        Report::Refused { reason, .. } => Progress::Refused(reason),
        Report::Stale { generation } => Progress::Failed(format!("generation {generation} is in force")),
        Report::Status { .. } => Progress::Failed(OTHER.into()),
    }
}

fn seen(report: Result<Report, AskError>) -> Seen {
    match report {
        Ok(Report::Status { generation, tunnels, dropped }) => Seen::Answers { generation, tunnels, dropped },
        Ok(_) => Seen::Silent(OTHER.into()),
        Err(error) => Seen::Silent(error.to_string()),
    }
}

impl DataPlane for Gateways {
    fn apply(&self, attempt: &Attempt<'_>) -> Applying {
        let (driver, generation, claim) = (self.clone(), attempt.generation, attempt.claim);
        match (&attempt.desired, attempt.document.clone()) {
            (Desired::Network { .. }, _) => Progress::Applied.into(),
            (Desired::NoGateway { id }, _) => {
                Applying::Later(Box::pin(driver.remove(generation, claim, (*id).to_owned())))
            }
            (Desired::Gateway(_), None) => Progress::Failed("there is no document of it".into()).into(),
            (Desired::Gateway(state), Some(document)) => {
                let networks = networks(state, &document);
                Applying::Later(Box::pin(async move {
                    // By now nobody else has it, so that nothing is copied.
                    driver.set(generation, claim, Arc::unwrap_or_clone(document), networks).await
                }))
            }
        }
    }

    fn takes_documents(&self) -> bool {
        true
    }

    fn look(&self) -> Option<Later<Look>> {
        Some(Box::pin(self.clone().see()))
    }

    fn observe(&self, state: &GatewayState<'_>) -> Option<Negotiation> {
        state.mute()
    }

    fn applied(&self, _resource: &str) -> Option<Value> {
        None
    }
}

/// What goes into the tunnels of a gateway: blocks behind its peers, and destinations of its routes. What is behind a
/// peer everywhere is routed by routes alone.
fn networks(state: &GatewayState<'_>, document: &Document) -> Vec<String> {
    let connections = document.connections.values();
    let subnets = connections.flat_map(|connection| connection.settings.remote_subnet.split(','));
    let subnets = subnets.map(str::trim).filter(|block| !block.ends_with("/0"));
    let destinations = state.routes.iter().map(|route| route.destination.as_str());
    let each: BTreeSet<String> = subnets.chain(destinations).map(str::to_owned).collect();
    each.into_iter().collect()
}

/// Asks somebody at a socket, and waits for the answer.
async fn ask<T: DeserializeOwned>(socket: &Path, question: &impl Serialize) -> Result<T, AskError> {
    let question = frame(question)?;
    timeout(PATIENCE, asked(socket, &question)).await.unwrap_or(Err(AskError::Late))
}

async fn asked<T: DeserializeOwned>(socket: &Path, question: &[u8]) -> Result<T, AskError> {
    let path = || socket.to_owned();
    let connected = UnixStream::connect(socket).await;
    let mut stream = connected.map_err(|source| AskError::Unreachable { path: path(), source })?;
    // Keys are for nobody who has put a socket of his own there.
    let user = stream.peer_cred()?.uid();
    if user != 0 && user != rustix::process::geteuid().as_raw() {
        return Err(AskError::Stranger { path: path(), user });
    }
    stream.write_all(question).await?;
    let mut frames = Frames::default();
    let mut octets = [0; 4_096];
    loop {
        if let Some(answer) = frames.take()? {
            return Ok(answer);
        }
        match stream.read(&mut octets).await? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            length => frames.push(&octets[..length]),
        }
    }
}
