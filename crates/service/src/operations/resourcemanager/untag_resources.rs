//! UntagResources of ResourceManager: removes tags from resource groups.
//!
//! Source: `docs/api/resourcemanager/UntagResources.json`. Terraform spells it `UnTagResources`. With keys given, `All`
//! is ignored, as in product Vpc.

use tongguan_store::Tx;

use crate::api::resourcemanager::{UntagResources, UntagResourcesOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::groups::own;

impl Write for UntagResources {
    type Output = UntagResourcesOutput;

    fn check(&self, call: &Call) -> Result<(), Failure> {
        if self.tag_key.is_empty() && !self.all {
            return Err(call.operation.missing("TagKey").into());
        }
        Ok(())
    }

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        for id in &self.resource_id {
            tx.delete_tags(&own(tx, &call.principal.account, id)?.key(), &self.tag_key)?;
        }
        Ok(Self::Output {})
    }
}
