//! A layer between callers and server that breaks what the server kept right: it shows that the checker
//! can fail.
//!
//! Each kind does to callers what a broken store would do: it loses changes that were answered, answers
//! from an old state, makes a change twice, shows half a binding, forgets tokens.

use std::collections::{HashMap, VecDeque};

use crate::model::{Action, Answer, Code, Operation, Status};
use crate::random::Random;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Nothing,
    /// Some changes are answered with success and never made.
    LostChanges,
    /// Some reads answer what an earlier one did.
    StaleReads,
    /// Some bindings are made a second time, later.
    BoundTwice,
    /// Some lists show only one of two bindings.
    HalfBindings,
    /// Some tokens are not looked at.
    ForgottenTokens,
    /// Some dry runs are not dry.
    RealDryRuns,
    /// Some gateways accept a second change while one is under way.
    TwoChangesAtOnce,
    /// Some gateways never come to rest, as far as anybody can see.
    StuckUpdating,
}

impl Kind {
    /// All kinds of damage.
    pub const ALL: [Self; 8] = [
        Self::LostChanges,
        Self::StaleReads,
        Self::BoundTwice,
        Self::HalfBindings,
        Self::ForgottenTokens,
        Self::RealDryRuns,
        Self::TwoChangesAtOnce,
        Self::StuckUpdating,
    ];
}

/// What is to be sent.
#[derive(Debug)]
pub enum Altered {
    /// This operation.
    Send(Operation),
    /// Nothing: this is the answer.
    Answer(Answer),
}

/// The layer.
#[derive(Debug)]
pub struct Damage {
    kind: Kind,
    random: Random,
    /// Answers of earlier reads by gateway.
    earlier: HashMap<(usize, Action), VecDeque<Answer>>,
    /// Bindings to be made again.
    again: Vec<(usize, Operation)>,
    /// How often something was broken.
    pub done: usize,
}

/// In how many of a hundred cases.
const OFTEN: usize = 8;
/// A stale read is this many reads old.
const STALE: usize = 12;

impl Damage {
    /// A layer that does this damage.
    #[must_use]
    pub fn new(kind: Kind, seed: u64) -> Self {
        Self { kind, random: Random::new(seed), earlier: HashMap::new(), again: Vec::new(), done: 0 }
    }

    /// A layer that does nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Kind::Nothing, 0)
    }

    fn strikes(&mut self, kind: Kind) -> bool {
        self.kind == kind && self.random.chance(OFTEN)
    }

    /// Before an operation is sent.
    pub fn before(&mut self, track: usize, operation: &Operation) -> Altered {
        let change = operation.action.changes() && !operation.dry;
        let binding = matches!(operation.action, Action::Bind(..) | Action::Unbind(..));
        if change && binding && operation.token.is_none() && self.strikes(Kind::LostChanges) {
            self.done += 1;
            return Altered::Answer(Answer::Done);
        }
        if change && operation.token.is_some() && self.strikes(Kind::ForgottenTokens) {
            self.done += 1;
            return Altered::Send(Operation { token: None, ..*operation });
        }
        if operation.dry && self.strikes(Kind::RealDryRuns) {
            self.done += 1;
            return Altered::Send(Operation { dry: false, ..*operation });
        }
        if matches!(operation.action, Action::Describe | Action::List) && self.kind == Kind::StaleReads {
            let old = self.earlier.get(&(track, operation.action)).filter(|old| old.len() >= STALE);
            if let Some(answer) = old.and_then(|old| old.front()).cloned()
                && self.strikes(Kind::StaleReads)
            {
                self.done += 1;
                return Altered::Answer(answer);
            }
        }
        Altered::Send(*operation)
    }

    /// After its answer: what is handed on, and what is sent besides.
    pub fn after(
        &mut self,
        track: usize,
        operation: &Operation,
        answer: Answer,
    ) -> (Answer, Option<Operation>) {
        let echo = self.echo(track, operation, &answer);
        let altered = match &answer {
            Answer::Listed([Some(one), Some(_)]) if self.strikes(Kind::HalfBindings) => {
                Some(Answer::Listed([Some(*one), None]))
            }
            Answer::Refused(Code::Configuring)
                if matches!(operation.action, Action::Bind(..)) && self.strikes(Kind::TwoChangesAtOnce) =>
            {
                Some(Answer::Done)
            }
            Answer::Shown(Status::Active, name, description)
                if operation.action == Action::Describe && self.strikes(Kind::StuckUpdating) =>
            {
                Some(Answer::Shown(Status::Provisioning, *name, *description))
            }
            _ => None,
        };
        if let Some(altered) = altered {
            self.done += 1;
            return (altered, echo);
        }
        if self.kind == Kind::StaleReads && matches!(operation.action, Action::Describe | Action::List) {
            let earlier = self.earlier.entry((track, operation.action)).or_default();
            earlier.push_back(answer.clone());
            if earlier.len() > STALE {
                earlier.pop_front();
            }
        }
        (answer, echo)
    }

    /// A binding that was undone meanwhile is made again.
    fn echo(&mut self, track: usize, operation: &Operation, answer: &Answer) -> Option<Operation> {
        if self.kind != Kind::BoundTwice {
            return None;
        }
        if operation.dry || *answer != Answer::Done {
            // Another caller's refusal gives the layer its moment.
            let place = self.again.iter().position(|(waiting, _)| *waiting == track)?;
            self.done += 1;
            return Some(self.again.swap_remove(place).1);
        }
        if let Action::Unbind(role, certificate) = operation.action {
            self.again.push((track, Operation::plain(Action::Bind(role, certificate))));
        }
        None
    }
}
