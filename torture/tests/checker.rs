//! The checker itself: it accepts what is possible, refuses what is not, and agrees with the slow way.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use std::collections::HashSet;

use proptest::prelude::*;
use tongguan_torture::linear::{Event, EventOf, Model as _, Verdict, check};
use tongguan_torture::model::{Action, Answer, Code, Model, Operation, Phase, Role, State, Status, UNKNOWN};
use tongguan_torture::random::Random;

type Call = EventOf<Model>;

const ENCRYPTION: Role = Role::Encryption;
const SIGNATURE: Role = Role::Signature;

fn live() -> State {
    State { phase: Phase::Live, ..State::building(1) }
}

fn call(invoke: u64, end: u64, action: Action, answer: Answer) -> Call {
    Event { invoke, end, operation: Operation::plain(action), answer: Some(answer) }
}

fn with_token(mut call: Call, token: u32) -> Call {
    call.operation.token = Some(token);
    call
}

fn unanswered(invoke: u64, end: u64, action: Action) -> Call {
    Event { invoke, end, operation: Operation::plain(action), answer: None }
}

fn fits(events: &[Call]) -> bool {
    matches!(check(&Model, &[live()], events), Verdict::Fits(_))
}

fn bind(invoke: u64, end: u64, role: Role, certificate: u8) -> Call {
    call(invoke, end, Action::Bind(role, certificate), Answer::Done)
}

fn list(invoke: u64, end: u64, bound: [Option<u8>; 2]) -> Call {
    call(invoke, end, Action::List, Answer::Listed(bound))
}

#[test]
fn a_change_is_seen_once_it_has_settled_and_never_unseen() {
    let first = bind(1, 2, ENCRYPTION, 0);
    assert!(fits(&[first.clone(), list(3, 4, [None, None]), list(5, 6, [Some(0), None])]));
    assert!(!fits(&[first.clone(), list(3, 4, [Some(0), None]), list(5, 6, [None, None])]), "stale read");
    assert!(!fits(&[first, list(3, 4, [None, Some(0)])]), "the other role");
    // A read that overlaps the call may see it or not.
    assert!(fits(&[bind(1, 9, ENCRYPTION, 0), list(2, 3, [None, None]), list(4, 5, [Some(0), None])]));
    assert!(!fits(&[list(2, 3, [Some(0), None]), bind(4, 5, ENCRYPTION, 0)]), "seen before it was asked for");
}

#[test]
fn a_lost_update_is_refused() {
    let active = |invoke, end| call(invoke, end, Action::Describe, Answer::Shown(Status::Active, 1, 0));
    assert!(!fits(&[bind(1, 2, ENCRYPTION, 0), active(3, 4), list(5, 6, [None, None])]));
    let rename = call(1, 2, Action::Modify(Some(7), None), Answer::Shown(Status::Updating, 7, 0));
    assert!(!fits(&[rename, active(3, 4)]), "an old name after a new one was answered");
}

#[test]
fn a_second_effect_is_refused() {
    let count = |invoke, end, changes| call(invoke, end, Action::Changes, Answer::Counted(Some(changes)));
    let token = with_token(bind(1, 2, ENCRYPTION, 0), 5);
    let again = with_token(bind(3, 4, ENCRYPTION, 0), 5);
    assert!(fits(&[token.clone(), again.clone(), count(5, 6, 2)]));
    assert!(!fits(&[token, again, count(5, 6, 3)]));
    let unbind = call(5, 6, Action::Unbind(ENCRYPTION, 0), Answer::Done);
    let back = list(9, 10, [Some(0), None]);
    let settled = call(7, 8, Action::Describe, Answer::Shown(Status::Active, 1, 0));
    assert!(!fits(&[bind(1, 2, ENCRYPTION, 0), unbind, settled, back]), "a binding out of nowhere");
}

#[test]
fn half_a_binding_is_refused() {
    let both = [bind(1, 2, ENCRYPTION, 0), bind(3, 4, SIGNATURE, 1)];
    let mut half = both.to_vec();
    half.push(list(5, 6, [None, Some(1)]));
    assert!(!fits(&half), "the first must have settled before the second was accepted");
    let mut stuck = both.to_vec();
    stuck.push(call(5, 6, Action::Describe, Answer::Shown(Status::Provisioning, 1, 0)));
    assert!(!fits(&stuck));
}

