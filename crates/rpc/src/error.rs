//! What can be wrong with a request before its operation is looked at, and with an answer that is to be rendered.
//!
//! One enum for the whole way from bytes to a verified request, because the caller turns
//! each of them into one error body; the code of that body (`SignatureDoesNotMatch`, ...)
//! is the caller's to choose.

use thiserror::Error;

/// A request refused by parsing or verification. Every one is the client's fault (HTTP 4xx).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// More pairs in query and form together than [`Limits::parameters`](crate::Limits).
    #[error("more than {limit} parameters")]
    TooManyParameters {
        /// The limit that was passed.
        limit: usize,
    },
    /// A decoded parameter name is longer than [`Limits::name_bytes`](crate::Limits).
    #[error("a parameter name is longer than {limit} bytes")]
    NameTooLong {
        /// The limit that was passed, in bytes.
        limit: usize,
    },
    /// A decoded parameter value is longer than [`Limits::value_bytes`](crate::Limits).
    #[error("the value of parameter {name} is longer than {limit} bytes")]
    ValueTooLong {
        /// The parameter's name.
        name: String,
        /// The limit that was passed, in bytes.
        limit: usize,
    },
    /// A broken percent-escape, or text that is not UTF-8.
    #[error("badly encoded request: {0}")]
    Encoding(String),
    /// A form body that cannot be read: compressed, or with two content types.
    #[error("unsupported media type: {0}")]
    UnsupportedMediaType(String),
    /// The path is not `/`.
    #[error("the path must be /")]
    Path,
    /// The HTTP method is neither GET nor POST.
    #[error("the HTTP method must be GET or POST")]
    Method,
    /// The same name was sent twice with different values.
    #[error("parameter {0} was sent twice with different values")]
    ConflictingParameter(String),
    /// A common parameter is absent or empty. The name is the V1 one, as in `MissingTimestamp`.
    #[error("{0} is mandatory for this action")]
    Missing(&'static str),
    /// The signature method is unknown, or it does not fit the kind of key.
    #[error("signature method {0:?} is not supported")]
    SignatureMethod(String),
    /// `SignatureVersion` is not `1.0`.
    #[error("signature version {0:?} is not supported")]
    SignatureVersion(String),
    /// The time is not `YYYY-MM-DDThh:mm:ssZ`, or no such moment exists.
    #[error("the time stamp is not of the form YYYY-MM-DDThh:mm:ssZ")]
    TimestampFormat,
    /// There is a signature, but it is not well-formed, or it leaves out what must be signed.
    #[error("the signature is not well formed: {0}")]
    IncompleteSignature(String),
    /// The signature is well formed and wrong.
    #[error("the signature does not match")]
    SignatureMismatch {
        /// What the server signed, for the answer: clients compare it with their own. The key is not
        /// in it, but in V1 every parameter is, so do not log it.
        string_to_sign: String,
    },
    /// The request asks for something this crate knows of and does not do.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}

/// A flattened list (`Name.1`, `Name.2`) that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParamError {
    /// The part after the dot is no index: not decimal, zero, with a leading zero, or beyond `u32`.
    #[error("parameter {0} has no valid list index")]
    Index(String),
}

/// A value that has no body in the format asked for. A bug of the caller, never of the client.
#[derive(Debug, Error)]
pub enum RenderError {
    /// serde_json refused the value.
    #[error("cannot render JSON")]
    Json(#[from] serde_json::Error),
    /// A name that no XML element can have.
    #[error("{0:?} cannot name an XML element")]
    XmlName(String),
    /// An array cannot be the root of a document.
    #[error("an array has no single root element")]
    XmlRoot,
    /// The value's own serialisation failed.
    #[error("{0}")]
    Custom(String),
}

impl serde::ser::Error for RenderError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }
}
