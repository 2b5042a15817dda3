//! Answers: the body of a success or an error, as JSON or XML.
//!
//! Clients are picky in ways no schema tells: error members must be texts, `Content-Type` of XML
//! must have no blank, and only a capitalised `Code` makes an error. Those rules live here.

use serde::Serialize;

use crate::encoding::encode;
use crate::error::RenderError;
use crate::request::Format;
use crate::{json, xml};

/// Renders a success body.
///
/// In XML, `xml_root` (`<Action>Response`) is the root, an array repeats its element, an empty array
/// or an absent value is no element, and characters XML cannot hold become U+FFFD.
///
/// # Errors
/// [`RenderError`] for a value that has no such form.
pub fn render<T: Serialize>(value: &T, format: Format, xml_root: &str) -> Result<Vec<u8>, RenderError> {
    match format {
        Format::Json => json::to_vec(value),
        Format::Xml => xml::to_vec(value, xml_root),
    }
}

/// The `Content-Type` of a body, exactly as clients compare it: no blank after the semicolon.
#[must_use]
pub fn content_type(format: Format) -> &'static str {
    match format {
        Format::Json => "application/json;charset=utf-8",
        Format::Xml => "text/xml;charset=utf-8",
    }
}

/// The link of an error body's `Recommend`. It names the product that was called, if that is known.
#[must_use]
pub fn recommend_url(code: &str, product: Option<&str>, request_id: &str) -> String {
    let product = product.map(|product| format!("&product={}", encode(product))).unwrap_or_default();
    format!(
        "https://api.aliyun.com/troubleshoot?q={}{product}&requestId={}",
        encode(code),
        encode(request_id)
    )
}

/// An error body. All members are texts but the last two, which are left out when `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ErrorBody<'a> {
    /// The request's id, an upper-case UUID.
    pub request_id: &'a str,
    /// The host the request was sent to.
    pub host_id: &'a str,
    /// The stable code. Never empty: some clients take an error without it for a success.
    pub code: &'a str,
    /// The text for the caller.
    pub message: &'a str,
    /// See [`recommend_url`].
    pub recommend: String,
    /// Why a policy refused; clients want an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_denied_detail: Option<serde_json::Map<String, serde_json::Value>>,
    /// The HTTP status as a number, which KMS repeats in its body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
}

impl ErrorBody<'_> {
    /// Renders the body; `xml_root` is `Error`, or `KMS` for that product.
    ///
    /// Always gives a body: a root that XML does not allow becomes `Error`, and an access denied
    /// detail with such a key is left out.
    #[must_use]
    pub fn render(&self, format: Format, xml_root: &str) -> Vec<u8> {
        render(self, format, xml_root)
            .or_else(|_| render(self, format, "Error"))
            .or_else(|_| {
                let plain = Self { access_denied_detail: None, ..self.clone() };
                render(&plain, format, "Error")
            })
            .expect("texts and a number under fixed names have both forms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> ErrorBody<'static> {
        ErrorBody {
            request_id: "8906582E-6722-409A-A6C4-0E7863B733A5",
            host_id: "vpc.cn-hangzhou.aliyuncs.com",
            code: "Forbidden.RAM",
            message: "<no> & never",
            recommend: recommend_url("Forbidden.RAM", Some("Vpc"), "8906"),
            access_denied_detail: None,
            http_status: None,
        }
    }

    fn rendered(body: &ErrorBody<'_>, format: Format, root: &str) -> String {
        String::from_utf8(body.render(format, root)).unwrap()
    }

    #[test]
    fn json_error() {
        assert_eq!(
            rendered(&body(), Format::Json, "Error"),
            "{\"RequestId\":\"8906582E-6722-409A-A6C4-0E7863B733A5\",\
             \"HostId\":\"vpc.cn-hangzhou.aliyuncs.com\",\"Code\":\"Forbidden.RAM\",\
             \"Message\":\"<no> & never\",\
             \"Recommend\":\"https://api.aliyun.com/troubleshoot?q=Forbidden.RAM&product=Vpc&requestId=8906\"}"
        );
    }

    #[test]
    fn xml_error_of_kms() {
        let body = ErrorBody { http_status: Some(400), ..body() };
        assert_eq!(
            rendered(&body, Format::Xml, "KMS"),
            "<?xml version='1.0' encoding='UTF-8'?><KMS>\
             <RequestId>8906582E-6722-409A-A6C4-0E7863B733A5</RequestId>\
             <HostId>vpc.cn-hangzhou.aliyuncs.com</HostId><Code>Forbidden.RAM</Code>\
             <Message>&lt;no&gt; &amp; never</Message>\
             <Recommend>https://api.aliyun.com/troubleshoot?q=Forbidden.RAM&amp;product=Vpc&amp;requestId=8906</Recommend>\
             <HttpStatus>400</HttpStatus></KMS>"
        );
    }

    #[test]
    fn details_are_objects_and_never_in_the_way() {
        let detail = |key: &str| {
            let mut detail = serde_json::Map::new();
            detail.insert(key.to_owned(), "x".into());
            ErrorBody { access_denied_detail: Some(detail), ..body() }
        };
        assert!(
            rendered(&detail("a b"), Format::Json, "").contains("\"AccessDeniedDetail\":{\"a b\":\"x\"}")
        );
        let xml = rendered(&detail("Policy"), Format::Xml, "not a name");
        assert!(xml.contains("<Error>") && xml.contains("<AccessDeniedDetail><Policy>x</Policy>"));
        assert!(!rendered(&detail("a b"), Format::Xml, "Error").contains("AccessDeniedDetail"));
    }

    #[test]
    fn content_types_have_no_blank() {
        assert_eq!(content_type(Format::Json), "application/json;charset=utf-8");
        assert_eq!(content_type(Format::Xml), "text/xml;charset=utf-8");
    }
}
