//! UnTagResources: removes tags from resources. Source: `docs/api/vpc/UnTagResources.json`.
//!
//! With `TagKey.N` given, `All` is ignored, as sibling products do.

use crate::api::vpc::{UnTagResources, UnTagResourcesOutput};
use crate::operation::prelude::*;

impl Write for UnTagResources {
    type Output = UnTagResourcesOutput;

    fn check(&self, call: &Call) -> Result<(), Failure> {
        if self.tag_key.is_empty() && !self.all {
            return Err(call.operation.missing("TagKey").into());
        }
        Ok(())
    }

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        for id in &self.resource_id {
            self.resource_type.must_exist(tx, &call.principal.account, self.region.id, id)?;
            tx.delete_tags(id, &self.tag_key)?;
        }
        Ok(Self::Output {})
    }
}
