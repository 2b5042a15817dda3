//! GetAccessKeyLastUsed: tells when an access key last signed a call that was taken. Source:
//! `docs/api/ram/GetAccessKeyLastUsed.json`.
//!
//! What is answered for a key that was never used is not published: here LastUsedDate is absent then.

use crate::api::ram::{AccessKeyLastUsedInfo, GetAccessKeyLastUsed, GetAccessKeyLastUsedOutput};
use crate::context::iso8601;
use crate::operation::prelude::*;

impl Read for GetAccessKeyLastUsed {
    type Output = GetAccessKeyLastUsedOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let key = self.user_name.key(snapshot, &call.principal.account, &self.user_access_key_id)?;
        let last_used_date = key.used.map(|(used_ms, _)| iso8601(used_ms).into());
        Ok(Self::Output { access_key_last_used: AccessKeyLastUsedInfo { last_used_date } })
    }
}
