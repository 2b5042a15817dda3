//! UpdateAccessKey: allows or forbids the use of an access key. Source: `docs/api/ram/UpdateAccessKey.json`.

use tongguan_store::SessionsOf;

use crate::api::ram::{UpdateAccessKey, UpdateAccessKeyOutput};
use crate::operation::prelude::*;

use super::people::KeyStatus;

impl Write for UpdateAccessKey {
    type Output = UpdateAccessKeyOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let key = self.user_name.key(tx, &call.principal.account, &self.user_access_key_id)?;
        tx.set_key_active(&key.id, self.status == KeyStatus::Active)?;
        if self.status == KeyStatus::Inactive {
            // For good: those that it made before do not come back with it.
            tx.end_sessions(SessionsOf::AccessKey(&key.id), call.now_ms)?;
        }
        Ok(Self::Output {})
    }
}
