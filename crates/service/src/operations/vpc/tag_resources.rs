//! TagResources: puts tags on resources. Source: `docs/api/vpc/TagResources.json`.
//!
//! All or nothing: an unknown id or a resource that would get too many tags refuses the whole call.

use crate::api::vpc::{TagResources, TagResourcesOutput};
use crate::operation::prelude::*;

impl Write for TagResources {
    type Output = TagResourcesOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (account, region, kind) = (&call.principal.account, self.region.id, self.resource_type);
        let most = call.context.settings.quotas.tags_per_resource;
        for id in &self.resource_id {
            kind.must_exist(tx, account, region, id)?;
            for tag in &self.tag {
                tx.put_tag(account, region, kind.as_str(), id, &tag.key, &tag.value)?;
            }
            if tx.tags_of(id)?.len() as u64 > most {
                return Err(Refusal::new(&c::TAG_QUOTA).value(id).into());
            }
        }
        Ok(Self::Output {})
    }
}
