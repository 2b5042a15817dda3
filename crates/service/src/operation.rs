//! The shape of an operation, and the table of them all.
//!
//! The table drives routing, required parameters, permissions, `tongguan operations`, the reference
//! page and the coverage tests; they cannot disagree.

use tongguan_store::{Snapshot, StoreError, Tx};

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue::{Code, Refusal};
use crate::context::Context;

pub use crate::operations::ALL;

/// Products that share the port, told apart by their version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Virtual private cloud, VPN gateways included.
    Vpc,
    /// Key management: certificates.
    Kms,
    /// Security token service.
    Sts,
    /// Endpoint look-up.
    Location,
    /// Resource access management: users, groups, roles, policies.
    Ram,
    /// Resource management: service-linked roles.
    ResourceManager,
}

impl Product {
    /// Every product.
    pub const ALL: &'static [Self] =
        &[Self::Vpc, Self::Kms, Self::Sts, Self::Location, Self::Ram, Self::ResourceManager];

    /// The product's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vpc => "Vpc",
            Self::Kms => "Kms",
            Self::Sts => "Sts",
            Self::Location => "Location",
            Self::Ram => "Ram",
            Self::ResourceManager => "ResourceManager",
        }
    }

    /// The API version that it speaks.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::Vpc => "2016-04-28",
            Self::Kms => "2016-01-20",
            Self::Sts => "2015-04-01",
            Self::Location => "2015-06-12",
            Self::Ram => "2015-05-01",
            Self::ResourceManager => "2020-03-31",
        }
    }

    /// The product of this version.
    #[must_use]
    pub fn of_version(version: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|product| product.version() == version)
    }
}

/// What a parameter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`, in any case.
    Boolean,
    /// `Name.1`, `Name.2`, ...
    List,
    /// `Name.1.Key`, `Name.1.Value`, ...
    Tags,
    /// A JSON document in one value.
    Json,
}

/// One parameter of an operation.
#[derive(Debug)]
pub struct Parameter {
    /// Name on the wire.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// Whether the call is refused without it.
    pub required: bool,
    /// Its rules in one line.
    pub about: &'static str,
    /// What it means when it is sent, and empty.
    pub empty: Empty,
}

/// What a parameter means that is sent empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empty {
    /// The same as not sending it.
    Absent,
    /// The empty text: the attribute is emptied.
    Sets,
    /// Nothing that the attribute can be: the call is refused with this code.
    Refused(&'static Code),
}

impl Parameter {
    /// Sent empty, it sets the empty text.
    #[must_use]
    pub const fn emptied(self) -> Self {
        Self { empty: Empty::Sets, ..self }
    }

    /// Sent empty, it is refused with `code`.
    #[must_use]
    pub const fn never_empty(self, code: &'static Code) -> Self {
        Self { empty: Empty::Refused(code), ..self }
    }
}

/// A required parameter.
#[must_use]
pub const fn required(name: &'static str, shape: Shape, about: &'static str) -> Parameter {
    Parameter { name, shape, required: true, about, empty: Empty::Absent }
}

/// An optional parameter.
#[must_use]
pub const fn optional(name: &'static str, shape: Shape, about: &'static str) -> Parameter {
    Parameter { name, shape, required: false, about, empty: Empty::Absent }
}

/// `RegionId`, required.
pub const REGION: Parameter =
    required("RegionId", Shape::Text, "Region of the resource; one of the ids that DescribeRegions lists.");
/// `RegionId`, optional.
pub const REGION_OPTIONAL: Parameter =
    optional("RegionId", Shape::Text, "Region of the resource; one of the ids that DescribeRegions lists.");
/// `ClientToken`.
pub const CLIENT_TOKEN: Parameter = optional(
    "ClientToken",
    Shape::Text,
    "Idempotency key, at most 64 ASCII characters: a repeat with the same parameters gets the first result.",
);
/// `DryRun`.
pub const DRY_RUN: Parameter =
    optional("DryRun", Shape::Boolean, "true: check everything, change nothing. Default false.");
/// `PageNumber`.
pub const PAGE_NUMBER: Parameter = optional("PageNumber", Shape::Integer, "Page, from 1. Default 1.");
/// `PageSize`.
pub const PAGE_SIZE: Parameter =
    optional("PageSize", Shape::Integer, "Entries per page, 1 to 50. Default 10.");
/// `Tag.N`.
pub const TAGS: Parameter = optional("Tag", Shape::Tags, "Tag.N.Key and Tag.N.Value, at most 20.");

/// Reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Changes nothing.
    Read,
    /// Changes something.
    Write,
}

/// What a dry run whose checks all pass is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    /// The operation has no dry run.
    None,
    /// 200 and the request id.
    Succeeds,
    /// The error `DryRunOperation`.
    Refuses,
}

/// What went wrong in an operation.
#[derive(Debug)]
pub enum Failure {
    /// The caller is told.
    Refused(Box<Refusal>),
    /// The store failed: the log gets the cause, and the caller a 503 if the store cannot be used, a 500
    /// if it is a bug.
    Store(StoreError),
    /// Something that a call needs cannot be used now: the caller gets a 503 and the log the text.
    Unavailable(String),
    /// A bug: the caller gets a 500 and the log the text.
    Internal(String),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<&'static Code> for Failure {
    fn from(code: &'static Code) -> Self {
        Refusal::new(code).into()
    }
}

impl From<tongguan_model::gateway::Refusal> for Failure {
    fn from(refusal: tongguan_model::gateway::Refusal) -> Self {
        Refusal::from(refusal).into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The members of a write's answer, without the request id.
pub type Answer = serde_json::Map<String, serde_json::Value>;

/// The change that a write makes inside the transaction; it may be run again from the start.
pub type Change = Box<dyn FnMut(&Tx<'_>) -> Result<Answer, Failure> + Send>;

/// How an operation is carried out.
pub enum Handler {
    /// Answers from the call alone.
    Pure(fn(&Context, &Call, &Args<'_>) -> Result<Reply, Failure>),
    /// Answers from a consistent state of the store.
    Read(fn(&Context, &Call, &Args<'_>, &Snapshot<'_>) -> Result<Reply, Failure>),
    /// Checks the parameters' form and gives the change to make.
    Write(fn(&Context, &Call, &Args<'_>) -> Result<Change, Failure>),
    /// As `Write`, and its first part is long work (making a key, checking a chain).
    LongWrite(Long),
}

/// A write whose first part takes long: it is done by the pool of [`crate::work`].
pub struct Long {
    /// Whether the work is worth doing: what would be refused for a quota or a state is refused before it. Asked
    /// when the call comes in and again when its turn has come.
    pub look: fn(&Context, &Call, &Args<'_>) -> Result<(), Failure>,
    /// Does the work and gives the change to make, which looks again.
    pub prepare: fn(&Context, &Call, &Args<'_>) -> Result<Change, Failure>,
    /// As how many requests it counts in the rate.
    pub cost: u32,
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pure(_) => "Pure",
            Self::Read(_) => "Read",
            Self::Write(_) => "Write",
            Self::LongWrite(_) => "LongWrite",
        })
    }
}

/// One operation: all that is known of it.
#[derive(Debug)]
pub struct Operation {
    /// Product.
    pub product: Product,
    /// Name on the wire.
    pub action: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// RAM action that a policy must allow; none: any signer may call it.
    pub permission: Option<&'static str>,
    /// ARN that the permission is checked on: `*`, or a template with `{RegionId}`, `{accountId}` and
    /// names of parameters.
    pub resource: &'static str,
    /// Parameters, required ones in the order in which they are missed.
    pub parameters: &'static [Parameter],
    /// Parameter that names the resource in the audit record.
    pub subject: Option<&'static str>,
    /// Answer to a dry run.
    pub dry_run: DryRun,
    /// Codes that it answers, beside those of the gateway.
    pub errors: &'static [&'static Code],
    /// How it is carried out.
    pub handler: Handler,
}

impl Operation {
    /// Reads or writes.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.handler {
            Handler::Pure(_) | Handler::Read(_) => Kind::Read,
            Handler::Write(_) | Handler::LongWrite(_) => Kind::Write,
        }
    }

    /// Root element of its answer in XML.
    #[must_use]
    pub fn xml_root(&self) -> String {
        if self.product == Product::Kms { "KMS".into() } else { format!("{}Response", self.action) }
    }

    /// Whether it takes this parameter.
    #[must_use]
    pub fn takes(&self, parameter: &str) -> bool {
        self.parameters.iter().any(|known| known.name == parameter)
    }

    /// Whether this parameter sets the empty text when it is sent empty.
    #[must_use]
    pub fn empties(&self, parameter: &str) -> bool {
        self.parameters.iter().any(|known| known.name == parameter && known.empty == Empty::Sets)
    }
}

/// The operation of this product and name.
#[must_use]
pub fn find(product: Product, action: &str) -> Option<&'static Operation> {
    ALL.iter().find(|known| known.product == product && known.action == action).copied()
}
