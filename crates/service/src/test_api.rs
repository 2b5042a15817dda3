//! What a test does to a service that was started for it: empties it, makes operations fail, steps its clock, and looks
//! at what was called.
//!
//! A service that was not started with it has none of this: the pipeline asks whether there is a [`TestApi`], and there
//! is none. The store takes part only if it was made for tests ([`tongguan_store::Purpose`]).
//!
//! A fault comes where an operation itself would refuse: the caller is known, may call, and has sent what is required
//! ([`crate::pipeline`]). Only codes that the operation declares can be asked for, so that a test meets nothing that
//! could not happen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Serialize;
use tongguan_rpc::Params;
use tongguan_store::{Kept, StoreError};

use crate::catalogue::{Code, Refusal};
use crate::context::SteppedClock;
use crate::hiding;
use crate::operation::{self, Operation};
use crate::replay::Replay;

/// Rules at once at most.
pub const RULES: usize = 1_000;
/// Requests that are kept; the oldest go first.
pub const REQUESTS: usize = 10_000;
/// Bytes of their parameters that are kept, about.
pub const REQUEST_BYTES: usize = 8 * 1024 * 1024;
/// Characters of a parameter that are kept.
const VALUE_CHARS: usize = 1_024;
/// No clock is stepped beyond the last moment that certificates know, the end of the year 9999, UNIX milliseconds.
pub(crate) const LAST_MS: i64 = 253_402_300_799_000;

/// Calls that fit it are answered with a code.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The operation.
    pub operation: &'static Operation,
    /// The value that some parameter of the call has; none: whatever they are.
    pub resource: Option<String>,
    /// The code, as it is answered.
    pub code: String,
    /// Calls that fit and pass first.
    pub after: u64,
    /// Calls that are refused then; none: all.
    pub times: Option<u64>,
    known: &'static Code,
    /// What fills the slot `<Param>`.
    parameter: Option<String>,
}

/// Why there is no such rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No product has the operation.
    #[error("there is no operation `{0}`")]
    Operation(String),
    /// Several products have it.
    #[error("several products have an operation `{0}`: name the one that is meant (product)")]
    Ambiguous(String),
    /// The operation does not declare the code.
    #[error("`{action}` never answers `{code}`")]
    Code {
        /// The operation.
        action: &'static str,
        /// The code.
        code: String,
        /// Those that it declares.
        codes: Vec<&'static str>,
    },
    /// There are too many.
    #[error("more than {RULES} rules")]
    TooMany,
}

impl Rule {
    /// The rule that an operation, found by its name, answers this code.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn new(product: Option<&str>, action: &str, code: &str) -> Result<Self, RuleError> {
        let mut having = operation::ALL.iter().copied().filter(|known| {
            known.action == action
                && product.is_none_or(|named| known.product.as_str().eq_ignore_ascii_case(named))
        });
        let Some(operation) = having.next() else { return Err(RuleError::Operation(action.to_owned())) };
        if having.next().is_some() {
            return Err(RuleError::Ambiguous(action.to_owned()));
        }
        let named = operation.codes().find_map(|known| Some((known, slot(operation, known, code)?)));
        let Some((known, parameter)) = named else {
            let mut codes: Vec<_> = operation.codes().map(|known| known.code).collect();
            codes.sort_unstable();
            codes.dedup();
            return Err(RuleError::Code { action: operation.action, code: code.to_owned(), codes });
        };
        let code = code.to_owned();
        Ok(Self { operation, resource: None, code, after: 0, times: None, known, parameter })
    }

    fn fits(&self, operation: &'static Operation, parameters: &Params<'_>) -> bool {
        let has = |wanted: &String| parameters.iter().any(|(_, value)| value == wanted);
        std::ptr::eq(self.operation, operation) && self.resource.as_ref().is_none_or(has)
    }

    /// The refusal, with the value that the caller sent for the parameter that it names.
    fn refusal<'p>(&self, sent: impl Fn(&str) -> Option<&'p str>) -> Refusal {
        let mut refusal = Refusal::new(self.known);
        if let Some(name) = &self.parameter {
            refusal = refusal.parameter(name.clone());
        }
        if self.known.message.contains("%s") {
            refusal = refusal.value(self.parameter.as_deref().and_then(sent).unwrap_or_default());
        }
        refusal
    }
}

