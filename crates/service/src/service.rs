//! Carries a request from bytes to its answer: the order of checks in one place.

use std::borrow::Cow;
use std::sync::Arc;

use fail::fail_point;
use tongguan_model::principal::{Identity, Principal};
use tongguan_rpc::{ErrorBody, Format, HttpRequest, Incoming, Limits, Params, content_type, recommend_url};
use tongguan_store::{AuditRecord, NewToken, NonceLog, Owner, StoreError, Tx, Verdict};
use tracing::{debug, error, info, warn};

use crate::access;
use crate::accounts::{self, AccountError, Done as Ordered, Order};
use crate::args::Args;
use crate::authority::Authority;
use crate::call::{Call, Parts, Reply};
use crate::catalogue::{self, Code, Refusal};
use crate::context::Context;
use crate::engine::Engine;
use crate::gate::{self, Gate, Peer, Turned};
use crate::keyring::{Keyring, KeyringError};
use crate::marker;
use crate::operation::{Answer, Answered, Change, DryRun, Failure, Handler, Long, Operation, Product};
use crate::seldom::Seldom;
use crate::throttle::{Failures, Throttle};
use crate::token::Tokens;
use crate::work::Work;

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

/// The service: everything behind the listener.
#[derive(Debug)]
pub struct Service {
    context: Context,
    gate: Gate,
    engine: Engine,
    limits: Limits,
    work: Work,
}

/// What is known of a request on its way.
struct Trail<'a> {
    request_id: String,
    host: &'a str,
    peer: Peer,
    now_ms: i64,
    format: Format,
    access_key: Option<String>,
    principal: Option<Arc<Principal>>,
    operation: Option<&'static Operation>,
    /// The product that was called, as far as version and action tell, whether or not it has the action.
    product: Option<Product>,
    action: Option<String>,
    resource: Option<String>,
    /// Id of the access key that the call made.
    issued: Option<String>,
    /// The audit record was written with the change.
    audited: bool,
}

impl Service {
    /// Puts the service together. `keyring` holds the keys that are not in the store.
    ///
    /// # Errors
    /// The store fails, or what is sealed in it does not open under the vault's master key.
    pub fn new(context: Context, keyring: Keyring, nonces: NonceLog) -> Result<Self, KeyringError> {
        let engine = Engine::new(context.clone());
        context.keep_marker_key(marker::prepare(&context.store, &context.vault, context.clock.now_ms())?);
        let tokens = Tokens::open(&context.store, &context.vault, context.clock.now_ms())?;
        let authority = Arc::new(Authority::new(keyring, tokens));
        let (throttle, failures) = (Throttle::default(), Failures::new(false));
        let gate = Gate { authority, nonces, throttle, failures };
        Ok(Self { context, gate, engine, limits: Limits::default(), work: Work::default() })
    }

