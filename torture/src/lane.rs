//! One caller with its connection: sends an operation, and records when it began and what came of it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tongguan_testkit::Call;
use tongguan_testkit::http::Connection;

use crate::api::{self, Pen};
use crate::damage::{Altered, Damage};
use crate::model::{Action, Answer, Bound, Code, Operation, Role, State, Status};
use crate::nodes::ways::{Nodes, Unanswered, Ways};
use crate::record::{AuditRecord, Creation, Record};
use crate::world::{SETTLE, World};

/// Pause before a call whose outcome is unknown is made again.
const AGAIN: Duration = Duration::from_millis(100);

/// A place for a gateway; deleted ones are replaced.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// Track of the gateway.
    pub track: usize,
    /// What seems to be bound, so that callers hit more often.
    pub hint: Bound,
    /// Somebody is replacing the gateway.
    pub replacing: bool,
}

/// What all callers share.
#[derive(Debug)]
pub struct Shared {
    /// Signs.
    pub pen: Pen,
    /// Certificates and network.
    pub world: World,
    /// What happened.
    pub record: RefCell<Record>,
    /// Gateways in use.
    pub slots: RefCell<Vec<Slot>>,
    /// What the harness breaks on purpose between itself and the server.
    pub damage: RefCell<Damage>,
    /// What was found wrong by callers.
    pub faults: RefCell<Vec<String>>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Value,
}

/// Whom a caller reaches.
#[derive(Debug, Clone)]
pub enum Reach {
    /// One server, until it is gone.
    One(SocketAddr),
    /// Several nodes, which come and go.
    Nodes(Nodes),
}

impl From<SocketAddr> for Reach {
    fn from(address: SocketAddr) -> Self {
        Self::One(address)
    }
}

impl From<Nodes> for Reach {
    fn from(nodes: Nodes) -> Self {
        Self::Nodes(nodes)
    }
}

/// A caller's connections.
#[derive(Debug)]
pub struct Lane {
    /// What it shares with others.
    pub shared: Rc<Shared>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    One(Connection),
    Nodes(Ways),
}

impl Shared {
    /// Nothing recorded yet.
    #[must_use]
    pub fn new(pen: Pen, world: World, damage: Damage) -> Self {
        Self {
            pen,
            world,
            record: RefCell::default(),
            slots: RefCell::default(),
            damage: RefCell::new(damage),
            faults: RefCell::default(),
        }
    }

    /// Notes that something is wrong.
    pub fn fault(&self, text: String) {
        self.faults.borrow_mut().push(text);
    }

    /// Fails if a caller found something wrong.
    ///
    /// # Errors
    /// What it found.
    pub fn no_faults(&self) -> Result<()> {
        let faults = self.faults.borrow();
        ensure!(faults.is_empty(), "{}", faults.join("\n"));
        Ok(())
    }
}

impl Reply {
    /// Code of a refusal; empty for a success.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["Code"].as_str().unwrap_or_default()
    }

    /// A member of a success.
    ///
    /// # Errors
    /// It is a refusal, or the member is no text.
    pub fn text(&self, name: &str) -> Result<&str> {
        ensure!(self.status == 200, "refused with {}: {}", self.status, self.body);
        self.body[name].as_str().with_context(|| format!("no {name} in {}", self.body))
    }
}

impl Lane {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn open(shared: &Rc<Shared>, reach: impl Into<Reach>) -> Result<Self> {
        let way = match reach.into() {
            Reach::One(address) => Way::One(Connection::open(address).await?),
            Reach::Nodes(nodes) => Way::Nodes(nodes.open()),
        };
        Ok(Self { shared: Rc::clone(shared), way })
    }

    /// Whether a call whose outcome is unknown is made again.
    async fn insists(&self, error: &anyhow::Error, begun: Instant) -> bool {
        let Way::Nodes(ways) = &self.way else { return false };
        let insists = ways.insists() && error.is::<Unanswered>() && begun.elapsed() < SETTLE;
        if insists {
            tokio::time::sleep(AGAIN).await;
        }
        insists
    }

    /// Sends an operation of the model and records it; a lane that insists does so until there is an answer.
    ///
    /// # Errors
    /// No answer came.
    pub async fn perform(&mut self, track: usize, operation: Operation) -> Result<Answer> {
        let begun = Instant::now();
        loop {
            match self.try_once(track, operation).await {
                Err(error) if self.insists(&error, begun).await => {}
                tried => return tried,
            }
        }
    }

