//! All connections of a gateway: which SA a message belongs to, what is due when, and what follows from what.
//!
//! An SA is found by the cookie that we have chosen for it. Child SAs belong to their connection and outlive the IKE
//! SA under which they were made, as long as the connection has another one: then the peer is still there to be
//! told.
//!
//! There may be thousands of connections. So nothing that happens to one of them looks at the others: what belongs
//! together is found by index, and of each connection the moment stands in a queue at which it is to be looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tongguan_pki::Random;

use crate::child::{Child, Children};
use crate::config::{Authentication, Connection, ConnectionId, Selector};
use crate::exchange::{Message, New, Quick};
use crate::guard::Guard;
use crate::informational;
use crate::io::{Command, EspEvent, Event, IKE_PORT, Input, Now, Output};
use crate::keys::Cookies;
use crate::main_mode::{self, Incoming};
use crate::proposal::choose_phase_1;
use crate::quick;
use crate::sa::{AT_ONCE, Context, IkeSa, OVERLAP, Phase, Times, jitter};
use crate::wire::{After, Cookie, Delete, Header, Notify, Sa, exchange, kind, payloads, version};

/// How long phase 1 may take.
const HALF_OPEN: Duration = Duration::from_secs(30);
/// A connection that failed is tried again after this time, which doubles.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// How long the peer is told again that an IKE SA is gone, if it goes on using it.
const FAREWELL: Duration = Duration::from_secs(60);
/// IKE SAs that are remembered for that at most.
const MAX_GONE: usize = 1_024;
/// When an IKE SA is replaced, in parts of its lifetime, less up to a tenth.
const PHASE_1_REKEY: f64 = 0.9;

/// A connection, and what there is of it.
struct State {
    connection: Arc<Connection>,
    /// Its IKE SAs, by the cookie that is ours.
    sas: BTreeSet<Cookie>,
    children: Children,
    /// Whether it is to be there.
    wanted: bool,
    /// Not to be looked at before, whatever it lacks.
    retry: Duration,
    failures: u32,
    /// Its place among the timers.
    due: Option<Duration>,
}

impl State {
    /// Whether we are to bring it about; a peer that may be anywhere has to begin itself.
    fn is_wanted(&self) -> bool {
        self.wanted && self.connection.remote.is_some()
    }
}

/// What is to be looked at when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Connection(ConnectionId),
    /// An IKE SA that was ended is to be forgotten.
    Gone(Cookie),
}

/// The negotiations of a gateway.
#[derive(Default)]
pub struct Router {
    connections: BTreeMap<ConnectionId, State>,
    /// Connections by the address of their peer; none if it may come from anywhere.
    peers: BTreeMap<Option<IpAddr>, BTreeSet<ConnectionId>>,
    /// By the cookie that is ours.
    sas: BTreeMap<Cookie, IkeSa>,
    /// Ours, by the address where the peer is now.
    places: BTreeMap<IpAddr, BTreeSet<Cookie>>,
    /// Ours, by the address and the cookie of who began.
    begun: BTreeMap<(IpAddr, Cookie), Cookie>,
    /// IKE SAs that we have ended, with the moment at which they are forgotten. Nobody acknowledges a Delete, so it is
    /// said again to a peer that cannot have heard it.
    gone: BTreeMap<Cookie, (Duration, IkeSa)>,
    /// Whose the SPIs are under which we receive.
    spis: BTreeMap<u32, ConnectionId>,
    guard: Guard,
    timers: BTreeSet<(Duration, Timer)>,
    out: Vec<Output>,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router")
            .field("connections", &self.connections.len())
            .field("sas", &self.sas.len())
            .finish_non_exhaustive()
    }
}

impl Router {
    /// A gateway without connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a connection, or changes one: then its SAs are deleted, and the peer is told.
    pub fn configure(&mut self, connection: Connection, now: Now, random: &mut dyn Random) -> Vec<Output> {
        let id = connection.id;
        self.take_out(id, "the connection was changed", now, random);
        self.peers.entry(connection.remote).or_default().insert(id);
        let wanted = connection.immediately;
        let state = State {
            connection: Arc::new(connection),
            sas: BTreeSet::new(),
            children: Children::default(),
            wanted,
            retry: now.steady,
            failures: 0,
            due: None,
        };
        self.connections.insert(id, state);
        self.maintain(id, now, random);
        self.schedule(id);
        std::mem::take(&mut self.out)
    }

    /// Removes a connection. Its SAs are deleted, and the peer is told.
    pub fn remove(&mut self, id: ConnectionId, now: Now, random: &mut dyn Random) -> Vec<Output> {
        self.take_out(id, "the connection was removed", now, random);
        std::mem::take(&mut self.out)
    }

