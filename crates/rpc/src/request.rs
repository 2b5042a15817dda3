//! From bytes to a request that can be verified.
//!
//! Parsing looks at size and shape only and never at who calls. An [`Incoming`] tells what is
//! needed to find the key and the order of checks; what it asks for (action, version, parameters)
//! is had from [`Verified`] alone, which [`Incoming::verify`] gives. Verification therefore also
//! refuses a request in which something the accessors read is not covered by the signature.
//! [`Claims`] tells the same of a request that nobody has verified, for records and diagnosis.

use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, Method};
use subtle::ConstantTimeEq as _;

use crate::authorization::{Authorization, Complete, Scheme, Scope};
use crate::credential::{Credential, Secret};
use crate::encoding::ascii;
use crate::error::WireError;
use crate::headers::{self, Single};
use crate::params::{Builder, Common, Hidden, Limits, Origin, Params};
use crate::sign::{self, SignatureMethod};
use crate::time::parse_timestamp;

// Names that are made once: one given as a text is taken apart with every look.
static ACTION: HeaderName = HeaderName::from_static("x-acs-action");
static VERSION: HeaderName = HeaderName::from_static("x-acs-version");
static DATE: HeaderName = HeaderName::from_static("x-acs-date");
static NONCE: HeaderName = HeaderName::from_static("x-acs-signature-nonce");
static SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-acs-security-token");
static BEARER_TOKEN: HeaderName = HeaderName::from_static("x-acs-bearer-token");
static ACCESS_KEY_ID: HeaderName = HeaderName::from_static("x-acs-accesskey-id");
static CONTENT_SHA256: HeaderName = HeaderName::from_static("x-acs-content-sha256");
static CONTENT_SM3: HeaderName = HeaderName::from_static("x-acs-content-sm3");

/// Headers a V3 or V4 request is understood by: each must come at most once, and be signed if present.
static RELIED_ON: [&HeaderName; 8] =
    [&ACTION, &VERSION, &DATE, &NONCE, &SECURITY_TOKEN, &ACCESS_KEY_ID, &CONTENT_SHA256, &CONTENT_SM3];

/// Bytes of a string to sign that are told to a client whose signature is wrong; of a longer one its begin.
const TOLD: usize = 8 * 1024;

const BEARER_TYPE: &str = "BEARERTOKEN";

/// An HTTP request as the server read it. Prints no more than method, path and sizes.
#[derive(Clone, Copy)]
pub struct HttpRequest<'a> {
    /// The method really used.
    pub method: &'a Method,
    /// The path of the target, still escaped.
    pub path: &'a str,
    /// The raw query without the question mark; empty if there is none.
    pub query: &'a str,
    /// All headers, `Host` as sent.
    pub headers: &'a HeaderMap,
    /// The body without transfer framing.
    pub body: &'a [u8],
}

/// Which signature scheme a request uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// `Signature` among the parameters.
    V1,
    /// `Authorization: ACS3-...`.
    V3,
    /// `Authorization: ACS4-...`.
    V4,
    /// A bearer token and no signature.
    Bearer,
    /// Neither.
    Anonymous,
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// The default: every client reads it.
    #[default]
    Json,
    /// On request only.
    Xml,
}

/// A request parsed, not yet believed. Prints no values: parameters may be secrets.
#[derive(Clone)]
pub struct Incoming<'a> {
    request: HttpRequest<'a>,
    params: Params<'a>,
    family: Family,
    authorization: Option<(Scheme, Authorization<'a>)>,
}

