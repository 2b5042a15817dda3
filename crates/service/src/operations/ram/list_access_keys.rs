//! ListAccessKeys: lists the access keys of one owner, without their secrets. Source:
//! `docs/api/ram/ListAccessKeys.json`.

use crate::api::ram::{AccessKeyInfo, ListAccessKeys, ListAccessKeysOutput};
use crate::context::iso8601;
use crate::operation::prelude::*;

use super::people::KeyStatus;

impl Read for ListAccessKeys {
    type Output = ListAccessKeysOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        let user = self.user_name.row(snapshot, account)?;
        let keys = snapshot.keys_of(account, user)?.into_iter().map(|key| AccessKeyInfo {
            access_key_id: key.id.into(),
            create_date: iso8601(key.created_ms).into(),
            status: KeyStatus::of(key.active).as_str().into(),
        });
        Ok(Self::Output { access_keys: keys.collect() })
    }
}