    fn take_out(&mut self, id: ConnectionId, reason: &'static str, now: Now, random: &mut dyn Random) {
        self.withdraw(id, reason, now, random);
        let Some(state) = self.connections.remove(&id) else { return };
        if let Some(due) = state.due {
            self.timers.remove(&(due, Timer::Connection(id)));
        }
        let remote = state.connection.remote;
        if let Some(same) = self.peers.get_mut(&remote) {
            same.remove(&id);
            if same.is_empty() {
                self.peers.remove(&remote);
            }
        }
    }

    /// Takes what happened, answers what is to be done.
    pub fn handle(&mut self, now: Now, input: Input<'_>, random: &mut dyn Random) -> Vec<Output> {
        match input {
            Input::Datagram { local, remote, octets } => self.datagram([local, remote], octets, now, random),
            Input::Tick => self.tick(now, random),
            Input::Command(Command::Initiate(id)) => {
                if let Some(state) = self.connections.get_mut(&id) {
                    (state.wanted, state.retry) = (true, now.steady);
                    self.maintain(id, now, random);
                    self.schedule(id);
                }
            }
            Input::Command(Command::Terminate(id)) => {
                self.withdraw(id, "terminated", now, random);
                if let Some(state) = self.connections.get_mut(&id) {
                    state.wanted = state.connection.immediately;
                    state.retry = now.steady + RETRY;
                    self.schedule(id);
                }
            }
            Input::Esp(event) => self.esp(event, now, random),
        }
        std::mem::take(&mut self.out)
    }

    /// When [`Input::Tick`] is due next.
    pub fn next_timer(&self) -> Option<Duration> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Puts a connection where it belongs among the timers. To be called after all that may have moved it.
    fn schedule(&mut self, id: ConnectionId) {
        let Some(state) = self.connections.get(&id) else { return };
        let (before, due) = (state.due, self.due(state));
        if before == due {
            return;
        }
        if let Some(before) = before {
            self.timers.remove(&(before, Timer::Connection(id)));
        }
        self.timers.extend(due.map(|due| (due, Timer::Connection(id))));
        if let Some(state) = self.connections.get_mut(&id) {
            state.due = due;
        }
    }

    /// When a connection is to be looked at.
    fn due(&self, state: &State) -> Option<Duration> {
        let detection = state.connection.dead_peer_detection;
        let of_sas = state.sas.iter().filter_map(|own| self.sas.get(own)).flat_map(|sa| {
            let own = if sa.is_established() {
                let probe = detection.then(|| informational::probe_due(sa));
                [Some(sa.times.end), sa.times.rekey, probe]
            } else {
                [Some(sa.times.deadline), None, None]
            };
            let quick = sa.quick.values().map(Quick::next);
            own.into_iter().flatten().chain(quick).chain(sa.sent.iter().map(|sent| sent.next))
        });
        let waiting = state.is_wanted() && !self.is_settled(state);
        of_sas.chain(waiting.then_some(state.retry)).chain(state.children.next_timer()).min()
    }

    /// The SPIs under which a connection receives, the newest last.
    pub fn inbound(&self, id: ConnectionId) -> Vec<u32> {
        self.connections.get(&id).map(|state| state.children.inbound()).unwrap_or_default()
    }

    /// Whether a connection has an IKE SA, and whether it has child SAs for all of its networks.
    pub fn has(&self, id: ConnectionId) -> [bool; 2] {
        let Some(state) = self.connections.get(&id) else { return [false; 2] };
        let whole = state.connection.selectors.iter().all(|selector| state.children.has(*selector));
        [self.best_of(state).is_some(), whole]
    }

    /// How many IKE SAs there are: established, and on their way.
    pub fn counts(&self) -> [usize; 2] {
        let established = self.sas.values().filter(|sa| sa.is_established()).count();
        [established, self.sas.len() - established]
    }

    fn drop_message(&mut self, connection: Option<ConnectionId>, reason: impl Into<String>) {
        self.out.push(Output::Event(Event::Dropped(connection, reason.into())));
    }

