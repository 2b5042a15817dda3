//! The `Authorization` header of V3 and V4: `ALG Credential=...,SignedHeaders=...,Signature=...`.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::error::WireError;
use crate::headers::{self, Single};

/// The header taken apart. Parts may be missing; [`Authorization::complete`] checks.
#[derive(Clone)]
pub(crate) struct Authorization<'a> {
    /// As sent: `ACS3-HMAC-SHA256`, ...
    pub(crate) algorithm: &'a str,
    credential: &'a str,
    signed_headers: &'a str,
    /// As sent; empty if there is none.
    pub(crate) signature: &'a str,
    /// The first thing wrong with the header's form, if any.
    malformed: Option<&'static str>,
}

/// Which generation of the header scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Acs3,
    Acs4,
}

/// The parts of a well-formed header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Complete<'a> {
    pub(crate) signed_headers: &'a str,
    pub(crate) signature: &'a str,
}

/// What an ACS4 signature is limited to, from its `Credential`. Trustworthy once verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The day, `YYYYMMDD`; verification compares it with `x-acs-date`.
    pub date: &'a str,
    /// The region id, for example `cn-hangzhou`. The router of the call decides whether it fits.
    pub region: &'a str,
    /// The product code as the client spells it, for example `Kms`. The router of the call decides whether it fits.
    pub product: &'a str,
}

impl<'a> Authorization<'a> {
    /// The header, if there is one whose scheme begins with `ACS3-` or `ACS4-`.
    pub(crate) fn find(headers: &'a HeaderMap) -> Option<(Scheme, Self)> {
        let (value, repeated) = match headers::single(headers, &AUTHORIZATION) {
            Single::Absent => return None,
            Single::One(value) => (value, false),
            Single::Repeated(first) => (first, true),
        };
        let readable = std::str::from_utf8(value);
        let text = match &readable {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(&value[..e.valid_up_to()]).unwrap_or_default(),
        };
        let scheme = if has_prefix(text, "ACS3-") {
            Scheme::Acs3
        } else if has_prefix(text, "ACS4-") {
            Scheme::Acs4
        } else {
            return None;
        };
        let mut found = Self::split(text);
        if repeated {
            found.malformed = Some("Authorization was sent more than once");
        } else if readable.is_err() {
            found.malformed = Some("Authorization is not UTF-8");
        }
        Some((scheme, found))
    }

    fn split(text: &'a str) -> Self {
        let (algorithm, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut parts =
            Self { algorithm, credential: "", signed_headers: "", signature: "", malformed: None };
        for part in rest.split(',').map(str::trim) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let slot = match key {
                "Credential" => &mut parts.credential,
                "SignedHeaders" => &mut parts.signed_headers,
                "Signature" => &mut parts.signature,
                "" => continue,
                _ => {
                    parts.malformed = Some("Authorization has an unknown part");
                    continue;
                }
            };
            if slot.is_empty() {
                *slot = value;
            } else {
                parts.malformed = Some("Authorization has a part twice");
            }
        }
        parts
    }

    /// The parts, when the header is well formed and none is missing.
    ///
    /// # Errors
    /// [`WireError::Missing`] for no credential or signature, [`WireError::IncompleteSignature`] for the rest.
    pub(crate) fn complete(&self) -> Result<Complete<'a>, WireError> {
        if let Some(detail) = self.malformed {
            return Err(WireError::IncompleteSignature(detail.to_owned()));
        }
        if self.credential.is_empty() {
            return Err(WireError::Missing("AccessKeyId"));
        }
        if self.signed_headers.is_empty() {
            return Err(WireError::IncompleteSignature("SignedHeaders is missing".to_owned()));
        }
        if self.signature.is_empty() {
            return Err(WireError::Missing("Signature"));
        }
        Ok(Complete { signed_headers: self.signed_headers, signature: self.signature })
    }

    /// The AccessKey id: `Credential`, in ACS4 up to the first slash.
    pub(crate) fn access_key_id(&self, scheme: Scheme) -> Option<&'a str> {
        let id = match scheme {
            Scheme::Acs3 => self.credential,
            Scheme::Acs4 => self.credential.split('/').next().unwrap_or_default(),
        };
        (!id.is_empty()).then_some(id)
    }

    /// The scope of an ACS4 credential, if the credential has the right form and no part is empty.
    pub(crate) fn scope(&self) -> Option<Scope<'a>> {
        let mut parts = self.credential.split('/');
        let (_id, date, region, product) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let terminated = parts.next() == Some(crate::sign::V4_TERMINATOR) && parts.next().is_none();
        let whole = terminated && [date, region, product].iter().all(|part| !part.is_empty());
        whole.then_some(Scope { date, region, product })
    }
}

fn has_prefix(text: &str, prefix: &str) -> bool {
    text.as_bytes().get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), WireError> {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", text.parse().unwrap());
        let (_, found) = Authorization::find(&headers).unwrap();
        found.complete().map(|_| ())
    }

    fn incomplete(text: &str) -> bool {
        matches!(check(text), Err(WireError::IncompleteSignature(_)))
    }

    #[test]
    fn well_formed_headers() {
        assert_eq!(check("ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=ab"), Ok(()));
        assert_eq!(check("ACS3-HMAC-SHA256  Signature=ab , SignedHeaders=host, Credential=a"), Ok(()));
    }

    #[test]
    fn missing_parts_in_order() {
        assert_eq!(check("ACS3-HMAC-SHA256"), Err(WireError::Missing("AccessKeyId")));
        assert_eq!(check("ACS3-HMAC-SHA256 Credential="), Err(WireError::Missing("AccessKeyId")));
        assert!(incomplete("ACS3-HMAC-SHA256 Credential=a,Signature=ab"));
        assert_eq!(
            check("ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host"),
            Err(WireError::Missing("Signature"))
        );
    }

    #[test]
    fn odd_parts_are_refused() {
        assert!(incomplete("ACS3-X Credential=a,SignedHeaders=host,Signature=ab,Extra=1"));
        assert!(incomplete("ACS3-X Credential=a,SignedHeaders=host,Signature=ab,Signature=ab"));
        let mut twice = HeaderMap::new();
        for _ in 0..2 {
            let value = "ACS3-X Credential=a,SignedHeaders=host,Signature=ab";
            twice.append("authorization", value.parse().unwrap());
        }
        let (_, found) = Authorization::find(&twice).unwrap();
        assert!(matches!(found.complete(), Err(WireError::IncompleteSignature(_))));
    }

    #[test]
    fn other_schemes_are_none_of_ours() {
        for value in ["Bearer abc", "Basic ACS3-", "ACS", "ACS5-HMAC"] {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", value.parse().unwrap());
            assert!(Authorization::find(&headers).is_none());
        }
    }

    #[test]
    fn scopes() {
        let scope = |credential: &str| {
            let text = format!("ACS4-HMAC-SHA256 Credential={credential}");
            let parts = Authorization::split(&text).scope().map(|s| format!("{s:?}"));
            parts.is_some()
        };
        assert!(scope("id/20261123/cn-hangzhou/Kms/aliyun_v4_request"));
        assert!(!scope("id/20261123//Kms/aliyun_v4_request"));
        assert!(!scope("id/20261123/cn-hangzhou//aliyun_v4_request"));
        assert!(!scope("id//cn-hangzhou/Kms/aliyun_v4_request"));
        assert!(!scope("id/20261123/cn-hangzhou/Kms/aliyun_v4"));
        assert!(!scope("id/20261123/cn-hangzhou/Kms/aliyun_v4_request/x"));
        assert!(!scope("id"));
    }
}
