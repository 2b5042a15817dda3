//! **The order of checks.** Every request takes this way, from the top to the bottom, and leaves it at the
//! first check that it does not pass:
//!
//! 1. size and shape of the request ([`tongguan_rpc::parse`])
//!    (here, the clock of the machine is near that of the database, where one is shared: [`crate::clock`])
//! 2. common parameters; the access key is known and active; its security token; signature method; the time is
//!    well formed and fresh; the signature (`admit`)
//! 3. the nonce is unused; the rate of account and principal; a place for the nonce (`admit`). What is known of the
//!    signer still holds, or the checks from 2 on are made anew
//!    (here, and in a service for tests that replays a recording alone, what was recorded is answered:
//!    [`crate::replay`])
//! 4. version and action name an operation, and the scope of the signature covers it (`route`)
//! 5. permission ([`crate::access`])
//! 6. required parameters are there (`Args::require_all`)
//!    (here, and in a service for tests alone, a fault that a test has set: [`crate::test_api`])
//! 7. the form of each parameter, then of all together ([`crate::operation::Input`], `check`); of long work also
//!    whether it is worth doing (quota, state)
//! 8. long work, in a bounded pool (`perform`)
//! 9. ClientToken: a repeat gets the answer of the first (`idempotency`)
//! 10. existence, state, quota: in the transaction of the change, or the snapshot of the read (the operation)
//! 11. a dry run ends here
//! 12. the change, the record of its token and its audit record, in one transaction (`perform`, `record`)
//! 13. the answer, once that is durable; the record of whatever was not a change is written before it (`record`)

pub(crate) mod admit;
mod idempotency;
mod perform;
pub(crate) mod record;
mod route;

use std::borrow::Cow;
use std::sync::Arc;

use fail::fail_point;
use tongguan_rpc::{ErrorBody, HttpRequest, Incoming, Verified, content_type, recommend_url};
use tracing::debug;

use self::admit::Turned;
use self::perform::forgotten;
use self::record::Trail;
use crate::access::{self, Peer};
use crate::args::Args;
use crate::call::{Call, Parts, Recorded, Reply};
use crate::catalogue::{self, Code, Refusal};
use crate::failure::Failure;
use crate::operation::{self, Handler, Operation, Product};
use crate::replay::Looked;
use crate::service::Service;
use crate::test_api;

/// Target of the lines that say how each request was answered: `TONGGUAN_LOG=info,tongguan::request=debug`.
const REQUEST_LOG: &str = "tongguan::request";

/// An answer ready to be sent.
#[derive(Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Content type, exact.
    pub content_type: &'static str,
    /// Body.
    pub body: Vec<u8>,
    /// Id of the request.
    pub request_id: String,
    /// Error code, if it was refused.
    pub code: Option<String>,
    /// Where that code stands in the catalogue.
    pub refusal: Option<&'static Code>,
    /// The operation, once known.
    pub operation: Option<&'static Operation>,
    /// What the caller is to be told beside the answer, in ASCII: header `x-tongguan-warning`, one for each.
    pub warnings: Vec<String>,
}

impl Service {
    /// Answers a request.
    pub async fn answer(&self, request: HttpRequest<'_>, peer: Peer) -> Response {
        let host = request.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let mut trail = Trail::new(host, peer, self.context.clock.now_ms());
        let outcome = match tongguan_rpc::parse(request, &self.limits) {
            Err(error) => {
                let bytes = request.query.len() + request.body.len();
                Err(self.gate.unproven(&self.context, peer, None, bytes, admit::wire(error)))
            }
            Ok(incoming) => self.carry_out(&incoming, &mut trail).await,
        };
        self.finish(trail, outcome).await
    }

    /// Answers a request that cannot be read at all: too large, or cut off.
    pub async fn refuse(&self, host: &str, peer: Peer, code: &'static Code) -> Response {
        let trail = Trail::new(host, peer, self.context.clock.now_ms());
        // What is our own fault, or want of room, is no act of the source.
        let failure = match code.status {
            500.. => code.into(),
            _ => self.gate.unproven(&self.context, peer, None, 0, code.into()),
        };
        self.finish(trail, Err(failure)).await
    }