/// Reads a request: decodes query and form, merges them, and finds the signature scheme.
///
/// A body counts as parameters when its content type is `application/x-www-form-urlencoded`,
/// with GET as well; any other body is left alone.
///
/// # Errors
/// [`WireError::Method`], [`WireError::Path`], [`WireError::UnsupportedMediaType`],
/// [`WireError::Encoding`], the limits, or [`WireError::ConflictingParameter`].
pub fn parse<'a>(request: HttpRequest<'a>, limits: &Limits) -> Result<Incoming<'a>, WireError> {
    if request.method != Method::GET && request.method != Method::POST {
        return Err(WireError::Method);
    }
    // A client given an endpoint with a trailing slash sends `//` and signs `/`.
    if request.path.is_empty() || request.path.bytes().any(|byte| byte != b'/') {
        return Err(WireError::Path);
    }
    let mut builder = Builder::new(limits);
    builder.add(request.query, Origin::Query)?;
    if let Some(form) = form_body(&request)? {
        builder.add(form, Origin::Form)?;
    }
    let mut params = builder.finish()?;
    let authorization = Authorization::find(request.headers);
    let family = family_of(&request, &params, authorization.as_ref());
    params.hide(match family {
        Family::V3 | Family::V4 => Hidden::Format,
        Family::V1 | Family::Bearer | Family::Anonymous => Hidden::Common,
    });
    Ok(Incoming { request, params, family, authorization })
}

/// The body as form text, if it is a form.
fn form_body<'a>(request: &HttpRequest<'a>) -> Result<Option<&'a str>, WireError> {
    if request.body.is_empty() {
        return Ok(None);
    }
    let content_type = match headers::single(request.headers, &CONTENT_TYPE) {
        Single::Absent => return Ok(None),
        Single::One(value) => value,
        // The signed form sorts repeated values, so their order, which decides here, is not covered.
        Single::Repeated(_) => return Err(WireError::UnsupportedMediaType("two content types".to_owned())),
    };
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    if !media_type.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
        return Ok(None);
    }
    let coding = request.headers.get(CONTENT_ENCODING);
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(WireError::UnsupportedMediaType("compressed form".to_owned()));
    }
    std::str::from_utf8(request.body)
        .map(Some)
        .map_err(|_| WireError::Encoding("the form body is not UTF-8".to_owned()))
}

