//! The client's side: making requests the server's side accepts.
//!
//! Used by the command line, the demonstration, the load generator and tests. What it sends
//! is what the official clients send: V1 with all parameters in the query or in the form, V3 with
//! system values in headers. Time and nonce are arguments; there is no clock and no randomness here.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use thiserror::Error;

use crate::credential::{KeyError, Secret, decode_base64_lines, decode_pem};
use crate::encoding::ascii;
use crate::request::Format;
use crate::sign::{self, SignatureMethod};

const FORM: &str = "application/x-www-form-urlencoded";

/// Smallest RSA modulus accepted, in bytes; the server's side accepts no smaller one either.
const RSA_BYTES: usize = 256;

/// A key that signs.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The AccessKey id.
    pub access_key_id: String,
    /// The AccessKey secret; for [`SignatureMethod::Acs3RsaSha256`] the private key in PKCS #8, as PEM or bare Base64.
    pub secret: Secret,
    /// The token of temporary credentials.
    pub security_token: Option<String>,
    /// How to sign. [`SignatureMethod::Acs4HmacSha256`] is not done here: a call has no region and product.
    pub method: SignatureMethod,
}

/// Where the parameters of a call go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Placement {
    /// Into the query; the body is empty.
    #[default]
    Query,
    /// Into a form body; in V1 the system parameters too, so that the target is `/`.
    Form,
}

/// One call to sign.
#[derive(Debug, Clone)]
pub struct ClientCall<'a> {
    /// GET or POST.
    pub http_method: Method,
    /// The `Host` header: host, and port if it is not the scheme's.
    pub host: &'a str,
    /// The operation, for example `DescribeVpnGateways`.
    pub action: &'a str,
    /// The API version, for example `2016-04-28`.
    pub version: &'a str,
    /// The operation's parameters, flattened, each name once.
    pub parameters: &'a [(String, String)],
    /// Where the parameters go.
    pub placement: Placement,
    /// The answer's format.
    pub format: Format,
    /// The present time as `YYYY-MM-DDThh:mm:ssZ`.
    pub timestamp: &'a str,
    /// Fresh for each attempt.
    pub nonce: &'a str,
}

/// A request ready to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingRequest {
    /// GET or POST.
    pub method: Method,
    /// The request target: `/`, or `/?` and the query.
    pub path_and_query: String,
    /// Lower-case names. `content-length` is the HTTP library's.
    pub headers: Vec<(String, String)>,
    /// Empty, or a form.
    pub body: Vec<u8>,
}