    /// The order of checks.
    async fn carry_out(&self, incoming: &Incoming<'_>, trail: &mut Trail<'_>) -> Result<Reply, Failure> {
        trail.format = incoming.format();
        trail.access_key = incoming.access_key_id().map(cut);
        trail.action = incoming.claims().action().map(cut);
        trail.product = route::product(incoming);
        if let Some(apart) = self.context.apart() {
            return Err(Refusal::new(&catalogue::UNAVAILABLE).because(format!("({apart}.)")).into());
        }
        let proven = match self.gate.enter(&self.context, incoming, trail.peer, trail.now_ms).await {
            Ok(proven) => proven,
            Err(Turned::Known(principal, failure)) => {
                trail.principal = Some(principal);
                return Err(failure);
            }
            Err(Turned::Unproven(failure)) => return Err(failure),
        };
        let (verified, owner) = (proven.verified, proven.owner);
        let principal = Arc::clone(&proven.known.key.principal);
        trail.principal = Some(Arc::clone(&principal));
        let steady_ms = self.context.clock.steady_ms();
        fail_point!("call::authenticated");
        if let Some(test) = &self.test
            && let Some(reply) = replayed(test, &verified, trail)?
        {
            return Ok(reply);
        }
        let operation = route::route(&verified, self.context.settings.default_region)?;
        trail.operation = Some(operation);
        if operation.product.conventions().lower_case_ids {
            trail.request_id.make_ascii_lowercase();
        }
        let args = Args::new(operation, verified.parameters(), &self.context, &proven.known.key.principal);
        trail.resource = operation.subject.and_then(|name| args.raw(name)).map(cut);
        if self.test.is_some() {
            trail.parameters = Some(test_api::shown(verified.parameters()));
        }
        self.gate.authority.note_use(&self.context, &proven.known, operation.product, trail.now_ms);
        access::authorise(&self.context, operation, &args, &principal, trail.peer, trail.now_ms)
            .inspect_err(|_| self.gate.throttle.charge_refused(owner, steady_ms))?;
        fail_point!("call::authorised");
        let call = Call::new(Parts {
            context: self.context.clone(),
            request_id: trail.request_id.clone(),
            operation,
            principal,
            known: Arc::clone(&proven.known),
            now_ms: trail.now_ms,
            host: trail.host.to_owned(),
            peer: trail.peer,
            authority: Arc::clone(&self.gate.authority),
            format: trail.format,
        });
        args.require_all()?;
        if let Some(test) = &self.test {
            test.meet(operation, verified.parameters())?;
        }
        match &operation.handler {
            Handler::Pure(answer) => answer(&call, &args),
            Handler::Read(read) => self.read(*read, &call, &args).await,
            Handler::Write(prepare) => {
                let change = prepare(&call, &args)?;
                self.write(call, &args, change, trail).await
            }
            Handler::LongWrite(long) => {
                let change = if self.repeats(&call, &args)? {
                    forgotten()
                } else {
                    (long.look)(&call, &args)?;
                    self.gate.throttle.charge(owner, long.cost, steady_ms);
                    self.long(long, owner, &call, verified.parameters().owned()).await?
                };
                self.write(call, &args, change, trail).await
            }
        }
    }