/// Old V1 clients send `x-acs-action` too, so only the signature itself tells the family.
fn family_of(
    request: &HttpRequest<'_>,
    params: &Params<'_>,
    authorization: Option<&(Scheme, Authorization<'_>)>,
) -> Family {
    match authorization {
        Some((Scheme::Acs3, _)) => return Family::V3,
        Some((Scheme::Acs4, _)) => return Family::V4,
        None => {}
    }
    // Before V1: some clients add a signature under an empty secret to a bearer request.
    if params.common(Common::SignatureType) == Some(BEARER_TYPE) {
        return Family::Bearer;
    }
    let is_v1 =
        [Common::Signature, Common::SignatureMethod].into_iter().any(|which| params.common(which).is_some());
    if is_v1 {
        Family::V1
    } else if request.headers.contains_key(&BEARER_TOKEN) {
        Family::Bearer
    } else {
        Family::Anonymous
    }
}

impl<'a> Incoming<'a> {
    /// The signature scheme.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// The form of the answer: the parameter `Format` if sent, else (not in V1) the first of the
    /// `Accept` header's media types that is JSON or XML. JSON for anything unknown.
    #[must_use]
    pub fn format(&self) -> Format {
        if let Some(format) = self.params.common(Common::Format) {
            return if format.eq_ignore_ascii_case("xml") { Format::Xml } else { Format::Json };
        }
        match self.family {
            Family::V1 => Format::Json,
            Family::V3 | Family::V4 | Family::Bearer | Family::Anonymous => {
                accepted_format(headers::text(self.request.headers, &ACCEPT).unwrap_or_default())
            }
        }
    }

    /// The AccessKey id: parameter in V1, part of `Credential` in V3 and V4. Empty counts as absent.
    #[must_use]
    pub fn access_key_id(&self) -> Option<&str> {
        match &self.authorization {
            Some((scheme, authorization)) => authorization.access_key_id(*scheme),
            None => self.filled(Common::AccessKeyId),
        }
    }

    /// The token of temporary credentials. Empty counts as absent.
    #[must_use]
    pub fn security_token(&self) -> Option<&str> {
        self.claim(Common::SecurityToken, &SECURITY_TOKEN)
    }

    /// Checks that a signed request has everything that it must have, in the documented order:
    /// key, signature, method, version, nonce, time. A bearer request needs its token only; one
    /// without any signature is checked like V1.
    ///
    /// # Errors
    /// [`WireError::Missing`] with the V1 name of the first absent one, or
    /// [`WireError::IncompleteSignature`] for a malformed `Authorization` header or no payload hash.
    pub fn require_common(&self) -> Result<(), WireError> {
        match (&self.authorization, self.family) {
            (Some((_, authorization)), _) => {
                authorization.complete()?;
                self.timestamp_text().ok_or(WireError::Missing("Timestamp"))?;
                self.nonce().ok_or(WireError::Missing("SignatureNonce"))?;
                self.payload_hash_header().map(|_| ())
            }
            (None, Family::Bearer) => {
                let token = self.bearer_token();
                token.map(|_| ()).ok_or(WireError::Missing("BearerToken"))
            }
            (None, Family::V1 | Family::V3 | Family::V4 | Family::Anonymous) => [
                (Common::AccessKeyId, "AccessKeyId"),
                (Common::Signature, "Signature"),
                (Common::SignatureMethod, "SignatureMethod"),
                (Common::SignatureVersion, "SignatureVersion"),
                (Common::SignatureNonce, "SignatureNonce"),
                (Common::Timestamp, "Timestamp"),
            ]
            .into_iter()
            .find(|(which, _)| self.filled(*which).is_none())
            .map_or(Ok(()), |(_, name)| Err(WireError::Missing(name))),
        }
    }

    /// The signature method, and in V1 that `SignatureVersion` is `1.0`.
    ///
    /// # Errors
    /// [`WireError::SignatureMethod`], [`WireError::SignatureVersion`], or [`WireError::Missing`].
    pub fn signature_method(&self) -> Result<SignatureMethod, WireError> {
        if let Some((_, authorization)) = &self.authorization {
            let name = authorization.algorithm;
            return SignatureMethod::of_header(name)
                .ok_or_else(|| WireError::SignatureMethod(name.to_owned()));
        }
        let name = self.filled(Common::SignatureMethod).ok_or(WireError::Missing("SignatureMethod"))?;
        let method =
            SignatureMethod::of_v1(name).ok_or_else(|| WireError::SignatureMethod(name.to_owned()))?;
        match self.filled(Common::SignatureVersion) {
            Some("1.0") => Ok(method),
            Some(other) => Err(WireError::SignatureVersion(other.to_owned())),
            None => Err(WireError::Missing("SignatureVersion")),
        }
    }

    /// When the client says it signed: seconds since 1970 (UTC).
    ///
    /// # Errors
    /// [`WireError::Missing`] or [`WireError::TimestampFormat`].
    pub fn timestamp(&self) -> Result<i64, WireError> {
        let text = self.timestamp_text().ok_or(WireError::Missing("Timestamp"))?;
        parse_timestamp(text).ok_or(WireError::TimestampFormat)
    }

    /// Checks the signature against the caller's key, in constant time.
    ///
    /// Success means that everything the accessors of the [`Verified`] return was sent by the holder of
    /// `key`, except the AccessKey id of V3 (the caller found the key by it).
    ///
    /// # Errors
    /// [`WireError::SignatureMethod`] for an unknown method or the wrong kind of key,
    /// [`WireError::IncompleteSignature`] for a signature that is not well formed or does not cover
    /// what it must, [`WireError::SignatureMismatch`] for a wrong one, [`WireError::Unsupported`]
    /// for a bearer request.
    pub fn verify(&self, key: &Credential) -> Result<Verified<'_, 'a>, WireError> {
        if self.family == Family::Bearer {
            return Err(WireError::Unsupported("verification of a bearer token"));
        }
        let method = self.signature_method()?;
        let access_key_id = self.access_key_id().ok_or(WireError::Missing("AccessKeyId"))?;
        let scope = match &self.authorization {
            None => {
                self.verify_v1(method, secret_of(key, method)?)?;
                None
            }
            Some((_, authorization)) => {
                let acs4 = method == SignatureMethod::Acs4HmacSha256;
                let scope = if acs4 { Some(self.checked_scope(authorization)?) } else { None };
                self.verify_header(method, authorization, scope, key)?;
                scope
            }
        };
        Ok(Verified { incoming: self, access_key_id, scope })
    }

    /// What the request says about itself while nobody knows whether it is true.
    #[must_use]
    pub fn claims(&self) -> Claims<'_, 'a> {
        Claims(self)
    }

    /// Bytes of query and body: what it takes to verify.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.request.query.len() + self.request.body.len()
    }

    fn verify_v1(&self, method: SignatureMethod, secret: &Secret) -> Result<(), WireError> {
        let sent = self.filled(Common::Signature).ok_or(WireError::Missing("Signature"))?;
        let mut signature = [0; 33];
        let len = STANDARD
            .decode_slice(sent, &mut signature)
            .map_err(|_| incomplete("Signature is not Base64 of the method's length"))?;
        let text = self.v1_text();
        let code = sign::v1_code(method, secret, &text);
        if len != code.as_bytes().len() {
            return Err(incomplete("Signature does not have the method's length"));
        }
        if code.as_bytes().ct_eq(&signature[..len]).into() { Ok(()) } else { Err(mismatch(text)) }
    }

    fn verify_header(
        &self,
        method: SignatureMethod,
        authorization: &Authorization<'a>,
        scope: Option<Scope<'_>>,
        key: &Credential,
    ) -> Result<(), WireError> {
        let parts = authorization.complete()?;
        self.check_coverage(parts.signed_headers)?;
        let signature = decode_hex(parts.signature)?;
        let canonical = self.canonical(method, parts)?;
        let text = sign::v3_string_to_sign(method, &canonical);
        // The canonical request ends with the hash of the body as received.
        let hash_matches = canonical.ends_with(self.payload_hash_header()?);
        let signature_matches = matches(method, scope, key, &text, &signature)?;
        if hash_matches && signature_matches { Ok(()) } else { Err(mismatch(text)) }
    }

    /// Refuses a signature that leaves out what the server reads, or whose list is ambiguous.
    fn check_coverage(&self, signed: &str) -> Result<(), WireError> {
        let mut previous = "";
        let mut host = false;
        let mut content_type = false;
        let mut relied_on = 0;
        for name in signed.split(';') {
            let plain =
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
            if !plain || name <= previous {
                return Err(incomplete("SignedHeaders is not a sorted list of lower-case names"));
            }
            previous = name;
            host |= name == "host";
            content_type |= name == "content-type";
            if name.starts_with("x-acs-")
                && let Some(header) = RELIED_ON.iter().find(|known| known.as_str() == name)
            {
                relied_on += 1;
                if self.request.headers.get_all(*header).iter().nth(1).is_some() {
                    return Err(incomplete(&format!("{name} was sent more than once")));
                }
            }
        }
        if !host {
            return Err(incomplete("host is not signed"));
        }
        // Whether a body is read as parameters hangs on this header.
        if !content_type && !self.request.body.is_empty() {
            return Err(incomplete("content-type is not signed"));
        }
        // Every signed name must be present (checked while building), so equal counts mean equal sets.
        let present = RELIED_ON.iter().filter(|name| self.request.headers.contains_key(**name)).count();
        if relied_on != present {
            return Err(incomplete("an x-acs-* header is not signed"));
        }
        let named = headers::text(self.request.headers, &ACCESS_KEY_ID);
        if named.is_some() && named != self.access_key_id() {
            return Err(incomplete("x-acs-accesskey-id differs from Credential"));
        }
        Ok(())
    }

    /// The scope of an ACS4 credential, whose date must be the one of `x-acs-date`.
    fn checked_scope(&self, authorization: &Authorization<'a>) -> Result<Scope<'a>, WireError> {
        let scope = authorization.scope().ok_or_else(|| incomplete("Credential has no ACS4 scope"))?;
        let date = self.timestamp_text().and_then(|text| text.split_once('T')).map(|(date, _)| date);
        let same = date.is_some_and(|date| date.bytes().filter(|b| *b != b'-').eq(scope.date.bytes()));
        same.then_some(scope).ok_or_else(|| incomplete("the scope's date differs from x-acs-date"))
    }

    fn action(&self) -> Option<&str> {
        self.claim(Common::Action, &ACTION)
    }

    fn version(&self) -> Option<&str> {
        self.claim(Common::Version, &VERSION)
    }

    fn nonce(&self) -> Option<&str> {
        self.claim(Common::SignatureNonce, &NONCE)
    }

    fn bearer_token(&self) -> Option<&str> {
        match self.family {
            Family::Bearer => headers::text(self.request.headers, &BEARER_TOKEN)
                .or_else(|| self.filled(Common::BearerToken)),
            Family::V1 | Family::V3 | Family::V4 | Family::Anonymous => None,
        }
    }

    fn v1_text(&self) -> Vec<u8> {
        let pairs = self.params.pairs().iter().filter(|pair| pair.common != Some(Common::Signature));
        sign::v1_string_to_sign(
            self.request.method.as_str(),
            pairs.map(|pair| (&*pair.name, &*pair.value)),
            self.bytes(),
        )
    }

    /// Method, path, query, headers, header names and payload hash, as V3 and V4 join them.
    fn canonical(&self, method: SignatureMethod, parts: Complete<'_>) -> Result<Vec<u8>, WireError> {
        let mut out = Vec::with_capacity(self.request.query.len() + 2 * parts.signed_headers.len() + 768);
        out.extend_from_slice(self.request.method.as_str().as_bytes());
        out.extend_from_slice(b"\n/\n");
        let pairs = self.params.pairs().iter().filter(|pair| pair.in_query);
        sign::append_query(&mut out, pairs.map(|pair| (&*pair.name, &*pair.value)));
        out.push(b'\n');
        for name in parts.signed_headers.split(';') {
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            if !headers::append_signed(&mut out, self.request.headers, name) {
                return Err(incomplete(&format!("signed header {name} is absent")));
            }
            out.push(b'\n');
        }
        out.push(b'\n');
        out.extend_from_slice(parts.signed_headers.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(&method.hash().hex(self.request.body));
        Ok(out)
    }

    /// The hash the client claims. With SM3 the header may have either name.
    fn payload_hash_header(&self) -> Result<&'a [u8], WireError> {
        let sm3 = self.signature_method() == Ok(SignatureMethod::Acs3HmacSm3);
        let own_name = sm3.then(|| headers::text(self.request.headers, &CONTENT_SM3)).flatten();
        own_name
            .or_else(|| headers::text(self.request.headers, &CONTENT_SHA256))
            .filter(|hash| hash.len() == 64)
            .map(str::as_bytes)
            .ok_or_else(|| incomplete("x-acs-content-sha256 is missing or no hash"))
    }

    fn timestamp_text(&self) -> Option<&str> {
        self.claim(Common::Timestamp, &DATE)
    }

    /// What the request says about itself: in a header (V3, V4) or a parameter (V1). Without a
    /// signature either will do, the parameter first.
    fn claim(&self, parameter: Common, header: &HeaderName) -> Option<&str> {
        match self.family {
            Family::V1 => self.filled(parameter),
            Family::V3 | Family::V4 => headers::text(self.request.headers, header),
            Family::Bearer | Family::Anonymous => {
                self.filled(parameter).or_else(|| headers::text(self.request.headers, header))
            }
        }
    }

    /// A common parameter that was sent and is not empty.
    fn filled(&self, which: Common) -> Option<&str> {
        self.params.common(which).filter(|value| !value.is_empty())
    }
}

/// A request whose signature was found right, and what the signature covers. Nothing but
/// [`Incoming::verify`] makes one.
///
/// Covered is everything that is had from here: in V1 every pair of query and form but the signature
/// itself; in V3 and V4 the query, the body by its hash, and the headers that the accessors read.
#[derive(Clone, Copy)]
pub struct Verified<'r, 'a> {
    incoming: &'r Incoming<'a>,
    access_key_id: &'r str,
    scope: Option<Scope<'a>>,
}

impl<'r, 'a> Verified<'r, 'a> {
    /// The scheme that the signature was verified by: V1, V3 or V4.
    #[must_use]
    pub fn family(&self) -> Family {
        self.incoming.family
    }

    /// The id of the key that signed.
    #[must_use]
    pub fn access_key_id(&self) -> &'r str {
        self.access_key_id
    }

    /// What the signing key was limited to: always there in V4, never in any other family. Its day is the
    /// one of the signature; whether product and region fit is for the caller to decide.
    #[must_use]
    pub fn scope(&self) -> Option<Scope<'a>> {
        self.scope
    }

    /// The operation: parameter `Action` in V1, header `x-acs-action` in V3 and V4. `None` if absent or empty.
    #[must_use]
    pub fn action(&self) -> Option<&'r str> {
        self.incoming.action()
    }

    /// The API version, from where [`action`](Self::action) comes from.
    #[must_use]
    pub fn version(&self) -> Option<&'r str> {
        self.incoming.version()
    }

    /// The number used once, opaque text. Empty counts as absent.
    #[must_use]
    pub fn nonce(&self) -> Option<&'r str> {
        self.incoming.nonce()
    }

    /// The product's parameters, query and form merged.
    #[must_use]
    pub fn parameters(&self) -> &'r Params<'a> {
        &self.incoming.params
    }
}

