//! What was asked and answered, as it happens: one track per gateway, and every request of one life of
//! the server.

use std::collections::HashMap;

use crate::linear::{Event, EventOf};
use crate::model::{Action, Answer, Model, Operation, State};

/// One gateway and its history since the last time it was checked.
#[derive(Debug, Clone)]
pub struct Track {
    /// Id.
    pub id: String,
    /// States possible at the beginning.
    pub initial: Vec<State>,
    /// Calls since. One that is under way has no answer and never ends.
    pub events: Vec<EventOf<Model>>,
    /// No longer there, as far as is known.
    pub gone: bool,
}

/// What the audit record says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Operation.
    pub action: String,
    /// HTTP status.
    pub status: u16,
    /// Error code.
    pub code: Option<String>,
}

/// A call under a token.
#[derive(Debug, Clone)]
pub struct TokenCall {
    /// Track.
    pub track: usize,
    /// The call.
    pub operation: Operation,
    /// Its answer, if there was one.
    pub answer: Option<Answer>,
}

/// A call that makes a gateway.
#[derive(Debug, Clone)]
pub struct Creation {
    /// The slot that waits for it.
    pub slot: usize,
    /// Its name.
    pub name: u32,
    /// Its token.
    pub token: u32,
    /// Id of the gateway, if the call was answered.
    pub id: Option<String>,
}

/// Everything recorded.
#[derive(Debug, Default)]
pub struct Record {
    clock: u64,
    /// Gateways, by the number that everybody else uses.
    pub tracks: Vec<Track>,
    /// Calls with tokens in this round.
    pub tokens: Vec<TokenCall>,
    /// Gateways made in this round.
    pub creations: Vec<Creation>,
    /// Answered requests of this life, by request id.
    pub answered: HashMap<String, AuditRecord>,
    /// Signed bytes of answered requests of this round.
    pub sent: Vec<Vec<u8>>,
    /// Calls of this round that were not answered: track, event, signed bytes.
    pub unanswered: Vec<(usize, usize, Vec<u8>)>,
    /// Requests of this life that were not answered, of any kind.
    pub lost: usize,
    /// Requests answered in the whole run.
    pub total: u64,
    next_number: u32,
}

impl Record {
    /// The next moment.
    pub fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// A number that was not used before, for tokens, names and nonces.
    pub fn number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number
    }

    /// A gateway from now on followed.
    pub fn follow(&mut self, id: String, initial: Vec<State>) -> usize {
        self.tracks.push(Track { id, initial, events: Vec::new(), gone: false });
        self.tracks.len() - 1
    }

    /// A call begins.
    pub fn begin(&mut self, track: usize, operation: Operation) -> usize {
        let invoke = self.tick();
        let events = &mut self.tracks[track].events;
        events.push(Event { invoke, end: u64::MAX, operation, answer: None });
        events.len() - 1
    }

    /// A call was answered.
    pub fn end(&mut self, track: usize, event: usize, answer: Answer) {
        let end = self.tick();
        let event = &mut self.tracks[track].events[event];
        event.end = end;
        event.answer = Some(answer);
    }

    /// A look into the database, which is one moment.
    pub fn look(&mut self, track: usize, changes: Option<u32>) {
        let event = self.begin(track, Operation::plain(Action::Changes));
        self.end(track, event, Answer::Counted(changes));
    }

    /// A look into the database that began at `invoke`, under load.
    pub fn looked(&mut self, track: usize, invoke: u64, changes: Option<u32>) {
        let (operation, answer) = (Operation::plain(Action::Changes), Some(Answer::Counted(changes)));
        let end = self.tick();
        self.tracks[track].events.push(Event { invoke, end, operation, answer });
    }

    /// Forgets what is of one round.
    pub fn next_round(&mut self) {
        self.tokens.clear();
        self.creations.clear();
        self.sent.clear();
        self.unanswered.clear();
    }

    /// The server is dead: what was not answered takes no effect any more.
    pub fn killed(&mut self) {
        let now = self.tick();
        for event in self.tracks.iter_mut().flat_map(|track| &mut track.events) {
            event.end = event.end.min(now);
        }
    }
}