    async fn finish(&self, mut trail: Trail<'_>, outcome: Result<Reply, Failure>) -> Response {
        let (status, code) = match &outcome {
            Ok(reply) => {
                trail.issued.clone_from(&reply.issued);
                match &reply.recorded {
                    None => (200, None),
                    Some(recorded) => (recorded.status, recorded.code.clone()),
                }
            }
            Err(Failure::Refused(refusal)) => {
                let declared = trail.operation.is_none_or(|operation| operation.declares(refusal.code));
                debug_assert!(declared, "{:?} does not declare {}", trail.action, refusal.code.code);
                (refusal.code.status, Some(refusal.code().into_owned()))
            }
            Err(failure) => {
                let code = failure.unexpected(&trail.request_id);
                (code.status, Some(code.code.to_owned()))
            }
        };
        debug!(target: REQUEST_LOG, request_id = trail.request_id, action = trail.action, source = %trail.peer.address, code, "answered");
        if let Some(test) = &self.test {
            test.note(trail.seen(status, code.as_deref()));
        }
        if let Err(failure) = self.record(&mut trail, status, code).await {
            // Nobody gets an answer that is not in the record.
            let code = failure.unexpected(&trail.request_id);
            return render_refusal(&trail, code.into());
        }
        match outcome {
            Ok(reply) => {
                let code = reply.recorded.and_then(|recorded| recorded.code);
                let known = |code: &str| trail.operation?.codes().find(|known| known.code == code);
                Response {
                    refusal: code.as_deref().and_then(known),
                    code,
                    operation: trail.operation,
                    warnings: trail.warned(reply.warnings),
                    status,
                    content_type: content_type(trail.format),
                    body: reply.body,
                    request_id: trail.request_id,
                }
            }
            Err(Failure::Refused(refusal)) => render_refusal(&trail, *refusal),
            Err(failure) => render_refusal(&trail, failure.code().into()),
        }
    }
}

/// The answer that was recorded for a request; none if the service is to answer itself. A fault that a test has set
/// comes before it.
fn replayed(
    test: &test_api::TestApi,
    verified: &Verified<'_, '_>,
    trail: &mut Trail<'_>,
) -> Result<Option<Reply>, Failure> {
    let (Some(replay), Some(version), Some(action)) = (test.replay(), verified.version(), verified.action())
    else {
        return Ok(None);
    };
    let found = match replay.look(version, action, trail.format, verified.parameters()) {
        Looked::Found(found) => found,
        Looked::Unknown => return Ok(None),
        Looked::Refused => {
            trail.parameters = Some(test_api::shown(verified.parameters()));
            return Err(Refusal::new(&catalogue::NOT_RECORDED).value(action).into());
        }
    };
    trail.parameters = Some(test_api::shown(verified.parameters()));
    let product = Product::of_version(version);
    if product.is_some_and(|product| product.conventions().lower_case_ids) {
        trail.request_id.make_ascii_lowercase();
    }
    // It may be one that this service does not have.
    trail.operation = product.and_then(|product| operation::find(product, action));
    if let Some(operation) = trail.operation {
        test.meet(operation, verified.parameters())?;
    }
    let answered = found.answer(&trail.request_id);
    let recorded = Recorded { status: answered.status, code: answered.code };
    let (body, recorded) = (answered.body.into_bytes(), Some(Box::new(recorded)));
    Ok(Some(Reply { body, recorded, ..Reply::default() }))
}

fn render_refusal(trail: &Trail<'_>, mut refusal: Refusal) -> Response {
    let code: Cow<'static, str> = refusal.code();
    let conventions = trail.operation.map(|operation| operation.product.conventions());
    let in_body = conventions.is_some_and(|conventions| conventions.status_in_errors);
    let root = conventions.and_then(|conventions| conventions.xml_root).unwrap_or("Error");
    let body = ErrorBody {
        request_id: &trail.request_id,
        host_id: trail.host,
        code: &code,
        message: &refusal.message(),
        recommend: recommend_url(&code, trail.product.map(Product::as_str), &trail.request_id),
        access_denied_detail: refusal.access_denied.take(),
        http_status: in_body.then_some(refusal.code.status),
    };
    Response {
        status: refusal.code.status,
        content_type: content_type(trail.format),
        body: body.render(trail.format, root),
        request_id: trail.request_id.clone(),
        code: Some(code.into_owned()),
        refusal: Some(refusal.code),
        operation: trail.operation,
        warnings: Vec::new(),
    }
}

/// What a caller names is kept in the record, not mirrored at any length; and as every database takes it: none of
/// PostgreSQL's texts has a zero byte, and a record's hash is over what is kept.
pub(crate) fn cut(text: &str) -> String {
    const KEPT: usize = 128;
    // So many bytes are at most so many characters.
    let end = if text.len() <= KEPT { None } else { text.char_indices().nth(KEPT) };
    let kept = end.map_or(text, |(end, _)| &text[..end]);
    if kept.contains('\0') { kept.replace('\0', "\u{fffd}") } else { kept.to_owned() }
}
