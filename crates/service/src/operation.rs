//! The shape of an operation, and the table of them all.
//!
//! The table drives routing, required parameters, permissions, `tongguan operations`, the reference
//! page and the coverage tests; they cannot disagree.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::{Serialize, Serializer, ser::SerializeStruct as _};
use tongguan_store::{Snapshot, Tx};
use zeroize::Zeroizing;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue::{self, Code, Origin, Refusal};
use crate::product::Illegal;

pub use crate::api::ALL;
pub use crate::failure::Failure;
pub use crate::product::Product;

/// What nearly every operation's file uses.
pub(crate) mod prelude {
    pub(crate) use tongguan_store::{Snapshot, Tx};

    pub(crate) use super::{Failure, LongWork, PreparedWrite, Pure, Read, Write};
    pub(crate) use crate::call::Call;
    pub(crate) use crate::catalogue::{self as c, Refusal};
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
    /// `Name.1.Member`, `Name.1.Object.Member`, ..., whatever the members are.
    Structures,
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
    /// Whence it is known; ours: that it is not offered, or has no effect, is our choice.
    pub origin: Origin,
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

/// The members of an answer that was remembered, without the request id.
pub(crate) type Members = serde_json::Map<String, serde_json::Value>;

/// The change that a write makes inside the transaction; it may be run again from the start.
pub type Change = Box<dyn FnMut(&Tx<'_>) -> Result<Box<dyn Answered>, Failure> + Send>;

/// How an operation is carried out.
pub enum Handler {
    /// Answers from the call alone.
    Pure(fn(&Call, &Args<'_>) -> Result<Reply, Failure>),
    /// Answers from a consistent state of the store.
    Read(fn(&Call, &Args<'_>, &Snapshot<'_>) -> Result<Reply, Failure>),
    /// Checks the parameters' form and gives the change to make.
    Write(fn(&Call, &Args<'_>) -> Result<Change, Failure>),
    /// As `Write`, and its first part is long work (making a key, checking a chain).
    LongWrite(Long),
}

/// A write whose first part takes long: it is done by the pool of [`crate::work`].
pub struct Long {
    /// Whether the work is worth doing: what would be refused for a quota or a state is refused before it. Asked
    /// when the call comes in and again when its turn has come.
    pub look: fn(&Call, &Args<'_>) -> Result<(), Failure>,
    /// Does the work and gives the change to make, which looks again.
    pub prepare: fn(&Call, &Args<'_>) -> Result<Change, Failure>,
    /// As how many requests it counts in the rate.
    pub cost: u32,
}

/// The parameters of an operation, read and checked by themselves. Implementations are generated.
pub trait Input: Sized + Send + Sync + 'static {
    /// Reads the parameters of a call.
    ///
    /// # Errors
    /// The refusal of the first that is not as its page says.
    fn read(args: &Args<'_>) -> Result<Self, Refusal>;
}

/// An answer. Implementations are generated.
pub trait Output: Send + 'static {
    /// Writes the members in their order, the request's id among them if it is given.
    ///
    /// # Errors
    /// The serializer's.
    fn write<S: Serializer>(&self, request_id: Option<&str>, serializer: S) -> Result<S::Ok, S::Error>;
}

/// An operation that answers from the call alone.
pub trait Pure: Input {
    /// Its answer.
    type Output: Output;

    /// Answers the call.
    ///
    /// # Errors
    /// A refusal.
    fn answer(&self, call: &Call) -> Result<Self::Output, Failure>;

    /// Id of the access key that the call made, for the audit record.
    #[must_use]
    fn issued(_: &Self::Output) -> Option<String> {
        None
    }
}

/// An operation that answers from a consistent state of the store.
pub trait Read: Input {
    /// Its answer.
    type Output: Output;

    /// Answers the call.
    ///
    /// # Errors
    /// A refusal, or the store fails.
    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure>;

    /// Resources that the answer shows and that are not settled: a data plane that is stepped by looking is told.
    #[must_use]
    fn unsettled(_: &Self::Output) -> Vec<String> {
        Vec::new()
    }

    /// What the caller is told beside an answer, in ASCII: headers `x-tongguan-warning`, which clients that do not know
    /// them leave alone. An answer itself has the members that are documented and no others.
    #[must_use]
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Id of the access key that the call made, for the audit record.
    #[must_use]
    fn issued(_: &Self::Output) -> Option<String> {
        None
    }
}

/// An operation that changes something.
pub trait Write: Input {
    /// Its answer.
    type Output: Output;

    /// What no rule of a single parameter says, before the transaction and once.
    ///
    /// # Errors
    /// A refusal.
    fn check(&self, _: &Call) -> Result<(), Failure> {
        Ok(())
    }

    /// Makes the change. It may be run again from the start.
    ///
    /// # Errors
    /// A refusal, after which nothing is changed, or the store fails.
    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure>;

    /// What the caller is told beside an answer, in ASCII: headers `x-tongguan-warning`, which clients that do not know
    /// them leave alone. An answer itself has the members that are documented and no others.
    #[must_use]
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Id of the access key that the call made, for the audit record.
    #[must_use]
    fn issued(_: &Self::Output) -> Option<String> {
        None
    }
}

/// A write that needs something made before its transaction, where every other change would wait for it: a secret,
/// and its seal. What takes milliseconds is [`LongWork`].
pub trait PreparedWrite: Input {
    /// What is made.
    type Prepared: Send + 'static;
    /// Its answer.
    type Output: Output;

    /// Makes it, once, by the thread that took the call.
    ///
    /// # Errors
    /// A refusal.
    fn prepare(&self, call: &Call) -> Result<Self::Prepared, Failure>;

    /// Makes the change. It may be run again from the start.
    ///
    /// # Errors
    /// A refusal, after which nothing is changed, or the store fails.
    fn change(&self, prepared: &Self::Prepared, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure>;

    /// Id of the access key that the call made, for the audit record.
    #[must_use]
    fn issued(_: &Self::Output) -> Option<String> {
        None
    }
}

/// A write whose first part takes long: it is done by the pool of [`crate::work`].
pub trait LongWork: Input {
    /// What the work gives.
    type Prepared: Send + 'static;
    /// Its answer.
    type Output: Output;

    /// Whether the work is worth doing: what would be refused for a quota or a state is refused before it. Asked when
    /// the call comes in and again when its turn has come.
    ///
    /// # Errors
    /// A refusal.
    fn look(&self, call: &Call) -> Result<(), Failure>;

    /// Does the work.
    ///
    /// # Errors
    /// A refusal.
    fn prepare(&self, call: &Call) -> Result<Self::Prepared, Failure>;

    /// Makes the change, which looks again. It may be run again from the start.
    ///
    /// # Errors
    /// A refusal, after which nothing is changed, or the store fails.
    fn change(&self, prepared: &Self::Prepared, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure>;
}

/// Handler of a [`Pure`] operation.
pub(crate) fn pure<T: Pure>(call: &Call, args: &Args<'_>) -> Result<Reply, Failure> {
    let output = T::read(args)?.answer(call)?;
    Ok(Reply { issued: T::issued(&output), ..call.render(&output)? })
}

/// Handler of a [`Read`] operation.
pub(crate) fn read<T: Read>(call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let input = T::read(args)?;
    let output = input.answer(call, snapshot)?;
    Ok(Reply {
        unsettled: T::unsettled(&output),
        issued: T::issued(&output),
        warnings: input.warnings(),
        ..call.render(&output)?
    })
}

/// Handler of a [`Write`] operation.
pub(crate) fn write<T: Write>(call: &Call, args: &Args<'_>) -> Result<Change, Failure> {
    let input = T::read(args)?;
    input.check(call)?;
    let (call, warnings) = (call.clone(), input.warnings());
    Ok(Box::new(move |tx| {
        let output = input.change(&call, tx)?;
        Ok(Box::new(Typed { issued: T::issued(&output), warnings: warnings.clone(), output }))
    }))
}

/// Handler of a [`PreparedWrite`] operation.
pub(crate) fn prepared<T: PreparedWrite>(call: &Call, args: &Args<'_>) -> Result<Change, Failure> {
    let input = T::read(args)?;
    let prepared = input.prepare(call)?;
    let call = call.clone();
    Ok(Box::new(move |tx| {
        let output = input.change(&prepared, &call, tx)?;
        Ok(Box::new(Typed { issued: T::issued(&output), warnings: Vec::new(), output }))
    }))
}

/// First look of a [`LongWork`] operation.
pub(crate) fn look<T: LongWork>(call: &Call, args: &Args<'_>) -> Result<(), Failure> {
    T::read(args)?.look(call)
}

/// The work of a [`LongWork`] operation.
pub(crate) fn prepare<T: LongWork>(call: &Call, args: &Args<'_>) -> Result<Change, Failure> {
    let input = T::read(args)?;
    let prepared = input.prepare(call)?;
    let call = call.clone();
    Ok(Box::new(move |tx| {
        let output = input.change(&prepared, &call, tx)?;
        Ok(Box::new(Typed { issued: None, warnings: Vec::new(), output }))
    }))
}

/// What a change is answered with, whatever its type.
pub trait Answered: Send {
    /// The rendered answer.
    ///
    /// # Errors
    /// [`Failure::Internal`] if it cannot be rendered, which is a bug.
    fn reply(&self, call: &Call) -> Result<Reply, Failure>;

    /// The members without the request id, a JSON object: what is remembered under a ClientToken.
    ///
    /// # Errors
    /// [`Failure::Internal`] if it cannot be written, which is a bug.
    fn remembered(&self) -> Result<String, Failure>;

    /// Id of the access key that the call made.
    fn issued(&self) -> Option<String>;
}

struct Typed<O> {
    output: O,
    issued: Option<String>,
    warnings: Vec<String>,
}

impl<O: Output> Answered for Typed<O> {
    fn reply(&self, call: &Call) -> Result<Reply, Failure> {
        Ok(Reply { warnings: self.warnings.clone(), ..call.render(&self.output)? })
    }

    fn remembered(&self) -> Result<String, Failure> {
        let members = Identified { output: &self.output, request_id: None };
        serde_json::to_string(&members).map_err(|error| Failure::Internal(error.to_string()))
    }

    fn issued(&self) -> Option<String> {
        self.issued.clone()
    }
}

impl Answered for Members {
    fn reply(&self, call: &Call) -> Result<Reply, Failure> {
        let mut members = self.clone();
        members.insert("RequestId".into(), call.request_id.as_str().into());
        call.reply(&members)
    }

    fn remembered(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|error| Failure::Internal(error.to_string()))
    }

    fn issued(&self) -> Option<String> {
        None
    }
}

/// An answer with the id of its request.
pub(crate) struct Identified<'a, O> {
    pub(crate) output: &'a O,
    pub(crate) request_id: Option<&'a str>,
}

impl<O: Output> Serialize for Identified<'_, O> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.output.write(self.request_id, serializer)
    }
}

/// A secret that an answer discloses to its caller: wiped on drop, never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Disclosed(Zeroizing<String>);

impl From<&str> for Disclosed {
    fn from(secret: &str) -> Self {
        Self(Zeroizing::new(secret.to_owned()))
    }
}

impl From<Zeroizing<String>> for Disclosed {
    fn from(secret: Zeroizing<String>) -> Self {
        Self(secret)
    }
}

impl std::fmt::Debug for Disclosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disclosed(***)")
    }
}

impl Serialize for Disclosed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A list in an object of its own, as the API writes lists: `{"Tag": [...]}`.
pub(crate) struct Wrapped<'a, T>(pub(crate) &'static str, pub(crate) &'a Vec<T>);

impl<T: Serialize> Serialize for Wrapped<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Wrapped", 1)?;
        object.serialize_field(self.0, self.1)?;
        object.end()
    }
}

/// A part of an ARN that a permission is checked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(&'static str),
    /// The caller's account.
    Account,
    /// `system` for a system policy, else the caller's account.
    PolicyOwner,
    /// The region; that of the resource that the parameter `of` names, where it names one.
    Region {
        /// The parameter.
        of: Option<&'static str>,
    },
    /// A parameter.
    Parameter(&'static str),
}

/// A condition key that comes from a call's own parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// In lower case.
    pub key: &'static str,
    /// The parameter.
    pub parameter: &'static str,
    /// The parameter names a service-linked role, and the value is its service.
    pub service_of_role: bool,
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
    /// Other spellings of it that clients send.
    pub spellings: &'static [&'static str],
    /// What it does, in one line.
    pub summary: &'static str,
    /// RAM action that a policy must allow; none: any signer may call it.
    pub permission: Option<&'static str>,
    /// Whence the permission is known.
    pub permission_origin: Origin,
    /// ARN that the permission is checked on: `*`, or a template with `{RegionId}`, `{accountId}` and
    /// names of parameters.
    pub resource: &'static str,
    /// The same in parts; several must all be allowed.
    pub arns: &'static [&'static [Part]],
    /// Condition keys that come from parameters.
    pub conditions: &'static [Condition],
    /// Parameters, required ones in the order in which they are missed.
    pub parameters: &'static [Parameter],
    /// Parameter that names the resource in the audit record.
    pub subject: Option<&'static str>,
    /// Answer to a dry run.
    pub dry_run: DryRun,
    /// Codes that it answers, beside those of the gateway.
    pub errors: &'static [&'static Code],
    /// In what its answer is not what its page has.
    pub differences: &'static [Difference],
    /// How it is carried out.
    pub handler: Handler,
}

