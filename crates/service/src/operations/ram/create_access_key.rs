//! CreateAccessKey: issues an access key and shows its secret, this once. Source: `docs/api/ram/CreateAccessKey.json`.
//!
//! The secret is sealed under the master key before anything is written, and the answer is kept nowhere: there is no
//! ClientToken, a repeat makes another key.

use tongguan_rpc::Secret;
use tongguan_store::NewKey;

use crate::api::ram::{CreateAccessKey, CreateAccessKeyOutput, NewAccessKeyInfo};
use crate::context::iso8601;
use crate::keyring;
use crate::operation::prelude::*;

use super::people::KeyStatus;

/// An access key that is in no database yet.
pub struct Made {
    id: String,
    secret: Secret,
    sealed: Vec<u8>,
}

impl PreparedWrite for CreateAccessKey {
    type Prepared = Made;
    type Output = CreateAccessKeyOutput;

    fn prepare(&self, call: &Call) -> Result<Made, Failure> {
        let (id, secret) = keyring::new_key();
        let sealed = keyring::seal(&call.context.vault, &id, &secret);
        let sealed = sealed.map_err(|error| Failure::Internal(format!("sealing an access key: {error}")))?;
        Ok(Made { id, secret, sealed })
    }

    fn change(&self, made: &Made, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (account, created_ms) = (&call.principal.account, call.now_ms);
        let user = self.user_name.row(tx, account)?;
        if tx.key_count(account, user)? >= call.context.settings.quotas.ram_access_keys_per_user {
            return Err((&c::KEY_QUOTA).into());
        }
        tx.insert_key(&NewKey { id: &made.id, account, user, sealed_secret: &made.sealed, created_ms })?;
        let access_key = NewAccessKeyInfo {
            access_key_id: made.id.clone().into(),
            access_key_secret: made.secret.expose().into(),
            create_date: iso8601(created_ms).into(),
            status: KeyStatus::Active.as_str().into(),
        };
        Ok(Self::Output { access_key })
    }

    fn issued(output: &Self::Output) -> Option<String> {
        Some(output.access_key.access_key_id.to_string())
    }
}
