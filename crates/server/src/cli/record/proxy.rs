//! Passes requests on as they were signed, and hands each with its answer to the recording.
//!
//! What a signature covers is left alone: method, path, query, body and header fields, `Host` among them in V3 and V4.
//! A client that was given the recorder's address has signed that as its host, and this is what the endpoint is told;
//! one that uses the recorder as its HTTP proxy has signed the endpoint's. A signature of V1 covers no host: if the
//! request names the recorder, the endpoint is told its own name. Left out are fields that are of one connection, and
//! `Accept-Encoding`, so that answers come as text.
//!
//! What the recorder answers itself has codes that begin with `Recorder.`; docs/test-api.md lists them.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tongguan_rpc::{ErrorBody, Format, HttpRequest, Limits, content_type};
use tongguan_service::context::{Clock as _, SystemClock, iso8601, new_request_id};
use tongguan_service::product::Product;
use tongguan_service::replay::{Pair, compared};

use super::Output;
use super::veil::{Veil, masked};
use crate::causes::causes;
use crate::cli::client::{Answer, Channel, Endpoint, Unanswered};
use crate::cli::terminal;
use crate::config::is_loopback;
use crate::connections::{BODY_BYTES, HEAD_BYTES};

/// Connections of clients at once; further ones wait.
const CONNECTIONS: usize = 64;
/// For a request's head to arrive, idle time of a kept connection included.
const HEAD_TIME: Duration = Duration::from_secs(75);
/// For a request's body to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Bytes of a body that is too large that are still read, so that its client sees the refusal.
const UNREAD_BYTES: usize = 16 * 1024 * 1024;
/// For calls that are under way when the recorder is told to end.
const STOP_TIME: Duration = Duration::from_secs(10);

/// Header fields that are of one connection (RFC 9110, 7.6.1), or that the HTTP library writes.
static OWN: [HeaderName; 10] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    header::EXPECT,
    header::CONTENT_LENGTH,
    HeaderName::from_static("keep-alive"),
];
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-acs-request-id");

/// What every connection serves.
pub(super) struct Recorder {
    channel: Channel,
    to: Endpoint,
    own: SocketAddr,
    output: Mutex<Output>,
    recorded: AtomicU64,
    others: AtomicU64,
    /// Told when the recording cannot be written.
    failed: mpsc::UnboundedSender<io::Error>,
    failures: tokio::sync::Mutex<mpsc::UnboundedReceiver<io::Error>>,
}

/// A request, read.
struct Whole {
    head: Parts,
    body: Bytes,
}

/// Why a request is not passed on, or has no answer.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}

impl Recorder {
    /// Between clients of `own` and an endpoint.
    pub(super) fn new(channel: Channel, to: Endpoint, own: SocketAddr, output: Output) -> Self {
        let (failed, failures) = mpsc::unbounded_channel();
        Self {
            channel,
            to,
            own,
            output: Mutex::new(output),
            recorded: AtomicU64::new(0),
            others: AtomicU64::new(0),
            failed,
            failures: tokio::sync::Mutex::new(failures),
        }
    }