/// Why nothing could be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignError {
    /// The RSA private key cannot be used.
    #[error("the private key cannot be used")]
    Key(#[source] KeyError),
    /// The method is not made by this client.
    #[error("{0} is not made by this client")]
    Method(&'static str),
}

impl Signer {
    /// Signs a call.
    ///
    /// # Panics
    /// When [`try_sign`](Self::try_sign) would give an error, which no HMAC method of V1 or V3 does. Use that with
    /// keys and methods that users choose.
    #[must_use]
    pub fn sign(&self, call: &ClientCall<'_>) -> OutgoingRequest {
        self.try_sign(call).expect("the method is one of V1 or V3 and the key fits it")
    }

    /// Signs a call.
    ///
    /// # Errors
    /// [`SignError::Key`] for an RSA method with an unusable key, [`SignError::Method`] for ACS4.
    pub fn try_sign(&self, call: &ClientCall<'_>) -> Result<OutgoingRequest, SignError> {
        match self.method {
            SignatureMethod::HmacSha1 | SignatureMethod::HmacSha256 => Ok(self.sign_v1(call)),
            SignatureMethod::Acs3HmacSha256
            | SignatureMethod::Acs3HmacSm3
            | SignatureMethod::Acs3RsaSha256 => self.sign_v3(call),
            SignatureMethod::Acs4HmacSha256 => Err(SignError::Method(self.method.name())),
        }
    }

    fn sign_v1(&self, call: &ClientCall<'_>) -> OutgoingRequest {
        let mut pairs = vec![
            ("AccessKeyId", self.access_key_id.as_str()),
            ("Action", call.action),
            ("Format", format_name(call.format)),
            ("SignatureMethod", self.method.name()),
            ("SignatureNonce", call.nonce),
            ("SignatureVersion", "1.0"),
            ("Timestamp", call.timestamp),
            ("Version", call.version),
        ];
        pairs.extend(self.security_token.as_deref().map(|token| ("SecurityToken", token)));
        pairs.extend(sorted(call.parameters));
        pairs.sort_unstable();
        let text = sign::v1_string_to_sign(call.http_method.as_str(), pairs.iter().copied(), 640);
        let code = sign::v1_code(self.method, &self.secret, &text);
        let signature = STANDARD.encode(code.as_bytes());
        pairs.push(("Signature", &signature));
        let mut request = OutgoingRequest::new(call, pairs.into_iter());
        request.headers.insert(0, header("host", call.host));
        request
    }

    fn sign_v3(&self, call: &ClientCall<'_>) -> Result<OutgoingRequest, SignError> {
        let pairs = sorted(call.parameters);
        let mut request = OutgoingRequest::new(call, pairs.into_iter());
        let hash = self.method.hash().hex(&request.body);
        let hash = String::from_utf8_lossy(&hash);
        let headers = &mut request.headers;
        headers.extend([
            header("accept", &format!("application/{}", format_name(call.format))),
            header("host", call.host),
            header("x-acs-action", call.action),
            header("x-acs-content-sha256", &hash),
            header("x-acs-date", call.timestamp),
            header("x-acs-signature-nonce", call.nonce),
            header("x-acs-version", call.version),
        ]);
        if let Some(token) = &self.security_token {
            headers.push(header("x-acs-accesskey-id", &self.access_key_id));
            headers.push(header("x-acs-security-token", token));
        }
        headers.sort_unstable();
        let signed = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let query = request.path_and_query.strip_prefix("/?").unwrap_or_default();
        let lines = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim_ascii()));
        let canonical =
            format!("{}\n/\n{query}\n{}\n{signed}\n{hash}", call.http_method, lines.collect::<String>());
        let text = sign::v3_string_to_sign(self.method, canonical.as_bytes());
        let signature = hex::encode(self.v3_signature(&text)?);
        headers.push((
            "authorization".to_owned(),
            format!(
                "{} Credential={},SignedHeaders={signed},Signature={signature}",
                self.method.name(),
                self.access_key_id
            ),
        ));
        Ok(request)
    }

    fn v3_signature(&self, text: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.method != SignatureMethod::Acs3RsaSha256 {
            let code = sign::v3_code(self.method.hash(), &self.secret, text);
            return Ok(code.as_bytes().to_vec());
        }
        let key = self.secret.expose();
        let der = decode_pem(key, "PRIVATE KEY")
            .or_else(|| decode_base64_lines(key))
            .ok_or(SignError::Key(KeyError::Pem))?;
        let key = RsaKeyPair::from_pkcs8(&der).map_err(|_| SignError::Key(KeyError::Rsa))?;
        let mut signature = vec![0; key.public_modulus_len()];
        if signature.len() < RSA_BYTES {
            return Err(SignError::Key(KeyError::Rsa));
        }
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)
            .map_err(|_| SignError::Key(KeyError::Rsa))?;
        Ok(signature)
    }
}

impl OutgoingRequest {
    /// The request without any header but that of a form.
    fn new<'p>(call: &ClientCall<'_>, pairs: impl Iterator<Item = (&'p str, &'p str)>) -> Self {
        let mut encoded = Vec::with_capacity(1024);
        sign::append_query(&mut encoded, pairs);
        let mut request = Self {
            method: call.http_method.clone(),
            path_and_query: "/".to_owned(),
            headers: Vec::with_capacity(12),
            body: Vec::new(),
        };
        match call.placement {
            Placement::Query if encoded.is_empty() => {}
            Placement::Query => request.path_and_query = format!("/?{}", ascii(encoded)),
            Placement::Form if encoded.is_empty() => {}
            Placement::Form => {
                request.headers.push(header("content-type", FORM));
                request.body = encoded;
            }
        }
        request
    }
}

fn sorted(parameters: &[(String, String)]) -> Vec<(&str, &str)> {
    let mut pairs: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    pairs.sort_unstable();
    pairs
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Json => "json",
        Format::Xml => "xml",
    }
}
