//! ListTagResources of Ram: lists the tags of roles or custom policies. Source: `docs/api/ram/ListTagResources.json`.
//!
//! Names of what does not exist are passed over. Without names and filter the tags of all roles, or policies, are listed.

use serde_json::{Value, json};
use tongguan_store::{Snapshot, StoreError, TagRow};

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::marker::Markers;
use crate::operation::{Answer, DryRun, Failure, Handler, Operation, Part, Product, Shape, optional};

use super::tag_json;
use super::taggable::{RESOURCE_NAMES_OPTIONAL, RESOURCE_TYPE, Taggable};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "ListTagResources",
    summary: "List the tags of roles or custom policies.",
    permission: Some("ram:ListTagResources"),
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[],
    parameters: &[
        RESOURCE_TYPE,
        RESOURCE_NAMES_OPTIONAL,
        tag_json::TAG_FILTER,
        optional("PageSize", Shape::Integer, "1 to 100. Default 100."),
        optional("NextToken", Shape::Text, "Token from the previous page."),
    ],
    subject: Some("ResourceNames"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::INCORRECT,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::INVALID_TAG_KEY,
        &c::INVALID_TAG_VALUE,
    ],
    handler: Handler::Read(list),
};

fn list(context: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let account = &call.principal.account;
    let kind = Taggable::of(args)?;
    let names = kind.names(args, context.settings.quotas.tagged_resources_per_call)?;
    let filter = tag_json::filter(args)?;
    let size = args.number("PageSize", 1..=100)?.unwrap_or(100);
    let markers = Markers::of(call)?;
    let after = match args.text("NextToken") {
        None => None,
        Some(token) => Some(markers.tag(token).ok_or_else(|| args.illegal("NextToken", token))?),
    };
    let after = after.as_ref().map(|(resource, key)| (resource.as_str(), key.as_str()));
    let known = names.iter().map(|name| kind.tagged(snapshot, account, name));
    let known: Vec<String> = known.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    let mut tags = if known.is_empty() && !names.is_empty() {
        Vec::new()
    } else {
        snapshot.tags(account, "", kind.kind(), &known, &filter, after, size + 1)?
    };
    let more = tags.len() as u64 > size;
    tags.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    let mut answer = Answer::new();
    if let Some(last) = tags.last().filter(|_| more) {
        answer.insert("NextToken".into(), markers.of_tag(&last.resource, &last.key)?.into());
    }
    answer.insert("TagResources".into(), shown(kind, snapshot, &tags)?.into());
    call.answer(answer)
}

fn shown(kind: Taggable, snapshot: &Snapshot<'_>, tags: &[TagRow]) -> Result<Vec<Value>, StoreError> {
    let mut shown = Vec::with_capacity(tags.len());
    let mut of: Option<(&str, String)> = None;
    for tag in tags {
        // Those of one resource follow each other.
        if of.as_ref().is_none_or(|(resource, _)| *resource != tag.resource) {
            of = Some((&tag.resource, kind.name_of(snapshot, &tag.resource)?.unwrap_or_default()));
        }
        shown.push(json!({
            "ResourceName": of.as_ref().map(|(_, name)| name.as_str()),
            "ResourceType": kind.as_str(),
            "TagKey": tag.key,
            "TagValue": tag.value,
        }));
    }
    Ok(shown)
}