    /// Who may sign, and what they may do.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.gate.authority
    }

    /// Holds every account to a rate, and sources of requests that nobody signed to theirs.
    #[must_use]
    pub fn throttled(self, throttle: Throttle) -> Self {
        let failures = Failures::new(throttle.limits());
        Self { gate: Gate { throttle, failures, ..self.gate }, ..self }
    }

    /// Does long work in this pool.
    #[must_use]
    pub fn working(self, work: Work) -> Self {
        Self { work, ..self }
    }

    /// What holds accounts to their rate.
    #[must_use]
    pub fn throttle(&self) -> &Throttle {
        &self.gate.throttle
    }

    /// What counts requests that nobody signed.
    #[must_use]
    pub fn failures(&self) -> &Failures {
        &self.gate.failures
    }

    /// The pool for long work.
    #[must_use]
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// Forgets the rates of accounts, principals and sources that have rested: to be called now and then.
    pub fn forget_rested(&self) {
        let steady_ms = self.context.clock.steady_ms();
        self.gate.throttle.forget_rested(steady_ms);
        self.gate.failures.forget_rested(steady_ms);
    }

    /// Carries out an operator's order, which is in force for the next call.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub fn order(&self, order: &Order) -> Result<Ordered, AccountError> {
        let context = &self.context;
        let done = accounts::carry_out(&context.store, &context.vault, order, context.clock.now_ms())?;
        match &done {
            Ordered::Created(key) => self.authority().changed(&key.account),
            Ordered::Switched(account) => self.authority().changed(account),
            Ordered::TokenKey => self.authority().tokens().reload(&context.store, &context.vault)?,
        }
        Ok(done)
    }

    /// Makes a new token key once a day, and removes those under which no session can live any more.
    ///
    /// # Errors
    /// The store fails, or a key does not open.
    pub async fn keep_token_keys(&self) -> Result<(), KeyringError> {
        self.authority().tokens().keep(&self.context).await
    }

    /// The memory of used nonces.
    #[must_use]
    pub fn nonces(&self) -> &NonceLog {
        &self.gate.nonces
    }

    /// The engine, to be run beside the listener.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine.clone()
    }

    /// The context, for those who look behind the API.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Notes an orderly stop.
    pub fn close(&self) {
        if let Err(error) = self.gate.nonces.close() {
            warn!(%error, "the nonce log was not closed in order");
        }
    }

    /// Whether a request, of which the body has not come yet, names a key that exists and is active. Nothing is proved
    /// by that: it says who is served first when there is not room for all, and gives no right.
    #[must_use]
    pub fn names_active_key(&self, head: HttpRequest<'_>) -> bool {
        let Ok(incoming) = tongguan_rpc::parse(HttpRequest { body: &[], ..head }, &self.limits) else {
            return false;
        };
        let now_ms = self.context.clock.now_ms();
        let token = incoming.security_token();
        incoming
            .access_key_id()
            .is_some_and(|id| self.gate.authority.names_active_key(&self.context, id, token, now_ms))
    }

    /// Answers a request.
    pub async fn answer(&self, request: HttpRequest<'_>, peer: Peer) -> Response {
        let host = request.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let mut trail = self.trail(host, peer);
        let outcome = match tongguan_rpc::parse(request, &self.limits) {
            Err(error) => {
                let bytes = request.query.len() + request.body.len();
                Err(self.gate.unproven(&self.context, peer, None, bytes, gate::wire(error)))
            }
            Ok(incoming) => self.carry_out(&incoming, &mut trail).await,
        };
        self.finish(trail, outcome).await
    }

    /// Answers a request that cannot be read at all: too large, or cut off.
    pub async fn refuse(&self, host: &str, peer: Peer, code: &'static Code) -> Response {
        let trail = self.trail(host, peer);
        // What is our own fault, or want of room, is no act of the source.
        let failure = match code.status {
            500.. => code.into(),
            _ => self.gate.unproven(&self.context, peer, None, 0, code.into()),
        };
        self.finish(trail, Err(failure)).await
    }

    fn trail<'a>(&self, host: &'a str, peer: Peer) -> Trail<'a> {
        let mut buffer = uuid::Uuid::encode_buffer();
        let request_id = uuid::Uuid::new_v4().hyphenated().encode_upper(&mut buffer).to_owned();
        Trail {
            request_id,
            host,
            peer,
            now_ms: self.context.clock.now_ms(),
            format: Format::Json,
            access_key: None,
            principal: None,
            operation: None,
            product: None,
            action: None,
            resource: None,
            issued: None,
            audited: false,
        }
    }

    /// The order of checks.
    async fn carry_out(&self, incoming: &Incoming<'_>, trail: &mut Trail<'_>) -> Result<Reply, Failure> {
        trail.format = incoming.format();
        trail.access_key = incoming.access_key_id().map(cut);
        trail.action = incoming.claims().action().map(cut);
        trail.product = gate::product(incoming);
        let proven = self.gate.prove(&self.context, incoming, trail.peer, trail.now_ms)?;
        let (verified, owner) = (proven.verified, proven.owner);
        let principal = Arc::clone(&proven.known.key.principal);
        let steady_ms = self.context.clock.steady_ms();
        match self.gate.admit(&proven, trail.now_ms, steady_ms) {
            Ok(()) => trail.principal = Some(Arc::clone(&principal)),
            Err(Turned::Known(failure)) => {
                trail.principal = Some(Arc::clone(&principal));
                return Err(failure);
            }
            Err(Turned::Unproven(failure)) => return Err(failure),
        }
        fail_point!("call::authenticated");
        let operation = gate::route(&verified, self.context.settings.default_region)?;
        trail.operation = Some(operation);
        if operation.product == Product::Kms {
            trail.request_id.make_ascii_lowercase();
        }
        let args = Args::new(operation, verified.parameters(), &self.context, &proven.known.key.principal);
        trail.resource = operation.subject.and_then(|name| args.raw(name)).map(cut);
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
        match &operation.handler {
            Handler::Pure(answer) => answer(&self.context, &call, &args),
            Handler::Read(read) => self.read(*read, &call, &args).await,
            Handler::Write(prepare) => {
                let change = prepare(&call, &args)?;
                self.write(call, &args, change, trail).await
            }
            Handler::UntypedWrite(prepare) => {
                let mut change = prepare(&self.context, &call, &args)?;
                let change: Change = Box::new(move |tx| Ok(Box::new(change(tx)?)));
                self.write(call, &args, change, trail).await
            }
            Handler::LongWrite(long) => {
                (long.look)(&call, &args)?;
                self.gate.throttle.charge(owner, long.cost, steady_ms);
                let change = self.long(long, owner, &call, verified.parameters().owned()).await?;
                self.write(call, &args, change, trail).await
            }
        }
    }

    /// Has the first part of a long write done by the pool.
    async fn long(
        &self,
        long: &'static Long,
        owner: Owner,
        call: &Call,
        parameters: Params<'static>,
    ) -> Result<Change, Failure> {
        let call = call.clone();
        let work = move || {
            let args = Args::new(call.operation, &parameters, &call.context, &call.principal);
            (long.look)(&call, &args)?;
            (long.prepare)(&call, &args)
        };
        self.work.run(owner, work).await
    }

    async fn read(
        &self,
        read: fn(&Context, &Call, &Args<'_>, &tongguan_store::Snapshot<'_>) -> Result<Reply, Failure>,
        call: &Call,
        args: &Args<'_>,
    ) -> Result<Reply, Failure> {
        let dry = args.dry_run()?;
        let reply = self.context.store.read(|snapshot| Ok(read(&self.context, call, args, snapshot)))??;
        if dry && call.operation.dry_run == DryRun::Refuses {
            return Err((&catalogue::DRY_RUN).into());
        }
        for resource in &reply.unsettled {
            if self.context.dataplane.looked_at(resource) {
                self.engine.step(resource).await?;
            }
        }
        Ok(reply)
    }

    async fn write(
        &self,
        call: Call,
        args: &Args<'_>,
        mut change: Change,
        trail: &mut Trail<'_>,
    ) -> Result<Reply, Failure> {
        let dry = args.dry_run()?;
        let token = args.client_token()?.filter(|_| !dry);
        let token = token.map(|token| (token.to_owned(), args.fingerprint()));
        let quotas = &self.context.settings.quotas;
        let hours = i64::try_from(quotas.client_token_hours).unwrap_or(i64::MAX);
        let oldest_ms = call.now_ms.saturating_sub(hours.saturating_mul(3_600_000));
        let tokens = Remembered { oldest_ms, most: quotas.client_tokens_per_account };
        let mut record = AuditRecord { changed: true, ..trail.record(200, None) };
        let (inner, inner_call) = (call.clone(), call.clone());
        let rights = matches!(call.operation.product, Product::Ram | Product::ResourceManager);
        let (store, engine) = (self.context.store.clone(), self.engine.clone());
        // A task of its own: a caller that goes away does not leave an accepted change unattended.
        self.gate.write_nonces()?;
        fail_point!("call::writing");
        let written = tokio::spawn(async move {
            let waits_for = gate::owner(&inner.principal).account();
            let write = store.write_for(waits_for, move |tx| {
                let outcome = transact(tx, &inner, token.as_ref(), tokens, &mut change);
                match outcome {
                    Ok(Done::Changed(answer)) if dry => Ok(Verdict::Discard(Ok(Done::Repeated(answer)))),
                    Ok(Done::Changed(answer)) => {
                        record.issued = answer.issued();
                        tx.audit(&record)?;
                        Ok(Verdict::Keep(Ok(Done::Changed(answer))))
                    }
                    Ok(repeated @ Done::Repeated(_)) => Ok(Verdict::Discard(Ok(repeated))),
                    Err(Failure::Store(error)) => Err(error),
                    Err(failure) => Ok(Verdict::Discard(Err(failure))),
                }
            });
            let written = write.await;
            if rights && matches!(written, Ok(Ok(Done::Changed(_)))) {
                inner_call.authority.changed(&inner_call.principal.account);
            }
            fail_point!("call::written");
            if matches!(written, Ok(Ok(Done::Changed(_)))) {
                engine.notify();
            }
            written
        });
        let written = written.await.map_err(|error| Failure::Internal(error.to_string()))???;
        let answer = match written {
            Done::Changed(answer) => {
                trail.audited = true;
                answer
            }
            Done::Repeated(answer) => answer,
        };
        match (dry, call.operation.dry_run) {
            (true, DryRun::Refuses) => Err((&catalogue::DRY_RUN).into()),
            (true, DryRun::Succeeds | DryRun::None) => call.answer(Answer::new()),
            (false, _) => answer.reply(&call),
        }
    }

    async fn finish(&self, mut trail: Trail<'_>, outcome: Result<Reply, Failure>) -> Response {
        let (status, code) = match &outcome {
            Ok(reply) => {
                trail.issued.clone_from(&reply.issued);
                (200, None)
            }
            Err(Failure::Refused(refusal)) => (refusal.code.status, Some(refusal.code().into_owned())),
            Err(failure) => {
                let code = failure.unexpected(&trail.request_id);
                (code.status, Some(code.code.to_owned()))
            }
        };
        debug!(target: REQUEST_LOG, request_id = trail.request_id, action = trail.action, source = %trail.peer.address, code, "answered");
        if let Err(failure) = self.audit(&mut trail, status, code).await {
            // Nobody gets an answer that is not in the record.
            let code = failure.unexpected(&trail.request_id);
            return render_refusal(&trail, code.into());
        }
        match outcome {
            Ok(reply) => Response {
                warnings: trail.warned(reply.warnings),
                status: 200,
                content_type: content_type(trail.format),
                body: reply.body,
                request_id: trail.request_id,
                code: None,
                refusal: None,
                operation: trail.operation,
            },
            Err(Failure::Refused(refusal)) => render_refusal(&trail, *refusal),
            Err(failure) => render_refusal(&trail, failure.code().into()),
        }
    }

    /// Hands the call to the audit record, unless it was written with the change. When this returns, record
    /// and nonce outlive the process.
    async fn audit(&self, trail: &mut Trail<'_>, status: u16, code: Option<String>) -> Result<(), Failure> {
        if trail.audited {
            return Ok(());
        }
        trail.audited = true;
        let store = &self.context.store;
        match store.audit_later(trail.record(status, code)) {
            Ok(number) => {
                // Calls that end at the same time share the writes: whoever comes first makes them for all.
                tokio::task::yield_now().await;
                store.audit_written(number)?;
            }
            Err(record) => {
                let written = store.write(move |tx| {
                    tx.audit(&record)?;
                    Ok(Verdict::Keep(()))
                });
                written.await?;
            }
        }
        self.gate.write_nonces()
    }
}

