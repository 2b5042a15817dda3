//! Reads an operation's parameters into types, with the product's own refusal for a bad value.

use serde::Deserialize;
use tongguan_model::limits::Quotas;
use tongguan_model::principal::Principal;
use tongguan_model::region::{self, Region};
use tongguan_model::text;
use tongguan_rpc::{Params, Secret, StructParams, parse_bool};
use tongguan_store::{TagFilter, TokenName};

use crate::catalogue::{self, Code, Refusal};
use crate::context::Context;
use crate::failure::Failure;
use crate::fingerprint::Fingerprint;
use crate::operation::{Empty, Operation, Parameter, Shape};

/// Tags that a call may carry at most.
const TAGS: usize = 20;

/// The parameters of a call.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    operation: &'static Operation,
    params: &'a Params<'a>,
    context: &'a Context,
    caller: &'a Principal,
}

/// A tag as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Key.
    pub key: String,
    /// Value; may be empty.
    pub value: String,
}

/// A tag as product Ram takes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JsonTag {
    key: String,
    value: Option<String>,
}

/// A parameter that holds a secret; none if it is absent or empty.
pub(crate) fn secret(args: &Args<'_>, name: &'static str) -> Result<Option<Secret>, Refusal> {
    Ok(args.text(name).map(Secret::from))
}

/// The same of one that is required.
pub(crate) fn required_secret(args: &Args<'_>, name: &'static str) -> Result<Secret, Refusal> {
    secret(args, name)?.ok_or_else(|| args.missing(name))
}

type Read<T> = Result<T, Refusal>;

impl<'a> Args<'a> {
    pub(crate) fn new(
        operation: &'static Operation,
        params: &'a Params<'a>,
        context: &'a Context,
        caller: &'a Principal,
    ) -> Self {
        Self { operation, params, context, caller }
    }

