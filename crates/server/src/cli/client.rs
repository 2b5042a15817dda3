//! Asks a server: signs a call and sends it (`call`, `demo`), passes on one that is signed (`record`), or asks its
//! admin listener (`ready`).
//!
//! One connection for each call. A command line makes one call and the demonstration some dozens, so
//! a pool would be more code than it saves. Nothing is retried: the user sees what happened.
//!
//! TLS trusts what the platform trusts, and `SSL_CERT_FILE` or `SSL_CERT_DIR` where they are set, or the
//! certificates of one file alone: a server with a private CA is reached that way and not by turning verification
//! off. A certificate that was given and is the server's own is taken as it is, if it is for the host and valid,
//! though it says that it is a CA's, as those of `openssl req -x509` do.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http::{HeaderMap, Method, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    crypto::aws_lc_rs,
};
use tongguan_rpc::{ClientCall, Format, OutgoingRequest, Placement, Signer};
use tongguan_service::context::{Clock as _, SystemClock, iso8601};
use tongguan_service::operation::Product;

use crate::x509::Facts;

/// Longest wait for a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Longest query, in bytes; what is longer goes into the body.
const MAX_QUERY_BYTES: usize = 8 * 1024;

/// The products whose version is known, each with its version.
pub(crate) fn versions() -> impl Iterator<Item = (&'static str, &'static str)> {
    Product::ALL.iter().map(|product| (product.as_str(), product.version()))
}

/// The version of a product, whose name may be in any case.
pub(crate) fn known_version(product: &str) -> Option<&'static str> {
    versions().find(|(name, _)| name.eq_ignore_ascii_case(product)).map(|(_, version)| version)
}

/// Where the API is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    tls: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
}

impl Endpoint {
    /// Reads `HOST`, `HOST:PORT` or an `http` or `https` URL. Without a scheme it is HTTP on a loopback
    /// address or when `insecure`, else HTTPS.
    ///
    /// # Errors
    /// When the text is none of these, or has a path: signatures cover `/` only.
    pub(crate) fn parse(text: &str, insecure: bool) -> Result<Self> {
        let wrong = || format!("endpoint {text:?} is neither HOST:PORT nor an http or https URL");
        let has_scheme = text.contains("://");
        let uri: Uri = if has_scheme { text.to_owned() } else { format!("any://{text}/") }
            .parse()
            .with_context(wrong)?;
        let authority = uri.authority().with_context(wrong)?;
        ensure!(!authority.as_str().contains('@'), wrong());
        ensure!(
            uri.path().trim_end_matches('/').is_empty() && uri.query().is_none(),
            "endpoint {text:?} has a path or query; the API is served at the root"
        );
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        ensure!(!host.is_empty(), wrong());
        let tls = match uri.scheme_str().filter(|_| has_scheme) {
            Some("http") => false,
            Some("https") if insecure => bail!("--insecure asks for HTTP, endpoint {text:?} for HTTPS"),
            Some("https") => true,
            Some(_) => bail!(wrong()),
            None => !insecure && !is_loopback(host),
        };
        let port = match authority.port() {
            Some(port) => Some(port.as_u16()).filter(|port| *port != 0).with_context(wrong)?,
            // A colon with nothing or no port after it.
            None if authority.as_str() != authority.host() => bail!(wrong()),
            None => default_port(tls),
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }

    /// The host, without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The `Host` header.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port(self.tls) { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// One call, to be signed and sent.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The operation.
    pub(crate) action: &'a str,
    /// The API version.
    pub(crate) version: &'a str,
    /// Parameters, flattened, each name once.
    pub(crate) parameters: &'a [(String, String)],
    /// GET or POST.
    pub(crate) method: Method,
    /// Where the parameters go; into the body in any case when the query would be too long.
    pub(crate) placement: Placement,
    /// The answer's format.
    pub(crate) format: Format,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Header fields.
    pub(crate) headers: HeaderMap,
    /// The body, as it is.
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// Nobody is there, or it is not who was asked for.
    Unreached(anyhow::Error),
    /// The request may have been carried out.
    Silent(anyhow::Error),
}

impl From<Unanswered> for anyhow::Error {
    fn from(why: Unanswered) -> Self {
        match why {
            Unanswered::Unreached(error) | Unanswered::Silent(error) => error,
        }
    }
}

/// What clients read of an error body.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ApiError {
    /// Stable code.
    pub(crate) code: String,
    /// Text for people.
    #[serde(default)]
    pub(crate) message: String,
    /// Id for the server's log.
    #[serde(default)]
    pub(crate) request_id: String,
}