/// A way in which the answer of an operation is not what its page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// Which way.
    pub kind: DifferenceKind,
    /// Path of the member, as the page has it; empty: all of the answer.
    pub member: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// Ways in which an answer is not what a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// The page has the member, the answer has not.
    Omitted,
    /// The answer has the member, the page has not.
    Added,
    /// The member is of another type.
    Retyped,
    /// The list is there, and nothing is ever in it.
    AlwaysEmpty,
    /// There is no answer but refusals.
    NeverSucceeds,
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
        self.product.conventions().xml_root.map_or_else(|| format!("{}Response", self.action), Into::into)
    }

    /// The refusal for an absent parameter, in the product's words.
    #[must_use]
    pub fn missing(&self, parameter: &'static str) -> Refusal {
        Refusal::new(self.product.conventions().missing).parameter(parameter)
    }

    /// The refusal for a bad value, in the product's words.
    #[must_use]
    pub fn illegal(&self, parameter: &'static str, value: &str) -> Refusal {
        match self.product.conventions().illegal {
            Illegal::Named(code) => Refusal::new(code).because(format!("The parameter is \"{parameter}\".")),
            Illegal::Value(code) => Refusal::new(code).parameter(parameter).value(value),
            Illegal::Parameter(code) => Refusal::new(code).parameter(parameter),
        }
    }

    /// Whether it may be refused with this code: one of its own, or one of those that are answered whatever the
    /// operation is.
    #[must_use]
    pub fn declares(&self, code: &'static Code) -> bool {
        code.status >= 500 || self.codes().any(|known| std::ptr::eq(known, code))
    }

    /// The codes that it may be refused with: its own, those that are answered whatever the operation is, and those
    /// of a service that cannot answer.
    pub fn codes(&self) -> impl Iterator<Item = &'static Code> {
        let any = [
            &catalogue::MISSING,
            &catalogue::REQUEST_MALFORMED,
            &catalogue::THROTTLING_USER,
            &catalogue::RIGHTS_TOO_COSTLY,
            self.product.conventions().missing,
            &catalogue::INTERNAL,
            &catalogue::UNAVAILABLE,
        ];
        self.errors.iter().copied().chain(any)
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
    let named = BY_NAME.get(action)?;
    named.iter().copied().find(|known| known.product == product)
}