    fn datagram(
        &mut self,
        [local, remote]: [SocketAddr; 2],
        octets: &[u8],
        now: Now,
        random: &mut dyn Random,
    ) {
        let (header, body) = match Header::read(octets) {
            Ok(read) => read,
            Err(error) => return self.drop_message(None, error.to_string()),
        };
        let incoming = Incoming { local, remote, header, body, datagram: octets };
        if header.exchange == exchange::MAIN && header.responder == Cookie::default() {
            return self.first(incoming, now, random);
        }
        let Some(own) = self.own_cookie(&header) else {
            self.too_late(incoming, now, random);
            return self.drop_message(None, "there is no SA with these cookies");
        };
        let Some(mut sa) = self.take_sa(own) else { return };
        let Some(state) = self.connections.get(&sa.connection) else { return };
        let connection = Arc::clone(&state.connection);
        let mut context = Context { now, random, out: &mut self.out, spis: &self.spis };
        let mut outcome = Outcome::default();
        let result = match header.exchange {
            exchange::MAIN => main(&mut sa, &connection, incoming, &mut context, &mut outcome),
            exchange::QUICK => quick(&mut sa, &connection, incoming, &mut context, &mut outcome),
            _ => inform(&mut sa, incoming, &mut context, &mut outcome),
        };
        let id = sa.connection;
        self.put_sa(own, sa);
        if let Err(reason) = result {
            self.drop_message(Some(id), reason);
        }
        self.follow(own, id, outcome, now, random);
        self.schedule(id);
    }

    /// Keeps an IKE SA, and where it is found.
    fn put_sa(&mut self, own: Cookie, sa: IkeSa) {
        if let Some(state) = self.connections.get_mut(&sa.connection) {
            state.sas.insert(own);
        }
        self.places.entry(sa.remote.ip()).or_default().insert(own);
        self.sas.insert(own, sa);
    }

    /// Takes an IKE SA out; whoever has changed it puts it back.
    fn take_sa(&mut self, own: Cookie) -> Option<IkeSa> {
        let sa = self.sas.remove(&own)?;
        if let Some(state) = self.connections.get_mut(&sa.connection) {
            state.sas.remove(&own);
        }
        let place = sa.remote.ip();
        if let Some(same) = self.places.get_mut(&place) {
            same.remove(&own);
            if same.is_empty() {
                self.places.remove(&place);
            }
        }
        Some(sa)
    }

    /// What follows from a message, beside its answer.
    fn follow(&mut self, own: Cookie, id: ConnectionId, outcome: Outcome, now: Now, random: &mut dyn Random) {
        if outcome.established {
            self.established(own, id, now, random);
        }
        if let Some(new) = outcome.child {
            self.install(own, id, new, now, random);
        }
        if outcome.initial_contact {
            self.forget_others(own, id, now, random);
        }
        for delete in outcome.deletes {
            self.deleted(id, &delete, now, random);
        }
        self.maintain(id, now, random);
    }

    /// Our cookie of the SA that a header belongs to.
    fn own_cookie(&self, header: &Header) -> Option<Cookie> {
        let of_initiator = self.sas.get(&header.initiator).filter(|sa| {
            let peer = sa.cookies.responder;
            sa.initiator && (peer == header.responder || peer == Cookie::default())
        });
        if of_initiator.is_some() {
            return Some(header.initiator);
        }
        let sa = self.sas.get(&header.responder)?;
        (!sa.initiator && sa.cookies.initiator == header.initiator).then_some(header.responder)
    }

    /// A message under no SA: if we had one, the peer has not heard that it is gone; unless it says the same.
    fn too_late(&mut self, incoming: Incoming<'_>, now: Now, random: &mut dyn Random) {
        let Incoming { header, body, .. } = incoming;
        let cookies = Cookies { initiator: header.initiator, responder: header.responder };
        let own = [header.initiator, header.responder]
            .into_iter()
            .find(|own| self.gone.get(own).is_some_and(|(_, sa)| sa.cookies == cookies));
        let Some(own) = own.filter(|_| header.encrypted) else { return };
        if self.gone.get(&own).is_some_and(|(_, sa)| informational::is_farewell(sa, header, body)) {
            self.forget(own);
        }
        self.say_again(None, now, random, |sa| sa.cookies == cookies);
    }

    /// Forgets an IKE SA that was ended.
    fn forget(&mut self, own: Cookie) {
        if let Some((until, _)) = self.gone.remove(&own) {
            self.timers.remove(&(until, Timer::Gone(own)));
        }
    }

