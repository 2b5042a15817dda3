//! CreatePolicyVersion: adds a version to a custom policy. Source: `docs/api/ram/CreatePolicyVersion.json`.
//!
//! Numbers count up and are not used again.

use tongguan_model::wire_enum;
use tongguan_store::{PolicyRow, PolicyVersionRow, Tx};

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
    action: "CreatePolicyVersion",
    summary: "Add a version to a custom policy.",
    permission: Some("ram:CreatePolicyVersion"),
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
        policies::POLICY_DOCUMENT,
        optional("SetAsDefault", Shape::Boolean, "Whether the version is in force at once. Default false."),
        optional(
            "RotateStrategy",
            Shape::Text,
            "None, or DeleteOldestNonDefaultVersionWhenLimitExceeded: the oldest version that is not in force makes \
             room. Default None.",
        ),
    ],
    subject: Some("PolicyName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::INCORRECT,
        &c::MALFORMED_POLICY,
        &c::POLICY_NOT_FOUND,
        &c::VERSION_QUOTA,
    ],
    handler: Handler::UntypedWrite(create),
};

wire_enum! {
    /// What happens when the policy has as many versions as it may.
    enum Rotate {
        /// The call is refused.
        Never = "None",
        /// The oldest that is not in force goes.
        Oldest = "DeleteOldestNonDefaultVersionWhenLimitExceeded",
    }
}

fn create(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let name = policies::policy_name(args)?.to_owned();
    let document = policies::document(args)?;
    let default = args.flag("SetAsDefault")?.unwrap_or(false);
    let rotate = args.word("RotateStrategy", Rotate::parse)?.unwrap_or(Rotate::Never);
    let (account, now_ms) = (call.principal.account.clone(), call.now_ms);
    let most = context.settings.quotas.ram_versions_per_policy;
    Ok(Box::new(move |tx| {
        let policy = policies::custom(tx, &account, &name)?;
        make_room(tx, &policy, rotate, most, now_ms)?;
        tx.insert_policy_version(&policy, &document, default, now_ms)?;
        let row =
            PolicyVersionRow { version: policy.next_version, document: document.clone(), created_ms: now_ms };
        let in_force = if default { policy.next_version } else { policy.default_version };
        let mut answer = Answer::new();
        answer.insert("PolicyVersion".into(), policies::shown_version(&row, in_force));
        Ok(answer)
    }))
}

/// Refuses one version more than there may be, unless an old one may go and that is enough.
fn make_room(tx: &Tx<'_>, policy: &PolicyRow, rotate: Rotate, most: u64, now_ms: i64) -> Result<(), Failure> {
    let versions = tx.policy_versions(policy.seq)?;
    let number = versions.len() as u64;
    if number < most {
        return Ok(());
    }
    let oldest = versions.iter().find(|row| row.version != policy.default_version);
    match (rotate, oldest) {
        (Rotate::Oldest, Some(oldest)) if number == most => {
            Ok(tx.delete_policy_version(policy, oldest.version, now_ms)?)
        }
        (Rotate::Oldest | Rotate::Never, _) => Err((&c::VERSION_QUOTA).into()),
    }
}
