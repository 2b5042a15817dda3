//! The admin listener: is the process alive, is it ready, what has it counted. For operators alone, by default on a
//! loopback address: it asks for no signature and speaks plain HTTP. In a service for tests it has the test API as
//! well ([`crate::test_api`]).
//!
//! It runs on the front, apart from the workers that serve the API: it answers whatever they do, and says of
//! them what they do.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tongguan_store::{Overview, Scope, Verdict};
use tracing::{debug, warn};

use crate::config::AdminListen;
use crate::connections::{Connection, Connections, End, Source, Watched};
use crate::http::Server;
use crate::test_api::TestApi;
use crate::{metrics, test_api};

/// Where the admin listener is unless somebody says otherwise.
const DEFAULT: &str = "127.0.0.1:8081";
/// Connections open at once; a further one takes the place of the one that has waited longest.
pub(crate) const CONNECTIONS: u32 = 64;
/// For a request's head to arrive.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// For a connection, from its beginning to its end: each has one request.
const TIME: Duration = Duration::from_secs(10);
/// Time for the store to answer a health check.
const CHECK_TIME: Duration = Duration::from_secs(2);
/// The engine reads the store every five seconds; after this long it is considered dead.
const ENGINE_TIME: Duration = Duration::from_secs(15);
/// The workers show that they turn every half a second; after this long none of them is free to serve.
const WORKERS_TIME: Duration = Duration::from_secs(5);
/// And after this long nothing but another start helps.
const WORKERS_LOST_TIME: Duration = Duration::from_secs(60);
/// An overview of the store is this old at most: to make one costs some ten milliseconds.
const OVERVIEW_TIME: Duration = Duration::from_secs(5);

const INDEX: &str = "tongguan: admin\n\n\
     /healthz  200 while the process lives, 503 if none of its workers has turned for a minute\n\
     /readyz   200 if it can serve, 503 if not; one JSON object per line for each check\n\
     /metrics  OpenMetrics text\n";

/// Opens the admin listener, if there is to be one.
///
/// # Errors
/// The address was given and cannot be had.
pub(crate) async fn bind(listen: &AdminListen) -> anyhow::Result<Option<TcpListener>> {
    let (address, fallback) = match listen {
        AdminListen::Off => return Ok(None),
        AdminListen::Default => (DEFAULT, true),
        AdminListen::At(address) => (address.as_str(), false),
    };
    match TcpListener::bind(address).await {
        Ok(listener) => {
            let address = listener.local_addr()?;
            if !address.ip().to_canonical().is_loopback() {
                warn!(%address, "the admin listener asks for no signature, and is not on a loopback address");
            }
            Ok(Some(listener))
        }
        Err(error) if fallback => {
            let listener =
                TcpListener::bind("127.0.0.1:0").await.context("no port for the admin listener")?;
            let instead = listener.local_addr()?;
            warn!(%error, %instead, "{DEFAULT} cannot be had for the admin listener (--admin-listen sets it)");
            Ok(Some(listener))
        }
        Err(error) => Err(error)
            .with_context(|| format!("the admin listener cannot listen on {address} (--admin-listen)")),
    }
}

/// What the admin listener shows.
struct Admin {
    server: Arc<Server>,
    /// Of a service for tests.
    test: Option<Arc<TestApi>>,
    overview: Mutex<Option<(Instant, Overview)>>,
}