/// What a request says about itself and nobody has verified: for a record of what was refused, for
/// diagnosis and for tests. Nothing may be done because of it.
#[derive(Clone, Copy)]
pub struct Claims<'r, 'a>(&'r Incoming<'a>);

impl<'r, 'a> Claims<'r, 'a> {
    /// The operation: parameter `Action` in V1, header `x-acs-action` in V3 and V4. Without a
    /// signature either one. `None` if absent, empty or repeated.
    #[must_use]
    pub fn action(&self) -> Option<&'r str> {
        self.0.action()
    }

    /// The API version, from where [`action`](Self::action) comes from.
    #[must_use]
    pub fn version(&self) -> Option<&'r str> {
        self.0.version()
    }

    /// The number used once. Empty counts as absent.
    #[must_use]
    pub fn nonce(&self) -> Option<&'r str> {
        self.0.nonce()
    }

    /// The signature, as it was sent. `None` if absent or empty.
    #[must_use]
    pub fn signature(&self) -> Option<&'r str> {
        match &self.0.authorization {
            Some((_, authorization)) => {
                Some(authorization.signature).filter(|signature| !signature.is_empty())
            }
            None => self.0.filled(Common::Signature),
        }
    }

    /// The bearer token of a [`Family::Bearer`] request, from header or parameter.
    #[must_use]
    pub fn bearer_token(&self) -> Option<&'r str> {
        self.0.bearer_token()
    }

    /// The scope of an ACS4 credential; `None` in every other family or if it is malformed.
    #[must_use]
    pub fn scope(&self) -> Option<Scope<'a>> {
        match &self.0.authorization {
            Some((Scheme::Acs4, authorization)) => authorization.scope(),
            Some((Scheme::Acs3, _)) | None => None,
        }
    }

    /// The product's parameters, query and form merged.
    #[must_use]
    pub fn parameters(&self) -> &'r Params<'a> {
        &self.0.params
    }

    /// What must have been signed, as this server builds it. Holds no secret.
    ///
    /// # Errors
    /// As [`verify`](Incoming::verify), except for the mismatch; [`WireError::Unsupported`] without a signature.
    pub fn string_to_sign(&self) -> Result<String, WireError> {
        let method = self.0.signature_method()?;
        match &self.0.authorization {
            None => Ok(ascii(self.0.v1_text())),
            Some((_, authorization)) => {
                let canonical = self.0.canonical(method, authorization.complete()?)?;
                Ok(ascii(sign::v3_string_to_sign(method, &canonical)))
            }
        }
    }

    /// The canonical request of V3 and V4, whose hash is in the string to sign; for diagnosis.
    ///
    /// # Errors
    /// As [`string_to_sign`](Self::string_to_sign); [`WireError::Unsupported`] in every other family.
    pub fn canonical_request(&self) -> Result<String, WireError> {
        let Some((_, authorization)) = &self.0.authorization else {
            return Err(WireError::Unsupported("a canonical request in this family"));
        };
        let canonical = self.0.canonical(self.0.signature_method()?, authorization.complete()?)?;
        Ok(String::from_utf8_lossy(&canonical).into_owned())
    }
}

