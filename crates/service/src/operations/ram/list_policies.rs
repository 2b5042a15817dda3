//! ListPolicies: lists the system policies, and then the custom ones in the order of their creation.
//!
//! Source: `docs/api/ram/ListPolicies.json`. System policies carry no tags.

use crate::api::ram::{ListPolicies, ListPoliciesOutput, PolicyInfo};
use crate::operation::prelude::*;

use super::paging::Paging;
use super::policies::{Found, PolicyType};
use super::{system, taggable};

impl Read for ListPolicies {
    type Output = ListPoliciesOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        let paging = Paging::new(self.marker, self.max_items);
        let mut rows: Vec<(i64, Found)> = Vec::new();
        if self.policy_type != Some(PolicyType::Custom) && self.tag.is_empty() {
            rows.extend(systems().filter(|(place, _)| *place > paging.after));
        }
        if self.policy_type != Some(PolicyType::System) && (rows.len() as u64) < paging.fetch() {
            let left = paging.fetch() - rows.len() as u64;
            let custom = snapshot.policies(account, &self.tag, paging.after, left)?.into_iter();
            rows.extend(custom.map(|policy| (policy.seq, Found::Custom(policy))));
        }
        let page = paging.cut(call, rows, |(place, _)| *place)?;
        let tagged: Vec<String> = page.rows.iter().filter_map(|(_, policy)| policy.tagged()).collect();
        let tagged: Vec<&str> = tagged.iter().map(String::as_str).collect();
        let mut tags = snapshot.tags_of_all(account, &tagged)?;
        let shown = |(_, policy): &(i64, Found)| -> Result<PolicyInfo, Failure> {
            let tags = policy.tagged().and_then(|tagged| tags.remove(&tagged));
            Ok(PolicyInfo { tags: Some(taggable::shown(tags)), ..policy.shown(snapshot, account)? })
        };
        Ok(Self::Output {
            policies: page.rows.iter().map(shown).collect::<Result<_, _>>()?,
            is_truncated: page.is_truncated,
            marker: page.marker,
        })
    }
}

/// The system policies, each with its place in the list: before those of all custom policies, which are positive.
fn systems() -> impl Iterator<Item = (i64, Found)> {
    let number = i64::try_from(system::ALL.len()).unwrap_or(i64::MAX);
    (-number..).zip(system::ALL.iter().map(Found::System))
}