    /// Message 1 of main mode.
    fn first(&mut self, incoming: Incoming<'_>, now: Now, random: &mut dyn Random) {
        let Incoming { local, remote, header, .. } = incoming;
        if let Some(own) = self.begun.get(&(remote.ip(), header.initiator)).copied() {
            let Some(sa) = self.sas.get_mut(&own) else { return };
            let mut context = Context { now, random, out: &mut self.out, spis: &self.spis };
            if !sa.repeat(incoming.datagram, &mut context) {
                self.drop_message(None, "a first message with the cookie of another");
            }
            return;
        }
        let connection = match self.suitable(incoming) {
            Ok(connection) => connection,
            Err(reason) => return self.drop_message(None, reason),
        };
        if let Err(bound) = self.guard.admit(remote.ip(), now.steady) {
            self.out.push(Output::Event(Event::Limited(bound)));
            return;
        }
        let Some(own) = fresh_cookie(&self.sas, random) else { return };
        let cookies = Cookies { initiator: header.initiator, responder: own };
        let mut sa = IkeSa::new(
            connection.id,
            false,
            cookies,
            [local, remote],
            header.version,
            times(&connection, now, random),
        );
        let mut context = Context { now, random, out: &mut self.out, spis: &self.spis };
        match main_mode::answer_sa(&mut sa, &connection, incoming, &mut context) {
            Ok(()) => {
                self.begun.insert((remote.ip(), header.initiator), own);
                self.guard.opened(remote.ip());
                self.put_sa(own, sa);
                self.schedule(connection.id);
            }
            Err(reason) => self.drop_message(Some(connection.id), reason),
        }
    }

    /// The connection that a first message is for: of those with this peer, the first that can do what is offered.
    fn suitable(&self, incoming: Incoming<'_>) -> Result<Arc<Connection>, String> {
        let Incoming { local, remote, header, body, .. } = incoming;
        if header.encrypted || header.message_id != 0 || header.initiator == Cookie::default() {
            return Err("a first message with a wrong header".into());
        }
        let with_peer = [Some(remote.ip()), None].into_iter().filter_map(|remote| self.peers.get(&remote));
        let ids: BTreeSet<ConnectionId> = with_peer.flatten().copied().collect();
        let mut of_peer = ids
            .iter()
            .filter_map(|id| self.connections.get(id))
            .map(|state| &state.connection)
            .filter(|connection| connection.local == local.ip())
            .peekable();
        if of_peer.peek().is_none() {
            return Err("no connection has this peer".into());
        }
        let all = payloads(header.next, body, After::Nothing).map_err(|error| error.to_string())?;
        let sa = all.first().filter(|payload| payload.kind == kind::SA).ok_or("no SA payload")?;
        let sa = Sa::read(sa.body).map_err(|error| error.to_string())?;
        let found = of_peer.find(|connection| {
            wire_version(connection) == header.version && choose_phase_1(connection, &sa).is_some()
        });
        found.map(Arc::clone).ok_or_else(|| format!("no proposal suits: {sa:?}"))
    }

    fn established(&mut self, own: Cookie, id: ConnectionId, now: Now, random: &mut dyn Random) {
        let others: Vec<Cookie> = self.established_of(id).filter(|other| *other != own).collect();
        let Some(state) = self.connections.get_mut(&id) else { return };
        (state.failures, state.retry) = (0, now.steady);
        let alone = others.is_empty() && state.children.is_empty();
        let connection = Arc::clone(&state.connection);
        let fresh = times(&connection, now, random);
        let Some(sa) = self.sas.get_mut(&own) else { return };
        if !sa.initiator {
            self.guard.closed(sa.origin);
        }
        sa.times = fresh;
        sa.probe.heard = now.steady;
        self.out.push(Output::Event(Event::IkeEstablished(id)));
        if alone {
            let mut context = Context { now, random, out: &mut self.out, spis: &self.spis };
            informational::send_initial_contact(sa, &mut context);
        }
        let of_own = sa.cookies;
        for other in others {
            let Some(rival) = self.sas.get(&other) else { continue };
            let window = AT_ONCE.min(connection.phase_1_lifetime / 10);
            let at_once = now.steady.saturating_sub(rival.times.established) < window;
            let loser = if at_once && rival.cookies > of_own { own } else { other };
            if let Some(sa) = self.sas.get_mut(&loser) {
                sa.times.rekey = None;
                sa.times.end = sa.times.end.min(now.steady + OVERLAP);
            }
        }
    }

