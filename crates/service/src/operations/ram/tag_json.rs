//! `Tag` of product Ram: a JSON array of objects with `Key` and `Value` in one value.

use serde::Deserialize;
use serde_json::{Value, json};
use tongguan_model::text;
use tongguan_store::{Snapshot, StoreError, TagFilter};

use crate::args::{Args, each_key_once};
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Parameter, Shape, optional};

/// `Tag` of an operation that makes something.
pub(crate) const TAG: Parameter =
    optional("Tag", Shape::Json, "JSON array of objects with Key and Value, at most 20.");
/// `Tag` of a list.
pub(crate) const TAG_FILTER: Parameter = optional(
    "Tag",
    Shape::Json,
    "JSON array of objects with Key and Value, at most 20: only what carries them all. Without Value: any value.",
);

/// Tags that a call may carry at most.
const MOST: usize = 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    key: String,
    value: Option<String>,
}

/// The tags to look for; empty if none are given.
///
/// # Errors
/// A refusal for what is no such array, a bad key or value, a key that is given twice, or too many.
pub(crate) fn filter(args: &Args<'_>) -> Result<Vec<TagFilter>, Refusal> {
    let Some(given) = args.text("Tag") else { return Ok(Vec::new()) };
    let tags: Vec<Given> = serde_json::from_str(given).map_err(|_| args.illegal("Tag", given))?;
    if tags.len() > MOST {
        let detail = format!("{} tags were given, at most {MOST} may be.", tags.len());
        return Err(args.illegal("Tag", given).because(detail));
    }
    for tag in &tags {
        if !text::tag_key(&tag.key) {
            return Err(Refusal::new(&c::INVALID_TAG_KEY));
        }
        if !tag.value.as_deref().is_none_or(text::ram_tag_value) {
            return Err(Refusal::new(&c::INVALID_TAG_VALUE));
        }
    }
    let tags: Vec<TagFilter> =
        tags.into_iter().map(|tag| TagFilter { key: tag.key, value: tag.value }).collect();
    each_key_once(&tags)?;
    Ok(tags)
}

/// The tags to write: key and value.
///
/// # Errors
/// As [`filter`].
pub(super) fn tags(args: &Args<'_>) -> Result<Vec<(String, String)>, Refusal> {
    let tags = filter(args)?.into_iter();
    Ok(tags.map(|tag| (tag.key, tag.value.unwrap_or_default())).collect())
}

/// The tags of something, as lists show them.
///
/// # Errors
/// The store fails.
pub(super) fn shown(snapshot: &Snapshot<'_>, resource: &str) -> Result<Value, StoreError> {
    let tags = snapshot.tags_of(resource)?.into_iter();
    let tags: Vec<Value> = tags.map(|tag| json!({"TagKey": tag.key, "TagValue": tag.value})).collect();
    Ok(json!({ "Tag": tags }))
}