impl fmt::Debug for HttpRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", self.method)
            .field("path", &self.path)
            .field("query_bytes", &self.query.len())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Verified<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verified").field(self.incoming).finish()
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("family", &self.family)
            .field("action", &self.action())
            .field("access_key_id", &self.access_key_id())
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

/// Whether `signature` is the one of `text` under `key`, in V4 under the key for this scope.
fn matches(
    method: SignatureMethod,
    scope: Option<Scope<'_>>,
    key: &Credential,
    text: &[u8],
    signature: &[u8],
) -> Result<bool, WireError> {
    if method == SignatureMethod::Acs3RsaSha256 {
        return match key {
            Credential::RsaPublicKey(key) => Ok(key.verifies(text, signature)),
            Credential::Secret(_) => Err(WireError::SignatureMethod(method.name().to_owned())),
        };
    }
    let secret = secret_of(key, method)?;
    let code = match scope {
        Some(scope) => sign::v4_code(secret.expose(), scope.date, scope.region, scope.product, text),
        None => sign::v3_code(method.hash(), secret, text),
    };
    if signature.len() != code.as_bytes().len() {
        return Err(incomplete("Signature does not have the method's length"));
    }
    Ok(code.as_bytes().ct_eq(signature).into())
}

fn secret_of(key: &Credential, method: SignatureMethod) -> Result<&Secret, WireError> {
    match key {
        Credential::Secret(secret) => Ok(secret),
        Credential::RsaPublicKey(_) => Err(WireError::SignatureMethod(method.name().to_owned())),
    }
}

