//! The listener: HTTP/1.1 and TLS, with a limit on everything a stranger can send.
//!
//! No rule of the API stands here: a request's bytes go to the service, its answer's bytes go out.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use fail::fail_point;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tongguan_rpc::HttpRequest;
use tongguan_service::gate::Peer;
use tongguan_service::{Service, catalogue};
use tracing::{debug, warn};

/// Connections open at once; further ones wait to be accepted.
const CONNECTIONS: usize = 10_000;
/// Bytes of a request's head: certificates can make the query long.
const HEAD_BYTES: usize = 256 * 1024;
/// Header fields of a request.
const HEADERS: usize = 100;
/// Bytes of a request's body.
const BODY_BYTES: usize = 1024 * 1024;
/// For a request's head to arrive, idle time of a kept connection included.
const HEAD_TIME: Duration = Duration::from_secs(75);
/// For a request's body to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// For a TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// For accepted requests to be answered when the service stops.
const STOP_TIME: Duration = Duration::from_secs(10);

/// Reads certificate and key of a TLS listener.
pub fn tls(certificate: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read the certificate `{}`", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read the private key `{}`", key.display()))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("certificate and key of the listener do not fit")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts connections until told to stop, then lets accepted requests end.
pub async fn listen(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: Arc<Service>,
    mut stopped: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, address, place)) = accepted else { continue };
        let (service, tls, watcher) = (Arc::clone(&service), tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, peer(address, false), service, watcher).await,
                Some(tls) => match timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
                    Ok(Ok(stream)) => serve(stream, peer(address, true), service, watcher).await,
                    Ok(Err(error)) => debug!(%address, %error, "TLS handshake failed"),
                    Err(_) => debug!(%address, "TLS handshake took too long"),
                },
            }
            drop(place);
        });
    }
    drop(listener);
    if timeout(STOP_TIME, graceful.shutdown()).await.is_err() {
        warn!("some connections did not end in time");
    }
}

fn peer(address: SocketAddr, secure: bool) -> Peer {
    Peer { address: address.ip().to_canonical(), secure }
}

/// One connection and its place among those that may be open.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    const PAUSE: Duration = Duration::from_millis(50);
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => {
            if let Err(error) = stream.set_nodelay(true) {
                debug!(%address, %error, "cannot set TCP_NODELAY");
            }
            Some((stream, address, place))
        }
        Err(error) => {
            // Out of file descriptors, most likely: give connections time to end.
            warn!(%error, "cannot accept a connection");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

async fn serve<S>(
    stream: S,
    peer: Peer,
    service: Arc<Service>,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .half_close(false)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| {
                let service = Arc::clone(&service);
                async move { Ok::<_, Infallible>(answer(&service, request, peer).await) }
            }),
        );
    if let Err(error) = watcher.watch(connection).await {
        debug!(%error, "connection ended");
    }
}

async fn answer(service: &Service, request: Request<Incoming>, peer: Peer) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = if body.is_end_stream() { Ok(Bytes::new()) } else { collect(body).await };
    fail_point!("call::received");
    let answer = match body {
        Ok(body) => {
            let request = HttpRequest {
                method: &head.method,
                path: head.uri.path(),
                query: head.uri.query().unwrap_or_default(),
                headers: &head.headers,
                body: &body,
            };
            service.answer(request, peer).await
        }
        Err(code) => {
            let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            service.refuse(host, peer, code).await
        }
    };
    fail_point!("call::answering");
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Ok(id) = HeaderValue::from_maybe_shared(Bytes::from(answer.request_id)) {
        headers.insert("x-acs-request-id", id);
    }
    response
}

async fn collect(body: Incoming) -> Result<Bytes, &'static catalogue::Code> {
    match timeout(BODY_TIME, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(&catalogue::BODY_TOO_LARGE),
        Ok(Err(_)) | Err(_) => Err(&catalogue::BODY_CUT_OFF),
    }
}