/// The operations of every product by name, whichever way it is spelled.
static BY_NAME: LazyLock<HashMap<&'static str, Vec<&'static Operation>>> = LazyLock::new(|| {
    let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
    for known in ALL.iter().copied() {
        for name in known.spellings.iter().copied().chain([known.action]) {
            by_name.entry(name).or_default().push(known);
        }
    }
    by_name
});

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::api::ram::{CreateAccessKeyOutput, NewAccessKeyInfo};
    use crate::api::sts::{AssumeRoleCredentials, AssumeRoleOutput};

    #[test]
    fn no_output_prints_a_secret() {
        const SECRET: &str = "a-secret-of-the-caller";
        let access_key = NewAccessKeyInfo { access_key_secret: SECRET.into(), ..Default::default() };
        let credentials = AssumeRoleCredentials {
            access_key_secret: SECRET.into(),
            security_token: SECRET.into(),
            ..Default::default()
        };
        let printed = [
            format!("{:?}", CreateAccessKeyOutput { access_key }),
            format!("{:?}", AssumeRoleOutput { credentials, ..Default::default() }),
        ];
        for printed in printed {
            assert!(printed.contains("Disclosed(***)") && !printed.contains(SECRET), "{printed}");
        }
    }

    /// Of the members of all answers, those whose name says that they are secret.
    #[test]
    fn every_secret_of_an_answer_is_disclosed_as_one() {
        let mut secrets = Vec::new();
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api")).unwrap() {
            let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let outputs = source.split("\npub struct ").skip(1).filter_map(|item| item.split_once("\n}\n"));
            let outputs =
                outputs.filter(|(_, after)| after.contains("fn write<S") || after.contains("fn serialize<S"));
            for (members, _) in outputs {
                let members =
                    members.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
                let secret = members.filter(|(name, _)| {
                    ["secret", "password", "private_key", "security_token", "psk", "auth_key"]
                        .iter()
                        .any(|word| name.contains(word))
                });
                secrets.extend(secret.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
            }
        }
        // Whether there is one is no secret.
        secrets.retain(|(_, kind)| kind != "bool,");
        assert!(secrets.len() >= 3, "{secrets:?}");
        let disclosed = |kind: &str| kind.trim_start_matches("Option<").starts_with("operation::Disclosed");
        assert!(secrets.iter().all(|(_, kind)| disclosed(kind)), "{secrets:?}");
    }
}
