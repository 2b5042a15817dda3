//! The listener: HTTP/1.1 and TLS, with a limit on everything a stranger can send.
//!
//! It contains no rule of the API: a request's bytes go to the service, its answer's bytes go out.
//! [`crate::connections`] decides how many connections there may be and how much memory they may use.
//! A request that cannot be parsed is refused with a body like any other: clients show its code.
//!
//! # Stop
//!
//! The listener is closed; connections that are still in its queue are accepted. A request whose head was
//! read, or whose bytes had arrived before that, is answered; connections without one are closed at once. After
//! [`STOP_TIME`] the rest is closed too. [`Stop::Now`] closes all at once.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use fail::fail_point;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tongguan_rpc::HttpRequest;
use tongguan_service::access::Peer;
use tongguan_service::{Service, catalogue};
use tracing::{debug, error, warn};

use crate::causes::causes;
use crate::connections::{
    BODY_BYTES, Connection, Connections, End, FREE_BYTES, HEAD_BYTES, Place, Reporter, Socket, Source, Stop,
    Watched,
};
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use crate::x509::Facts;
use crate::{audit_log, framing, permissions};

/// Header fields of a request.
const HEADERS: usize = 100;
/// For a request's head to arrive, idle time of a kept connection included.
const HEAD_TIME: Duration = Duration::from_secs(75);
/// For a request's body to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// For a TLS handshake, the wait for a place among them included.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// For a TLS handshake when the service stops.
const STOP_HANDSHAKE_TIME: Duration = Duration::from_secs(1);
/// For accepted requests to be answered when the service stops.
pub(crate) const STOP_TIME: Duration = Duration::from_secs(10);

/// Reads certificate and key of a TLS listener.
///
/// Versions and suites are rustls' own defaults, which `docs/security.md` names and `tests/listeners.rs` checks: TLS
/// 1.3 and 1.2 with ephemeral keys and authenticated encryption; no renegotiation, compression or early data.
pub(crate) fn tls(certificate: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read the certificate `{}`", certificate.display()))?;
    if let Some(first) = chain.first() {
        warn_of(certificate, first);
    }
    let pem = permissions::read_secret(key)?;
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .with_context(|| format!("`{}` holds no private key", key.display()))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("certificate and key of the listener do not fit")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // The default, and said here because a request in early data could be replayed.
    config.max_early_data_size = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// TLS of the listener, which may be another from one handshake to the next.
pub(crate) struct Tls(RwLock<TlsAcceptor>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// With this certificate and key.
    pub(crate) fn new(acceptor: TlsAcceptor) -> Self {
        Self(RwLock::new(acceptor))
    }

    /// From now on with another certificate and key. Connections that there are go on.
    pub(crate) fn replace(&self, acceptor: TlsAcceptor) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
    }

    fn current(&self) -> TlsAcceptor {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Says what some clients will refuse in a certificate that others take.
fn warn_of(path: &Path, certificate: &CertificateDer<'_>) {
    let path = path.display();
    match Facts::of(certificate) {
        Ok(facts) => {
            if facts.is_ca {
                warn!(
                    %path,
                    "the listener's certificate is a CA's (CA:TRUE, as `openssl req -x509` makes them): some clients \
                     refuse it, and `tongguan call` takes it by --ca alone; use one with CA:FALSE that a small CA has signed"
                );
            }
            if !facts.has_names {
                warn!(%path, "the listener's certificate has no subjectAltName: clients of today refuse it");
            }
        }
        Err(error) => warn!(%path, error = causes(&error), "the listener's certificate is odd"),
    }
}

/// Connections that the kernel keeps for us until we accept them, if it may (`net.core.somaxconn`).
const BACKLOG: u32 = 4_096;

/// Bytes that the kernel keeps for a connection each way, as we ask for them; it takes twice that for its own
/// bookkeeping. Left to itself it keeps megabytes for each client that does not take its answer.
const SOCKET_BYTES: u32 = 128 * 1024;

/// Listens on `HOST:PORT`.
///
/// # Errors
/// The name is not known, or none of its addresses can be had.
pub(crate) async fn bind(address: &str) -> std::io::Result<TcpListener> {
    let mut failed = None;
    for address in tokio::net::lookup_host(address).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        // Connections have what their listener has.
        socket.set_send_buffer_size(SOCKET_BYTES)?;
        socket.set_recv_buffer_size(SOCKET_BYTES)?;
        match socket.bind(address).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| ErrorKind::AddrNotAvailable.into()))
}

