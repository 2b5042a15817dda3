//! The HTTP ceilings: axum answering fixed bytes, bare or after a full signature check.
//!
//! Single-threaded, because it gets one core; that is its fastest form. The check is the server's own
//! (`tongguan_rpc`), so that the ratio shows what everything *but* HTTP and the signature costs.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use clap::{Args, ValueEnum};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tongguan_rpc::{Credential, Family, HttpRequest, Limits, Secret};

/// Largest body a ceiling reads; requests of the suite have none.
const BODY_BYTES: usize = 65_536;

/// How a ceiling program runs.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What is checked before the answer.
    #[arg(long)]
    check: Check,
    /// File with the bytes to answer.
    #[arg(long)]
    body: PathBuf,
    /// The AccessKey secret requests are signed with.
    #[arg(long)]
    secret: String,
}

/// What a ceiling checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// Nothing.
    None,
    /// HMAC-SHA1 over the sorted query.
    V1,
    /// ACS3-HMAC-SHA256 over method, query and headers.
    V3,
}

#[derive(Clone)]
struct Shared {
    body: Bytes,
    key: &'static Credential,
    limits: &'static Limits,
    family: Option<Family>,
}

/// Serves on a port of the system's choice, says which on standard output, and never ends by itself.
///
/// # Errors
/// The body cannot be read or nothing can be listened on.
pub(crate) async fn serve(options: &Options) -> Result<()> {
    let body = std::fs::read(&options.body).with_context(|| format!("cannot read {:?}", options.body))?;
    let shared = Shared {
        body: Bytes::from(body),
        key: Box::leak(Box::new(Credential::Secret(Secret::from(options.secret.as_str())))),
        limits: Box::leak(Box::default()),
        family: match options.check {
            Check::None => None,
            Check::V1 => Some(Family::V1),
            Check::V3 => Some(Family::V3),
        },
    };
    let router = Router::new().fallback(answer).with_state(shared);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen")?;
    let address = listener.local_addr().context("no address")?;
    writeln!(std::io::stdout(), "listening on http://{address}").context("cannot say where")?;
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // The ceiling is lower, not wrong, without it.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await.context("the ceiling stopped")
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let Some(family) = shared.family else { return plain(StatusCode::OK, shared.body) };
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES).await else {
        return plain(StatusCode::BAD_REQUEST, Bytes::from_static(b"body"));
    };
    let request = HttpRequest {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        body: &body,
    };
    let verified = tongguan_rpc::parse(request, shared.limits)
        .and_then(|incoming| incoming.verify(shared.key).map(|verified| verified.family()));
    match verified {
        Ok(found) if found == family => plain(StatusCode::OK, shared.body),
        Ok(found) => plain(StatusCode::FORBIDDEN, format!("{found:?}").into()),
        Err(error) => plain(StatusCode::FORBIDDEN, error.to_string().into()),
    }
}

fn plain(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json;charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
