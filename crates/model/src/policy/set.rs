//! The policies of one principal, put together and compiled.
//!
//! [`PolicySet::new`] sorts the statements so that a request looks only at those that may
//! apply. Deny and Allow are apart, and Deny is asked first: one that applies ends it. Each
//! side is cut into blocks of at most [`BLOCK`] statements, so that the candidates of a block
//! are a set of bits on the stack. In a block every distinct action pattern is kept once, with
//! the statements that list it: those without wildcards in a sorted table, the others in a list
//! that is walked. For the candidates resources are compared, last the conditions are asked.
//!
//! Before a pattern is compared, the pairs of neighbouring letters of its literal parts are
//! looked up among those of the request ([`Pairs`]): where one is missing, it cannot match.
//! That settles nearly all patterns of other actions and resources with two instructions.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::wildcard::{Case, Pairs, Pattern};
use super::{AccessRequest, Decision, Effect, Explanation, Policy, Statement, explain};

/// A policy and how its principal comes by it.
#[derive(Debug, Clone)]
pub struct Attached {
    /// For people: `policy/ReadOnly (Custom, v3), attached to group/admins`.
    pub origin: String,
    /// The policy.
    pub policy: Arc<Policy>,
}

/// The policies of one principal: those of a user and of its groups, of a role, or of a session.
#[derive(Debug, Default)]
pub struct PolicySet {
    attached: Vec<Attached>,
    deny: Vec<Block>,
    allow: Vec<Block>,
}

impl PolicySet {
    /// Puts policies together; their order has no effect on decisions.
    #[must_use]
    pub fn new(attached: Vec<Attached>) -> Self {
        let deny = Block::compile(&attached, Effect::Deny);
        let allow = Block::compile(&attached, Effect::Allow);
        Self { attached, deny, allow }
    }

    /// What the policies say about a request: any matching Deny denies, else any matching Allow
    /// allows, else the request is denied implicitly.
    ///
    /// Takes no memory from the heap, unless the resource is one of RAM's with `*` for the region
    /// and longer than 256 bytes.
    #[must_use]
    pub fn decide(&self, request: &AccessRequest<'_>) -> Decision {
        let mut short = [0; SHORT];
        let mut long = String::new();
        let asked = Asked {
            request,
            action_pairs: Pairs::of(request.action),
            resource: Resource::of(request.resource, &mut short, &mut long),
            resource_pairs: OnceCell::new(),
        };
        if self.deny.iter().any(|block| block.applies(&self.attached, &asked)) {
            Decision::ExplicitDeny
        } else if self.allow.iter().any(|block| block.applies(&self.attached, &asked)) {
            Decision::Allow
        } else {
            Decision::ImplicitDeny
        }
    }

    /// About how many bytes of memory the policies take, rather more than less: for who keeps many.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // A pattern is kept in its statement and, of an action, in the index, with its set of pairs.
        const STATEMENT: usize = 512;
        const PATTERN: usize = 256;
        let pattern = |pattern: &Pattern| PATTERN + 2 * pattern.as_str().len();
        let statement = |statement: &Statement| {
            let actions: usize = statement.actions.patterns.iter().map(pattern).sum();
            let resources: usize = statement.resources.iter().map(pattern).sum();
            let conditions: usize = statement.conditions.iter().map(super::Condition::bytes).sum();
            STATEMENT + actions + resources + conditions
        };
        let all = self.attached.iter().flat_map(|attached| &attached.policy.statements);
        all.map(statement).sum::<usize>()
            + self.attached.iter().map(|attached| attached.origin.len()).sum::<usize>()
    }

    /// The decision of [`Self::decide`] with the statement that made it, and why the others that
    /// are near did not apply. For people; it takes its time.
    #[must_use]
    pub fn explain(&self, request: &AccessRequest<'_>) -> Explanation {
        explain::identity(&self.attached, request)
    }
}

/// Bytes of a RAM resource that can be rewritten without the heap.
pub(super) const SHORT: usize = 256;

/// The resource of a request as patterns are compared with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resource<'a> {
    text: &'a str,
    case: Case,
}

impl<'a> Resource<'a> {
    /// RAM's own resources are compared without ASCII case: names of users, groups, roles and
    /// policies are unique without it, so a Deny on `user/Alice` must hold for who asks for
    /// `ALICE`. They have no region: `acs:ram:*:...` and `acs:ram::...` mean the same, so the
    /// request is rewritten to the second form, which either spelling of the policy matches.
    pub(super) fn of(text: &'a str, short: &'a mut [u8; SHORT], long: &'a mut String) -> Self {
        const CODE: usize = "acs:ram:".len();
        if !text.get(..CODE).is_some_and(|start| start.eq_ignore_ascii_case("acs:ram:")) {
            return Self { text, case: Case::Exact };
        }
        let Some(rest) = text[CODE..].strip_prefix('*').filter(|rest| rest.starts_with(':')) else {
            return Self { text, case: Case::Ignored };
        };
        let length = CODE + rest.len();
        if let Some(room) = short.get_mut(..length) {
            room[..CODE].copy_from_slice(&text.as_bytes()[..CODE]);
            room[CODE..].copy_from_slice(rest.as_bytes());
            // Two whole pieces of a string make a string.
            if let Ok(text) = std::str::from_utf8(room) {
                return Self { text, case: Case::Ignored };
            }
        }
        long.push_str(&text[..CODE]);
        long.push_str(rest);
        Self { text: long, case: Case::Ignored }
    }

    /// Whether a pattern of a policy covers it.
    pub(super) fn is_covered(self, pattern: &Pattern) -> bool {
        pattern.matches(self.text, self.case)
    }
}

