//! CreateAccessKey: issues an access key and shows its secret, this once. Source: `docs/api/ram/CreateAccessKey.json`.
//!
//! The secret is sealed under the master key before anything is written, and the answer is kept nowhere: there is no
//! ClientToken, a repeat makes another key.

use tongguan_store::{NewKey, Tx};

use crate::api::ram::{CreateAccessKey, CreateAccessKeyOutput, NewAccessKeyInfo};
use crate::call::Call;
use crate::catalogue as c;
use crate::context::iso8601;
use crate::keyring;
use crate::operation::{Failure, Write};

use super::people::KeyStatus;

impl Write for CreateAccessKey {
    type Output = CreateAccessKeyOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (account, created_ms) = (&call.principal.account, call.now_ms);
        let user = self.user_name.row(tx, account)?;
        if tx.key_count(account, user)? >= call.context.settings.quotas.ram_access_keys_per_user {
            return Err((&c::KEY_QUOTA).into());
        }
        let (id, secret) = keyring::new_key();
        let sealed = keyring::seal(&call.context.vault, &id, &secret);
        let sealed = sealed.map_err(|error| Failure::Internal(format!("sealing an access key: {error}")))?;
        tx.insert_key(&NewKey { id: &id, account, user, sealed_secret: &sealed, created_ms })?;
        let access_key = NewAccessKeyInfo {
            access_key_id: id.into(),
            access_key_secret: secret.expose().into(),
            create_date: iso8601(created_ms).into(),
            status: KeyStatus::Active.as_str().into(),
        };
        Ok(Self::Output { access_key })
    }

    fn issued(output: &Self::Output) -> Option<String> {
        Some(output.access_key.access_key_id.to_string())
    }
}
