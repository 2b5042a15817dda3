//! DeleteAccessKey: removes an access key, active or not. Source: `docs/api/ram/DeleteAccessKey.json`.

use crate::api::ram::{DeleteAccessKey, DeleteAccessKeyOutput};
use crate::operation::prelude::*;

impl Write for DeleteAccessKey {
    type Output = DeleteAccessKeyOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let key = self.user_name.key(tx, &call.principal.account, &self.user_access_key_id)?;
        tx.delete_key(&key.id)?;
        Ok(Self::Output {})
    }
}