    /// What operations share: limits that parameters keep, and what markers are read with.
    pub(crate) fn context(&self) -> &'a Context {
        self.context
    }

    /// Who calls, and whom a parameter that is absent may mean.
    pub(crate) fn caller(&self) -> &'a Principal {
        self.caller
    }

    pub(crate) fn operation(&self) -> &'static Operation {
        self.operation
    }

    /// Limits of the service.
    #[must_use]
    pub fn quotas(&self) -> &'a Quotas {
        &self.context.settings.quotas
    }

    /// Refuses the call if a required parameter is absent, or a parameter is empty that may not be, in the order of
    /// the table.
    pub(crate) fn require_all(&self) -> Read<()> {
        let missing = self.operation.parameters.iter().find(|p| p.required && !self.is_given(p));
        if let Some(parameter) = missing {
            return Err(self.missing(parameter.name));
        }
        for parameter in self.operation.parameters {
            if let Empty::Refused(code) = parameter.empty
                && self.params.get(parameter.name) == Some("")
            {
                let why = format!("{} is empty.", parameter.name);
                let shown = if code.message == "%s" { why } else { String::new() };
                return Err(Refusal::new(code).parameter(parameter.name).whole_value(shown));
            }
        }
        Ok(())
    }

    /// Whether a required parameter is there. An empty one is if it sets the empty text.
    fn is_given(&self, parameter: &Parameter) -> bool {
        match parameter.shape {
            Shape::List | Shape::Tags | Shape::Structures => self.params.iter().any(|(known, _)| {
                known.strip_prefix(parameter.name).is_some_and(|rest| rest.starts_with('.'))
            }),
            Shape::Text | Shape::Integer | Shape::Boolean | Shape::Json => self
                .params
                .get(parameter.name)
                .is_some_and(|value| !value.is_empty() || parameter.empty == Empty::Sets),
        }
    }

    /// The refusal for an absent parameter, in the product's words.
    #[must_use]
    pub fn missing(&self, name: &'static str) -> Refusal {
        self.operation.missing(name)
    }

    /// The refusal for a bad value, in the product's words.
    #[must_use]
    pub fn illegal(&self, name: &'static str, value: &str) -> Refusal {
        self.operation.illegal(name, value)
    }

    /// A text; empty counts as absent, so it is not for what [`Empty::Sets`].
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        debug_assert!(self.operation.takes(name), "{} does not declare {name}", self.operation.action);
        debug_assert!(!self.operation.empties(name), "{} may get {name} empty", self.operation.action);
        self.params.get(name).filter(|value| !value.is_empty())
    }

    /// The text that a parameter sets; one that is sent empty sets the empty text.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&'a str> {
        debug_assert!(self.operation.empties(name), "{}: {name} is not emptied", self.operation.action);
        self.params.get(name)
    }

    /// A text that was checked to be there; empty if the table does not require it.
    #[must_use]
    pub fn required(&self, name: &str) -> &'a str {
        self.text(name).unwrap_or_default()
    }

    /// A flag.
    ///
    /// # Errors
    /// A refusal if it is neither true nor false.
    pub fn flag(&self, name: &'static str) -> Read<Option<bool>> {
        match self.text(name) {
            None => Ok(None),
            Some(value) => parse_bool(value).map(Some).ok_or_else(|| self.illegal(name, value)),
        }
    }

    /// A whole number from `range`.
    ///
    /// # Errors
    /// A refusal if it is no number or outside.
    pub fn number(&self, name: &'static str, range: std::ops::RangeInclusive<u64>) -> Read<Option<u64>> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let number = digits(value).filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| self.illegal(name, value))
    }

    /// A whole number that is one of `values`.
    ///
    /// # Errors
    /// A refusal if it is none of them.
    pub fn one_of(&self, name: &'static str, values: &[u64]) -> Read<Option<u64>> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let number = digits(value).filter(|number| values.contains(number));
        number.map(Some).ok_or_else(|| self.illegal(name, value))
    }

    /// One of an enum's words.
    ///
    /// # Errors
    /// A refusal if it is no such word.
    pub fn word<T>(&self, name: &'static str, parse: fn(&str) -> Option<T>) -> Read<Option<T>> {
        match self.text(name) {
            None => Ok(None),
            Some(value) => parse(value).map(Some).ok_or_else(|| self.illegal(name, value)),
        }
    }

    /// One of an enum's words; anything else is refused with `code` and the value.
    ///
    /// # Errors
    /// The refusal.
    pub fn word_or<T>(
        &self,
        name: &'static str,
        parse: fn(&str) -> Option<T>,
        code: &'static Code,
    ) -> Read<Option<T>> {
        let read = |value| parse(value).ok_or_else(|| Refusal::new(code).value(value));
        self.text(name).map(read).transpose()
    }

    /// One of some texts.
    ///
    /// # Errors
    /// A refusal if it is none of them.
    pub fn one_of_words(&self, name: &'static str, words: &[&str]) -> Read<Option<&'a str>> {
        match self.text(name) {
            Some(value) if !words.contains(&value) => Err(self.illegal(name, value)),
            value => Ok(value),
        }
    }

    /// A text that is empty or fits; any other is refused with `code`.
    ///
    /// # Errors
    /// The refusal.
    pub fn fitting(
        &self,
        text: Option<&'a str>,
        fits: fn(&str) -> bool,
        code: &'static Code,
    ) -> Read<Option<&'a str>> {
        match text {
            Some(text) if !text.is_empty() && !fits(text) => Err(Refusal::new(code)),
            text => Ok(text),
        }
    }

    /// A text that is empty or fits; any other is refused in the product's words.
    ///
    /// # Errors
    /// The refusal.
    pub fn fitting_or_illegal(
        &self,
        name: &'static str,
        text: Option<&'a str>,
        fits: fn(&str) -> bool,
    ) -> Read<Option<&'a str>> {
        match text {
            Some(text) if !text.is_empty() && !fits(text) => Err(self.illegal(name, text)),
            text => Ok(text),
        }
    }

    /// A list `Name.1`, `Name.2`, ... of at most `most` values.
    ///
    /// # Errors
    /// A refusal if there are more.
    pub fn list(&self, name: &'static str, most: u64) -> Read<Vec<String>> {
        let values = self.params.list(name).map_err(|_| self.illegal(name, ""))?;
        let number = values.len();
        if number as u64 > most {
            let detail = format!("{number} values were given, at most {most} may be.");
            return Err(self.illegal(name, values[most as usize]).because(detail));
        }
        Ok(values.into_iter().filter(|value| !value.is_empty()).map(Into::into).collect())
    }

    /// A list of structures `Name.1.Member`, `Name.2.Member`, ..., in the order of their numbers.
    #[must_use]
    pub fn structures(&self, name: &str) -> Vec<StructParams<'a>> {
        debug_assert!(self.operation.takes(name), "{} does not declare {name}", self.operation.action);
        self.params.structs(name).into_iter().map(|(_, structure)| structure).collect()
    }

    /// The region named by the call, if any. Every operation may carry one: python-core always sends it.
    ///
    /// # Errors
    /// A refusal if there is no such region.
    pub fn region(&self) -> Read<Option<&'static Region>> {
        self.region_or(&catalogue::REGION_NOT_FOUND)
    }

    /// The region named by the call, if any; one that there is not is refused with `code`.
    ///
    /// # Errors
    /// The refusal.
    pub fn region_or(&self, code: &'static Code) -> Read<Option<&'static Region>> {
        let named = self.raw("RegionId").filter(|id| !id.is_empty());
        named.map(|id| region::find(id).ok_or_else(|| Refusal::new(code))).transpose()
    }

    /// `Tag.N`, or a list of another name, as tags to write.
    ///
    /// # Errors
    /// A refusal for a bad key or value, a key given twice, or more than 20.
    pub fn tags(&self, name: &'static str) -> Read<Vec<Tag>> {
        let tags = self.tag_filter(name)?.into_iter();
        Ok(tags.map(|tag| Tag { key: tag.key, value: tag.value.unwrap_or_default() }).collect())
    }

    /// `Tag.N`, or a list of another name, as tags to look for: a value that is not sent matches any.
    ///
    /// # Errors
    /// A refusal for a bad key or value, a key given twice, or more than 20.
    pub fn tag_filter(&self, name: &'static str) -> Read<Vec<TagFilter>> {
        let given = self.params.structs(name);
        if given.len() > TAGS {
            let detail = format!("{} tags were given, at most {TAGS} may be.", given.len());
            return Err(self.illegal(name, "").because(detail));
        }
        let mut tags = Vec::with_capacity(given.len());
        for (_, tag) in given {
            let key = tag.get("Key").unwrap_or_default();
            let value = tag.get("Value");
            if !text::tag_key(key) {
                return Err(Refusal::new(&catalogue::INVALID_TAG_KEY));
            }
            if !value.is_none_or(text::tag_value) {
                return Err(Refusal::new(&catalogue::INVALID_TAG_VALUE));
            }
            tags.push(TagFilter { key: key.into(), value: value.map(Into::into) });
        }
        each_key_once(&tags)?;
        Ok(tags)
    }

    /// Tags to write, as product Ram takes them: a JSON array of objects with `Key` and `Value` in one value. Empty if
    /// none are given.
    ///
    /// # Errors
    /// A refusal for what is no such array, a bad key or value, a key given twice, or more than 20.
    pub fn json_tags(&self, name: &'static str) -> Read<Vec<Tag>> {
        let tags = self.json_tag_filter(name)?.into_iter();
        Ok(tags.map(|tag| Tag { key: tag.key, value: tag.value.unwrap_or_default() }).collect())
    }

    /// The same as tags to look for: one without `Value` matches any.
    ///
    /// # Errors
    /// As [`Args::json_tags`].
    pub fn json_tag_filter(&self, name: &'static str) -> Read<Vec<TagFilter>> {
        let Some(given) = self.text(name) else { return Ok(Vec::new()) };
        let tags: Vec<JsonTag> = serde_json::from_str(given).map_err(|_| self.illegal(name, given))?;
        if tags.len() > TAGS {
            let detail = format!("{} tags were given, at most {TAGS} may be.", tags.len());
            return Err(self.illegal(name, given).because(detail));
        }
        for tag in &tags {
            if !text::tag_key(&tag.key) {
                return Err(Refusal::new(&catalogue::INVALID_TAG_KEY));
            }
            if !tag.value.as_deref().is_none_or(text::ram_tag_value) {
                return Err(Refusal::new(&catalogue::INVALID_TAG_VALUE));
            }
        }
        let tags: Vec<TagFilter> =
            tags.into_iter().map(|tag| TagFilter { key: tag.key, value: tag.value }).collect();
        each_key_once(&tags)?;
        Ok(tags)
    }

    /// The idempotency token, if one was sent and the operation takes it.
    ///
    /// # Errors
    /// A refusal if it is too long or not ASCII.
    pub(crate) fn client_token(&self) -> Read<Option<&'a str>> {
        if !self.operation.takes("ClientToken") {
            return Ok(None);
        }
        match self.text("ClientToken") {
            Some(token) if !text::client_token(token) => Err(Refusal::new(&catalogue::CLIENT_TOKEN)),
            token => Ok(token),
        }
    }

    /// Whether the call is a dry run.
    pub(crate) fn dry_run(&self) -> Read<bool> {
        if !self.operation.takes("DryRun") {
            return Ok(false);
        }
        Ok(self.flag("DryRun")?.unwrap_or(false))
    }

    /// What tells a repeat of a call from another call under the same token.
    ///
    /// # Errors
    /// [`Failure::Internal`] if the context was never given to a service.
    pub(crate) fn fingerprint(&self, token: &str) -> Result<Fingerprint, Failure> {
        let (account, action) = (&self.caller.account, self.operation.action);
        let keys = self.context.keys().ok_or_else(|| Failure::Internal("no key of fingerprints".into()))?;
        let digest = self.params.digest(&["ClientToken"]);
        Ok(keys.fingerprints.of(TokenName { account, action, token }, &digest))
    }

    /// The value of a parameter of exactly this name, whether declared or not; empty counts as absent. What an
    /// operation reads as a text is this, so permissions are asked for this.
    pub(crate) fn bare(&self, name: &str) -> Option<&'a str> {
        self.params.get(name).filter(|value| !value.is_empty())
    }

    /// What the call names by a parameter, as the operation reads it: the items of a list, or a text (whose
    /// items may be separated by commas).
    pub(crate) fn named(&self, name: &str) -> Vec<&'a str> {
        let shape =
            self.operation.parameters.iter().find(|known| known.name == name).map(|known| known.shape);
        match shape {
            Some(Shape::List) => {
                let items = self.params.list(name).unwrap_or_default();
                items.into_iter().filter(|item| !item.is_empty()).collect()
            }
            _ => self.bare(name).map(|text| text.split(',').map(str::trim).collect()).unwrap_or_default(),
        }
    }

    /// The tags that the call carries, if the operation takes any, as it reads them. Malformed tags are reported
    /// later, once the caller is known to be authorised.
    ///
    /// # Errors
    /// A refusal for a key that is given twice: it would not be clear which of its values a policy should see.
    pub(crate) fn request_tags(&self) -> Read<Vec<TagFilter>> {
        let parameters = self.operation.parameters.iter();
        let tags = parameters.filter_map(|known| match known.shape {
            Shape::Tags => Some(self.tag_filter(known.name)),
            Shape::Json if known.name == "Tag" => Some(self.json_tag_filter(known.name)),
            _ => None,
        });
        let tags: Read<Vec<Vec<TagFilter>>> = tags.collect();
        match tags.map(|tags| tags.concat()) {
            Err(refusal) if refusal.code != &catalogue::DUPLICATED_TAG_KEY => Ok(Vec::new()),
            tags => tags,
        }
    }

    /// What the call names, for the audit record.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        self.params.get(name).or_else(|| self.params.list(name).ok().and_then(|list| list.first().copied()))
    }
}