impl Answer {
    /// Did the server do what was asked?
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body of an error, JSON or XML; `None` when it was not the API that answered.
    pub(crate) fn error(&self) -> Option<ApiError> {
        let text = std::str::from_utf8(&self.body).ok()?;
        if text.trim_start().starts_with('<') {
            return quick_xml::de::from_str(text).ok();
        }
        serde_json::from_str(text).ok()
    }
}

/// Whom a server's certificate must come from.
#[derive(Debug, Clone)]
pub(crate) enum Trust {
    /// From whom the platform trusts.
    Platform,
    /// From one of this file, or be one of it.
    Only(PathBuf),
}

/// The way to one server.
pub(crate) struct Channel {
    endpoint: Endpoint,
    tls: Option<TlsConnector>,
}

impl Channel {
    /// Prepares requests to an endpoint.
    ///
    /// # Errors
    /// When TLS is needed and there are no certificates to trust.
    pub(crate) fn new(endpoint: Endpoint, trust: &Trust) -> Result<Self> {
        let tls = if endpoint.tls { Some(connector(trust)?) } else { None };
        Ok(Self { endpoint, tls })
    }

    /// Asks for a path and waits for the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        let headers = vec![("host".to_owned(), self.endpoint.authority())];
        let request = OutgoingRequest {
            method: Method::GET,
            path_and_query: path.to_owned(),
            headers,
            body: Vec::new(),
        };
        self.send(request).await
    }

    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn send(&self, request: OutgoingRequest) -> Result<Answer> {
        let mut outgoing = http::Request::builder().method(request.method).uri(request.path_and_query);
        for (name, value) in &request.headers {
            outgoing = outgoing.header(name, value);
        }
        let outgoing =
            outgoing.body(Full::new(Bytes::from(request.body))).context("the request is not HTTP")?;
        Ok(self.pass(outgoing).await?)
    }

    /// Sends a request as it is, with its `Host`, and waits for the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn pass(&self, request: http::Request<Full<Bytes>>) -> Result<Answer, Unanswered> {
        let endpoint = &self.endpoint;
        let connecting = timeout(CONNECT_TIMEOUT, self.connect());
        let stream = connecting
            .await
            .unwrap_or_else(|_| bail!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))
            .with_context(|| format!("cannot connect to {endpoint}"))
            .map_err(Unanswered::Unreached)?;
        timeout(ANSWER_TIMEOUT, exchange(stream, request))
            .await
            .unwrap_or_else(|_| bail!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))
            .with_context(|| format!("no usable answer from {endpoint}"))
            .map_err(Unanswered::Silent)
    }

    async fn connect(&self) -> Result<Box<dyn Stream>> {
        let Endpoint { host, port, .. } = &self.endpoint;
        let tcp = TcpStream::connect((host.as_str(), *port)).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let name = ServerName::try_from(host.clone()).context("the host name cannot be in a certificate")?;
        let connected = tls.connect(name, tcp).await;
        Ok(Box::new(connected.map_err(|error| refused(error, host)).context("TLS handshake failed")?))
    }
}

/// Asks for an `http` or `https` URL. No error has its path or query, which may hold a secret.
///
/// # Errors
/// It is no URL, or there is no answer.
pub(crate) async fn fetch(url: &str) -> Result<Answer> {
    let uri: Uri = url.parse().ok().context("this is no URL")?;
    let (scheme, authority) = uri.scheme_str().zip(uri.authority()).context("this is no URL")?;
    let endpoint = Endpoint::parse(&format!("{scheme}://{authority}"), false)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Channel::new(endpoint, &Trust::Platform)?.get(path).await
}

/// Sends calls to one server with one key.
pub(crate) struct Client {
    channel: Channel,
    authority: String,
    signer: Signer,
}

impl Client {
    /// Prepares calls to an endpoint.
    ///
    /// # Errors
    /// When TLS is needed and there are no certificates to trust.
    pub(crate) fn new(endpoint: Endpoint, signer: Signer, trust: &Trust) -> Result<Self> {
        Ok(Self { authority: endpoint.authority(), channel: Channel::new(endpoint, trust)?, signer })
    }

