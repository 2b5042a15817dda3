//! TagResources of ResourceManager: puts tags on resource groups.
//!
//! Source: `docs/api/resourcemanager/TagResources.json`. All or nothing: an unknown id or a group that would get too
//! many tags refuses the whole call.

use tongguan_store::Tx;

use crate::api::resourcemanager::{TagResources, TagResourcesOutput};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Failure, Write};

use super::groups::{KIND, own};

impl Write for TagResources {
    type Output = TagResourcesOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        for id in &self.resource_id {
            let key = own(tx, account, id)?.key();
            for tag in &self.tag {
                tx.put_tag(account, "", KIND, &key, &tag.key, &tag.value)?;
            }
            if tx.tags_of(&key)?.len() as u64 > call.context.settings.quotas.tags_per_resource {
                return Err(Refusal::new(&c::TAG_QUOTA).value(id).into());
            }
        }
        Ok(Self::Output {})
    }
}
