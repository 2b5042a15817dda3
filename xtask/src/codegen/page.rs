//! A page of `docs/api`: what the vendor documents, and what it does not say.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// One operation, as its page has it. What is for people alone is not read.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) product: String,
    pub(crate) version: String,
    pub(crate) action: String,
    pub(crate) summary: String,
    pub(crate) parameters: Vec<Documented>,
    pub(crate) response: Vec<Member>,
    pub(crate) ram: Option<Ram>,
    pub(crate) ours: Option<Ours>,
}

/// A parameter as it is documented.
#[derive(Debug, Deserialize)]
pub(crate) struct Documented {
    /// Its name on the wire; `.N` marks a list.
    pub(crate) wire: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) required: bool,
    /// Not in the vendor's pages, but in its clients.
    #[serde(default = "yes")]
    pub(crate) documented: bool,
}

fn yes() -> bool {
    true
}

/// A member of the answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Member {
    /// From the root: `Vpcs.Vpc[].Tags.Tag[].Key`.
    pub(crate) path: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// Who may call it.
#[derive(Debug, Deserialize)]
pub(crate) struct Ram {
    pub(crate) action: Option<String>,
    pub(crate) resource: Option<String>,
}

/// How an operation is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Handler {
    Pure,
    Read,
    Write,
    Prepared,
    Long,
}

/// What a dry run whose checks pass is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DryRun {
    Succeeds,
    Refuses,
}

/// What the vendor does not say. A name that is not known here is an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ours {
    /// In place of the page's summary.
    pub(crate) summary: Option<String>,
    /// In place of the page's action; null: whoever has a key may call it.
    #[serde(default, deserialize_with = "given")]
    pub(crate) permission: Option<Option<String>>,
    /// In place of the page's resource: `*`, or a template with `{RegionId}`, `{accountId}`, `{accountId}|system` and
    /// names of parameters; `A + B` are two.
    pub(crate) resource: Option<String>,
    /// What the permission is checked on, where the resource says it in words that are no template.
    pub(crate) arn: Option<String>,
    /// The product whose operation of the same name this is, under a version of its own: their input, output and
    /// implementation are one.
    pub(crate) twin: Option<String>,
    /// Other spellings of its name that clients send.
    #[serde(default)]
    pub(crate) spellings: Vec<String>,
    /// Go's old client has no request of its own for it: the conformance cases call it by name.
    #[serde(default)]
    pub(crate) untyped_in_go: bool,
    /// Condition keys that come from parameters.
    #[serde(default)]
    pub(crate) conditions: BTreeMap<String, Condition>,
    /// The parameter that names the resource in the audit record.
    pub(crate) subject: Option<String>,
    /// What a dry run is answered with: `succeeds` or `refuses`.
    pub(crate) dry_run: Option<DryRun>,
    pub(crate) handler: Option<Handler>,
    /// As how many requests a long one counts.
    pub(crate) cost: Option<u32>,
    /// The parameters that are taken, in the order in which they are missed and read.
    pub(crate) parameters: Vec<ParameterEntry>,
    /// In which order parameters are read, where it is another; those that are not named come last.
    #[serde(default)]
    pub(crate) read_order: Vec<String>,
    /// Reads the region that every call may name, though the operation does not take it.
    #[serde(default)]
    pub(crate) any_region: bool,
    /// Codes that are answered, by their names in the catalogue.
    pub(crate) errors: Vec<String>,
    #[serde(default)]
    pub(crate) answer: Answer,
    /// Members of the response that are not answered, each with the reason.
    #[serde(default)]
    pub(crate) omits: BTreeMap<String, String>,
    /// Members that are answered and not documented, each with the reason.
    #[serde(default)]
    pub(crate) adds: BTreeMap<String, Added>,
    /// Documented members that are answered in another type than the page's, by path.
    #[serde(default)]
    pub(crate) retypes: BTreeMap<String, Added>,
    /// Lists that are answered and never have anything in them, each with the reason.
    #[serde(default)]
    pub(crate) always_empty: BTreeMap<String, String>,
    /// Why no call of it succeeds, for people and for the tests of answers.
    pub(crate) never_succeeds: Option<String>,
}

/// So that null is told from nothing.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Where the value of a condition key comes from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    pub(crate) parameter: String,
    /// The parameter names a service-linked role; the value is its service.
    #[serde(default)]
    pub(crate) service_of_role: bool,
}

/// A member that is not documented, or not in this type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Added {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// For people.
    pub(crate) reason: String,
}

/// How the answer is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// By object (its path; the root is the empty one), its members in order, where that is not the alphabet's.
    #[serde(default)]
    pub(crate) order: BTreeMap<String, Vec<String>>,
    /// Objects that several operations share, by path, with their names.
    #[serde(default)]
    pub(crate) shapes: BTreeMap<String, String>,
    /// Members that may be absent, by path.
    #[serde(default)]
    pub(crate) optional: Vec<String>,
    /// Types of members in place of the page's, by path; `secret` is a text that is wiped and never printed.
    #[serde(default)]
    pub(crate) types: BTreeMap<String, String>,
}

/// A parameter that is taken: its name alone, if the page says all.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum ParameterEntry {
    Name(String),
    Whole(Box<OwnParameter>),
}

/// What the page does not say of a parameter.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnParameter {
    pub(crate) name: String,
    /// Its rules in one line, for people; `docs/api/parameters.json` ([`Common`]) has those of common ones.
    pub(crate) about: Option<String>,
    /// In place of the page's type: text, integer, boolean, list, tags, json.
    pub(crate) shape: Option<String>,
    /// In place of the page's.
    pub(crate) required: Option<bool>,
    /// What it means if it is sent empty: not sent, if this is absent.
    pub(crate) empty: Option<Emptied>,
    /// How it is read, where neither [`Common`] nor the usual rule says it.
    pub(crate) rule: Option<Rule>,
}