/// The first media type of an `Accept` header that is JSON or XML decides.
fn accepted_format(accept: &str) -> Format {
    accept
        .split(',')
        .filter_map(|part| part.split(';').next())
        .find_map(|media_type| match media_type.trim() {
            xml if xml.eq_ignore_ascii_case("text/xml") || xml.eq_ignore_ascii_case("application/xml") => {
                Some(Format::Xml)
            }
            json if json.eq_ignore_ascii_case("application/json") => Some(Format::Json),
            _ => None,
        })
        .unwrap_or_default()
}

/// Lower-case hex only: a signature has one spelling.
fn decode_hex(text: &str) -> Result<Vec<u8>, WireError> {
    let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let decoded = if lower { hex::decode(text).ok() } else { None };
    decoded.ok_or_else(|| incomplete("Signature is not lower-case hex"))
}

fn incomplete(detail: &str) -> WireError {
    WireError::IncompleteSignature(detail.to_owned())
}

/// A long text is shown by its beginning, length and hash, so that a wrong signature cannot cause a long answer.
fn mismatch(mut text: Vec<u8>) -> WireError {
    if text.len() <= TOLD {
        return WireError::SignatureMismatch { string_to_sign: ascii(text) };
    }
    let (length, hash) = (text.len(), hex::encode(digest::digest(&digest::SHA256, &text)));
    text.truncate(TOLD);
    let mut string_to_sign = ascii(text);
    string_to_sign.push_str(&format!("... ({length} bytes, SHA-256 {hash})"));
    WireError::SignatureMismatch { string_to_sign }
}
