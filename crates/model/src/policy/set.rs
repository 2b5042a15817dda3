//! The policies of one principal, put together and compiled.
//!
//! [`PolicySet::new`] sorts the statements so that a request looks only at those that may
//! apply. Deny and Allow are separate, and Deny is evaluated first: one that applies decides. Each
//! side is cut into blocks of at most [`BLOCK`] statements, so that the candidates of a block
//! are a set of bits on the stack. In a block every distinct action pattern is kept once, with
//! the statements that list it: those without wildcards in a sorted table, the others in a list
//! that is walked. For the candidates resources are compared, and last the conditions are evaluated.
//!
//! Before a pattern is compared, the pairs of neighbouring letters of its literal parts are
//! looked up among those of the request ([`Pairs`]): where one is missing, it cannot match.
//! That settles nearly all patterns of other actions and resources with two instructions.
//!
//! A call may name several resources, which must all be allowed. They share action, ARN and all
//! condition keys but their tags, so a statement is looked at once for all of them: its conditions
//! on other keys first, and only if these hold those on tags, for each resource.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::wildcard::{Case, Pairs, Pattern, Text};
use super::{
    AccessRequest, Budget, ConditionKeys, Decision, Effect, Exhausted, Explanation, Policy, ResourceKeys,
    Statement, explain,
};

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
    /// See [`Self::resource_keys`].
    resource_keys: BTreeSet<String>,
}

/// Resources that are decided together, at most.
pub const RESOURCES_MAX: usize = u128::BITS as usize;

/// A call that names one resource, or none: its context knows the tags.
struct One<'a>(&'a dyn ConditionKeys);

impl ResourceKeys for One<'_> {
    fn count(&self) -> usize {
        1
    }

    fn values(&self, _: usize, key: &str, each: &mut dyn FnMut(&str)) {
        self.0.values(key, each);
    }
}

impl PolicySet {
    /// Puts policies together; their order has no effect on decisions.
    #[must_use]
    pub fn new(attached: Vec<Attached>) -> Self {
        let deny = Block::compile(&attached, Effect::Deny);
        let allow = Block::compile(&attached, Effect::Allow);
        let statements = attached.iter().flat_map(|attached| &attached.policy.statements);
        let conditions = statements.flat_map(|statement| &statement.conditions);
        let resource_keys = conditions.filter(|condition| condition.is_of_resource());
        let resource_keys = resource_keys.map(|condition| condition.folded_key().to_owned()).collect();
        Self { attached, deny, allow, resource_keys }
    }

    /// What the policies say about a request: any matching Deny denies, else any matching Allow
    /// allows, else the request is denied implicitly.
    ///
    /// Takes no memory from the heap, unless the resource is one of RAM's with `*` for the region
    /// and longer than 256 bytes, patterns are hard to search for, or letters that are not ASCII are
    /// compared without case.
    ///
    /// # Errors
    /// [`Exhausted`]: it would take more steps than the budget has.
    pub fn decide(&self, request: &AccessRequest<'_>, budget: &Budget) -> Result<Decision, Exhausted> {
        self.decide_all(request, &One(request.context), budget)
    }

    /// As [`Self::decide`] for a call that names several resources: denied if one is, allowed if all are.
    /// Condition keys of resources are looked up in `resources`, all others in the request's context.
    ///
    /// # Errors
    /// [`Exhausted`], also for more than [`RESOURCES_MAX`] resources.
    pub fn decide_all(
        &self,
        request: &AccessRequest<'_>,
        resources: &dyn ResourceKeys,
        budget: &Budget,
    ) -> Result<Decision, Exhausted> {
        let mut short = [0; SHORT];
        let mut long = String::new();
        let asked = Asked {
            request,
            resources,
            budget,
            action: Text::new(request.action, Case::Ignored).long_lived(),
            resource: resource(request.resource, &mut short, &mut long).long_lived(),
        };
        // One resource that is denied is enough, and all must be allowed.
        for block in &self.deny {
            if block.applies(&self.attached, &asked, &mut Covered::default(), Wanted::Any)? {
                return Ok(Decision::ExplicitDeny);
            }
        }
        let mut covered = Covered::default();
        for block in &self.allow {
            if block.applies(&self.attached, &asked, &mut covered, Wanted::All)? {
                return Ok(Decision::Allow);
            }
        }
        Ok(Decision::ImplicitDeny)
    }

