//! CreateAccessKey: issues an access key and shows its secret, this once. Source: `docs/api/ram/CreateAccessKey.json`.
//!
//! The secret is sealed under the master key before anything is written, and the answer is kept nowhere: there is no
//! ClientToken, a repeat makes another key.

use serde_json::json;
use tongguan_store::NewKey;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::{Context, iso8601};
use crate::keyring;
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product, UntypedChange};

use super::names::OWNER;
use super::people::{Owner, one};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "CreateAccessKey",
    summary: "Issue an access key; the only time its secret is shown.",
    permission: Some("ram:CreateAccessKey"),
    resource: "acs:ram:*:{accountId}:user/{UserName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":user/"), Part::Parameter("UserName")]],
    conditions: &[],
    parameters: &[OWNER],
    subject: Some("UserName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::RAM_INVALID_CHARS, &c::RAM_LENGTH, &c::USER_NOT_FOUND, &c::KEY_QUOTA],
    handler: Handler::UntypedWrite(create),
};

fn create(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let owner = Owner::of(call, args)?;
    let (id, secret) = keyring::new_key();
    let sealed = keyring::seal(&context.vault, &id, &secret);
    let sealed = sealed.map_err(|error| Failure::Internal(format!("sealing an access key: {error}")))?;
    let (account, created_ms) = (call.principal.account.clone(), call.now_ms);
    let most = context.settings.quotas.ram_access_keys_per_user;
    Ok(Box::new(move |tx| {
        let user = owner.row(tx, &account)?;
        if tx.key_count(&account, user)? >= most {
            return Err((&c::KEY_QUOTA).into());
        }
        tx.insert_key(&NewKey { id: &id, account: &account, user, sealed_secret: &sealed, created_ms })?;
        let shown = json!({
            "AccessKeyId": id,
            "AccessKeySecret": secret.expose(),
            "Status": "Active",
            "CreateDate": iso8601(created_ms),
        });
        Ok(one("AccessKey", shown))
    }))
}
