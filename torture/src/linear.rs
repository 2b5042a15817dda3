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
///
/// Calls with and without an answer are counted apart: one of the latter may take effect long after it was made, and
/// would hold `low` up until then.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place<S> {
    /// All answered calls before this one are in order.
    low: usize,
    /// Answered calls after `low` that are in order already, ascending.
    done: Vec<usize>,
    /// Calls without an answer that have taken effect, ascending; those that could no longer are left out.
    lost: Vec<usize>,
    /// The latest invocation of a call that is in order, as far as it says which calls without an answer are too late.
    latest: u64,
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
    /// Those with an answer, then those without, each by their invocations.
    events: &'a [&'a EventOf<M>],
    /// How many have an answer.
    answered: usize,
}

/// Searches for an order of `events` that begins in one of `initial`.
pub fn check<M: Model>(model: &M, initial: &[M::State], events: &[EventOf<M>]) -> Verdict<M> {
    let mut sorted: Vec<&EventOf<M>> = events.iter().collect();
    sorted.sort_by_key(|event| (event.answer.is_none(), event.invoke));
    let answered = sorted.partition_point(|event| event.answer.is_some());
    Search { model, events: &sorted, answered }.run(initial)
}

impl<M: Model> Search<'_, M> {
    fn run(&self, initial: &[M::State]) -> Verdict<M> {
        let begin = |state: &M::State| {
            let place = Place { low: 0, done: Vec::new(), lost: Vec::new(), latest: 0, state: state.clone() };
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
            let calls = self.next(place).calls;
            // A call without an answer that ended before one that is taken began would lose its turn.
            let lost = calls.iter().filter(|call| **call >= self.answered);
            let lost_end = lost.map(|call| self.events[*call].end).min().unwrap_or(u64::MAX);
            let mut taken = Vec::new();
            for call in calls {
                let event = self.events[call];
                let Some(answer) = event.answer.as_ref().filter(|_| event.invoke <= lost_end) else {
                    continue;
                };
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
        let list = if call < self.answered { &mut place.done } else { &mut place.lost };
        let position = list.partition_point(|other| *other < call);
        list.insert(position, call);
        let passed = (place.low..).zip(&place.done).take_while(|(low, done)| low == *done).count();
        place.done.drain(..passed);
        place.low += passed;
        // Of what is in order only this is of interest, so that places that differ in nothing else are one.
        let latest = place.latest.max(self.events[call].invoke);
        place.lost.retain(|lost| self.events[*lost].end >= latest);
        let ends = self.events[self.answered..].iter().map(|event| event.end);
        place.latest = ends.filter(|end| *end < latest).max().map_or(0, |end| end + 1);
    }

    fn next(&self, place: &Place<M::State>) -> Next {
        let mut calls = Vec::new();
        let mut done = place.done.iter().peekable();
        let mut first_end = u64::MAX;
        for call in place.low..self.answered {
            let event = self.events[call];
            if event.invoke > first_end {
                break;
            }
            if done.next_if_eq(&&call).is_none() {
                first_end = first_end.min(event.end);
                calls.push(call);
            }
        }
        for call in self.answered..self.events.len() {
            let event = self.events[call];
            if event.invoke > first_end {
                break;
            }
            if event.end >= place.latest && place.lost.binary_search(&call).is_err() {
                calls.push(call);
            }
        }
        Next { complete: place.low == self.answered, calls }
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