    async fn try_once(&mut self, track: usize, operation: Operation) -> Result<Answer> {
        let shared = Rc::clone(&self.shared);
        let event = shared.record.borrow_mut().begin(track, operation);
        let altered = shared.damage.borrow_mut().before(track, &operation);
        let answer = match altered {
            Altered::Answer(answer) => answer,
            Altered::Send(sent) => self.transmit(track, event, &sent).await?,
        };
        let (answer, echo) = shared.damage.borrow_mut().after(track, &operation, answer);
        shared.record.borrow_mut().end(track, event, answer.clone());
        if let Some(echo) = echo {
            self.transmit(track, event, &echo).await?;
        }
        Ok(answer)
    }

    async fn transmit(&mut self, track: usize, event: usize, operation: &Operation) -> Result<Answer> {
        let shared = Rc::clone(&self.shared);
        let id = shared.record.borrow().tracks[track].id.clone();
        let bytes = shared.pen.sign(&api::call_of(&id, operation, &shared.world.certificates));
        match self.exchange(&bytes, operation.action.name()).await {
            Ok(reply) => {
                shared.record.borrow_mut().sent.push(bytes);
                Ok(read(operation, &id, &reply, &shared.world))
            }
            Err(error) => {
                shared.record.borrow_mut().unanswered.push((track, event, bytes));
                Err(error)
            }
        }
    }

    /// Sends a call that belongs to no gateway's history.
    ///
    /// # Errors
    /// No answer came.
    pub async fn send(&mut self, call: &Call<'_>) -> Result<Reply> {
        let begun = Instant::now();
        loop {
            let bytes = self.shared.pen.sign(call);
            match self.exchange(&bytes, call.action).await {
                Err(error) if self.insists(&error, begun).await => {}
                tried => {
                    let reply = tried?;
                    self.shared.record.borrow_mut().sent.push(bytes);
                    return Ok(reply);
                }
            }
        }
    }

    /// Sends signed bytes as they are.
    ///
    /// # Errors
    /// No answer came, or one without a request id.
    pub async fn exchange(&mut self, bytes: &[u8], action: &str) -> Result<Reply> {
        let shared = Rc::clone(&self.shared);
        let answered = match &mut self.way {
            Way::One(connection) => {
                connection.exchange(bytes).await.map(|answer| (answer.status, answer.body.to_vec()))
            }
            Way::Nodes(ways) => ways.exchange(bytes, action, &shared).await,
        };
        let (status, body) = answered.inspect_err(|_| shared.record.borrow_mut().lost += 1)?;
        let body: Value = match serde_json::from_slice(&body) {
            Ok(body) => body,
            Err(_) => {
                let text = String::from_utf8_lossy(&body).into_owned();
                shared.fault(format!("{action} answered no JSON: {text}"));
                bail!("no JSON");
            }
        };
        let reply = Reply { status, body };
        let code = (reply.status != 200).then(|| reply.code().to_owned());
        let audited = AuditRecord { action: action.to_owned(), status: reply.status, code };
        let id = reply.body["RequestId"].as_str().unwrap_or_default().to_owned();
        let mut record = shared.record.borrow_mut();
        record.total += 1;
        if id.is_empty() || record.answered.insert(id.clone(), audited).is_some() {
            shared.fault(format!("request id `{id}` is not a new one: {}", reply.body));
        }
        Ok(reply)
    }

    /// Sends signed bytes that were answered before: the nonce must be known.
    ///
    /// # Errors
    /// No answer came.
    pub async fn replay(&mut self, bytes: &[u8]) -> Result<()> {
        let begun = Instant::now();
        let reply = loop {
            match self.exchange(bytes, &action_of(bytes)).await {
                Err(error) if self.insists(&error, begun).await => {}
                tried => break tried?,
            }
        };
        if reply.code() != "SignatureNonceUsed" {
            let head = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
            self.shared.fault(format!("a replay was answered {} {}: {head}", reply.status, reply.body));
        }
        Ok(())
    }