impl Failure {
    /// The code of a failure that is no refusal.
    fn code(&self) -> &'static Code {
        match self {
            Self::Store(
                StoreError::Closed
                | StoreError::Unusable(_)
                | StoreError::Full
                | StoreError::Forged { principal: false, .. },
            )
            | Self::Unavailable(_) => &catalogue::UNAVAILABLE,
            // What is wrong is the operator's to know.
            Self::Store(StoreError::Forged { principal: true, .. }) => &catalogue::ACCESS_KEY_INACTIVE,
            Self::Store(StoreError::Crowded) => &catalogue::THROTTLING_USER,
            Self::Refused(_) | Self::Store(_) | Self::Internal(_) => &catalogue::INTERNAL,
        }
    }

    /// Says in the log what the caller is not told, and gives the code for the caller.
    fn unexpected(&self, request_id: &str) -> &'static Code {
        static BUSY: Seldom = Seldom::new();
        static FORGED: Seldom = Seldom::new();
        let code = self.code();
        match self {
            Self::Refused(_) => {}
            // The store has said so once, for all calls.
            Self::Store(
                error @ (StoreError::Closed
                | StoreError::Unusable(_)
                | StoreError::Crowded
                | StoreError::Full),
            ) => {
                debug!(%error, request_id, "a call could not be taken");
            }
            // A full disk meets every call: one line a second says it as well, and fills the disk less.
            Self::Unavailable(reason) if BUSY.now() => {
                warn!(reason, request_id, "calls cannot be taken");
            }
            Self::Unavailable(reason) => debug!(reason, request_id, "a call could not be taken"),
            Self::Store(error @ StoreError::Forged { .. }) if !FORGED.now() => {
                debug!(%error, request_id, "a call was refused");
            }
            Self::Store(error @ StoreError::Forged { .. }) => {
                error!(%error, request_id, "a call was refused")
            }
            Self::Store(error) => error!(%error, request_id, "the store failed a call"),
            Self::Internal(error) => error!(error, request_id, "a bug failed a call"),
        }
        code
    }
}