    /// Signs a call, with the present time and a fresh nonce.
    ///
    /// # Errors
    /// When it cannot be signed, or is too long for a GET.
    pub(crate) fn sign(&self, request: &Request<'_>) -> Result<OutgoingRequest> {
        let timestamp = iso8601(SystemClock.now_ms());
        let nonce = random_hex::<16>()?;
        let mut call = ClientCall {
            http_method: request.method.clone(),
            host: &self.authority,
            action: request.action,
            version: request.version,
            parameters: request.parameters,
            placement: request.placement,
            format: request.format,
            timestamp: &timestamp,
            nonce: &nonce,
        };
        let signed = self.signer.try_sign(&call).context("cannot sign the request")?;
        if signed.path_and_query.len() <= MAX_QUERY_BYTES {
            return Ok(signed);
        }
        ensure!(request.method == Method::POST, "the parameters are too long for a GET, send them with POST");
        call.placement = Placement::Form;
        self.signer.try_sign(&call).context("cannot sign the request")
    }

    /// Sends a signed call and waits for the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn send(&self, request: OutgoingRequest) -> Result<Answer> {
        self.channel.send(request).await
    }
}

/// A TCP or TLS connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

fn connector(trust: &Trust) -> Result<TlsConnector> {
    let given = match trust {
        Trust::Platform => Vec::new(),
        Trust::Only(path) => certificates(path)?,
    };
    let mut roots = RootCertStore::empty();
    if given.is_empty() {
        let native = rustls_native_certs::load_native_certs();
        let (added, _unusable) = roots.add_parsable_certificates(native.certs);
        if added == 0 {
            let found = native.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            bail!(
                "the platform has no certificate authorities to trust{found}; --ca or SSL_CERT_FILE names some"
            );
        }
    } else {
        for certificate in &given {
            roots.add(certificate.clone()).context("--ca holds a certificate that cannot be used")?;
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let usual = usual.build().context("TLS cannot be set up")?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS cannot be set up")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { usual, given }))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.with_context(|| format!("--ca: cannot read `{}`", path.display()))?;
    ensure!(!read.is_empty(), "--ca: `{}` holds no certificate", path.display());
    Ok(read)
}

/// The usual verification, and beside it: a server's certificate that was given is the server's.
#[derive(Debug)]
struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if self.given.iter().all(|given| **given != **end_entity) {
            return self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        match Facts::of(end_entity).map(|facts| facts.at(now)) {
            Ok(std::cmp::Ordering::Equal) => Ok(ServerCertVerified::assertion()),
            Ok(std::cmp::Ordering::Less) => Err(CertificateError::NotValidYet.into()),
            Ok(std::cmp::Ordering::Greater) => Err(CertificateError::Expired.into()),
            Err(_) => Err(CertificateError::BadEncoding.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// What to do about a certificate that was refused.
fn refused(error: std::io::Error, host: &str) -> anyhow::Error {
    let advice = match error.get_ref().and_then(|error| error.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "nobody who is trusted has signed the server's certificate: give that of its CA, or its own if it is \
             self-signed, by --ca FILE"
                .to_owned()
        }
        Some(TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => format!(
            "the server's certificate is not for {host}: its subjectAltName must have it as DNS name or IP address"
        ),
        // The verification of a path has a name for it that the library does not hand on.
        Some(TlsError::InvalidCertificate(other)) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "the server's certificate is a CA's (CA:TRUE, as `openssl req -x509` makes them), and those are not taken \
             from a server: give it by --ca FILE, or have the server use one with CA:FALSE that a small CA has signed"
                .to_owned()
        }
        _ => return error.into(),
    };
    anyhow::Error::new(error).context(advice)
}

async fn exchange(stream: Box<dyn Stream>, request: http::Request<Full<Bytes>>) -> Result<Answer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The connection is driven beside the exchange and ends with it.
    let driver = tokio::spawn(connection);
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
    .await;
    driver.abort();
    answer
}

/// `N` random bytes in hex.
///
/// # Errors
/// When the system has no randomness.
pub(crate) fn random_hex<const N: usize>() -> Result<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tongguan_rpc::SignatureMethod;

    use super::*;

    #[test]
    fn endpoints() {
        for (text, insecure, url, authority) in [
            ("127.0.0.1:8080", false, "http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("localhost:8080", false, "http://localhost:8080", "localhost:8080"),
            ("[::1]:8080", false, "http://[::1]:8080", "[::1]:8080"),
            ("vpc.example.com", false, "https://vpc.example.com", "vpc.example.com"),
            ("vpc.example.com:8443", false, "https://vpc.example.com:8443", "vpc.example.com:8443"),
            ("vpc.example.com:8080", true, "http://vpc.example.com:8080", "vpc.example.com:8080"),
            ("https://127.0.0.1:443/", false, "https://127.0.0.1", "127.0.0.1"),
            ("http://[fe80::1]", false, "http://[fe80::1]", "[fe80::1]"),
        ] {
            let endpoint = Endpoint::parse(text, insecure).unwrap();
            assert_eq!((endpoint.to_string().as_str(), endpoint.authority().as_str()), (url, authority));
        }
        for (text, insecure) in [
            ("", false),
            ("ftp://example.com", false),
            ("http://example.com/vpc", false),
            ("example.com/?a=b", false),
            ("https://example.com", true),
            ("user:secret@example.com", false),
            ("example.com:", false),
            ("example.com:0", false),
            ("example.com:99999", false),
            ("http://", false),
            (":8080", false),
            ("a b", false),
        ] {
            assert!(Endpoint::parse(text, insecure).is_err(), "{text}");
        }
    }

    #[test]
    fn long_parameters_go_into_the_body() {
        let client = client("127.0.0.1:1");
        let parameters = |bytes| vec![("Certificate".to_owned(), "x".repeat(bytes))];
        let short = parameters(8000);
        let signed = client.sign(&request(&short)).unwrap();
        assert!(signed.body.is_empty() && signed.path_and_query.len() > 8000);
        let long = parameters(9000);
        let signed = client.sign(&request(&long)).unwrap();
        assert!(signed.body.len() > 9000 && signed.path_and_query == "/");
        let error = client.sign(&Request { method: Method::GET, ..request(&long) }).unwrap_err();
        assert!(error.to_string().contains("too long for a GET"));
    }

    #[tokio::test]
    async fn sends_and_reads_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                seen.push(stream.read_u8().await.unwrap());
            }
            let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 41\r\n\r\n{\"Code\":\"A.B\",\"Message\":\"m\",\"Other\":true}";
            stream.write_all(answer).await.unwrap();
            String::from_utf8(seen).unwrap()
        });
        let client = client(&address);
        let signed = client.sign(&request(&[])).unwrap();
        let answer = client.send(signed).await.unwrap();
        let seen = server.await.unwrap();
        assert!(seen.starts_with("POST / HTTP/1.1\r\n"), "{seen}");
        assert_eq!(seen.matches(&format!("host: {address}\r\n")).count(), 1, "{seen}");
        assert!(!seen.contains("hunter2"));
        assert!(!answer.is_success());
        let error = answer.error().unwrap();
        assert_eq!(
            (error.code.as_str(), error.message.as_str(), error.request_id.as_str()),
            ("A.B", "m", "")
        );
    }

    #[tokio::test]
    async fn says_where_nobody_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let client = client(&address);
        let error = client.send(client.sign(&request(&[])).unwrap()).await.unwrap_err();
        assert!(error.to_string().contains(&address), "{error:#}");
    }

    #[test]
    fn errors_are_read_from_xml() {
        let body = "<?xml version='1.0' encoding='UTF-8'?><Error><RequestId>R</RequestId><HostId>h</HostId>\
                    <Code>C</Code><Message>a &lt; b</Message><Recommend>u</Recommend></Error>";
        let headers = HeaderMap::new();
        let answer =
            |body: &'static str| Answer { status: 400, headers: headers.clone(), body: Bytes::from(body) };
        let error = answer(body).error().unwrap();
        assert_eq!(
            (error.code.as_str(), error.message.as_str(), error.request_id.as_str()),
            ("C", "a < b", "R")
        );
        assert!(answer("<html><body>Bad gateway</body></html>").error().is_none());
        assert!(answer("").error().is_none());
    }

    fn client(endpoint: &str) -> Client {
        let signer = Signer {
            access_key_id: "testid".to_owned(),
            secret: "hunter2".into(),
            security_token: None,
            method: SignatureMethod::Acs3HmacSha256,
        };
        Client::new(Endpoint::parse(endpoint, false).unwrap(), signer, &Trust::Platform).unwrap()
    }

    fn request(parameters: &[(String, String)]) -> Request<'_> {
        Request {
            action: "DescribeRegions",
            version: "2016-04-28",
            parameters,
            method: Method::POST,
            placement: Placement::Query,
            format: Format::Json,
        }
    }
}