    fn established_of(&self, id: ConnectionId) -> impl Iterator<Item = Cookie> + '_ {
        self.connections.get(&id).into_iter().flat_map(|state| self.established_in(state))
    }

    fn established_in<'a>(&'a self, state: &'a State) -> impl Iterator<Item = Cookie> + 'a {
        let found = |own: &&Cookie| self.sas.get(*own).is_some_and(IkeSa::is_established);
        state.sas.iter().filter(found).copied()
    }

    /// The IKE SA under which a connection negotiates and tells: the one that lasts longest.
    fn best(&self, id: ConnectionId) -> Option<Cookie> {
        self.connections.get(&id).and_then(|state| self.best_of(state))
    }

    fn best_of(&self, state: &State) -> Option<Cookie> {
        self.established_in(state).max_by_key(|own| self.sas.get(own).map(|sa| sa.times.end))
    }

    fn install(&mut self, own: Cookie, id: ConnectionId, new: New, now: Now, random: &mut dyn Random) {
        let Some(state) = self.connections.get_mut(&id) else { return };
        let spi = new.child.inbound.spi;
        self.spis.insert(spi, id);
        state.children.add(Child::new(&new, own, state.connection.phase_2_lifetime, now, random), now);
        self.out.push(Output::Install(Box::new(new.child)));
        self.out.push(Output::Event(Event::ChildEstablished(id, spi)));
    }

    fn uninstall(&mut self, id: ConnectionId, child: &Child, reason: &'static str) {
        self.spis.remove(&child.inbound);
        self.out.push(Output::Remove { connection: id, spi: child.inbound });
        self.out.push(Output::Event(Event::ChildClosed(id, child.inbound, reason)));
    }

    /// The peer says that it had nothing before this SA.
    fn forget_others(&mut self, own: Cookie, id: ConnectionId, now: Now, random: &mut dyn Random) {
        let others: Vec<Cookie> = self.established_of(id).filter(|other| *other != own).collect();
        for other in others {
            self.close(other, "the peer has begun anew", true, now, random);
        }
        let Some(state) = self.connections.get_mut(&id) else { return };
        for child in state.children.take(|child| child.under != own) {
            self.uninstall(id, &child, "the peer has begun anew");
        }
    }

    fn deleted(&mut self, id: ConnectionId, delete: &Delete, now: Now, random: &mut dyn Random) {
        for spi in &delete.spis {
            if let Ok(spi) = <[u8; 4]>::try_from(&spi[..]) {
                let spi = u32::from_be_bytes(spi);
                let Some(state) = self.connections.get_mut(&id) else { return };
                if let Some(spi) = state.children.linger(spi, now) {
                    self.out.push(Output::Cease { connection: id, spi });
                    continue;
                }
                for child in state.children.take(|child| child.outbound == spi) {
                    self.uninstall(id, &child, "deleted by the peer");
                }
            } else {
                let found = self.established_of(id).find(|own| {
                    self.sas
                        .get(own)
                        .is_some_and(|sa| [&sa.cookies.initiator[..], &sa.cookies.responder].concat() == *spi)
                });
                if let Some(own) = found {
                    self.close(own, "deleted by the peer", false, now, random);
                }
            }
        }
    }

    /// Ends an IKE SA. With the last one of a connection go its child SAs.
    fn close(&mut self, own: Cookie, reason: &'static str, tell: bool, now: Now, random: &mut dyn Random) {
        let Some(mut sa) = self.take_sa(own) else { return };
        let id = sa.connection;
        let established = sa.is_established();
        self.out.extend(sa.quick.values().filter_map(Quick::unexpected));
        let last = established && self.best(id).is_none();
        let children = match self.connections.get_mut(&id) {
            Some(state) if last => state.children.take(|_| true),
            _ => Vec::new(),
        };
        if tell && established {
            let mut context = Context { now, random, out: &mut self.out, spis: &self.spis };
            let spis: Vec<u32> = children.iter().map(|child| child.inbound).collect();
            informational::send_deletes(&mut sa, &spis, true, &mut context);
        }
        for child in &children {
            self.uninstall(id, child, reason);
        }
        if !sa.initiator {
            self.begun.remove(&(sa.origin, sa.cookies.initiator));
            if !established {
                self.guard.closed(sa.origin);
            }
        }
        let initiator = sa.initiator;
        if tell && established && self.gone.len() < MAX_GONE {
            sa.probe.told = now.steady;
            let until = now.steady + FAREWELL;
            self.timers.insert((until, Timer::Gone(own)));
            self.gone.insert(own, (until, sa));
        }
        self.out.push(Output::Event(Event::IkeClosed(id, reason)));
        if let Some(state) = self.connections.get_mut(&id)
            && (last || !established && initiator)
        {
            let wait = RETRY * (1 << state.failures.min(6));
            state.failures += 1;
            let wait = wait.min(LONGEST_RETRY);
            state.retry = now.steady + wait + jitter(wait / 4, random);
            state.wanted = state.connection.immediately;
        }
    }

    /// Tells the peer once more that IKE SAs are gone, and a child SA with them; each once a second at most.
    fn say_again(
        &mut self,
        child: Option<u32>,
        now: Now,
        random: &mut dyn Random,
        meant: impl Fn(&IkeSa) -> bool,
    ) {
        for (_, sa) in self.gone.values_mut().filter(|(_, sa)| meant(sa)) {
            let mut context = Context { now, random, out: &mut self.out, spis: &self.spis };
            informational::send_gone(sa, child, true, &mut context);
        }
    }

    /// Ends everything of a connection.
    fn withdraw(&mut self, id: ConnectionId, reason: &'static str, now: Now, random: &mut dyn Random) {
        let all = self.connections.get(&id).map(|state| state.sas.clone()).unwrap_or_default();
        for own in all {
            self.close(own, reason, true, now, random);
        }
    }

    fn is_settled(&self, state: &State) -> bool {
        let missing = state.connection.selectors.iter().any(|selector| !state.children.has(*selector));
        !missing && self.best_of(state).is_some()
    }

    /// Brings about what a connection lacks, if it is to be there.
    fn maintain(&mut self, id: ConnectionId, now: Now, random: &mut dyn Random) {
        let Some(state) = self.connections.get(&id) else { return };
        if !state.is_wanted() || now.steady < state.retry || self.is_settled(state) {
            return;
        }
        let connection = Arc::clone(&state.connection);
        let missing: Vec<Selector> =
            connection.selectors.iter().filter(|selector| !state.children.has(**selector)).copied().collect();
        if let Some(state) = self.connections.get_mut(&id) {
            state.retry = now.steady + RETRY;
        }
        match self.best(id) {
            Some(own) => {
                missing.iter().for_each(|selector| self.ask(own, &connection, *selector, now, random))
            }
            None => self.begin(&connection, now, random),
        }
    }

    /// Begins a quick mode, unless one for the same networks is under way.
    fn ask(
        &mut self,
        own: Cookie,
        connection: &Connection,
        selector: Selector,
        now: Now,
        random: &mut dyn Random,
    ) {
        let under_way = self.sas_of(connection.id).any(|sa| {
            sa.quick.values().any(|quick| matches!(quick, Quick::Asked(asked) if asked.selector == selector))
        });
        let Some(sa) = self.sas.get_mut(&own).filter(|_| !under_way) else { return };
        let mut context = Context { now, random, out: &mut self.out, spis: &self.spis };
        if let Err(reason) = quick::begin(sa, connection, selector, &mut context) {
            self.drop_message(Some(connection.id), reason);
        }
    }

    /// Begins main mode, unless one is under way.
    fn begin(&mut self, connection: &Connection, now: Now, random: &mut dyn Random) {
        let under_way = self.sas_of(connection.id).any(|sa| sa.initiator && !sa.is_established());
        let Some(remote) = connection.remote.filter(|_| !under_way) else { return };
        let Some(own) = fresh_cookie(&self.sas, random) else { return };
        let cookies = Cookies { initiator: own, responder: Cookie::default() };
        let ends = [SocketAddr::new(connection.local, IKE_PORT), SocketAddr::new(remote, IKE_PORT)];
        let times = times(connection, now, random);
        let mut sa = IkeSa::new(connection.id, true, cookies, ends, wire_version(connection), times);
        let mut context = Context { now, random, out: &mut self.out, spis: &self.spis };
        main_mode::begin(&mut sa, connection, &mut context);
        self.put_sa(own, sa);
    }

    /// All IKE SAs of a connection.
    fn sas_of(&self, id: ConnectionId) -> impl Iterator<Item = &IkeSa> {
        let own = self.connections.get(&id).into_iter().flat_map(|state| &state.sas);
        own.filter_map(|own| self.sas.get(own))
    }

    fn tick(&mut self, now: Now, random: &mut dyn Random) {
        let due = self.timers.iter().take_while(|(due, _)| *due <= now.steady);
        let due: Vec<Timer> = due.map(|(_, timer)| *timer).collect();
        for timer in due {
            let id = match timer {
                Timer::Connection(id) => id,
                Timer::Gone(own) => {
                    self.forget(own);
                    continue;
                }
            };
            let all = self.connections.get(&id).map(|state| state.sas.clone()).unwrap_or_default();
            for own in all {
                self.tick_sa(own, now, random);
            }
            self.tick_connection(id, now, random);
            self.maintain(id, now, random);
            self.schedule(id);
        }
    }

    fn tick_sa(&mut self, own: Cookie, now: Now, random: &mut dyn Random) {
        let Some(sa) = self.sas.get_mut(&own) else { return };
        let Some(state) = self.connections.get_mut(&sa.connection) else { return };
        let connection = Arc::clone(&state.connection);
        let mut context = Context { now, random, out: &mut self.out, spis: &self.spis };
        if !sa.is_established() {
            let longest = sa.longest();
            if now.steady >= sa.times.deadline || !resend(sa, &mut context) {
                self.close(own, unanswered(longest), false, now, random);
            }
            return;
        }
        let answered = tick_exchanges(sa, &mut state.children, &mut context);
        let alive = !connection.dead_peer_detection || informational::tick(sa, &mut context);
        let rekey = sa.times.rekey.take_if(|due| now.steady >= *due).is_some();
        if !answered {
            self.close(own, "the peer did not answer in quick mode", true, now, random);
        } else if !alive {
            // It may be there all the same, and only our questions or its answers are lost.
            self.close(own, "the peer is not there any more", true, now, random);
        } else if self.sas.get(&own).is_some_and(|sa| now.steady >= sa.times.end) {
            self.close(own, "replaced, or its lifetime is over", true, now, random);
        } else if rekey {
            self.begin(&connection, now, random);
        }
    }

    fn tick_connection(&mut self, id: ConnectionId, now: Now, random: &mut dyn Random) {
        let best = self.best(id);
        let Some(state) = self.connections.get_mut(&id) else { return };
        let connection = Arc::clone(&state.connection);
        let over = state.children.take(|child| child.is_over(now));
        let leaving = state.children.leaving(now);
        let due = state.children.due(best.is_some(), now);
        self.out.extend(leaving.iter().map(|spi| Output::Cease { connection: id, spi: *spi }));
        if let Some(own) = best {
            let untold = over.iter().filter(|child| !child.is_told()).map(|child| child.inbound);
            let spis: Vec<u32> = untold.chain(leaving).collect();
            if let Some(sa) = self.sas.get_mut(&own).filter(|_| !spis.is_empty()) {
                let mut context = Context { now, random, out: &mut self.out, spis: &self.spis };
                informational::send_deletes(sa, &spis, false, &mut context);
            }
            due.into_iter().for_each(|selector| self.ask(own, &connection, selector, now, random));
        }
        for child in &over {
            self.uninstall(id, child, "replaced, or its lifetime is over");
        }
    }

    fn esp(&mut self, event: EspEvent, now: Now, random: &mut dyn Random) {
        match event {
            EspEvent::Soft { spi } | EspEvent::Hard { spi } => {
                let Some(id) = self.spis.get(&spi).copied() else { return };
                let Some(state) = self.connections.get_mut(&id) else { return };
                state.children.exhausted(spi, matches!(event, EspEvent::Hard { .. }), now);
                self.tick_connection(id, now, random);
                self.maintain(id, now, random);
                self.schedule(id);
            }
            EspEvent::UnknownSpi { remote, spi } => {
                let mut found = false;
                for own in self.places.get(&remote.ip()).into_iter().flatten() {
                    let Some(sa) = self.sas.get_mut(own).filter(|sa| sa.is_established()) else { continue };
                    found = true;
                    let mut context = Context { now, random, out: &mut self.out, spis: &self.spis };
                    // One that the peer has already, as only its third message was lost: it is asked for at once.
                    if !quick::ask_for_third(sa, spi, &mut context) {
                        informational::send_gone(sa, Some(spi), false, &mut context);
                    }
                }
                if !found {
                    self.say_again(Some(spi), now, random, |sa| sa.remote.ip() == remote.ip());
                }
            }
            EspEvent::Received(id) => {
                let best = self.best(id);
                if let Some(sa) = best.and_then(|own| self.sas.get_mut(&own)) {
                    sa.probe.heard = now.steady;
                    sa.probe.unanswered = 0;
                }
                self.schedule(id);
            }
        }
    }
}

