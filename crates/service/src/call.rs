//! A verified request, and the answer to it.

use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use tongguan_model::principal::Principal;
use tongguan_model::region::Region;
use tongguan_rpc::Format;

use crate::access::{Circumstances, Peer, Written};
use crate::authority::{Authority, Known};
use crate::context::Context;
use crate::operation::{Failure, Identified, Operation, Output};

/// A request whose signature, freshness and permission were checked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Call(Arc<Parts>);

/// See [`Call`].
#[derive(Debug)]
pub struct Parts {
    /// What operations share.
    pub context: Context,
    /// Id of the request, as it is answered.
    pub request_id: String,
    /// What is asked for.
    pub operation: &'static Operation,
    /// Who asks.
    pub principal: Arc<Principal>,
    /// The access key that signed it.
    pub(crate) known: Arc<Known>,
    /// When it arrived, UNIX milliseconds.
    pub now_ms: i64,
    /// Host that it was sent to, as the client wrote it.
    pub host: String,
    /// Where it came from.
    pub peer: Peer,
    /// Whose keys are whose: for operations that ask for further permissions or make credentials.
    pub authority: Arc<Authority>,
    /// How to answer.
    pub format: Format,
}

/// A successful answer.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The rendered body.
    pub body: Vec<u8>,
    /// Resources shown in it that are not settled: a data plane that advances with each Describe is notified.
    pub unsettled: Vec<String>,
    /// Id of the access key that the call made.
    pub issued: Option<String>,
    /// What the caller is told beside the answer, in ASCII.
    pub warnings: Vec<String>,
    /// It was recorded elsewhere and may be a refusal; in a service for tests alone.
    pub recorded: Option<Box<Recorded>>,
}

/// How a recorded answer was given.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// HTTP status.
    pub status: u16,
    /// Code of a refusal.
    pub code: Option<String>,
}

impl Deref for Call {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Call {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The circumstances of the call, with further condition keys.
    #[must_use]
    pub fn circumstances<'a>(&'a self, keys: &'a [(&'a str, &'a str)]) -> Circumstances<'a> {
        Circumstances {
            principal: &self.principal,
            peer: self.peer,
            now_ms: self.now_ms,
            keys,
            tags: &[],
            written: Written::default(),
        }
    }

    /// Refuses the call unless its caller may also do this.
    ///
    /// # Errors
    /// The product's refusal, naming the action.
    pub fn require(&self, action: &str, resource: &str, keys: &[(&str, &str)]) -> Result<(), Failure> {
        let permitted = self.circumstances(keys).permit(action, resource);
        permitted.map_err(|reason| reason.refusal(self.operation.product, &self.principal, action).into())
    }

    /// The region that a call names, or the service's own where it may leave it out.
    #[must_use]
    pub fn region_or_default(&self, named: Option<&'static Region>) -> &'static Region {
        named.unwrap_or(self.context.settings.default_region)
    }

    /// Renders a typed answer in the caller's format, with the request id.
    ///
    /// # Errors
    /// As [`Call::reply`].
    pub(crate) fn render<O: Output>(&self, output: &O) -> Result<Reply, Failure> {
        self.reply(&Identified { output, request_id: Some(&self.request_id) })
    }

    /// Renders an answer in the caller's format.
    ///
    /// # Errors
    /// [`Failure::Internal`] if it cannot be rendered, which is a bug.
    pub fn reply<T: Serialize>(&self, answer: &T) -> Result<Reply, Failure> {
        let root = match self.format {
            Format::Json => String::new(),
            Format::Xml => self.operation.xml_root(),
        };
        let body = tongguan_rpc::render(answer, self.format, &root);
        let body = body.map_err(|error| Failure::Internal(error.to_string()))?;
        Ok(Reply { body, ..Reply::default() })
    }
}

impl Reply {
    /// Notes a resource that is not settled.
    #[must_use]
    pub fn unsettled(mut self, resource: Option<String>) -> Self {
        self.unsettled.extend(resource);
        self
    }
}
