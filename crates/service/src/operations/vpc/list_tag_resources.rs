//! ListTagResources: lists the tags of resources. Source: `docs/api/vpc/ListTagResources.json`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use tongguan_store::{Snapshot, TagRow};

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    DryRun, Failure, Handler, Operation, Product, REGION, Shape, TAGS, optional, required,
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
    let after = match args.text("NextToken") {
        None => None,
        Some(token) => Some(place(token).ok_or_else(|| args.illegal("NextToken", token))?),
    };
    let after = after.as_ref().map(|(resource, key)| (resource.as_str(), key.as_str()));
    let account = &call.principal.account;
    let mut tags = snapshot.tags(account, region.id, kind.as_str(), &ids, &filter, after, size + 1)?;
    let more = tags.len() as u64 > size;
    tags.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    let next_token = tags.last().filter(|_| more).map(token).unwrap_or_default();
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

/// A page token: resource and key of the last tag on the page. Opaque to callers.
fn token(last: &TagRow) -> String {
    URL_SAFE_NO_PAD.encode(format!("t:{}\n{}", last.resource, last.key))
}

fn place(token: &str) -> Option<(String, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (resource, key) = text.strip_prefix("t:")?.split_once('\n')?;
    Some((resource.to_owned(), key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_places() {
        let last = TagRow { resource: "vpn-1".into(), key: "a\nb".into(), value: String::new() };
        assert_eq!(place(&token(&last)), Some(("vpn-1".into(), "a\nb".into())));
        assert_eq!(place("caeba0bbb2be"), None);
    }
}
