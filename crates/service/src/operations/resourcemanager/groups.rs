//! What the operations about resource groups share: how groups are found and shown, and which may be used.
//!
//! Nothing is published of how long a group is `Creating` or `PendingDelete`: both end with the engine's next round.
//! The default group of an account can be renamed and tagged, and not deleted.

use tongguan_model::id::AccountId;
use tongguan_model::region;
use tongguan_store::{
    IntentKind, ResourceGroupRow, ResourceGroupStatus, Snapshot, StoreError, TagRow, Tx,
    default_resource_group,
};

use crate::api::resourcemanager::{RegionStatusInfo, ResourceGroupInfo, TagInfo};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::iso8601;
use crate::operation::Failure;

/// The kind of what carries the tags, in the store.
pub(super) const KIND: &str = "RESOURCEGROUP";

/// The only kind of what carries tags, in any case.
pub(crate) fn kind(args: &Args<'_>, name: &'static str) -> Result<(), Refusal> {
    match args.text(name) {
        Some(named) if !named.eq_ignore_ascii_case("ResourceGroup") => Err(args.illegal(name, named)),
        _ => Ok(()),
    }
}

/// The account's group of this id, to be changed: one that is being deleted is none.
pub(super) fn own(
    snapshot: &Snapshot<'_>,
    account: &AccountId,
    id: &str,
) -> Result<ResourceGroupRow, Failure> {
    let found = snapshot.resource_group(account, id)?;
    found.filter(in_use).ok_or_else(|| (&c::RG_NOT_FOUND).into())
}

fn in_use(group: &ResourceGroupRow) -> bool {
    group.status != ResourceGroupStatus::PendingDelete
}

/// The id of the group that a resource is to be in: the one that is named, or the account's default one.
///
/// # Errors
/// `InvalidResourceGroupId` if the account has no such group.
pub(crate) fn group_or_default(call: &Call, tx: &Tx<'_>, named: Option<&str>) -> Result<String, Failure> {
    let account = &call.principal.account;
    let Some(id) = named else { return Ok(default_resource_group(account)) };
    let found = tx.resource_group(account, id)?.filter(in_use);
    found.map(|group| group.id).ok_or_else(|| (&c::INVALID_RESOURCE_GROUP).into())
}

/// Writes down that a group is to be made or deleted, in place of what was wanted before.
pub(super) fn intend(
    tx: &Tx<'_>,
    group: &ResourceGroupRow,
    change: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    let key = group.key();
    let generation = tx.intent(&key)?.map_or(1, |intent| intent.generation + 1);
    tx.delete_intent(&key)?;
    tx.insert_intent(&key, IntentKind::ResourceGroup, generation, change, now_ms, now_ms)
}

/// A group as every operation shows it.
pub(super) fn info(group: ResourceGroupRow) -> ResourceGroupInfo {
    ResourceGroupInfo {
        account_id: group.account.into(),
        create_date: iso8601(group.created_ms).into(),
        display_name: group.display_name.into(),
        id: group.id.into(),
        name: group.name.into(),
        ..ResourceGroupInfo::default()
    }
}

/// The same with its status, as lists show it.
pub(super) fn with_status(group: ResourceGroupRow) -> ResourceGroupInfo {
    ResourceGroupInfo { status: Some(group.status.as_str().into()), ..info(group) }
}

/// The same with its status in every region: it is in one state everywhere.
pub(super) fn everywhere(group: ResourceGroupRow) -> ResourceGroupInfo {
    let status = group.status.as_str();
    let in_region =
        |region: &region::Region| RegionStatusInfo { region_id: region.id.into(), status: status.into() };
    let region_statuses = region::regions().iter().map(in_region).collect();
    ResourceGroupInfo { region_statuses: Some(region_statuses), ..with_status(group) }
}

/// Tags as they are shown.
pub(super) fn shown(tags: Vec<TagRow>) -> Vec<TagInfo> {
    tags.into_iter().map(|tag| TagInfo { tag_key: tag.key.into(), tag_value: tag.value.into() }).collect()
}