/// Answers until the task is dropped.
pub(crate) async fn listen(listener: TcpListener, server: Arc<Server>, test: Option<Arc<TestApi>>) {
    let admin = Arc::new(Admin { server, test, overview: Mutex::new(None) });
    let places = Arc::new(Connections::with_places(CONNECTIONS));
    // Dropping the set, when this task is ended, ends the connections.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, address)) => {
                let connection = places.enter(Source::of(address.ip())).await;
                let admin = Arc::clone(&admin);
                connections.spawn(async move {
                    if timeout(TIME, serve(stream, address, admin, connection)).await.is_err() {
                        debug!(%address, "an admin connection took too long");
                    }
                });
            }
            Err(error) => {
                const PAUSE: Duration = Duration::from_millis(50);
                warn!(%error, "cannot accept an admin connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, address: SocketAddr, admin: Arc<Admin>, connection: Connection) {
    let reporter = Arc::new(connection.reporter());
    let mut http = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .keep_alive(false)
        .max_buf_size(16 * 1024)
        .serve_connection(
            TokioIo::new(Watched::new(stream, &connection)),
            service_fn(|request: Request<Incoming>| {
                let (admin, reporter) = (Arc::clone(&admin), Arc::clone(&reporter));
                async move {
                    reporter.head_read();
                    reporter.works();
                    let answer = match &admin.test {
                        Some(test) if test_api::is_for(&request) => test.answer(request).await,
                        _ => answer(&admin, &request).await,
                    };
                    let _ = reporter.answers();
                    Ok::<_, Infallible>(answer)
                }
            }),
        );
    match connection.drive(&mut http).await {
        End::Done(Ok(())) => {}
        End::Done(Err(error)) => debug!(%error, %address, "admin connection ended"),
        End::Told => debug!(%address, "admin connection ended to make room"),
    }
}

async fn answer(admin: &Admin, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let known = matches!(request.uri().path(), "/" | "/healthz" | "/readyz" | "/metrics");
    if known && request.method() != Method::GET {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return response;
    }
    match request.uri().path() {
        "/" if admin.test.is_some() => page(StatusCode::OK, TEXT, format!("{INDEX}{}", test_api::INDEX)),
        "/" => page(StatusCode::OK, TEXT, INDEX),
        "/healthz" => {
            let (status, text) = health(admin.server.pulse.silent_for());
            page(status, TEXT, text)
        }
        "/readyz" => {
            let checks = admin.checks().await;
            let ready = checks.iter().all(|check| check["ok"] == true || check["required"] == false);
            let text: String = checks.iter().map(|check| format!("{check}\n")).collect();
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            page(status, "application/x-ndjson", text)
        }
        "/metrics" => match admin.metrics().await {
            Ok(text) => {
                page(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text)
            }
            Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        },
        _ => page(StatusCode::NOT_FOUND, TEXT, "see /\n"),
    }
}

/// What `/healthz` says when no worker has been free for so long.
fn health(silent: Duration) -> (StatusCode, String) {
    if silent <= WORKERS_TIME {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let status = if silent <= WORKERS_LOST_TIME { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("alive, but no worker was free for {} s\n", silent.as_secs()))
}

fn page(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

impl Admin {
    /// Every check with its outcome.
    async fn checks(&self) -> Vec<Value> {
        let service = &self.server.service;
        let store = service.context().store.clone();
        let reads = store.clone();
        let read = tokio::task::spawn_blocking(move || reads.read(|snapshot| snapshot.first_account()));
        let read = match timeout(CHECK_TIME, read).await {
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Ok(Err(error))) => Err(error.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        // The writer begins and ends a transaction; nothing is written, so what met the last one that did is told.
        let write =
            match timeout(CHECK_TIME, store.write_in(Scope::Nothing, |_| Ok(Verdict::Discard(())))).await {
                Ok(Ok(())) => store.trouble().map_or(Ok(()), |trouble| Err(trouble.to_string())),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("no answer in time".to_owned()),
            };
        let silent = service.engine().silent_for();
        let engine = if silent <= ENGINE_TIME {
            Ok(())
        } else {
            Err(format!("no sign of life for {} s", silent.as_secs()))
        };
        let silent = self.server.pulse.silent_for();
        let workers = if silent <= WORKERS_TIME {
            Ok(())
        } else {
            Err(format!("no worker was free for {} s", silent.as_secs()))
        };
        let nonces = service.admission().check().map_err(|error| error.to_string());
        let mut checks = vec![
            outcome("store_read", read),
            outcome("store_write", write),
            outcome("engine", engine),
            outcome("nonces", nonces),
            outcome("workers", workers),
        ];
        let context = service.context();
        if context.clock.difference_ms().is_some() {
            checks.push(outcome("clock", context.apart().map_or(Ok(()), |apart| Err(apart.to_string()))));
        }
        if !self.server.prepared.load(Ordering::Acquire) {
            checks.push(outcome("init", Err("what --init has to do is not done".to_owned())));
        }
        if let Some(audit_log) = &self.server.audit_log {
            let mut check = outcome("audit_log", audit_log.trouble().map_or(Ok(()), Err));
            // It goes on answering: what is not written yet waits in the database.
            check["required"] = json!(false);
            checks.push(check);
        }
        checks
    }

    async fn metrics(&self) -> Result<String, std::fmt::Error> {
        let overview = self.overview().await;
        let Server { service, connections, metrics, pulse, audit_log, .. } = &*self.server;
        metrics::render(metrics, service, connections, pulse, audit_log.as_ref(), overview)
    }

    /// The store's overview, a few seconds old at most; none if the store does not give one in time. One at a time
    /// asks for it.
    async fn overview(&self) -> Option<Overview> {
        let kept = timeout(CHECK_TIME, self.overview.lock()).await;
        let Ok(mut kept) = kept else {
            warn!("the store gave no overview in time");
            return None;
        };
        if let Some((made, overview)) = &*kept
            && made.elapsed() < OVERVIEW_TIME
        {
            return Some(overview.clone());
        }
        let context = self.server.service.context().clone();
        let work = tokio::task::spawn_blocking(move || {
            let now_ms = context.clock.now_ms();
            context.store.read(|snapshot| snapshot.overview(now_ms))
        });
        let error = match timeout(CHECK_TIME, work).await {
            Ok(Ok(Ok(overview))) => {
                *kept = Some((Instant::now(), overview.clone()));
                return Some(overview);
            }
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        warn!(error, "the store gave no overview");
        None
    }
}

fn outcome(check: &str, outcome: Result<(), String>) -> Value {
    match outcome {
        Ok(()) => json!({"check": check, "ok": true}),
        Err(reason) => json!({"check": check, "ok": false, "reason": reason}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_says_what_the_workers_do() {
        let ok = (StatusCode::OK, "ok\n".to_owned());
        assert_eq!(health(Duration::ZERO), ok);
        assert_eq!(health(Duration::from_secs(5)), ok);
        let busy = |seconds| format!("alive, but no worker was free for {seconds} s\n");
        assert_eq!(health(Duration::from_secs(6)), (StatusCode::OK, busy(6)));
        assert_eq!(health(Duration::from_secs(60)), (StatusCode::OK, busy(60)));
        assert_eq!(health(Duration::from_secs(61)), (StatusCode::SERVICE_UNAVAILABLE, busy(61)));
    }
}