    /// Sends the signed bytes of a call without an answer again. If they are taken this time, the call is
    /// made; its nonce sees to it that it is not made twice.
    ///
    /// # Errors
    /// No answer came.
    pub async fn again(&mut self, track: usize, event: usize, bytes: &[u8]) -> Result<()> {
        let shared = Rc::clone(&self.shared);
        let (id, operation) = {
            let mut record = shared.record.borrow_mut();
            let nonce = record.number();
            let track = &mut record.tracks[track];
            track.events[event].operation.nonce = Some(nonce);
            (track.id.clone(), track.events[event].operation)
        };
        let begun = Instant::now();
        loop {
            let event = shared.record.borrow_mut().begin(track, operation);
            match self.exchange(bytes, operation.action.name()).await {
                Err(error) if self.insists(&error, begun).await => {}
                tried => {
                    let answer = read(&operation, &id, &tried?, &shared.world);
                    shared.record.borrow_mut().end(track, event, answer);
                    return Ok(());
                }
            }
        }
    }

    /// Makes a gateway in a slot.
    ///
    /// # Errors
    /// No answer came.
    pub async fn create(&mut self, slot: usize) -> Result<()> {
        let shared = Rc::clone(&self.shared);
        let (call, creation) = {
            let mut record = shared.record.borrow_mut();
            let (name, token) = (record.number(), record.number());
            record.creations.push(Creation { slot, name, token, id: None });
            (shared.world.create_gateway(name, token), record.creations.len() - 1)
        };
        let reply = self.send(&call).await?;
        let id = reply.text("VpnGatewayId").map(ToOwned::to_owned);
        match id {
            Ok(id) => shared.created(creation, id),
            Err(error) => shared.fault(format!("CreateVpnGateway: {error:#}")),
        }
        Ok(())
    }
}

impl Shared {
    /// A gateway that was made is followed, and takes its slot.
    pub fn created(&self, creation: usize, id: String) {
        let mut record = self.record.borrow_mut();
        let Creation { slot, name, .. } = record.creations[creation];
        record.creations[creation].id = Some(id.clone());
        let track = record.follow(id, vec![State::building(name)]);
        let mut slots = self.slots.borrow_mut();
        let new = Slot { track, hint: [None, None], replacing: false };
        match slots.get_mut(slot) {
            Some(slot) => *slot = new,
            None => slots.push(new),
        }
    }
}

/// Name of the operation in a signed request: a parameter in V1, a header in V3.
fn action_of(bytes: &[u8]) -> String {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4_096)]).into_owned();
    for mark in ["x-acs-action: ", "Action="] {
        if let Some((_, rest)) = head.split_once(mark) {
            return rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        }
    }
    String::new()
}

/// An answer in the words of the model.
pub(crate) fn read(operation: &Operation, id: &str, reply: &Reply, world: &World) -> Answer {
    if reply.status != 200 {
        return Answer::Refused(Code::parse(reply.code()));
    }
    let understood = match operation.action {
        Action::Bind(..) | Action::Unbind(..) | Action::Delete | Action::Changes => Some(Answer::Done),
        Action::Modify(..) | Action::Describe => shown(id, &reply.body),
        Action::List => listed(id, &reply.body, world),
    };
    understood.unwrap_or_else(|| Answer::Strange(reply.body.to_string()))
}

fn shown(id: &str, body: &Value) -> Option<Answer> {
    let status = match body["Status"].as_str()? {
        "provisioning" => Status::Provisioning,
        "active" => Status::Active,
        "updating" => Status::Updating,
        "deleting" => Status::Deleting,
        _ => return None,
    };
    let name = api::name_number(body["Name"].as_str()?)?;
    let description = api::description_number(body["Description"].as_str()?)?;
    (body["VpnGatewayId"] == id).then_some(Answer::Shown(status, name, description))
}

fn listed(id: &str, body: &Value, world: &World) -> Option<Answer> {
    let mut bound: Bound = [None, None];
    let relations = body["VpnCertificateRelations"].as_array()?;
    for relation in relations {
        let role = Role::ALL.into_iter().find(|role| relation["CertificateType"] == role.name())?;
        let known =
            world.certificates.iter().position(|known| relation["CertificateId"] == known.as_str())?;
        let place = &mut bound[role.place()];
        if place.is_some() || relation["VpnGatewayId"] != id {
            return None;
        }
        *place = Some(u8::try_from(known).ok()?);
    }
    (body["TotalCount"] == relations.len()).then_some(Answer::Listed(bound))
}