/// What follows from a message.
#[derive(Default)]
struct Outcome {
    established: bool,
    child: Option<New>,
    initial_contact: bool,
    deletes: Vec<Delete>,
}

fn main(
    sa: &mut IkeSa,
    connection: &Connection,
    incoming: Incoming<'_>,
    context: &mut Context<'_>,
    outcome: &mut Outcome,
) -> Result<(), String> {
    if sa.repeat(incoming.datagram, context) {
        return Ok(());
    }
    let proofs = matches!(sa.phase, Phase::KeyAnswered(_) | Phase::ProofSent(_));
    if incoming.header.message_id != 0
        || incoming.header.encrypted != proofs
        || incoming.header.version != sa.version
    {
        return Err("a message of main mode at the wrong time".into());
    }
    outcome.established = main_mode::step(sa, connection, incoming, context)?;
    Ok(())
}

fn quick(
    sa: &mut IkeSa,
    connection: &Connection,
    incoming: Incoming<'_>,
    context: &mut Context<'_>,
    outcome: &mut Outcome,
) -> Result<(), String> {
    let Incoming { local, remote, header, body, datagram } = incoming;
    if !sa.is_established() || !header.encrypted || header.message_id == 0 {
        return Err("a message of quick mode at the wrong time".into());
    }
    outcome.child = quick::step(sa, connection, Message { header, body, datagram, local, remote }, context)?;
    Ok(())
}