/// What fills the slot of a code of the catalogue so that it is this code; none if nothing does.
fn slot(operation: &Operation, known: &Code, code: &str) -> Option<Option<String>> {
    const SLOT: &str = "<Param>";
    let Some((before, after)) = known.code.split_once(SLOT) else {
        let any = operation.parameters.iter().find(|parameter| parameter.required);
        let any = any.or(operation.parameters.first()).map(|parameter| parameter.name.to_owned());
        let filled = if known.message.contains(SLOT) || known.message.contains("%s") { any } else { None };
        return (known.code == code).then_some(filled);
    };
    let name = code.strip_prefix(before)?.strip_suffix(after)?;
    let takes = |parameter: &str| {
        name.strip_prefix(parameter).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    operation.parameters.iter().any(|known| takes(known.name)).then(|| Some(name.to_owned()))
}

/// A rule, and what it has met.
#[derive(Debug, Clone)]
pub struct Met {
    /// The rule.
    pub rule: Rule,
    /// Calls that fitted.
    pub seen: u64,
    /// Those of them that were refused for it.
    pub hits: u64,
}

/// A request as a test sees it.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenRequest {
    /// Its number, from 1.
    pub number: u64,
    /// When it came, by the service's clock.
    pub time: String,
    /// Its id, as it was answered.
    pub request_id: String,
    /// Product; none if it is not known.
    pub product: Option<String>,
    /// Operation, as it was named.
    pub action: Option<String>,
    /// Who called; none if nobody was verified.
    pub account: Option<String>,
    /// The same: root, a user, a session.
    pub principal: Option<String>,
    /// Parameters, without secrets; long values are cut. None before the call was verified.
    pub parameters: BTreeMap<String, String>,
    /// HTTP status of the answer.
    pub status: u16,
    /// Code of a refusal.
    pub code: Option<String>,
}

impl SeenRequest {
    fn bytes(&self) -> usize {
        self.parameters.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + 256
    }
}

#[derive(Debug, Default)]
struct Requests {
    kept: VecDeque<SeenRequest>,
    bytes: usize,
    last: u64,
}

/// Why the clock was not stepped.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It would be beyond the year 9999.
    #[error("the clock ends with the year 9999")]
    TooFar,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a test does to a service.
#[derive(Debug)]
pub struct TestApi {
    clock: Arc<SteppedClock>,
    kept: Kept,
    rules: Mutex<Vec<Met>>,
    requests: Mutex<Requests>,
    replay: OnceLock<Replay>,
    /// One step at a time.
    stepping: tokio::sync::Mutex<()>,
}

impl TestApi {
    /// Over the clock that the service goes by; an emptied service has what is kept.
    #[must_use]
    pub fn new(clock: Arc<SteppedClock>, kept: Kept) -> Self {
        Self {
            clock,
            kept,
            rules: Mutex::default(),
            requests: Mutex::default(),
            replay: OnceLock::new(),
            stepping: Default::default(),
        }
    }

    /// From now on these rules hold, and no others.
    ///
    /// # Errors
    /// [`RuleError::TooMany`].
    pub fn set_rules(&self, rules: Vec<Rule>) -> Result<(), RuleError> {
        if rules.len() > RULES {
            return Err(RuleError::TooMany);
        }
        *self.rules() = rules.into_iter().map(|rule| Met { rule, seen: 0, hits: 0 }).collect();
        Ok(())
    }

    /// The rules, and what they have met.
    #[must_use]
    pub fn met(&self) -> Vec<Met> {
        self.rules().clone()
    }

