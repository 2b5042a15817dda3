//! UnTagResources: removes tags from resources. Source: `docs/api/vpc/UnTagResources.json`.
//!
//! With `TagKey.N` given, `All` is ignored, as sibling products do.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    Answer, DryRun, Failure, Handler, Operation, Part, Product, REGION, Shape, UntypedChange, optional,
    required,
};

use super::region_or_default;
use super::taggable::Taggable;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "UnTagResources",
    summary: "Remove tags from resources.",
    permission: Some("vpc:UnTagResources"),
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[],
    parameters: &[
        REGION,
        required("ResourceType", Shape::Text, "VPC, VSWITCH or VPNGATEWAY, in any case."),
        required("ResourceId", Shape::List, "1 to 50 resource ids."),
        optional("TagKey", Shape::List, "At most 20 keys."),
        optional("All", Shape::Boolean, "true removes all tags. Default false."),
    ],
    subject: Some("ResourceId"),
    dry_run: DryRun::None,
    errors: &[
        &c::FORBIDDEN,
        &c::MISSING,
        &c::ILLEGAL,
        &c::REGION_NOT_FOUND,
        &c::VPC_NOT_FOUND,
        &c::VSWITCH_NOT_FOUND,
        &c::GATEWAY_NOT_FOUND,
    ],
    handler: Handler::UntypedWrite(remove),
};

const KEYS: u64 = 20;

fn remove(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let region = region_or_default(context, args)?;
    let kind = Taggable::of(args)?;
    let ids = args.list("ResourceId", context.settings.quotas.tagged_resources_per_call)?;
    let keys = args.list("TagKey", KEYS)?;
    let all = args.flag("All")?.unwrap_or(false);
    if keys.is_empty() && !all {
        return Err(args.missing("TagKey").into());
    }
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        for id in &ids {
            kind.must_exist(tx, &account, region.id, id)?;
            if keys.is_empty() {
                tx.delete_tags(id, None)?;
            }
            for key in &keys {
                tx.delete_tags(id, Some(key))?;
            }
        }
        Ok(Answer::new())
    }))
}
