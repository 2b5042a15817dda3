//! ListTagResources of ResourceManager: lists the tags of resource groups.
//!
//! Source: `docs/api/resourcemanager/ListTagResources.json`. Ids of what does not exist are passed over. The last page
//! has no `NextToken`: Terraform asks on as long as there is one, also an empty one.

use tongguan_store::{Snapshot, StoreError, TagRow};

use crate::api::resourcemanager::{
    ListTagResources, ListTagResourcesOutput, ListTagResourcesTagResources as TagResource,
};
use crate::call::Call;
use crate::marker::Markers;
use crate::operation::{Failure, Read};

use super::groups::KIND;

impl Read for ListTagResources {
    type Output = ListTagResourcesOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let (account, size) = (&call.principal.account, self.max_results);
        let after = self.next_token.as_ref().map(|(group, key)| (group.as_str(), key.as_str()));
        let known = self.resource_id.iter().map(|id| snapshot.resource_group(account, id));
        let known: Vec<Option<_>> = known.collect::<Result<_, StoreError>>()?;
        let known: Vec<String> = known.into_iter().flatten().map(|group| group.key()).collect();
        let mut tags = if known.is_empty() && !self.resource_id.is_empty() {
            Vec::new()
        } else {
            snapshot.tags(account, "", KIND, &known, &self.tag, after, size + 1)?
        };
        let more = tags.len() as u64 > size;
        tags.truncate(size as usize);
        let last = tags.last().filter(|_| more);
        let next_token = last.map(|last| Markers::of(call)?.of_tag(&last.resource, &last.key)).transpose()?;
        Ok(Self::Output { next_token: next_token.map(Into::into), tag_resources: shown(snapshot, tags)? })
    }
}

/// The tags, each with the id of its group.
fn shown(snapshot: &Snapshot<'_>, tags: Vec<TagRow>) -> Result<Vec<TagResource>, StoreError> {
    tags.into_iter()
        .map(|tag| {
            let group = snapshot.resource_group_of_key(&tag.resource)?;
            Ok(TagResource {
                resource_id: group.map(|group| group.id).unwrap_or_default().into(),
                resource_type: "resourcegroup".into(),
                tag_key: tag.key.into(),
                tag_value: tag.value.into(),
            })
        })
        .collect()
}