/// What a parameter means that is sent empty.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Emptied {
    Sets,
    Refused(String),
}

/// How a parameter is read, and what is refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Rule {
    /// Any text; `fits` is a function of the model, `code` the refusal of what does not fit, in place of the product's.
    Text { fits: Option<String>, code: Option<String>, default: Option<String> },
    /// One of these texts.
    OneOf { words: Vec<String>, default: Option<String> },
    /// A word of an enum of the model, which has `parse`; `code` is refused with the value.
    Word { r#type: String, code: Option<String> },
    /// `true` or `false`; not kept if true is refused.
    Flag { default: Option<bool>, refuse_true: Option<String> },
    /// A whole number.
    Number { min: Option<u64>, max: Option<u64>, one_of: Option<Vec<u64>>, default: Option<u64> },
    /// A region's id. It is missed unless the parameter `unless` is sent, if that is named.
    Region { code: Option<String>, unless: Option<String> },
    /// At most so many texts, or as many as a quota of the service says.
    List { most: Option<u64>, quota: Option<String> },
    /// Tags to write: `Tag.N`, or one JSON document.
    Tags,
    /// Tags to look for, likewise.
    TagFilter,
    /// Read by a function `fn(&Args<'_>, &'static str) -> Result<T, Refusal>`, for which `type` is `T`. What was read
    /// of the parameters `given` follows by reference.
    Custom {
        with: String,
        r#type: String,
        #[serde(default)]
        given: Vec<String>,
    },
    /// Not offered: refused if it is sent, with the product's refusal of a bad value if no `code` is named.
    Refused { code: Option<String>, because: Option<String> },
    /// Without effect, whatever it is. `form`: it must be a flag or a number all the same.
    Ignored { form: Option<String> },
}

/// `docs/api/parameters.json`: what is the same of a parameter in every operation, by its name or `<Product>.<name>`.
#[derive(Debug, Deserialize)]
pub(crate) struct Common(BTreeMap<String, CommonParameter>);

/// What is the same of a parameter: its `about` alone, or its rule too.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum CommonParameter {
    About(String),
    Whole(Whole),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whole {
    about: String,
    rule: Rule,
}

impl Common {
    pub(crate) fn parameter(&self, product: &str, name: &str) -> Option<&CommonParameter> {
        self.0.get(&format!("{product}.{name}")).or_else(|| self.0.get(name))
    }
}

impl CommonParameter {
    pub(crate) fn about(&self) -> &str {
        match self {
            Self::About(about) | Self::Whole(Whole { about, .. }) => about,
        }
    }

    pub(crate) fn rule(&self) -> Option<&Rule> {
        match self {
            Self::About(_) => None,
            Self::Whole(whole) => Some(&whole.rule),
        }
    }
}

impl Page {
    pub(crate) fn ours(&self) -> Result<&Ours> {
        self.ours.as_ref().context("`ours` is missing")
    }
}

impl Ours {
    pub(crate) fn handler(&self) -> Result<Handler> {
        self.handler.context("`handler` is missing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_product_says_of_a_parameter_comes_before_what_all_say() {
        let common =
            r#"{"Name": "Any.", "Ram.Name": {"about": "Ours.", "rule": {"is": "number", "min": 1}}}"#;
        let common: Common = serde_json::from_str(common).unwrap();
        let of = |product| common.parameter(product, "Name").unwrap();
        assert_eq!((of("Ram").about(), of("Vpc").about()), ("Ours.", "Any."));
        assert!(matches!(of("Ram").rule(), Some(Rule::Number { min: Some(1), max: None, .. })));
        assert!(of("Vpc").rule().is_none());
        assert!(common.parameter("Ram", "Other").is_none());
    }

    /// What is known in place of a name that is not, as serde tells it.
    fn known<T: serde::de::DeserializeOwned>(with_unknown_name: &str) -> Vec<String> {
        let Err(error) = serde_json::from_str::<T>(with_unknown_name) else {
            panic!("{with_unknown_name} was read");
        };
        let error = error.to_string();
        let (_, names) = error.split_once("expected ").expect("serde names what it expected");
        names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn every_member_of_ours_and_every_rule_is_described() {
        let rules = known::<Rule>(r#"{"is": "?"}"#);
        assert!(rules.len() > 10, "{rules:?}");
        let mut names = known::<Ours>(r#"{"?": 0}"#);
        names.extend(known::<OwnParameter>(r#"{"?": 0}"#));
        names.extend(known::<Answer>(r#"{"?": 0}"#));
        names.extend(known::<Condition>(r#"{"?": 0}"#));
        names.extend(known::<Added>(r#"{"?": 0}"#));
        names.extend(known::<Handler>(r#""?""#));
        names.extend(known::<Emptied>(r#""?""#));
        for rule in rules.iter().filter(|rule| !matches!(rule.as_str(), "tags" | "tag_filter")) {
            names.extend(known::<Rule>(&format!(r#"{{"is": "{rule}", "?": 0}}"#)));
        }
        names.extend(rules);
        assert!(names.len() > 50, "{names:?}");
        let readme = include_str!("../../../docs/api/README.md");
        names.retain(|name| !readme.contains(&format!("`{name}`")));
        assert!(names.is_empty(), "docs/api/README.md says nothing of {names:?}");
    }
}