impl Trail<'_> {
    /// The warnings, which the log gets too.
    fn warned(&self, warnings: Vec<String>) -> Vec<String> {
        for warning in &warnings {
            let account = self.principal.as_ref().map(|principal| principal.account.as_str());
            info!(
                account,
                action = self.action,
                resource = self.resource,
                warning,
                "a policy may not do what it should"
            );
        }
        warnings
    }

    fn record(&self, status: u16, code: Option<String>) -> AuditRecord {
        let session = self.principal.as_ref().and_then(|principal| principal.session());
        AuditRecord {
            time_ms: self.now_ms,
            request_id: self.request_id.clone(),
            account: self.principal.as_ref().map(|principal| principal.account.as_str().to_owned()),
            principal: self.principal.as_ref().map(|principal| principal.label()),
            access_key: self.access_key.clone(),
            source: self.peer.address.to_string(),
            product: self.operation.map(|operation| operation.product.as_str().into()),
            action: self.action.clone(),
            resource: self.resource.clone(),
            status,
            code,
            issued: self.issued.clone(),
            origin: session.map(|session| session.origin.to_string()),
            source_identity: session.and_then(|session| session.source_identity.clone()),
            changed: false,
            repeats: None,
        }
    }
}

enum Done {
    /// The change was made now.
    Changed(Box<dyn Answered>),
    /// Nothing was changed: the answer of an earlier call under the same token, or of a dry run.
    Repeated(Box<dyn Answered>),
}

