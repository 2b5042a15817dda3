//! TagResources of Ram: puts tags on roles or custom policies. Source: `docs/api/ram/TagResources.json`.

use crate::api::ram::{TagResources, TagResourcesOutput};
use crate::operation::prelude::*;

impl Write for TagResources {
    type Output = TagResourcesOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (account, kind) = (&call.principal.account, self.resource_type);
        for name in &self.resource_names {
            let tagged = kind.own(tx, account, name)?;
            kind.put(tx, account, &tagged, &self.tag)?;
            if tx.tags_of(&tagged)?.len() as u64 > call.context.settings.quotas.tags_per_resource {
                return Err(Refusal::new(&c::TAG_QUOTA).value(name).into());
            }
        }
        Ok(Self::Output {})
    }
}