/// A request, with what is worked out once for all statements.
struct Asked<'a> {
    request: &'a AccessRequest<'a>,
    action_pairs: Pairs,
    resource: Resource<'a>,
    resource_pairs: OnceCell<Pairs>,
}

impl Asked<'_> {
    fn resource_pairs(&self) -> Pairs {
        *self.resource_pairs.get_or_init(|| Pairs::of(self.resource.text))
    }
}

/// Statements in a block at most.
const BLOCK: usize = 1_024;

/// A set of statements of a block.
type Bits = [u64; BLOCK / 64];

/// Statements of one effect, with an index by action.
#[derive(Debug)]
struct Block {
    /// Those with `NotAction`: candidates unless a pattern of theirs matches.
    all_but: Bits,
    /// Actions without wildcards, by their pairs.
    exact: Vec<Listed>,
    /// Actions with wildcards.
    patterns: Vec<Listed>,
    statements: Vec<Candidate>,
    /// What a resource must have for the patterns of the statements.
    resources: Vec<Pairs>,
}

/// An action pattern and the statements that list it, by number in the block.
#[derive(Debug)]
struct Listed {
    pattern: Pattern,
    in_action: Vec<u16>,
    in_not_action: Vec<u16>,
}

/// Where a statement is found.
#[derive(Debug)]
struct Candidate {
    policy: usize,
    statement: usize,
    /// Whether one of its resources is `*`.
    any_resource: bool,
    /// Its part of [`Block::resources`].
    resources: Range<usize>,
}

impl Block {
    fn compile(attached: &[Attached], effect: Effect) -> Vec<Self> {
        let places: Vec<(usize, usize)> = (attached.iter().enumerate())
            .flat_map(|(policy, attached)| {
                let statements = attached.policy.statements.iter().enumerate();
                let wanted = statements.filter(move |(_, statement)| statement.effect == effect);
                wanted.map(move |(statement, _)| (policy, statement))
            })
            .collect();
        places.chunks(BLOCK).map(|places| Self::of(attached, places)).collect()
    }

    fn of(attached: &[Attached], places: &[(usize, usize)]) -> Self {
        let mut block = Self {
            all_but: [0; BLOCK / 64],
            exact: Vec::new(),
            patterns: Vec::new(),
            statements: Vec::with_capacity(places.len()),
            resources: Vec::new(),
        };
        // Actions are compared without case: one entry for all spellings.
        let mut listed: BTreeMap<String, Listed> = BTreeMap::new();
        for (number, (policy, place)) in (0u16..).zip(places) {
            let statement = &attached[*policy].policy.statements[*place];
            if statement.actions.all_but {
                block.all_but[usize::from(number) / 64] |= 1 << (number % 64);
            }
            for pattern in &statement.actions.patterns {
                let text = pattern.as_str().to_ascii_lowercase();
                let entry = listed.entry(text).or_insert_with_key(|text| Listed::new(text.clone()));
                let numbers =
                    if statement.actions.all_but { &mut entry.in_not_action } else { &mut entry.in_action };
                if numbers.last() != Some(&number) {
                    numbers.push(number);
                }
            }
            let first = block.resources.len();
            block.resources.extend(statement.resources.iter().map(Pattern::pairs));
            block.statements.push(Candidate {
                policy: *policy,
                statement: *place,
                any_resource: statement.resources.iter().any(Pattern::is_any),
                resources: first..block.resources.len(),
            });
        }
        (block.exact, block.patterns) = listed.into_values().partition(|listed| listed.pattern.is_exact());
        block.exact.sort_by_key(|listed| listed.pattern.pairs());
        block
    }

    /// Whether any statement applies.
    fn applies(&self, attached: &[Attached], asked: &Asked<'_>) -> bool {
        let candidates = self.candidates(asked);
        for (word, mut bits) in candidates.into_iter().enumerate() {
            while bits != 0 {
                let number = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let candidate = &self.statements[number];
                let statement = &attached[candidate.policy].policy.statements[candidate.statement];
                if self.covers(candidate, statement, asked) && statement.conditions_hold(asked.request) {
                    return true;
                }
            }
        }
        false
    }

    /// The statements whose `Action` or `NotAction` covers the action.
    fn candidates(&self, asked: &Asked<'_>) -> Bits {
        let (mut bits, action) = (self.all_but, asked.request.action);
        let first = self.exact.partition_point(|listed| listed.pattern.pairs() < asked.action_pairs);
        let exact = self.exact[first..].iter();
        for listed in exact.take_while(|listed| listed.pattern.pairs() == asked.action_pairs) {
            listed.mark(action, &mut bits);
        }
        for listed in &self.patterns {
            if asked.action_pairs.cover(listed.pattern.pairs()) {
                listed.mark(action, &mut bits);
            }
        }
        bits
    }

    fn covers(&self, candidate: &Candidate, statement: &Statement, asked: &Asked<'_>) -> bool {
        if candidate.any_resource {
            return true;
        }
        let given = asked.resource_pairs();
        self.resources[candidate.resources.clone()]
            .iter()
            .zip(&statement.resources)
            .any(|(needed, pattern)| given.cover(*needed) && asked.resource.is_covered(pattern))
    }
}

impl Listed {
    fn new(pattern: String) -> Self {
        Self { pattern: Pattern::new(pattern), in_action: Vec::new(), in_not_action: Vec::new() }
    }

    /// A statement has either `Action` or `NotAction`, so the order of calls has no effect.
    fn mark(&self, action: &str, bits: &mut Bits) {
        if self.pattern.matches(action, Case::Ignored) {
            for number in &self.in_action {
                bits[usize::from(*number) / 64] |= 1 << (number % 64);
            }
            for number in &self.in_not_action {
                bits[usize::from(*number) / 64] &= !(1 << (number % 64));
            }
        }
    }
}
