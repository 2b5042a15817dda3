//! DeletePolicy: deletes a custom policy that is attached to nobody. Source: `docs/api/ram/DeletePolicy.json`.

use tongguan_store::PolicyKey;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    Answer, DryRun, Failure, Handler, Operation, Part, Product, Shape, UntypedChange, optional,
};

use super::policies;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "DeletePolicy",
    summary: "Delete a custom policy.",
    permission: Some("ram:DeletePolicy"),
    resource: "acs:ram:*:{accountId}:policy/{PolicyName}",
    arns: &[&[
        Part::Text("acs:ram:*:"),
        Part::Account,
        Part::Text(":policy/"),
        Part::Parameter("PolicyName"),
    ]],
    conditions: &[],
    parameters: &[
        policies::POLICY_NAME,
        optional(
            "CascadingDelete",
            Shape::Boolean,
            "true: further versions go with the policy. false: there must be none. Default false.",
        ),
    ],
    subject: Some("PolicyName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::INCORRECT,
        &c::POLICY_NOT_FOUND,
        &c::POLICY_HAS_USER,
        &c::POLICY_HAS_GROUP,
        &c::POLICY_HAS_ROLE,
        &c::POLICY_HAS_VERSION,
    ],
    handler: Handler::UntypedWrite(delete),
};

fn delete(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let name = policies::policy_name(args)?.to_owned();
    let cascading = args.flag("CascadingDelete")?.unwrap_or(false);
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        let policy = policies::custom(tx, &account, &name)?;
        let entities = tx.entities(&account, PolicyKey::Custom(policy.seq))?;
        if !entities.users.is_empty() {
            return Err((&c::POLICY_HAS_USER).into());
        }
        if !entities.groups.is_empty() {
            return Err((&c::POLICY_HAS_GROUP).into());
        }
        if !entities.roles.is_empty() {
            return Err((&c::POLICY_HAS_ROLE).into());
        }
        if !cascading && tx.policy_versions(policy.seq)?.len() > 1 {
            return Err((&c::POLICY_HAS_VERSION).into());
        }
        tx.delete_policy(&policy)?;
        Ok(Answer::new())
    }))
}
