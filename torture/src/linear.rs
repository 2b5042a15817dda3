//! Is there an order of the recorded calls that the model agrees with? (Wing and Gong's search with
//! Lowe's memory of places already seen, as porcupine does it.)
//!
//! Three things are added. A model may move by itself ([`Model::spontaneous`]). A call without an answer
//! may take effect between its beginning and its end, which is the kill, or never. And a call whose
//! answer fits and which can change nothing, now or later, is taken at once, without trying the
//! alternatives: whatever order of the rest is possible stays possible. That makes histories of a few hundred callers
//! cheap, since the search branches at changes only.
//!
//! The search does not stop at the first order found: it answers every state in which the history may
//! have ended, so that the next one can begin there.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::hash::Hash;

/// What is right.
pub trait Model {
    /// A state.
    type State: Clone + Eq + Hash + fmt::Debug;
    /// What may be asked.
    type Operation: Clone + fmt::Debug;
    /// What may be answered.
    type Answer: Clone + Eq + fmt::Debug;

    /// The right answer in this state, and the state after it.
    fn step(&self, state: &Self::State, operation: &Self::Operation) -> (Self::Answer, Self::State);

    /// The state into which this one may turn by itself.
    fn spontaneous(&self, state: &Self::State) -> Option<Self::State>;

    /// The states into which a call that was not answered may have led; the same state need not be named.
    fn unanswered(&self, state: &Self::State, operation: &Self::Operation) -> Vec<Self::State>;

    /// Whether a call that is answered so changes nothing in this state, nor in any state that may follow.
    fn observes(&self, state: &Self::State, operation: &Self::Operation, answer: &Self::Answer) -> bool;
}

/// A call, from its invocation to its answer. The times are of one clock that never stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<O, A> {
    /// When it was sent.
    pub invoke: u64,
    /// When it was answered; without an answer, after this it cannot take effect.
    pub end: u64,
    /// What was asked.
    pub operation: O,
    /// What was answered, if anything.
    pub answer: Option<A>,
}

/// The event type of a model.
pub type EventOf<M> = Event<<M as Model>::Operation, <M as Model>::Answer>;

/// What the search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<S> {
    /// There is an order; these are all states in which it may end.
    Fits(Vec<S>),
    /// There is none.
    Refused,
    /// The search was given up.
    Undecided,
}

/// Places after which the search is given up.
const PLACES: usize = 3_000_000;

/// A point of the search: which calls have been put in order, and the state after them.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place<S> {
    /// All calls before this one are in order, or came to nothing.
    low: usize,
    /// Calls after `low` that are in order already, ascending.
    done: Vec<usize>,
    state: S,
}

/// What may come next at a place.
struct Next {
    /// Calls that may be put next.
    calls: Vec<usize>,
    /// Whether every answered call is in order.
    complete: bool,
}

struct Search<'a, M: Model> {
    model: &'a M,
    events: &'a [&'a EventOf<M>],
}

/// Searches for an order of `events` that begins in one of `initial`.
pub fn check<M: Model>(model: &M, initial: &[M::State], events: &[EventOf<M>]) -> Verdict<M::State> {
    let mut sorted: Vec<&EventOf<M>> = events.iter().collect();
    sorted.sort_by_key(|event| event.invoke);
    Search { model, events: &sorted }.run(initial)
}

impl<M: Model> Search<'_, M> {
    fn run(&self, initial: &[M::State]) -> Verdict<M::State> {
        let place = |state: &M::State| Place { low: 0, done: Vec::new(), state: state.clone() };
        let mut stack: Vec<_> = initial.iter().map(place).collect();
        let mut seen = HashSet::new();
        let mut ends: Vec<M::State> = Vec::new();
        let mut ends_seen = HashSet::new();
        while let Some(mut place) = stack.pop() {
            self.take_observations(&mut place);
            if !seen.insert(place.clone()) {
                continue;
            }
            if seen.len() > PLACES {
                return Verdict::Undecided;
            }
            let next = self.next(&place);
            if next.complete && ends_seen.insert(place.state.clone()) {
                ends.push(place.state.clone());
            }
            if let Some(state) = self.model.spontaneous(&place.state) {
                stack.push(Place { state, ..place.clone() });
            }
            for call in next.calls {
                for state in self.states_after(&place.state, self.events[call]) {
                    let mut next = place.clone();
                    next.state = state;
                    self.put(&mut next, call);
                    stack.push(next);
                }
            }
        }
        if ends.is_empty() { Verdict::Refused } else { Verdict::Fits(ends) }
    }

    fn states_after(&self, state: &M::State, event: &EventOf<M>) -> Vec<M::State> {
        match &event.answer {
            None => self.model.unanswered(state, &event.operation),
            Some(answer) => {
                let (right, next) = self.model.step(state, &event.operation);
                if right == *answer { vec![next] } else { Vec::new() }
            }
        }
    }

    /// Puts everything in order that fits and changes nothing.
    fn take_observations(&self, place: &mut Place<M::State>) {
        loop {
            let mut unanswered_end = u64::MAX;
            let mut taken = Vec::new();
            for call in self.next(place).calls {
                let event = self.events[call];
                let Some(answer) = &event.answer else {
                    unanswered_end = unanswered_end.min(event.end);
                    continue;
                };
                // A call without an answer that ended before this one began would lose its turn.
                if unanswered_end < event.invoke {
                    continue;
                }
                if self.model.observes(&place.state, &event.operation, answer)
                    && self.model.step(&place.state, &event.operation).0 == *answer
                {
                    taken.push(call);
                }
            }
            if taken.is_empty() {
                return;
            }
            for call in taken {
                self.put(place, call);
            }
        }
    }

    fn put(&self, place: &mut Place<M::State>, call: usize) {
        let position = place.done.partition_point(|done| *done < call);
        place.done.insert(position, call);
        let latest = place.done.last().map_or(0, |last| self.events[*last].invoke);
        let mut passed = 0;
        while place.low < self.events.len() {
            if place.done.get(passed) == Some(&place.low) {
                passed += 1;
            } else if !self.is_too_late(place.low, latest) {
                break;
            }
            place.low += 1;
        }
        place.done.drain(..passed);
    }

    /// Whether a call has no answer and can no longer take effect, since a later one is in order.
    fn is_too_late(&self, call: usize, latest: u64) -> bool {
        self.events[call].answer.is_none() && self.events[call].end < latest
    }

    fn next(&self, place: &Place<M::State>) -> Next {
        let latest = place.done.last().map_or(0, |last| self.events[*last].invoke);
        let mut calls = Vec::new();
        let mut done = place.done.iter().peekable();
        let mut first_end = u64::MAX;
        for call in place.low..self.events.len() {
            let event = self.events[call];
            if event.invoke > first_end {
                break;
            }
            if done.next_if_eq(&&call).is_some() || self.is_too_late(call, latest) {
                continue;
            }
            if event.answer.is_some() {
                first_end = first_end.min(event.end);
            }
            calls.push(call);
        }
        Next { complete: first_end == u64::MAX, calls }
    }
}