/// What every connection of the listener serves.
pub(crate) struct Server {
    /// Where requests go.
    pub service: Arc<Service>,
    /// The connections.
    pub connections: Arc<Connections>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// TLS, if the listener speaks it.
    pub tls: Option<Arc<Tls>>,
    /// Whether all is done that was to be done before it is ready.
    pub prepared: Arc<AtomicBool>,
    /// Whether the workers turn.
    pub pulse: Arc<Pulse>,
    /// How the audit log is, if there is one.
    pub audit_log: Option<Arc<audit_log::Condition>>,
}

/// Accepts connections until told to stop, then lets accepted requests end.
pub(crate) async fn listen(listener: TcpListener, server: Arc<Server>, mut stop: watch::Receiver<Stop>) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop != Stop::No) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let entered = tokio::select! {
                    biased;
                    connection = server.connections.enter(Source::of(address.ip())) => connection,
                    _ = stop.wait_for(|stop| *stop == Stop::Now) => break,
                };
                begin(&server, entered, stream, address);
            }
            Err(error) => {
                const PAUSE: Duration = Duration::from_millis(50);
                // Out of file descriptors, most likely: give connections time to end.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    let in_time = async {
        if let Err(error) = take_the_queue(listener, &server).await {
            warn!(%error, "connections that were not accepted yet are lost");
        }
        server.connections.stop(Stop::Orderly);
        if timeout(STOP_HANDSHAKE_TIME, server.connections.all_ended()).await.is_err() {
            server.connections.stop(Stop::Shaken);
            server.connections.all_ended().await;
        }
    };
    tokio::select! {
        ended = timeout(STOP_TIME, in_time) => if ended.is_err() {
            warn!(connections = server.connections.open(), "some connections did not end in time");
        },
        _ = stop.wait_for(|stop| *stop == Stop::Now) => {
            warn!(connections = server.connections.open(), "told to end at once");
        }
    }
    server.connections.stop(Stop::Now);
}

/// Accepts what the kernel has accepted for us, and closes the listener.
async fn take_the_queue(listener: TcpListener, server: &Arc<Server>) -> std::io::Result<()> {
    // Not through the runtime, which knows only of connections that an event has told it of.
    let listener = listener.into_std()?;
    loop {
        match listener.accept() {
            Ok((stream, address)) => {
                stream.set_nonblocking(true)?;
                let connection = server.connections.enter(Source::of(address.ip())).await;
                begin(server, connection, TcpStream::from_std(stream)?, address);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Serves a connection in a task of its own.
fn begin(server: &Arc<Server>, connection: Connection, stream: TcpStream, address: SocketAddr) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%address, %error, "cannot set TCP_NODELAY");
    }
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let Some(tls) = server.tls.as_deref().map(Tls::current) else {
            return serve(stream, peer(address, false), &server, connection).await;
        };
        let mut handshake = Box::pin(timeout(HANDSHAKE_TIME, async {
            let _place = connection.handshake_place().await.ok_or(ErrorKind::ConnectionRefused)?;
            tls.accept(stream).await
        }));
        let shaken = connection.shake(&mut handshake).await;
        drop(handshake);
        match shaken {
            End::Done(Ok(Ok(stream))) => serve(stream, peer(address, true), &server, connection).await,
            End::Done(Ok(Err(error))) => debug!(%address, %error, "TLS handshake failed"),
            End::Done(Err(_)) => debug!(%address, "TLS handshake took too long"),
            End::Told => {}
        }
    });
}