    /// Calls that were recorded, and those that were passed on only.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.recorded.load(Ordering::Relaxed), self.others.load(Ordering::Relaxed))
    }

    /// Answers a request: as the endpoint does, or with a refusal of the recorder's own.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let host = host_of(request.headers()).to_owned();
        let whole = match self.admit(&request) {
            Ok(()) => read(request).await,
            Err(refusal) => Err(refusal),
        };
        let passed = match whole {
            // Once it was sent, a client that goes takes no pair away from the recording.
            Ok(whole) => match tokio::spawn(self.pass(whole)).await {
                Ok(passed) => passed,
                Err(error) => Err((
                    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "Recorder.Internal", error.to_string()),
                    Format::Json,
                )),
            },
            Err(refusal) => Err((refusal, Format::Json)),
        };
        passed.unwrap_or_else(|(refusal, format)| refused(&refusal, &host, format))
    }

    /// Whether a request is one that can be passed on.
    fn admit(&self, request: &Request<Incoming>) -> Result<(), Refusal> {
        if request.method() == Method::CONNECT {
            return Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "Recorder.Encrypted",
                "What is encrypted cannot be recorded: use the endpoint by the protocol HTTP, the recorder speaks TLS to it.",
            ));
        }
        // The form for proxies: it must be for the endpoint.
        if let Some(authority) = request.uri().authority() {
            let same = authority.host().trim_matches(['[', ']']).eq_ignore_ascii_case(self.to.host());
            if !same && !self.is_own(authority.as_str()) {
                let said = format!("This recorder passes on what is for {} alone.", self.to);
                return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, "Recorder.OtherHost", said));
            }
        }
        Ok(())
    }

    /// Whether a `Host` is the recorder's.
    fn is_own(&self, host: &str) -> bool {
        host.rsplit_once(':').is_some_and(|(_, port)| port == self.own.port().to_string())
            && is_loopback(host)
    }

    /// Sends a request to the endpoint and records it.
    async fn pass(self: Arc<Self>, whole: Whole) -> Result<Response<Full<Bytes>>, (Refusal, Format)> {
        let sent = self.outgoing(&whole).map_err(|refusal| (refusal, Format::Json))?;
        let answer = self.channel.pass(sent).await.map_err(|why| {
            let format = incoming(&whole).map_or(Format::Json, |incoming| incoming.format());
            (unanswered(why), format)
        })?;
        match pair(&whole, &answer) {
            Ok(pair) => {
                let recorder = Arc::clone(&self);
                let kept = tokio::task::spawn_blocking(move || {
                    recorder.output.lock().unwrap_or_else(PoisonError::into_inner).keep(&pair)
                });
                match kept.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
                    Ok(()) => {
                        self.recorded.fetch_add(1, Ordering::Relaxed);
                    }
                    // The call was made, and its client is told the outcome. Nothing more is passed on.
                    Err(error) => {
                        let _ = self.failed.send(error);
                    }
                }
            }
            Err(why) => {
                self.others.fetch_add(1, Ordering::Relaxed);
                terminal::tell(&format!("passed on and not recorded: {why}"));
            }
        }
        Ok(returned(answer))
    }

    /// A request as it goes to the endpoint.
    fn outgoing(&self, whole: &Whole) -> Result<Request<Full<Bytes>>, Refusal> {
        let Parts { method, uri, headers, .. } = &whole.head;
        let malformed =
            |said: &str| Refusal::new(StatusCode::BAD_REQUEST, "Recorder.Malformed", said.to_owned());
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target: Uri = target.parse().map_err(|_| malformed("The target of the request is not valid."))?;
        let mut sent = Request::new(Full::new(whole.body.clone()));
        (*sent.method_mut(), *sent.uri_mut()) = (method.clone(), target);
        *sent.headers_mut() = lasting(headers);
        let signature = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let signed = signature.is_some_and(|value| value.starts_with("ACS"));
        if !signature.is_some_and(|value| value.contains("accept-encoding")) {
            sent.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if !signed && self.is_own(host_of(headers)) {
            let host = HeaderValue::try_from(self.to.authority());
            sent.headers_mut().insert(header::HOST, host.map_err(|_| malformed("The host is not valid."))?);
        }
        if !sent.headers().contains_key(header::HOST) {
            return Err(malformed("The request has no Host."));
        }
        Ok(sent)
    }
}

/// Accepts connections until it is told to end, then lets calls that are under way end.
///
/// # Errors
/// The recording could not be written.
pub(super) async fn listen(
    listener: TcpListener,
    recorder: &Arc<Recorder>,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut failures = recorder.failures.lock().await;
    tokio::pin!(end);
    let mut outcome = Ok(());
    loop {
        while connections.try_join_next().is_some() {}
        let entering = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = &mut end => break,
            Some(error) = failures.recv() => {
                outcome = Err(error);
                break;
            }
            (place, accepted) = entering => match accepted {
                Ok((stream, _)) => {
                    let (recorder, stopped) = (Arc::clone(recorder), stopped.clone());
                    connections.spawn(async move {
                        let _place = place;
                        serve(stream, recorder, stopped).await;
                    });
                }
                Err(error) => {
                    const PAUSE: Duration = Duration::from_millis(50);
                    terminal::tell(&format!("cannot accept a connection: {error}"));
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    // Nobody listens any more: all connections have ended.
    let _ = stop.send(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_TIME, all).await.is_err() {
        terminal::tell("some calls did not end in time");
    }
    match failures.try_recv() {
        Ok(error) if outcome.is_ok() => Err(error),
        _ => outcome,
    }
}

/// Serves a connection until its client or the recorder ends it.
async fn serve(stream: TcpStream, recorder: Arc<Recorder>, mut stopped: watch::Receiver<bool>) {
    let http = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .half_close(true)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| {
                let recorder = Arc::clone(&recorder);
                async move { Ok::<_, Infallible>(recorder.answer(request).await) }
            }),
        );
    // What it waits for is not held while the connection ends.
    let told = async { drop(stopped.wait_for(|stopped| *stopped).await) };
    tokio::pin!(http);
    // How a client ends its connection is its own affair.
    tokio::select! {
        _ = http.as_mut() => {}
        () = told => {
            http.as_mut().graceful_shutdown();
            let _ = http.await;
        }
    }
}

/// Reads a request to its end.
async fn read(request: Request<Incoming>) -> Result<Whole, Refusal> {
    let too_large = || {
        let said = format!("The body is longer than {BODY_BYTES} bytes.");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "Recorder.BodyTooLarge", said)
    };
    let cut_off = || {
        let said = "The body of the request did not arrive whole.";
        Refusal::new(StatusCode::BAD_REQUEST, "Recorder.BodyIncomplete", said)
    };
    let (head, mut body) = request.into_parts();
    let waits = head.headers.contains_key(header::EXPECT);
    if waits && body.size_hint().lower() > BODY_BYTES as u64 {
        return Err(too_large());
    }
    let gather = async {
        let (mut bytes, mut seen) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| cut_off())?.into_data() else { continue };
            seen += data.len();
            if seen <= BODY_BYTES {
                bytes.extend_from_slice(&data);
            } else if seen > UNREAD_BYTES {
                break;
            }
        }
        if seen > BODY_BYTES { Err(too_large()) } else { Ok(Bytes::from(bytes)) }
    };
    let body = timeout(BODY_TIME, gather).await.unwrap_or_else(|_| Err(cut_off()))?;
    Ok(Whole { head, body })
}

