//! After the load: waits until everything is at rest, looks at all of it, and judges the histories.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use tongguan_testkit::Call;

use crate::api::name_number;
use crate::database::{Database, Row};
use crate::lane::{Lane, Shared};
use crate::linear::{Verdict, check};
use crate::model::{Action, Answer, Code, Model, Operation, State, Status};
use crate::world::{PAUSE, SETTLE};

/// Finds gateways that were made by calls without an answer, and waits until every gateway is `active`
/// or gone. Then everything is read over the API and in the database.
///
/// # Errors
/// Something does not come to rest, is half done, or was never asked for.
pub async fn look(lane: &mut Lane, database: &Path) -> Result<()> {
    let tracks = settle(lane).await?;
    compare(&lane.shared, tracks, &Database::open(database)?.at_rest()?)
}

/// The first part of [`look`]: what is seen over the API. Answers the gateways that are not known to be gone.
///
/// # Errors
/// As [`look`].
pub async fn settle(lane: &mut Lane) -> Result<Vec<usize>> {
    adopt(lane).await?;
    let tracks = present(&lane.shared);
    for track in &tracks {
        wait(lane, *track).await?;
    }
    for track in &tracks {
        lane.perform(*track, Operation::plain(Action::List)).await?;
    }
    Ok(tracks)
}

/// The second part of [`look`]: what the database holds of these gateways, and of no others.
///
/// # Errors
/// As [`look`].
pub fn compare(shared: &Shared, tracks: Vec<usize>, rows: &HashMap<String, Row>) -> Result<()> {
    let mut record = shared.record.borrow_mut();
    let known: HashSet<_> = tracks.iter().map(|track| record.tracks[*track].id.clone()).collect();
    let strangers: Vec<_> = rows.keys().filter(|id| !known.contains(*id)).collect();
    ensure!(strangers.is_empty(), "gateways in the database that the API does not show: {strangers:?}");
    for track in tracks {
        let row = rows.get(&record.tracks[track].id);
        let changes = row.map(|row| row.intended);
        record.look(track, changes);
    }
    Ok(())
}

fn present(shared: &Shared) -> Vec<usize> {
    let record = shared.record.borrow();
    let tracks = record.tracks.iter().enumerate();
    tracks.filter(|(_, track)| !track.gone).map(|(number, _)| number).collect()
}

async fn wait(lane: &mut Lane, track: usize) -> Result<()> {
    let begun = Instant::now();
    loop {
        match lane.perform(track, Operation::plain(Action::Describe)).await? {
            Answer::Shown(Status::Active, ..) => return Ok(()),
            Answer::Refused(Code::GatewayNotFound) => return Ok(()),
            answer if begun.elapsed() > SETTLE => {
                let id = &lane.shared.record.borrow().tracks[track].id;
                bail!("{id} does not come to rest: {answer}");
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Follows gateways whose making was not answered.
async fn adopt(lane: &mut Lane) -> Result<()> {
    for (id, name) in list(lane).await? {
        let known = lane.shared.record.borrow().tracks.iter().any(|track| !track.gone && track.id == id);
        if known {
            continue;
        }
        let number = name_number(&name);
        let creations = lane.shared.record.borrow().creations.clone();
        let creation = creations
            .iter()
            .position(|creation| creation.id.is_none() && Some(creation.name) == number)
            .with_context(|| format!("gateway {id}, named {name}, is there, and nobody made it"))?;
        lane.shared.created(creation, id);
    }
    Ok(())
}

/// Ids and names of all gateways.
async fn list(lane: &mut Lane) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for page in 1.. {
        let page = page.to_string();
        let call = Call::vpc("DescribeVpnGateways", &[("PageNumber", &page), ("PageSize", "50")]);
        let reply = lane.send(&call).await?;
        reply.text("RequestId")?;
        let total = reply.body["TotalCount"].as_u64().context("no TotalCount")?;
        let gateways = reply.body["VpnGateways"]["VpnGateway"].as_array().context("no VpnGateway")?;
        for gateway in gateways {
            let text = |name: &str| gateway[name].as_str().map(ToOwned::to_owned).context("no text");
            found.push((text("VpnGatewayId")?, text("Name")?));
        }
        if gateways.is_empty() || found.len() as u64 >= total {
            break;
        }
    }
    Ok(found)
}

/// Empty slots get gateways, and what is of one round is forgotten.
///
/// # Errors
/// No answer came, or a caller had found something wrong.
pub async fn next_round(lane: &mut Lane) -> Result<()> {
    let shared = Rc::clone(&lane.shared);
    shared.record.borrow_mut().next_round();
    let slots = shared.slots.borrow().clone();
    for (number, slot) in slots.into_iter().enumerate() {
        let gone = shared.record.borrow().tracks[slot.track].gone;
        if gone {
            lane.create(number).await?;
        } else {
            shared.slots.borrow_mut()[number].replacing = false;
        }
    }
    shared.no_faults()
}

/// What came of comparing histories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// All are possible; so many calls were compared.
    Possible(usize),
    /// One is not; why.
    Impossible(String),
}

impl Judgement {
    /// How many calls were compared.
    ///
    /// # Errors
    /// A history is impossible.
    pub fn possible(self) -> Result<usize> {
        match self {
            Self::Possible(compared) => Ok(compared),
            Self::Impossible(why) => bail!("{why}"),
        }
    }
}

/// Compares every history with the model; the next ones begin where these may have ended.
///
/// # Errors
/// A history that was not decided.
pub fn judge(shared: &Shared) -> Result<Judgement> {
    let mut record = shared.record.borrow_mut();
    let mut compared = 0;
    for track in record.tracks.iter_mut().filter(|track| !track.gone) {
        match check(&Model, &track.initial, &track.events) {
            Verdict::Fits(states) => {
                compared += track.events.len();
                let mut next: Vec<State> = Vec::new();
                for state in states.into_iter().map(State::without_memory) {
                    if !next.contains(&state) {
                        next.push(state);
                    }
                }
                track.gone = next.iter().all(|state| state.status().is_none());
                track.initial = next;
                track.events = Vec::new();
            }
            Verdict::Refused(window) => {
                let calls = track.events.len();
                let why = format!("the history of {} ({calls} calls) is impossible:\n{window}", track.id);
                return Ok(Judgement::Impossible(why));
            }
            Verdict::Undecided => {
                bail!("the history of {} ({} calls) was not decided", track.id, track.events.len());
            }
        }
    }
    Ok(Judgement::Possible(compared))
}