fn peer(address: SocketAddr, secure: bool) -> Peer {
    Peer { address: address.ip().to_canonical(), secure }
}

async fn serve<S>(stream: S, peer: Peer, server: &Arc<Server>, connection: Connection)
where
    S: Socket + Send + 'static,
{
    // One count for a request to hold, not one for each part.
    let shared = Arc::new((Arc::clone(server), connection.reporter()));
    let mut http = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        // A client that has sent all it has to say may end its half: it still gets its answer.
        .half_close(true)
        .serve_connection(
            TokioIo::new(Watched::new(stream, &connection)),
            service_fn(move |request| {
                shared.1.head_read();
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(answer(&shared.0, request, peer, &shared.1).await) }
            }),
        );
    match connection.drive(&mut http).await {
        End::Done(result) => {
            if let Err(error) = &result {
                debug!(%error, source = %peer.address, "connection ended");
            }
            let stream = http.into_parts().io.into_inner();
            let code = if connection.head_got_no_place() {
                Some(&catalogue::UNAVAILABLE)
            } else {
                stream.refusal().map(unreadable)
            };
            if code.is_some() || connection.leaves_unread() {
                let reporter = connection.reporter();
                let mut farewell = Box::pin(farewell(stream.into_inner(), server, peer, &reporter, code));
                if matches!(connection.drive(&mut farewell).await, End::Told) {
                    debug!(source = %peer.address, "connection ended to make room or to stop");
                }
            }
        }
        End::Told => debug!(source = %peer.address, "connection ended to make room or to stop"),
    }
}

/// The code for what the HTTP library could not read, and would have refused with this status.
fn unreadable(status: u16) -> &'static catalogue::Code {
    match status {
        431 => &catalogue::HEAD_TOO_LARGE,
        414 => &catalogue::TARGET_TOO_LONG,
        _ => &catalogue::HEAD_MALFORMED,
    }
}

/// Refuses what is no request, if `code` says so, and lets the client have the answer that was sent last: as long as
/// it still sends, closing the connection would take the answer away from it.
async fn farewell(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    server: &Server,
    peer: Peer,
    reporter: &Reporter,
    code: Option<&'static catalogue::Code>,
) {
    /// For a client to see that it has an answer, and how much it may send meanwhile.
    const TIME: Duration = Duration::from_secs(1);
    const BYTES: u64 = 4 * 1024 * 1024;
    if let Some(code) = code {
        reporter.works();
        let answer = server.service.refuse("", peer, code).await;
        server.metrics.answered(&answer, Duration::ZERO);
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut text = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {}\r\ncontent-length: {}\r\nx-acs-request-id: {}\r\n\
             connection: close\r\n\r\n",
            answer.content_type,
            answer.body.len(),
            answer.request_id
        )
        .into_bytes();
        text.extend_from_slice(&answer.body);
        let _ = reporter.answers();
        let written = timeout(TIME, async {
            stream.write_all(&text).await?;
            stream.shutdown().await
        });
        if !matches!(written.await, Ok(Ok(()))) {
            debug!(request_id = answer.request_id, "the client had gone");
            return;
        }
        reporter.answered();
    }
    let rest = async { tokio::io::copy(&mut stream.take(BYTES), &mut tokio::io::sink()).await };
    if !matches!(timeout(TIME, rest).await, Ok(Ok(_))) {
        debug!(source = %peer.address, "the client went on sending, or had gone");
    }
}