fn inform(
    sa: &mut IkeSa,
    incoming: Incoming<'_>,
    context: &mut Context<'_>,
    outcome: &mut Outcome,
) -> Result<(), String> {
    if !incoming.header.encrypted {
        let all = payloads(incoming.header.next, incoming.body, After::Nothing).map_err(|e| e.to_string())?;
        let notify =
            all.first().and_then(|payload| Notify::read(payload.body).ok()).ok_or("not a notification")?;
        context.out.push(Output::Event(Event::PeerRefuses(sa.connection, notify.kind)));
        return Ok(());
    }
    if !sa.is_established() || incoming.header.message_id == 0 {
        return Err("an informational message at the wrong time".into());
    }
    let Incoming { local, remote, header, body, datagram } = incoming;
    let said = informational::step(sa, Message { header, body, datagram, local, remote }, context)?;
    (outcome.initial_contact, outcome.deletes) = (said.initial_contact, said.deletes);
    Ok(())
}

/// Sends again what is due; false if it was sent often enough.
fn resend(sa: &mut IkeSa, context: &mut Context<'_>) -> bool {
    let Some(mut sent) = sa.sent.take() else { return true };
    if context.now.steady < sent.next {
        sa.sent = Some(sent);
        return true;
    }
    if !sent.again(context.now) {
        return false;
    }
    sa.send(sent.octets.clone(), context);
    sa.sent = Some(sent);
    true
}