    /// The condition keys of resources that any statement mentions, in lower case: which of two
    /// resources have the same values for all of them are decided alike.
    #[must_use]
    pub fn resource_keys(&self) -> &BTreeSet<String> {
        &self.resource_keys
    }

    /// Steps that a decision about one resource takes at most, when no value of the request is longer than
    /// 128 bytes: for who wants to know beforehand whether the set can use up a [`Budget`]. Nearly all
    /// decisions take a small part of it.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.attached.iter().map(|attached| attached.policy.cost()).sum()
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
///
/// RAM's own resources are compared without ASCII case: names of users, groups, roles and
/// policies are unique without it, so a Deny on `user/Alice` must hold for who asks for
/// `ALICE`. They have no region: `acs:ram:*:...` and `acs:ram::...` mean the same, so the
/// request is rewritten to the second form, which either spelling of the policy matches.
pub(super) fn resource<'a>(text: &'a str, short: &'a mut [u8; SHORT], long: &'a mut String) -> Text<'a> {
    const CODE: usize = "acs:ram:".len();
    if !text.get(..CODE).is_some_and(|start| start.eq_ignore_ascii_case("acs:ram:")) {
        return Text::new(text, Case::Exact);
    }
    let Some(rest) = text[CODE..].strip_prefix('*').filter(|rest| rest.starts_with(':')) else {
        return Text::new(text, Case::Ignored);
    };
    let length = CODE + rest.len();
    if let Some(room) = short.get_mut(..length) {
        room[..CODE].copy_from_slice(&text.as_bytes()[..CODE]);
        room[CODE..].copy_from_slice(rest.as_bytes());
        // Two whole pieces of a string make a string.
        if let Ok(text) = std::str::from_utf8(room) {
            return Text::new(text, Case::Ignored);
        }
    }
    long.push_str(&text[..CODE]);
    long.push_str(rest);
    Text::new(long, Case::Ignored)
}

/// A request, with what is worked out once for all statements.
struct Asked<'a> {
    request: &'a AccessRequest<'a>,
    resources: &'a dyn ResourceKeys,
    budget: &'a Budget,
    action: Text<'a>,
    resource: Text<'a>,
}

/// How many of the resources a statement must cover to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Any,
    All,
}