/// The number that decimal digits write, and nothing but digits: no sign. Leading zeros change nothing.
pub(crate) fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Refuses a tag key that is given twice. Condition keys are compared without case and tags are asked about by them, so
/// keys that differ in the case of ASCII letters alone are one.
///
/// # Errors
/// The refusal.
fn each_key_once(tags: &[TagFilter]) -> Read<()> {
    let mut keys: Vec<String> = tags.iter().map(|tag| tag.key.to_ascii_lowercase()).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Refusal::new(&catalogue::DUPLICATED_TAG_KEY));
    }
    Ok(())
}

/// Which page is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Paging {
    /// Page, from 1.
    pub number: u64,
    /// Entries per page.
    pub size: u64,
}

impl Paging {
    /// Entries before the page.
    #[must_use]
    pub fn offset(&self) -> u64 {
        (self.number - 1).saturating_mul(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_and_nothing_else() {
        for (text, number) in [("0", 0), ("900", 900), ("0900", 900), ("18446744073709551615", u64::MAX)] {
            assert_eq!(digits(text), Some(number), "{text}");
        }
        let wrong = [
            "",
            "+900",
            "-0",
            "-900",
            " 900",
            "900 ",
            "9e2",
            "0x9",
            "9_00",
            "\u{ff19}",
            "18446744073709551616",
        ];
        for text in wrong {
            assert_eq!(digits(text), None, "{text}");
        }
    }
}
