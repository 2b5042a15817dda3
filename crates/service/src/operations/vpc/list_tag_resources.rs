//! ListTagResources: lists the tags of resources. Source: `docs/api/vpc/ListTagResources.json`.

use serde::Serialize;
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::marker::Markers;
use crate::operation::{
    DryRun, Failure, Handler, Operation, Part, Product, REGION, Shape, TAGS, optional, required,
};

use super::region_or_default;
use super::taggable::Taggable;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "ListTagResources",
    summary: "List the tags of resources.",
    permission: Some("vpc:ListTagResources"),
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[],
    parameters: &[
        REGION,
        required("ResourceType", Shape::Text, "VPC, VSWITCH or VPNGATEWAY, in any case."),
        optional("ResourceId", Shape::List, "At most 50 resource ids; these or Tag.N must be given."),
        TAGS,
        optional("MaxResults", Shape::Integer, "1 to 50. Default 50."),
        optional("NextToken", Shape::Text, "Token from the previous page."),
    ],
    subject: Some("ResourceId"),
    dry_run: DryRun::None,
    errors: &[
        &c::FORBIDDEN,
        &c::ILLEGAL,
        &c::REGION_NOT_FOUND,
        &c::INVALID_TAG_KEY,
        &c::INVALID_TAG_VALUE,
        &c::DUPLICATED_TAG_KEY,
        &c::TAG_FILTER,
    ],
    handler: Handler::Read(list),
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing<'a> {
    request_id: &'a str,
    next_token: String,
    tag_resources: TagResources,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagResources {
    tag_resource: Vec<TagResource>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagResource {
    resource_id: String,
    resource_type: &'static str,
    tag_key: String,
    tag_value: String,
}

fn list(context: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let region = region_or_default(context, args)?;
    let kind = Taggable::of(args)?;
    let ids = args.list("ResourceId", context.settings.quotas.tagged_resources_per_call)?;
    let filter = args.tag_filter()?;
    if ids.is_empty() && filter.is_empty() {
        return Err((&c::TAG_FILTER).into());
    }
    let size = args.number("MaxResults", 1..=50)?.unwrap_or(50);
    let markers = Markers::of(call)?;
    let after = match args.text("NextToken") {
        None => None,
        Some(token) => Some(markers.tag(token).ok_or_else(|| args.illegal("NextToken", token))?),
    };
    let after = after.as_ref().map(|(resource, key)| (resource.as_str(), key.as_str()));
    let account = &call.principal.account;
    let mut tags = snapshot.tags(account, region.id, kind.as_str(), &ids, &filter, after, size + 1)?;
    let more = tags.len() as u64 > size;
    tags.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    let next_token = tags.last().filter(|_| more).map(|last| markers.of_tag(&last.resource, &last.key));
    let next_token = next_token.transpose()?.unwrap_or_default();
    let tag_resource = tags.into_iter().map(|tag| TagResource {
        resource_id: tag.resource,
        resource_type: kind.as_str(),
        tag_key: tag.key,
        tag_value: tag.value,
    });
    call.reply(&Listing {
        request_id: &call.request_id,
        next_token,
        tag_resources: TagResources { tag_resource: tag_resource.collect() },
    })
}
