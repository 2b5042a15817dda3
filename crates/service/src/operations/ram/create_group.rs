//! CreateGroup: makes a group without members. Source: `docs/api/ram/CreateGroup.json`.

use tongguan_store::GroupRow;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::{Context, new_principal_id};
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product, Shape, UntypedChange, optional};

use super::names::{self, GROUP_NAME};
use super::people::{new_group, one};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "CreateGroup",
    summary: "Make a group of RAM users.",
    permission: Some("ram:CreateGroup"),
    resource: "acs:ram:*:{accountId}:group/*",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":group/*")]],
    conditions: &[],
    parameters: &[GROUP_NAME, optional("Comments", Shape::Text, "1 to 128 characters.")],
    subject: Some("GroupName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::RAM_INVALID_CHARS, &c::RAM_LENGTH, &c::GROUP_EXISTS, &c::GROUP_QUOTA],
    handler: Handler::UntypedWrite(create),
};

fn create(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let group = GroupRow {
        seq: 0,
        id: new_principal_id(4),
        account: call.principal.account.clone(),
        name: names::group_name(args)?.to_owned(),
        comments: names::checked(args, "Comments", names::COMMENTS)?.unwrap_or_default().to_owned(),
        created_ms: call.now_ms,
        updated_ms: call.now_ms,
    };
    let most = context.settings.quotas.ram_groups_per_account;
    Ok(Box::new(move |tx| {
        if tx.group(&group.account, &group.name)?.is_some() {
            return Err((&c::GROUP_EXISTS).into());
        }
        if tx.tally("ram_group", &group.account, "")? >= most {
            return Err((&c::GROUP_QUOTA).into());
        }
        tx.insert_group(&group)?;
        Ok(one("Group", new_group(&group)))
    }))
}