/// The part of a refused history that shows what is wrong.
#[derive(Debug, Clone)]
pub struct Window<M: Model> {
    /// Calls shortly before, for the reader.
    pub earlier: Vec<EventOf<M>>,
    /// States that were possible before the window.
    pub states: Vec<M::State>,
    /// Calls that have no order from any of the states.
    pub events: Vec<EventOf<M>>,
}

const EARLIER: usize = 12;
/// Windows longer than this are not thinned out call by call.
const THINNED: usize = 600;

/// Cuts a refused history down: nothing after the answer that makes it refused, nothing before the last
/// moment at which no call was under way, and no call that is not needed.
pub fn explain<M: Model>(model: &M, initial: &[M::State], events: &[EventOf<M>]) -> Window<M> {
    let refused =
        |states: &[M::State], events: &[EventOf<M>]| matches!(check(model, states, events), Verdict::Refused);
    let mut ends: Vec<u64> = events.iter().filter(|event| event.answer.is_some()).map(|e| e.end).collect();
    ends.sort_unstable();
    let shortest = ends.partition_point(|end| !refused(initial, &until(events, *end)));
    let mut kept = ends.get(shortest).map_or_else(|| events.to_vec(), |end| until(events, *end));
    kept.sort_by_key(|event| event.invoke);
    let mut window = Window { earlier: Vec::new(), states: initial.to_vec(), events: kept };
    for cut in (1..window.events.len()).rev() {
        let quiet = window.events[..cut].iter().all(|event| event.end < window.events[cut].invoke);
        if quiet && let Verdict::Fits(states) = check(model, initial, &window.events[..cut]) {
            let rest = window.events.split_off(cut);
            window.earlier = window.events.split_off(cut.saturating_sub(EARLIER));
            (window.states, window.events) = (states, rest);
            break;
        }
    }
    if window.events.len() <= THINNED {
        let mut place = window.events.len();
        while place > 0 {
            place -= 1;
            let mut fewer = window.events.clone();
            fewer.remove(place);
            // Without a change everything after it would look wrong: only what changes nothing may go.
            let event = &window.events[place];
            let first = window.states.first().zip(event.answer.as_ref());
            let observes =
                first.is_some_and(|(state, answer)| model.observes(state, &event.operation, answer));
            if observes && refused(&window.states, &fewer) {
                window.events = fewer;
            }
        }
    }
    window
}

/// The history as it was known when the answer at `end` had come.
fn until<O: Clone, A: Clone>(events: &[Event<O, A>], end: u64) -> Vec<Event<O, A>> {
    let known = |event: &Event<O, A>| match event.end <= end {
        true => event.clone(),
        false if event.answer.is_none() => event.clone(),
        false => Event { answer: None, end: u64::MAX, ..event.clone() },
    };
    events.iter().filter(|event| event.invoke <= end).map(known).collect()
}

impl<M: Model> Display for Window<M>
where
    M::State: Display,
    M::Operation: Display,
    M::Answer: Display,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = |f: &mut fmt::Formatter<'_>, event: &EventOf<M>| {
            let end = if event.end == u64::MAX { "...".to_owned() } else { event.end.to_string() };
            write!(f, "    {:>7} to {end:>7}  {} -> ", event.invoke, event.operation)?;
            match &event.answer {
                Some(answer) => writeln!(f, "{answer}"),
                None => writeln!(f, "(no answer)"),
            }
        };
        writeln!(f, "  before:")?;
        self.earlier.iter().try_for_each(|earlier| event(f, earlier))?;
        writeln!(f, "  possible states then:")?;
        self.states.iter().take(20).try_for_each(|state| writeln!(f, "    {state}"))?;
        writeln!(f, "  no order of these calls fits:")?;
        self.events.iter().try_for_each(|inside| event(f, inside))
    }
}
