//! TagResources: puts tags on resources. Source: `docs/api/vpc/TagResources.json`.
//!
//! All or nothing: an unknown id or a resource that would get too many tags refuses the whole call.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::Context;
use crate::operation::{
    Answer, DryRun, Failure, Handler, Operation, Part, Product, REGION, Shape, UntypedChange, required,
};

use super::region_or_default;
use super::taggable::Taggable;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "TagResources",
    summary: "Put tags on resources.",
    permission: Some("vpc:TagResources"),
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[],
    parameters: &[
        REGION,
        required("ResourceType", Shape::Text, "VPC, VSWITCH or VPNGATEWAY, in any case."),
        required("ResourceId", Shape::List, "1 to 50 resource ids."),
        required("Tag", Shape::Tags, "Tag.N.Key and Tag.N.Value, at most 20."),
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
        &c::TAG_QUOTA,
        &c::VPC_NOT_FOUND,
        &c::VSWITCH_NOT_FOUND,
        &c::GATEWAY_NOT_FOUND,
    ],
    handler: Handler::UntypedWrite(put),
};

fn put(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let region = region_or_default(context, args)?;
    let kind = Taggable::of(args)?;
    let ids = args.list("ResourceId", context.settings.quotas.tagged_resources_per_call)?;
    let tags = args.tags()?;
    let most = context.settings.quotas.tags_per_resource;
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        for id in &ids {
            kind.must_exist(tx, &account, region.id, id)?;
            for tag in &tags {
                tx.put_tag(&account, region.id, kind.as_str(), id, &tag.key, &tag.value)?;
            }
            if tx.tags_of(id)?.len() as u64 > most {
                return Err(Refusal::new(&c::TAG_QUOTA).value(id).into());
            }
        }
        Ok(Answer::new())
    }))
}