#[test]
fn only_one_change_is_under_way() {
    // Two that overlap are both accepted only if the first settles between them.
    assert!(fits(&[bind(1, 4, ENCRYPTION, 0), bind(2, 3, SIGNATURE, 1)]));
    let updating = call(3, 4, Action::Describe, Answer::Shown(Status::Updating, 1, 0));
    let busy = call(5, 6, Action::Bind(SIGNATURE, 1), Answer::Refused(Code::Configuring));
    assert!(fits(&[bind(1, 2, ENCRYPTION, 0), updating, busy.clone()]));
    let active = call(3, 4, Action::Describe, Answer::Shown(Status::Active, 1, 0));
    assert!(!fits(&[bind(1, 2, ENCRYPTION, 0), active, busy]), "busy with nothing");
}

#[test]
fn a_bind_that_is_answered_late_is_not_taken_for_one_of_what_is_bound() {
    let start = State { bound: [None, Some(0)], ..live() };
    let events = [
        call(1, 4, Action::Unbind(SIGNATURE, 0), Answer::Done),
        bind(3, 6, SIGNATURE, 0),
        list(5, 7, [None, None]),
        list(8, 9, [None, Some(0)]),
    ];
    assert!(matches!(check(&Model, &[start], &events), Verdict::Fits(_)));
}

#[test]
fn a_call_without_an_answer_takes_effect_before_the_kill_or_never() {
    let lost = unanswered(1, 10, Action::Bind(ENCRYPTION, 0));
    for bound in [None, Some(0)] {
        assert!(fits(&[lost.clone(), list(11, 12, [bound, None])]));
    }
    let twice = [lost.clone(), list(11, 12, [None, None]), list(13, 14, [Some(0), None])];
    assert!(fits(&twice), "it was accepted before the kill, and settles after");
    let active = call(11, 12, Action::Describe, Answer::Shown(Status::Active, 1, 0));
    let late = [lost, active, list(13, 14, [None, None]), list(15, 16, [Some(0), None])];
    assert!(!fits(&late), "not after the kill");
}

/// As one that was answered 503, or by a node that was killed: only its caller has given up.
fn unknown(invoke: u64, action: Action) -> Call {
    unanswered(invoke, u64::MAX, action)
}

#[test]
fn a_call_of_unknown_outcome_takes_effect_at_any_later_moment_once_or_never() {
    let unknown = unknown(1, Action::Bind(ENCRYPTION, 0));
    let active = |at| call(at, at + 1, Action::Describe, Answer::Shown(Status::Active, 1, 0));
    let count = |at, changes| call(at, at + 1, Action::Changes, Answer::Counted(Some(changes)));
    let nothing = list(12, 13, [None, None]);
    assert!(fits(&[unknown.clone(), active(10), nothing.clone(), active(20), nothing.clone(), count(30, 1)]));
    let there = list(22, 23, [Some(0), None]);
    assert!(fits(&[unknown.clone(), active(10), nothing.clone(), active(20), there.clone(), count(30, 2)]));
    let gone = call(24, 25, Action::Unbind(ENCRYPTION, 0), Answer::Done);
    let again = list(40, 41, [Some(0), None]);
    let twice = [unknown.clone(), nothing, there, gone, active(38), again, count(42, 4)];
    assert!(!fits(&twice), "one call, two effects");
    assert!(!fits(&[unknown, count(30, 3)]), "one call, counted twice");
}

#[test]
fn what_was_answered_is_not_lost_among_calls_of_unknown_outcome() {
    let others = [
        unknown(2, Action::Bind(SIGNATURE, 1)),
        unknown(3, Action::Modify(Some(9), None)),
        unknown(4, Action::Bind(SIGNATURE, 2)),
    ];
    let active = |at| call(at, at + 1, Action::Describe, Answer::Shown(Status::Active, 1, 0));
    let history = |end: &[Call]| {
        let mut history = vec![bind(1, 5, ENCRYPTION, 0), active(10)];
        history.extend_from_slice(&others);
        history.extend_from_slice(end);
        fits(&history)
    };
    assert!(history(&[list(20, 21, [Some(0), None]), active(22)]));
    assert!(history(&[list(20, 21, [Some(0), Some(2)]), active(22)]));
    assert!(!history(&[list(20, 21, [None, None]), active(22)]), "lost with the primary");
    assert!(!history(&[list(20, 21, [Some(0), None]), list(22, 23, [None, None])]), "read on an old primary");
    assert!(!history(&[list(20, 21, [None, Some(1)]), active(22)]), "lost, and another one kept");
}