/// Which tokens are remembered.
#[derive(Debug, Clone, Copy)]
struct Remembered {
    /// Those since this moment, UNIX milliseconds.
    oldest_ms: i64,
    /// So many of an account.
    most: u64,
}

impl Remembered {
    /// Refuses the call if its account, or its principal in it, has no room for one more token: a user has a part
    /// of what is left to others only, and the last eighth is the root key's.
    fn room(self, tx: &Tx<'_>, call: &Call) -> Result<(), Failure> {
        const PART: u64 = 4;
        let account = &call.principal.account;
        let held = tx.client_tokens(account)?;
        let room = match &call.principal.identity {
            Identity::Root => held < self.most,
            Identity::User { .. } | Identity::Session(_) => {
                let left = (self.most - self.most / 8).saturating_sub(held);
                tx.client_tokens_of(account, &token_owner(call))? < left.saturating_mul(PART)
            }
        };
        if room { Ok(()) } else { Err((&catalogue::THROTTLING_USER).into()) }
    }
}

/// Whose share of ClientTokens a call uses.
fn token_owner(call: &Call) -> String {
    match &call.principal.identity {
        Identity::Session(session) => format!("role/{}", session.role),
        Identity::Root | Identity::User { .. } => call.principal.label(),
    }
}

/// Token, change and record of the token, inside the transaction.
fn transact(
    tx: &Tx<'_>,
    call: &Call,
    token: Option<&(String, [u8; 32])>,
    tokens: Remembered,
    change: &mut Change,
) -> Result<Done, Failure> {
    let account = &call.principal.account;
    let action = call.operation.action;
    if let Some((token, fingerprint)) = token {
        match tx.token(account, action, token)? {
            Some(stored) if stored.created_ms >= tokens.oldest_ms => {
                if stored.fingerprint != fingerprint {
                    return Err((&catalogue::TOKEN_MISMATCH).into());
                }
                let answer: Answer = serde_json::from_str(&stored.answer)
                    .map_err(|error| Failure::Internal(error.to_string()))?;
                return Ok(Done::Repeated(Box::new(answer)));
            }
            // An old one is replaced: the table does not grow.
            Some(_) => {}
            None => tokens.room(tx, call)?,
        }
    }
    let answer = change(tx)?;
    if let Some((token, fingerprint)) = token {
        let text = answer.remembered()?;
        tx.put_token(&NewToken {
            account,
            principal: &token_owner(call),
            action,
            token,
            fingerprint,
            answer: &text,
            request_id: &call.request_id,
            created_ms: call.now_ms,
        })?;
    }
    Ok(Done::Changed(answer))
}

fn render_refusal(trail: &Trail<'_>, mut refusal: Refusal) -> Response {
    let code: Cow<'static, str> = refusal.code();
    let kms = trail.operation.is_some_and(|operation| operation.product == Product::Kms);
    let body = ErrorBody {
        request_id: &trail.request_id,
        host_id: trail.host,
        code: &code,
        message: &refusal.message(),
        recommend: recommend_url(&code, trail.product.map(Product::as_str), &trail.request_id),
        access_denied_detail: refusal.access_denied.take(),
        http_status: kms.then_some(refusal.code.status),
    };
    Response {
        status: refusal.code.status,
        content_type: content_type(trail.format),
        body: body.render(trail.format, if kms { "KMS" } else { "Error" }),
        request_id: trail.request_id.clone(),
        code: Some(code.into_owned()),
        refusal: Some(refusal.code),
        operation: trail.operation,
        warnings: Vec::new(),
    }
}

/// What a caller names is kept in the record, not mirrored at any length.
pub(crate) fn cut(text: &str) -> String {
    const KEPT: usize = 128;
    text.chars().take(KEPT).collect()
}
