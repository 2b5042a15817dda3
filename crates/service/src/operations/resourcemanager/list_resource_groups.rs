//! ListResourceGroups: lists the account's resource groups in the order of their creation, the default one first.
//!
//! Source: `docs/api/resourcemanager/ListResourceGroups.json`. An account has few of them: they are read together and
//! chosen here.

use std::collections::BTreeMap;

use tongguan_store::{ResourceGroupRow, Snapshot, TagRow};

use crate::api::resourcemanager::{ListResourceGroups, ListResourceGroupsOutput, ResourceGroupInfo};
use crate::args::Paging;
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::groups::{shown, with_status};

impl ListResourceGroups {
    /// Whether the call asks for this group, which carries these tags.
    fn covers(&self, group: &ResourceGroupRow, tags: &[TagRow]) -> bool {
        let by_id = match (&self.resource_group_ids, &self.resource_group_id) {
            (ids, _) if !ids.is_empty() => ids.contains(&group.id),
            (_, Some(id)) => *id == group.id,
            (_, None) => true,
        };
        let carried = self.tag.iter().all(|wanted| {
            tags.iter().any(|tag| {
                tag.key == wanted.key && wanted.value.as_ref().is_none_or(|value| *value == tag.value)
            })
        });
        by_id
            && carried
            && self.status.is_none_or(|status| status == group.status)
            && self.name.as_ref().is_none_or(|part| group.name.contains(part.as_str()))
            && self.display_name.as_ref().is_none_or(|part| group.display_name.contains(part.as_str()))
    }
}

impl Read for ListResourceGroups {
    type Output = ListResourceGroupsOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        let mut groups = snapshot.resource_groups(account)?;
        let with_tags = self.include_tags || !self.tag.is_empty();
        let keys: Vec<String> = groups.iter().map(ResourceGroupRow::key).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let mut tags = if with_tags { snapshot.tags_of_all(account, &keys)? } else { BTreeMap::new() };
        groups.retain(|group| self.covers(group, tags.get(&group.key()).map_or(&[], Vec::as_slice)));
        let total_count = groups.len() as i64;
        let paging = Paging { number: self.page_number, size: self.page_size };
        let before = usize::try_from(paging.offset()).unwrap_or(usize::MAX);
        let page = groups.into_iter().skip(before).take(paging.size as usize);
        let resource_groups = page.map(|group| ResourceGroupInfo {
            tags: with_tags.then(|| shown(tags.remove(&group.key()).unwrap_or_default())),
            ..with_status(group)
        });
        Ok(Self::Output {
            resource_groups: resource_groups.collect(),
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
            total_count,
        })
    }
}
