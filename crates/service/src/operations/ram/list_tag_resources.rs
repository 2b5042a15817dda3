//! ListTagResources of Ram: lists the tags of roles or custom policies. Source: `docs/api/ram/ListTagResources.json`.
//!
//! Names of what does not exist are passed over. Without names and filter the tags of all roles, or policies,
//! are listed.

use tongguan_store::{StoreError, TagRow};

use crate::api::ram::{
    ListTagResources, ListTagResourcesOutput, ListTagResourcesTagResources as TagResource,
};
use crate::marker::Markers;
use crate::operation::prelude::*;

impl Read for ListTagResources {
    type Output = ListTagResourcesOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let (account, kind, size) = (&call.principal.account, self.resource_type, self.page_size);
        let after = self.next_token.as_ref().map(|(resource, key)| (resource.as_str(), key.as_str()));
        let known = self.resource_names.iter().map(|name| kind.tagged(snapshot, account, name));
        let known: Vec<String> = known.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let mut tags = if known.is_empty() && !self.resource_names.is_empty() {
            Vec::new()
        } else {
            snapshot.tags(account, "", kind.kind(), &known, &self.tag, after, size + 1)?
        };
        let more = tags.len() as u64 > size;
        tags.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        let next_token = match tags.last() {
            Some(last) if more => Some(Markers::of(call)?.of_tag(&last.resource, &last.key)?.into()),
            _ => None,
        };
        Ok(Self::Output { next_token, tag_resources: self.shown(snapshot, tags)? })
    }
}

impl ListTagResources {
    fn shown(&self, snapshot: &Snapshot<'_>, tags: Vec<TagRow>) -> Result<Vec<TagResource>, StoreError> {
        let mut shown = Vec::with_capacity(tags.len());
        let mut of: Option<(String, String)> = None;
        for tag in tags {
            // Those of one resource follow each other.
            let name = match of.take() {
                Some((resource, name)) if resource == tag.resource => name,
                _ => self.resource_type.name_of(snapshot, &tag.resource)?.unwrap_or_default(),
            };
            shown.push(TagResource {
                resource_name: name.clone().into(),
                resource_type: self.resource_type.as_str().into(),
                tag_key: tag.key.into(),
                tag_value: tag.value.into(),
            });
            of = Some((tag.resource, name));
        }
        Ok(shown)
    }
}
