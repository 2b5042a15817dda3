//! UntagResources of Ram: removes tags from roles or custom policies. Source: `docs/api/ram/UntagResources.json`.
//!
//! Keys may come as `TagKeys`, a JSON array, or as `TagKey.N`: Terraform sends both. With keys given, `All`
//! is ignored, as in product Vpc.

use crate::api::ram::{UntagResources, UntagResourcesOutput};
use crate::args::Args;
use crate::operation::prelude::*;

use super::taggable::texts;

const KEYS: u64 = 20;

/// Keys of tags, a JSON array.
pub(crate) fn keys(args: &Args<'_>, name: &'static str) -> Result<Vec<String>, Refusal> {
    texts(args, name, KEYS)
}

impl Write for UntagResources {
    type Output = UntagResourcesOutput;

    fn check(&self, call: &Call) -> Result<(), Failure> {
        if self.tag_keys.is_empty() && self.tag_key.is_empty() && !self.all {
            return Err(call.operation.missing("TagKeys").into());
        }
        Ok(())
    }

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        for name in &self.resource_names {
            let tagged = self.resource_type.own(tx, &call.principal.account, name)?;
            tx.delete_tags(&tagged, self.tag_keys.iter().chain(&self.tag_key))?;
        }
        Ok(Self::Output {})
    }
}