/// The resources that a statement of the wanted effect covers, by number.
#[derive(Debug, Default)]
struct Covered(u128);

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
    /// Whether it has a condition on a key of [`ResourceKeys`].
    of_resource: bool,
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
                of_resource: statement.conditions.iter().any(super::Condition::is_of_resource),
                resources: first..block.resources.len(),
            });
        }
        (block.exact, block.patterns) = listed.into_values().partition(|listed| listed.pattern.is_exact());
        block.exact.sort_by_key(|listed| listed.pattern.pairs());
        block
    }

    /// Whether the statements, together with what is `covered`, cover as many resources as `wanted`.
    fn applies(
        &self,
        attached: &[Attached],
        asked: &Asked<'_>,
        covered: &mut Covered,
        wanted: Wanted,
    ) -> Result<bool, Exhausted> {
        let candidates = self.candidates(asked);
        for (word, mut bits) in candidates.into_iter().enumerate() {
            while bits != 0 {
                let number = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let candidate = &self.statements[number];
                let statement = &attached[candidate.policy].policy.statements[candidate.statement];
                asked.budget.take(1);
                let applies = self.covers(candidate, statement, asked)
                    && statement.applies(asked, candidate.of_resource, covered, wanted);
                if asked.budget.is_exhausted() {
                    return Err(Exhausted);
                }
                if applies {
                    return Ok(true);
                }
            }
        }
        if asked.budget.is_exhausted() { Err(Exhausted) } else { Ok(false) }
    }

    /// The statements whose `Action` or `NotAction` covers the action.
    fn candidates(&self, asked: &Asked<'_>) -> Bits {
        let (mut bits, action, pairs) = (self.all_but, &asked.action, asked.action.pairs());
        // Pairs of the patterns are compared many at a time.
        asked.budget.take(1 + self.patterns.len() / 2);
        let first = self.exact.partition_point(|listed| listed.pattern.pairs() < pairs);
        let exact = self.exact[first..].iter();
        for listed in exact.take_while(|listed| listed.pattern.pairs() == pairs) {
            listed.mark(action, &mut bits, asked.budget);
        }
        for listed in &self.patterns {
            if pairs.cover(listed.pattern.pairs()) && !asked.budget.is_exhausted() {
                listed.mark(action, &mut bits, asked.budget);
            }
        }
        bits
    }

    fn covers(&self, candidate: &Candidate, statement: &Statement, asked: &Asked<'_>) -> bool {
        if candidate.any_resource {
            return true;
        }
        let given = asked.resource.pairs();
        asked.budget.take(candidate.resources.len() / 2);
        self.resources[candidate.resources.clone()].iter().zip(&statement.resources).any(
            |(needed, pattern)| {
                given.cover(*needed)
                    && !asked.budget.is_exhausted()
                    && pattern.matches(&asked.resource, asked.budget)
            },
        )
    }
}

impl Statement {
    /// Whether its conditions hold, for as many resources as `wanted`.
    fn applies(&self, asked: &Asked<'_>, of_resource: bool, covered: &mut Covered, wanted: Wanted) -> bool {
        let holds = |condition: &super::Condition| {
            !asked.budget.is_exhausted() && condition.holds(asked.request.context, asked.budget)
        };
        if !of_resource {
            return self.conditions.iter().all(holds);
        }
        if !self.conditions.iter().filter(|condition| !condition.is_of_resource()).all(holds) {
            return false;
        }
        let count = asked.resources.count();
        if count > RESOURCES_MAX {
            asked.budget.take(usize::MAX);
            return false;
        }
        for resource in 0..count {
            if covered.0 >> resource & 1 == 1 {
                continue;
            }
            let holds = |condition: &super::Condition| {
                !asked.budget.is_exhausted() && condition.holds_for(asked.resources, resource, asked.budget)
            };
            if self.conditions.iter().filter(|condition| condition.is_of_resource()).all(holds) {
                covered.0 |= 1 << resource;
                if wanted == Wanted::Any {
                    return true;
                }
            }
        }
        count > 0 && covered.0.count_ones() as usize == count
    }
}

impl Listed {
    fn new(pattern: String) -> Self {
        Self { pattern: Pattern::new(pattern), in_action: Vec::new(), in_not_action: Vec::new() }
    }