fn host_of(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// Header fields that are meant for the other end.
fn lasting(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<&str> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let own = |name: &HeaderName| {
        OWN.contains(name)
            || *name == PROXY_CONNECTION
            || named.iter().any(|named| named.eq_ignore_ascii_case(name.as_str()))
    };
    headers.iter().filter(|(name, _)| !own(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What the endpoint answered, for the client.
fn returned(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = lasting(&answer.headers);
    response
}

fn unanswered(why: Unanswered) -> Refusal {
    match why {
        Unanswered::Unreached(error) => {
            Refusal::new(StatusCode::BAD_GATEWAY, "Recorder.Unreachable", causes(&error))
        }
        Unanswered::Silent(error) => {
            Refusal::new(StatusCode::GATEWAY_TIMEOUT, "Recorder.NoAnswer", causes(&error))
        }
    }
}

fn refused(refusal: &Refusal, host: &str, format: Format) -> Response<Full<Bytes>> {
    let request_id = new_request_id();
    let body = ErrorBody {
        request_id: &request_id,
        host_id: host,
        code: refusal.code,
        message: &refusal.message,
        recommend: String::new(),
        access_denied_detail: None,
        http_status: None,
    };
    let mut response = Response::new(Full::new(Bytes::from(body.render(format, "Error"))));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(format)));
    if let Ok(id) = HeaderValue::try_from(&request_id) {
        headers.insert(&REQUEST_ID, id);
    }
    if refusal.status == StatusCode::PAYLOAD_TOO_LARGE {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The request as the API reads it.
fn incoming(whole: &Whole) -> Result<tongguan_rpc::Incoming<'_>, String> {
    let Parts { method, uri, headers, .. } = &whole.head;
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let request = HttpRequest { method, path, query, headers, body: &whole.body };
    // Of what exceeds them nothing is lost: it is passed on.
    let limits = Limits::default();
    tongguan_rpc::parse(request, &limits).map_err(|error| error.to_string())
}

/// What is named at the top of an answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Named {
    request_id: Option<String>,
    /// Some successes have one too, which may be a number.
    code: Option<Value>,
}

/// The pair to be recorded, or why there is none.
fn pair(whole: &Whole, answer: &Answer) -> Result<Pair, String> {
    let incoming = incoming(whole).map_err(|why| format!("the request cannot be read: {why}"))?;
    let claims = incoming.claims();
    let (Some(version), Some(action)) = (claims.version(), claims.action()) else {
        return Err("the request names no version or no action".to_owned());
    };
    let kind = whole.head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !whole.body.is_empty()
        && !kind.is_some_and(|kind| kind.to_ascii_lowercase().contains("form-urlencoded"))
    {
        return Err(format!("{action}: the body of the request is no form"));
    }
    if answer.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(format!("{action}: the answer is compressed"));
    }
    let text = std::str::from_utf8(&answer.body).map_err(|_| format!("{action}: the answer is no text"))?;
    let header = |name: &HeaderName| answer.headers.get(name)?.to_str().ok().map(str::to_owned);
    let refused = !answer.is_success();
    let body = Veil::of(&incoming).over(text, refused);
    let named: Named = match body.trim_start().starts_with('<') {
        true => quick_xml::de::from_str(&body).unwrap_or_default(),
        false => serde_json::from_str(&body).unwrap_or_default(),
    };
    let code = named.code.as_ref().and_then(Value::as_str).filter(|_| refused);
    Ok(Pair {
        time: iso8601(SystemClock.now_ms()),
        product: Product::of_version(version).map(|product| product.as_str().to_owned()),
        version: version.to_owned(),
        action: action.to_owned(),
        parameters: compared(claims.parameters()),
        access_key_id: incoming.access_key_id().map(masked),
        format: incoming.format().into(),
        status: answer.status,
        content_type: header(&header::CONTENT_TYPE),
        code: code.map(str::to_owned),
        request_id: named.request_id.or_else(|| header(&REQUEST_ID)),
        body,
    })
}