#[test]
fn a_token_has_one_effect_whichever_node_it_was_sent_to() {
    let count = |changes| call(40, 41, Action::Changes, Answer::Counted(Some(changes)));
    let first = with_token(unknown(1, Action::Bind(ENCRYPTION, 0)), 7);
    let again = with_token(bind(20, 21, ENCRYPTION, 0), 7);
    assert!(fits(&[first.clone(), again.clone(), count(2)]));
    assert!(!fits(&[first.clone(), again.clone(), count(3)]), "one on each node");
    let other = with_token(bind(22, 23, SIGNATURE, 1), 7);
    assert!(!fits(&[first, again, other, count(3)]), "another call under it");
}

#[test]
fn the_bytes_of_a_call_without_an_answer_are_taken_once() {
    let nonce = |mut call: Call| {
        call.operation.nonce = Some(3);
        call
    };
    let lost = nonce(unanswered(1, 10, Action::Bind(ENCRYPTION, 0)));
    let replay = |answer| nonce(call(11, 12, Action::Bind(ENCRYPTION, 0), answer));
    let count = |changes| call(13, 14, Action::Changes, Answer::Counted(Some(changes)));
    let used = || replay(Answer::Refused(Code::NonceUsed));
    assert!(fits(&[lost.clone(), used(), count(1)]), "read, and not carried out");
    assert!(fits(&[lost.clone(), used(), count(2)]));
    assert!(fits(&[lost.clone(), replay(Answer::Done), count(2)]));
    assert!(!fits(&[lost, replay(Answer::Done), count(3)]));
    assert!(!fits(&[used()]), "nobody has used it");
}

#[test]
fn a_refused_history_is_explained_where_it_breaks() {
    let mut events: Vec<_> = (0..40).map(|n| list(10 * n + 1, 10 * n + 2, [None, None])).collect();
    events.push(bind(500, 501, ENCRYPTION, 0));
    events.push(list(502, 503, [None, Some(1)]));
    events.push(list(504, 505, [Some(0), None]));
    let Verdict::Refused(window) = check(&Model, &[live()], &events) else { panic!("accepted") };
    assert_eq!(window.depth, (41, 43));
    assert_eq!(window.stuck.len(), 1);
    let text = window.to_string();
    assert!(text.contains("bind Encryption c0") && text.contains("[- c1]"), "{text}");
    assert!(text.lines().count() < 60);
}

/// The slow way: every order, every moment of settling.
fn every_order(state: &State, left: &[Call], ends: &mut HashSet<State>) {
    if left.iter().all(|event| event.answer.is_none()) {
        ends.insert(state.clone());
    }
    if let Some(settled) = Model.spontaneous(state) {
        every_order(&settled, left, ends);
    }
    for (place, event) in left.iter().enumerate() {
        if left.iter().any(|other| other.answer.is_some() && other.end < event.invoke) {
            continue;
        }
        let mut rest = left.to_vec();
        rest.remove(place);
        rest.retain(|other| other.answer.is_some() || other.end >= event.invoke);
        match &event.answer {
            Some(answer) => {
                let (right, next) = Model.run(state, &event.operation);
                if right == *answer {
                    every_order(&next, &rest, ends);
                }
            }
            None => {
                for next in Model.unanswered(state, &event.operation) {
                    every_order(&next, &rest, ends);
                }
            }
        }
    }
}

fn draw(random: &mut Random) -> Operation {
    let role = Role::ALL[random.below(2)];
    let number = u8::try_from(random.below(2)).unwrap();
    let action = match random.below(9) {
        0..3 => Action::Bind(role, if random.chance(5) { UNKNOWN } else { number }),
        3..5 => Action::Unbind(role, number),
        5 => Action::Modify(Some(u32::from(number)), None),
        6 => Action::Describe,
        7 => Action::List,
        _ => Action::Changes,
    };
    let changes = action.changes();
    let token = (changes && random.chance(30)).then(|| u32::from(number));
    let nonce = (changes && random.chance(10)).then_some(9);
    Operation { action, dry: changes && random.chance(10), token, nonce }
}

/// Of a hundred calls so many take effect long after their callers have given up, or never.
const LATE: usize = 4;