async fn answer(
    server: &Server,
    request: Request<Incoming>,
    peer: Peer,
    reporter: &Reporter,
) -> Response<Full<Bytes>> {
    let begun = Instant::now();
    let fault = framing::fault(&request);
    let (head, body) = request.into_parts();
    let body = match fault {
        Some(code) => Err(code),
        None if body.is_end_stream() => Ok((Bytes::new(), Vec::new())),
        None => {
            reporter.reads_body();
            let stranger = || {
                let (method, headers) = (&head.method, &head.headers);
                let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
                !server.service.names_active_key(HttpRequest { method, path, query, headers, body: &[] })
            };
            collect(body, reporter, stranger).await
        }
    };
    reporter.works();
    fail_point!("call::received");
    reporter.room_for_answers().await;
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let work = async {
        match &body {
            Ok((body, _places)) => {
                let request = HttpRequest {
                    method: &head.method,
                    path: head.uri.path(),
                    query: head.uri.query().unwrap_or_default(),
                    headers: &head.headers,
                    body,
                };
                server.service.answer(request, peer).await
            }
            Err(code) => server.service.refuse(host, peer, code).await,
        }
    };
    let answer = match caught(work).await {
        Ok(answer) => answer,
        Err(panic) => {
            let answer = server.service.refuse(host, peer, &catalogue::INTERNAL).await;
            error!(panic, request_id = answer.request_id, "a handler panicked");
            answer
        }
    };
    fail_point!("call::answering");
    server.metrics.answered(&answer, begun.elapsed());
    let last = reporter.answers() | fault.is_some();
    if body.is_err() {
        reporter.leaves_unread();
    }
    drop(body);
    let mut response = Response::new(Full::new(reporter.answer(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Ok(id) = HeaderValue::from_maybe_shared(Bytes::from(answer.request_id)) {
        headers.insert("x-acs-request-id", id);
    }
    for warning in answer.warnings {
        if let Ok(warning) = HeaderValue::try_from(warning) {
            headers.append("x-tongguan-warning", warning);
        }
    }
    if last {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The result of `work`, or what it said when it panicked.
async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    // What the work shares with others is behind locks that a panic does not poison, or atomic.
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
    })
}

type Collected = (Bytes, Vec<Place>);

/// Reads a body to its end, with the places that it takes if it is long.
async fn collect(
    body: Incoming,
    reporter: &Reporter,
    stranger: impl Fn() -> bool,
) -> Result<Collected, &'static catalogue::Code> {
    let mut waits = false;
    match timeout(BODY_TIME, gather(body, reporter, stranger, &mut waits)).await {
        Ok(collected) => collected,
        Err(_) if waits => Err(&catalogue::UNAVAILABLE),
        Err(_) => Err(&catalogue::BODY_CUT_OFF),
    }
}

/// [`collect`] without a limit in time. `waits` is true while the body waits for a place.
async fn gather(
    mut body: Incoming,
    reporter: &Reporter,
    stranger: impl Fn() -> bool,
    waits: &mut bool,
) -> Result<Collected, &'static catalogue::Code> {
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    if announced.is_some_and(|bytes| bytes > BODY_BYTES) {
        return Err(&catalogue::BODY_TOO_LARGE);
    }
    let most = announced.unwrap_or(BODY_BYTES);
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(FREE_BYTES));
    let mut places = Vec::new();
    // What may be kept with the places held; each place doubles it. Whose the body is, is asked with the first.
    let (mut room, mut unknown) = (FREE_BYTES, None);
    let mut seen = 0;
    // Frames are copied and let go: each would keep the whole buffer alive that it was read into.
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| &catalogue::BODY_CUT_OFF)?.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > BODY_BYTES {
            return Err(&catalogue::BODY_TOO_LARGE);
        }
        while room < length {
            let unknown = *unknown.get_or_insert_with(&stranger);
            *waits = true;
            let place = reporter.body_place(room, unknown, !places.is_empty()).await;
            *waits = false;
            places.push(place.ok_or(&catalogue::UNAVAILABLE)?);
            room *= 2;
        }
        if bytes.capacity() < length {
            bytes.reserve_exact(room.min(most).max(length) - bytes.len());
        }
        bytes.extend_from_slice(&data);
        if bytes.len() >= seen + FREE_BYTES {
            seen = bytes.len();
            reporter.body_gets_on();
        }
    }
    Ok((Bytes::from(bytes), places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_and_told() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        let number = std::hint::black_box(7);
        let text = caught(async move { assert_eq!(number, 8, "seven is {number}") }).await.unwrap_err();
        assert!(text.contains("seven is 7"), "{text}");
    }
}
