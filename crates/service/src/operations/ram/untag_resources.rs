//! UntagResources of Ram: removes tags from roles or custom policies. Source: `docs/api/ram/UntagResources.json`.
//!
//! Keys may come as `TagKeys`, a JSON array, or as `TagKey.N`: Terraform sends both. With keys given, `All` is ignored, as
//! in product Vpc.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    Answer, DryRun, Failure, Handler, Operation, Part, Product, Shape, UntypedChange, optional,
};

use super::taggable::{RESOURCE_NAMES, RESOURCE_TYPE, Taggable, texts};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "UntagResources",
    summary: "Remove tags from roles or custom policies.",
    permission: Some("ram:UntagResources"),
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[],
    parameters: &[
        RESOURCE_TYPE,
        RESOURCE_NAMES,
        optional("TagKeys", Shape::Json, "JSON array of at most 20 keys."),
        optional("TagKey", Shape::List, "At most 20 keys; added to those of TagKeys."),
        optional("All", Shape::Boolean, "true removes all tags. Default false."),
    ],
    subject: Some("ResourceNames"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_MISSING,
        &c::INCORRECT,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::ROLE_NOT_FOUND,
        &c::OF_A_SERVICE,
        &c::POLICY_NOT_FOUND,
    ],
    handler: Handler::UntypedWrite(remove),
};

const KEYS: u64 = 20;

fn remove(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let kind = Taggable::of(args)?;
    let names = kind.names(args, context.settings.quotas.tagged_resources_per_call)?;
    if names.is_empty() {
        return Err(args.missing("ResourceNames").into());
    }
    let mut keys = texts(args, "TagKeys", KEYS)?;
    keys.extend(args.list("TagKey", KEYS)?);
    let all = args.flag("All")?.unwrap_or(false);
    if keys.is_empty() && !all {
        return Err(args.missing("TagKeys").into());
    }
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        for name in &names {
            let tagged = kind.own(tx, &account, name)?;
            if keys.is_empty() {
                tx.delete_tags(&tagged, None)?;
            }
            for key in &keys {
                tx.delete_tags(&tagged, Some(key))?;
            }
        }
        Ok(Answer::new())
    }))
}