/// A history as a right server makes it: each call takes effect at one moment between its ends. Answers
/// the states in between, too.
fn right(random: &mut Random, calls: usize, lanes: usize) -> (Vec<Call>, Vec<State>) {
    let mut state = live();
    let mut states = vec![state.clone()];
    let mut events = Vec::new();
    let mut open: Vec<(usize, Option<Answer>)> = Vec::new();
    // Nobody hears of these any more; each may still take effect.
    let mut late: Vec<usize> = Vec::new();
    let mut now = 0;
    while events.len() < calls || !open.is_empty() {
        now += 1;
        if random.chance(20)
            && let Some(settled) = Model.spontaneous(&state)
        {
            state = settled;
            states.push(state.clone());
        }
        if events.len() < calls && open.len() < lanes && random.chance(50) {
            let operation = draw(random);
            events.push(Event { invoke: now, end: u64::MAX, operation, answer: None });
            if random.below(100) < LATE {
                late.push(events.len() - 1);
            } else {
                open.push((events.len() - 1, None));
            }
            continue;
        }
        if !late.is_empty() && random.chance(4) {
            let number = late.swap_remove(random.below(late.len()));
            state = Model.run(&state, &events[number].operation).1;
            states.push(state.clone());
        }
        if open.is_empty() {
            continue;
        }
        let place = random.below(open.len());
        let (number, answer) = open[place].clone();
        match answer {
            None => {
                let (answer, next) = Model.run(&state, &events[number].operation);
                state = next;
                states.push(state.clone());
                open[place].1 = Some(answer);
            }
            Some(answer) => {
                let event: &mut Call = &mut events[number];
                event.end = now;
                event.answer = (!random.chance(8)).then_some(answer);
                open.remove(place);
            }
        }
    }
    (events, states)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Long histories of a right server are accepted, and the state it is in is among the ends.
    #[test]
    fn what_a_right_server_does_is_accepted(seed: u64) {
        let (events, states) = right(&mut Random::new(seed), 120, 8);
        match check(&Model, &[live()], &events) {
            Verdict::Fits(ends) => prop_assert!(ends.contains(states.last().unwrap())),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    /// Short histories, right ones and wrong ones: the same verdict and the same ends as the slow way.
    #[test]
    fn the_quick_way_agrees_with_the_slow_way(seed: u64) {
        let mut random = Random::new(seed);
        let (mut events, states) = right(&mut random, 6, 3);
        for _ in 0..random.below(3) {
            // An answer from another time: lost, stale, twice, half.
            let place = random.below(events.len());
            let state = random.pick(&states).unwrap();
            let event = &mut events[place];
            event.answer = Some(Model.run(state, &event.operation).0);
        }
        let mut slow = HashSet::new();
        every_order(&live(), &events, &mut slow);
        match check(&Model, &[live()], &events) {
            Verdict::Fits(ends) => prop_assert_eq!(ends.into_iter().collect::<HashSet<_>>(), slow),
            Verdict::Refused(_) => prop_assert!(slow.is_empty()),
            Verdict::Undecided => prop_assert!(false),
        }
    }

    /// One fault in a long history of one caller is noticed, whatever it is and wherever.
    #[test]
    fn one_fault_is_noticed(seed: u64, kind in 0usize..4) {
        let mut random = Random::new(seed);
        let (mut state, mut events) = (live(), Vec::new());
        let mut faulty = false;
        for step in 0..40 {
            let operation = Operation { token: None, nonce: None, ..draw(&mut random) };
            let (answer, next) = Model.run(&state, &operation);
            let settled = Model.spontaneous(&next).unwrap_or(next);
            let strikes = settled != state && !faulty && (step > 20 || random.chance(10));
            let after = |call: Action, state: &State| (call, Model.run(state, &Operation::plain(call)).0);
            let seen = match (strikes, kind) {
                // Lost: the change was answered and not made.
                (true, 0) => state.clone(),
                // Stale, and half there: one of the reads shows what was before.
                (true, 1) => State { changes: state.changes, ..settled.clone() },
                (true, 2) => {
                    let State { bound, name, .. } = state.clone();
                    State { bound, name, ..settled.clone() }
                }
                // Twice.
                (true, _) => State { changes: settled.changes + 1, ..settled.clone() },
                (false, _) => settled.clone(),
            };
            faulty |= strikes;
            state = settled;
            let reads = [Action::Describe, Action::List, Action::Changes].map(|read| after(read, &seen));
            for (action, answer) in [(operation.action, answer)].into_iter().chain(reads) {
                let at = 10 * events.len() as u64 + 1;
                events.push(call(at, at + 1, action, answer));
            }
            let first = events.len() - 4;
            events[first].operation = operation;
        }
        prop_assert_eq!(fits(&events), !faulty);
    }
}
