//! DeleteAccessKey: removes an access key, active or not. Source: `docs/api/ram/DeleteAccessKey.json`.

use tongguan_store::Tx;

use crate::api::ram::{DeleteAccessKey, DeleteAccessKeyOutput};
use crate::call::Call;
use crate::catalogue as c;
use crate::operation::{Failure, Write};

impl Write for DeleteAccessKey {
    type Output = DeleteAccessKeyOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        let user = self.user_name.row(tx, account)?;
        let key = tx.key_of(account, user, &self.user_access_key_id)?.ok_or(&c::KEY_NOT_FOUND)?;
        tx.delete_key(&key.id)?;
        Ok(Self::Output {})
    }
}