    /// A statement has either `Action` or `NotAction`, so the order of calls has no effect.
    fn mark(&self, action: &Text<'_>, bits: &mut Bits, budget: &Budget) {
        if self.pattern.matches(action, budget) {
            budget.take(self.in_action.len() + self.in_not_action.len());
            for number in &self.in_action {
                bits[usize::from(*number) / 64] |= 1 << (number % 64);
            }
            for number in &self.in_not_action {
                bits[usize::from(*number) / 64] &= !(1 << (number % 64));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::Context;
    use super::*;

    /// Resources that have one tag each, and which of them was asked for it.
    #[derive(Default)]
    struct Tagged {
        env: Vec<&'static str>,
        asked: RefCell<Vec<usize>>,
    }

    impl ResourceKeys for Tagged {
        fn count(&self) -> usize {
            self.env.len()
        }

        fn values(&self, resource: usize, key: &str, each: &mut dyn FnMut(&str)) {
            assert_eq!(key, "acs:resourcetag/env");
            self.asked.borrow_mut().push(resource);
            each(self.env[resource]);
        }
    }

    fn set(statements: &[String]) -> PolicySet {
        // As many as fit into a document of the greatest length.
        let attached = statements.chunks(20).map(|statements| {
            let document = format!(r#"{{"Version": "1", "Statement": [{}]}}"#, statements.join(","));
            let policy = Arc::new(Policy::parse(&document).unwrap());
            Attached { origin: "policy/Test".to_owned(), policy }
        });
        PolicySet::new(attached.collect())
    }

    fn allow(action: &str, resource: &str, condition: &str) -> String {
        format!(
            r#"{{"Effect": "Allow", "Action": {action}, "Resource": {resource}, "Condition": {{{condition}}}}}"#
        )
    }

    fn allow_env(env: &str) -> String {
        allow(r#""*""#, r#""*""#, &format!(r#""StringEquals": {{"acs:ResourceTag/Env": "{env}"}}"#))
    }

    fn decide(set: &PolicySet, resources: &Tagged) -> Result<Decision, Exhausted> {
        let context = Context::new();
        let request = AccessRequest { action: "vpc:TagResources", resource: "*", context: &context };
        set.decide_all(&request, resources, &Budget::unlimited())
    }

    #[test]
    fn as_many_resources_are_decided_as_fit_and_not_one_more() {
        let set = set(&[allow_env("test")]);
        let all = |count| Tagged { env: vec!["test"; count], ..Tagged::default() };
        assert_eq!(decide(&set, &all(RESOURCES_MAX)), Ok(Decision::Allow));
        assert_eq!(decide(&set, &all(RESOURCES_MAX + 1)), Err(Exhausted));
    }

    #[test]
    fn a_call_that_names_no_resource_is_not_allowed_by_what_resources_have() {
        assert_eq!(decide(&set(&[allow_env("test")]), &Tagged::default()), Ok(Decision::ImplicitDeny));
    }

    #[test]
    fn resources_that_one_statement_covers_are_not_looked_at_again() {
        let resources = Tagged { env: vec!["a", "b", "c", "b"], ..Tagged::default() };
        let set = set(&[allow_env("b"), allow_env("c"), allow_env("a")]);
        assert_eq!(decide(&set, &resources), Ok(Decision::Allow));
        assert_eq!(*resources.asked.borrow(), [0, 1, 2, 3, 0, 2, 0]);
    }

    /// Candidates are bits of words of 64.
    #[test]
    fn a_statement_far_down_is_the_one_that_decides() {
        let statement =
            |n: usize| allow(&format!(r#""vpc:Do{n}""#), &format!(r#""acs:vpc:*:*:thing/{n}""#), "");
        let set = set(&(0..150).map(statement).collect::<Vec<_>>());
        let context = Context::new();
        for n in 0..150 {
            let (action, resource) = (format!("vpc:Do{n}"), format!("acs:vpc:cn-hangzhou:1:thing/{n}"));
            let request = AccessRequest { action: &action, resource: &resource, context: &context };
            assert_eq!(set.decide(&request, &Budget::default()), Ok(Decision::Allow), "{n}");
            let resource = format!("acs:vpc:cn-hangzhou:1:thing/{}", n % 64 + if n < 64 { 64 } else { 0 });
            let request = AccessRequest { resource: &resource, ..request };
            assert_eq!(set.decide(&request, &Budget::default()), Ok(Decision::ImplicitDeny), "{n}");
        }
    }

    /// Five patterns, one of which has the letters of the request, once for the action and once for the resource.
    #[test]
    fn steps_are_counted_for_what_is_looked_at() {
        let actions = r#"["ecs:Run*", "kms:*Key", "ram:Get*", "sts:*Role", "vpc:*"]"#;
        let resources = r#"["acs:ecs:*", "acs:kms:*", "acs:ram:*", "acs:sts:*", "acs:vpc:*"]"#;
        let set = set(&[allow(actions, resources, "")]);
        let context = Context::new();
        let resource = "acs:vpc:cn-hangzhou:1:vpngateway/vpn-1";
        let request = AccessRequest { action: "vpc:TagResources", resource, context: &context };
        let budget = Budget::unlimited();
        assert_eq!(set.decide(&request, &budget), Ok(Decision::Allow));
        // The index of actions, the one that matches and its statement; the statement, its resources, the one
        // that matches.
        assert_eq!(budget.spent(), (1 + 5 / 2) + 1 + 1 + 1 + 5 / 2 + 1);
    }

    #[test]
    fn the_estimate_adds_up_what_all_statements_take() {
        const TAG: usize = 8 + 32 + 128 + (2 + 1);
        let tagged =
            allow(r#""vpc:*""#, r#""acs:vpc:*:*:*""#, r#""StringEquals": {"acs:RequestTag/env": "prod"}"#);
        let plain = allow(r#""vpc:*""#, r#""*""#, "");
        let request = 2 * (4_096 + 256 + 128);
        // The resource's 13 characters are searched for.
        let tagged_cost = 2 + 3 + (3 + 3 * 13) + TAG;
        let plain_cost = 2 + 3 + 3;
        for (statements, expected) in [
            (vec![plain.clone()], request + plain_cost),
            (vec![tagged.clone()], request + tagged_cost),
            (vec![tagged.clone(), plain, tagged], request + plain_cost + 2 * tagged_cost),
        ] {
            assert_eq!(set(&statements).cost(), expected as u64, "{statements:?}");
        }
    }

    #[test]
    fn the_memory_of_a_set_is_that_of_its_parts() {
        let statement = allow(
            r#"["vpc:*", "ecs:Run"]"#,
            r#""acs:vpc:*""#,
            r#""StringEquals": {"acs:RequestTag/env": ["prod", "test"]}"#,
        );
        let patterns = (256 + 2 * 5) + (256 + 2 * 7) + (256 + 2 * 9);
        let condition = 256 + 2 * 18 + 2 * (192 + 3 * 4);
        let one = 512 + patterns + condition;
        assert_eq!(set(std::slice::from_ref(&statement)).bytes(), one + "policy/Test".len());
        assert_eq!(set(&[statement.clone(), statement]).bytes(), 2 * one + "policy/Test".len());
        assert_eq!(PolicySet::default().bytes(), 0);
    }

    /// Rather more than less, and not many times as much.
    #[test]
    fn the_memory_of_a_set_is_about_what_it_takes_from_the_heap() {
        let statement = |n: usize| {
            let condition = format!(r#""StringLike": {{"acs:RequestTag/env": ["prod-{n}-*", "test-{n}"]}}"#);
            allow(
                &format!(r#"["vpc:Do{n}*", "ecs:Run{n}"]"#),
                &format!(r#""acs:vpc:*:*:thing/{n}""#),
                &condition,
            )
        };
        let mut kept = None;
        let statements: Vec<String> = (0..40).map(statement).collect();
        let heap = allocation_counter::measure(|| kept = Some(set(&statements))).bytes_current;
        let estimate = i64::try_from(kept.unwrap().bytes()).unwrap();
        assert!((heap..4 * heap).contains(&estimate), "{estimate} for {heap}");
    }

    #[test]
    fn the_keys_of_resources_are_known_in_lower_case() {
        let other = allow(r#""*""#, r#""*""#, r#""StringEquals": {"acs:RequestTag/Env": "a"}"#);
        let keys: Vec<String> =
            set(&[allow_env("a"), other, allow_env("b")]).resource_keys().iter().cloned().collect();
        assert_eq!(keys, ["acs:resourcetag/env"]);
    }
}