/// The longest message that a path of 1,280 octets takes whole, in UDP after four octets that say that it is no ESP.
const WHOLE: usize = 1_280 - 20 - 8 - 4;

/// Why phase 1 went no further, given the longest message: two certificates may make it longer than the path takes, and
/// of its fragments nothing is heard if one is dropped.
fn unanswered(longest: usize) -> &'static str {
    if longest > WHOLE {
        "the peer did not answer in phase 1; a message with certificates is longer than many a path takes, and there \
         fragments of UDP must pass"
    } else {
        "the peer did not answer in phase 1"
    }
}

/// Sends messages of quick mode again, and forgets exchanges that are over. False if one was not answered, so that the
/// IKE SA is of no use. It is if the peer was heard since, and packets pass: then it is asked again.
fn tick_exchanges(sa: &mut IkeSa, children: &mut Children, context: &mut Context<'_>) -> bool {
    let mut due = Vec::new();
    let mut answered = true;
    let heard = sa.probe.heard;
    let mut unfinished = Vec::new();
    sa.quick.retain(|_, exchange| {
        if context.now.steady < exchange.next() {
            return true;
        }
        let sent = match exchange {
            Quick::Asked(asked) => &mut asked.sent,
            Quick::Answered(given) => &mut given.sent,
            Quick::Done { .. } | Quick::Finished { .. } => return false,
        };
        if sent.again(context.now) {
            due.push(sent.octets.clone());
            return true;
        }
        unfinished.extend(exchange.unexpected());
        // One that the peer has begun is the peer's to finish.
        if let Quick::Asked(asked) = exchange {
            answered &= heard >= asked.sent.first && children.ask_again(asked.selector, context.now);
        }
        false
    });
    context.out.extend(unfinished);
    due.into_iter().for_each(|octets| sa.send(octets, context));
    answered
}

fn times(connection: &Connection, now: Now, random: &mut dyn Random) -> Times {
    let life = connection.phase_1_lifetime;
    let rekey = life.mul_f64(PHASE_1_REKEY) - jitter(life.mul_f64(0.1), random);
    Times {
        deadline: now.steady + HALF_OPEN,
        established: now.steady,
        rekey: Some(now.steady + rekey),
        end: now.steady + life,
    }
}

fn wire_version(connection: &Connection) -> u8 {
    match connection.authentication {
        Authentication::Envelope(_) => version::V1_1,
        Authentication::Psk(_) => version::V1_0,
    }
}

fn fresh_cookie(sas: &BTreeMap<Cookie, IkeSa>, random: &mut dyn Random) -> Option<Cookie> {
    loop {
        let mut cookie = Cookie::default();
        random.fill(&mut cookie).ok()?;
        if cookie != Cookie::default() && !sas.contains_key(&cookie) {
            return Some(cookie);
        }
    }
}
