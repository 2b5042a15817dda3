//! TagResources of Ram: puts tags on roles or custom policies. Source: `docs/api/ram/TagResources.json`.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::Context;
use crate::operation::{
    Answer, DryRun, Failure, Handler, Operation, Part, Product, Shape, UntypedChange, required,
};

use super::tag_json;
use super::taggable::{RESOURCE_NAMES_OPTIONAL, RESOURCE_TYPE, Taggable};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "TagResources",
    summary: "Put tags on roles or custom policies.",
    permission: Some("ram:TagResources"),
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[],
    parameters: &[
        RESOURCE_TYPE,
        RESOURCE_NAMES_OPTIONAL,
        required("Tag", Shape::Json, "JSON array of objects with Key and Value, at most 20."),
    ],
    subject: Some("ResourceNames"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_MISSING,
        &c::INCORRECT,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::INVALID_TAG_KEY,
        &c::INVALID_TAG_VALUE,
        &c::DUPLICATED_TAG_KEY,
        &c::TAG_QUOTA,
        &c::ROLE_NOT_FOUND,
        &c::OF_A_SERVICE,
        &c::POLICY_NOT_FOUND,
    ],
    handler: Handler::UntypedWrite(put),
};

fn put(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let quotas = &context.settings.quotas;
    let kind = Taggable::of(args)?;
    let names = kind.names(args, quotas.tagged_resources_per_call)?;
    if names.is_empty() {
        return Err(args.missing("ResourceNames").into());
    }
    let tags = tag_json::tags(args)?;
    let most = quotas.tags_per_resource;
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        for name in &names {
            let tagged = kind.own(tx, &account, name)?;
            for (key, value) in &tags {
                tx.put_tag(&account, "", kind.kind(), &tagged, key, value)?;
            }
            if tx.tags_of(&tagged)?.len() as u64 > most {
                return Err(Refusal::new(&c::TAG_QUOTA).value(name).into());
            }
        }
        Ok(Answer::new())
    }))
}
