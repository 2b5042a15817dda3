//! ListTagResources: lists the tags of resources. Source: `docs/api/vpc/ListTagResources.json`.

use tongguan_store::{Snapshot, TagFilter};

use crate::api::vpc::{
    ListTagResources, ListTagResourcesOutput, ListTagResourcesTagResourcesTagResource as TagResource,
};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::marker::Markers;
use crate::operation::{Failure, Read};

/// The tags that are looked for: there must be some if no resource is named.
pub(crate) fn filter(
    args: &Args<'_>,
    name: &'static str,
    resources: &[String],
) -> Result<Vec<TagFilter>, Refusal> {
    let tags = args.tag_filter(name)?;
    if resources.is_empty() && tags.is_empty() {
        return Err(Refusal::new(&c::TAG_FILTER));
    }
    Ok(tags)
}

impl Read for ListTagResources {
    type Output = ListTagResourcesOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let (account, region, kind) = (&call.principal.account, self.region.id, self.resource_type.as_str());
        let size = self.max_results;
        let after = self.next_token.as_ref().map(|(resource, key)| (resource.as_str(), key.as_str()));
        let mut tags = snapshot.tags(account, region, kind, &self.resource_id, &self.tag, after, size + 1)?;
        let more = tags.len() as u64 > size;
        tags.truncate(size as usize);
        let last = tags.last().filter(|_| more);
        let next_token = last.map(|last| Markers::of(call)?.of_tag(&last.resource, &last.key)).transpose()?;
        let tag_resources = tags.into_iter().map(|tag| TagResource {
            resource_id: tag.resource.into(),
            resource_type: kind.into(),
            tag_key: tag.key.into(),
            tag_value: tag.value.into(),
        });
        Ok(Self::Output {
            next_token: next_token.unwrap_or_default().into(),
            tag_resources: tag_resources.collect(),
        })
    }
}
