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
use std::rc::Rc;

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
#[derive(Debug, Clone)]
pub enum Verdict<M: Model> {
    /// There is an order; these are all states in which it may end.
    Fits(Vec<M::State>),
    /// There is none.
    Refused(Window<M>),
    /// The search was given up.
    Undecided,
}

/// Where an order cannot go on: the part of a refused history that shows what is wrong.
#[derive(Debug, Clone)]
pub struct Window<M: Model> {
    /// The last calls of the longest order, and the states after them.
    pub order: Vec<(EventOf<M>, M::State)>,
    /// All states in which an order of this length can end.
    pub states: Vec<M::State>,
    /// Calls of which one must come next, each with the answer that would be right in the last state.
    pub stuck: Vec<(EventOf<M>, M::Answer)>,
    /// Calls in the longest order, of all.
    pub depth: (usize, usize),
}

/// Places after which the search is given up.
const PLACES: usize = 3_000_000;
/// Calls of an order that are shown.
const ORDER: usize = 16;
/// States that are shown.
const SHOWN: usize = 8;

/// A point of the search: which calls have been put in order, and the state after them.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place<S> {
    /// All calls before this one are in order, or came to nothing.
    low: usize,
    /// Calls after `low` that are in order already, ascending.
    done: Vec<usize>,
    state: S,
}

/// The calls in order up to a place, the last one first.
struct Trail<S> {
    call: usize,
    state: S,
    earlier: Option<Rc<Trail<S>>>,
}

/// A place on the way, with the way to it.
struct Step<S> {
    place: Place<S>,
    trail: Option<Rc<Trail<S>>>,
    depth: usize,
}

/// The furthest places found.
struct Furthest<S> {
    depth: usize,
    steps: Vec<Step<S>>,
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
pub fn check<M: Model>(model: &M, initial: &[M::State], events: &[EventOf<M>]) -> Verdict<M> {
    let mut sorted: Vec<&EventOf<M>> = events.iter().collect();
    sorted.sort_by_key(|event| event.invoke);
    Search { model, events: &sorted }.run(initial)
}

impl<M: Model> Search<'_, M> {
    fn run(&self, initial: &[M::State]) -> Verdict<M> {
        let begin = |state: &M::State| {
            let place = Place { low: 0, done: Vec::new(), state: state.clone() };
            Step { place, trail: None, depth: 0 }
        };
        let mut stack: Vec<_> = initial.iter().map(begin).collect();
        let mut seen = HashSet::new();
        let mut ends = HashSet::new();
        let mut furthest = Furthest { depth: 0, steps: Vec::new() };
        while let Some(mut step) = stack.pop() {
            self.take_observations(&mut step);
            if !seen.insert(step.place.clone()) {
                continue;
            }
            if seen.len() > PLACES {
                return Verdict::Undecided;
            }
            let next = self.next(&step.place);
            if next.complete {
                ends.insert(step.place.state.clone());
            }
            if let Some(state) = self.model.spontaneous(&step.place.state) {
                let place = Place { state, ..step.place.clone() };
                stack.push(Step { place, trail: step.trail.clone(), depth: step.depth });
            }
            for call in next.calls {
                for state in self.states_after(&step.place.state, self.events[call]) {
                    let mut next = step.clone();
                    next.place.state = state;
                    self.put(&mut next, call);
                    stack.push(next);
                }
            }
            furthest.note(step);
        }
        if ends.is_empty() { self.stuck(&furthest) } else { Verdict::Fits(ends.into_iter().collect()) }
    }

    /// Why nothing goes on from the furthest places.
    fn stuck(&self, furthest: &Furthest<M::State>) -> Verdict<M> {
        let states = furthest.steps.iter().map(|step| step.place.state.clone()).collect();
        let depth = (furthest.depth, self.events.len());
        let mut window = Window { order: Vec::new(), states, stuck: Vec::new(), depth };
        let Some(step) = furthest.steps.first() else { return Verdict::Refused(window) };
        let mut trail = step.trail.as_ref();
        while let Some(last) = trail.filter(|_| window.order.len() < ORDER) {
            window.order.push((self.events[last.call].clone(), last.state.clone()));
            trail = last.earlier.as_ref();
        }
        window.order.reverse();
        for call in self.next(&step.place).calls {
            let (right, _) = self.model.step(&step.place.state, &self.events[call].operation);
            window.stuck.push((self.events[call].clone(), right));
        }
        Verdict::Refused(window)
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
    fn take_observations(&self, step: &mut Step<M::State>) {
        loop {
            let place = &step.place;
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
                self.put(step, call);
            }
        }
    }

    fn put(&self, step: &mut Step<M::State>, call: usize) {
        let earlier = step.trail.take();
        step.trail = Some(Rc::new(Trail { call, state: step.place.state.clone(), earlier }));
        step.depth += 1;
        let place = &mut step.place;
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

impl<S: Clone> Clone for Step<S> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone(), trail: self.trail.clone(), depth: self.depth }
    }
}

impl<S> Drop for Trail<S> {
    /// One by one: a long trail would overflow the stack.
    fn drop(&mut self) {
        let mut earlier = self.earlier.take();
        while let Some(mut trail) = earlier.and_then(Rc::into_inner) {
            earlier = trail.earlier.take();
        }
    }
}

impl<S> Furthest<S> {
    fn note(&mut self, step: Step<S>) {
        if step.depth > self.depth {
            self.depth = step.depth;
            self.steps.clear();
        }
        if step.depth == self.depth && self.steps.len() < SHOWN {
            self.steps.push(step);
        }
    }
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
                Some(answer) => write!(f, "{answer}"),
                None => write!(f, "(no answer)"),
            }
        };
        writeln!(f, "  the longest order has {} of {} calls and ends so:", self.depth.0, self.depth.1)?;
        for (call, state) in &self.order {
            event(f, call)?;
            writeln!(f, "\n                            {state}")?;
        }
        writeln!(f, "  or in one of these states:")?;
        self.states.iter().skip(1).try_for_each(|state| writeln!(f, "    {state}"))?;
        writeln!(f, "  and none of the calls that may come next fits:")?;
        for (call, right) in &self.stuck {
            event(f, call)?;
            writeln!(f, "    (right: {right})")?;
        }
        Ok(())
    }
}