    /// The requests after this number, the oldest first; the number of the newest of all; and whether some after it are
    /// kept no more.
    #[must_use]
    pub fn requests_since(&self, number: u64) -> (Vec<SeenRequest>, u64, bool) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let after = requests.kept.iter().filter(|seen| seen.number > number).cloned().collect();
        let first = requests.kept.front().map_or(requests.last + 1, |seen| seen.number);
        (after, requests.last, number + 1 < first)
    }

    /// From now on what was recorded is answered. The first call counts.
    pub fn set_replay(&self, replay: Replay) {
        // A service is started with one recording or none.
        let _ = self.replay.set(replay);
    }

    /// The recording that is answered from, if there is one.
    #[must_use]
    pub fn replay(&self) -> Option<&Replay> {
        self.replay.get()
    }

    /// Refuses a call that a rule is for.
    pub(crate) fn meet(&self, operation: &'static Operation, parameters: &Params<'_>) -> Result<(), Refusal> {
        for met in self.rules().iter_mut().filter(|met| met.rule.fits(operation, parameters)) {
            met.seen += 1;
            if met.seen > met.rule.after && met.rule.times.is_none_or(|times| met.hits < times) {
                met.hits += 1;
                return Err(met.rule.refusal(|name| parameters.get(name)));
            }
        }
        Ok(())
    }

    /// Keeps what a request was and how it was answered, under the next number.
    pub(crate) fn note(&self, seen: SeenRequest) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.last += 1;
        let seen = SeenRequest { number: requests.last, ..seen };
        requests.bytes += seen.bytes();
        requests.kept.push_back(seen);
        while requests.kept.len() > REQUESTS || requests.bytes > REQUEST_BYTES {
            let Some(gone) = requests.kept.pop_front() else { break };
            requests.bytes -= gone.bytes();
        }
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Met>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an emptied service has.
    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// The clock, for who steps it; one at a time.
    pub(crate) async fn clock(&self) -> (tokio::sync::MutexGuard<'_, ()>, &SteppedClock) {
        (self.stepping.lock().await, &self.clock)
    }

    /// No rules, and no requests; a recording begins anew. Numbers of requests go on.
    pub(crate) fn clear(&self) {
        self.rules().clear();
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests = Requests { last: requests.last, ..Requests::default() };
        drop(requests);
        if let Some(replay) = self.replay() {
            replay.rewind();
        }
    }
}

/// The parameters of a call as a test may see them: without secrets, long values cut.
pub(crate) fn shown(parameters: &Params<'_>) -> BTreeMap<String, String> {
    parameters.iter().map(|(name, value)| (name.to_owned(), cut(&hiding::parameter(name, value)))).collect()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    #[test]
    fn only_codes_that_an_operation_declares_make_a_rule() {
        let rule = Rule::new(None, "AssociateVpnGatewayWithCertificate", "VpnGateway.Configuring").unwrap();
        assert!(std::ptr::eq(rule.known, &catalogue::GATEWAY_CONFIGURING));
        for code in ["Throttling.User", "ServiceUnavailable", "InternalError", "Forbidden"] {
            assert!(Rule::new(Some("vpc"), "AssociateVpnGatewayWithCertificate", code).is_ok(), "{code}");
        }
        let Err(RuleError::Code { codes, .. }) =
            Rule::new(None, "AssociateVpnGatewayWithCertificate", "QuotaExceeded.Made.Up")
        else {
            panic!("a code that nobody declares makes a rule")
        };
        assert!(
            codes.contains(&"VpnGateway.Configuring") && codes.contains(&"ServiceUnavailable"),
            "{codes:?}"
        );
        assert!(matches!(Rule::new(None, "NoSuchOperation", "x"), Err(RuleError::Operation(_))));
        assert!(matches!(Rule::new(None, "TagResources", "InternalError"), Err(RuleError::Ambiguous(_))));
    }

    /// Every code of every operation makes a rule, and what is answered then is that code, with no slot left.
    #[test]
    fn every_declared_code_can_be_asked_for() {
        for operation in operation::ALL {
            for known in operation.codes() {
                let names = operation.parameters.iter().map(|parameter| parameter.name);
                for name in names.take(1) {
                    let code = known.code.replace("<Param>", name);
                    let rule = Rule::new(Some(operation.product.as_str()), operation.action, &code);
                    let rule = rule.unwrap_or_else(|error| panic!("{} {code}: {error}", operation.action));
                    let refusal = rule.refusal(|_| None);
                    assert_eq!(refusal.code(), code, "{}", operation.action);
                    let message = refusal.message();
                    assert!(!message.contains("<Param>") && !message.contains("%s"), "{code}: {message}");
                }
            }
        }
    }

    #[test]
    fn long_values_are_cut() {
        assert!(cut(&"通".repeat(2_000)).ends_with("... (6000 bytes)"));
        assert_eq!(cut("short"), "short");
    }
}
