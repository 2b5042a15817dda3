//! Which resources carry tags, and how their type is spelled.

use tongguan_model::id::AccountId;
use tongguan_store::{Snapshot, TagFilter};

use crate::args::{Args, Tag};
use crate::catalogue::{self as c, Refusal};
use crate::operation::Failure;

/// Kinds of resource that carry tags here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taggable {
    Vpc,
    VSwitch,
    VpnGateway,
}

impl Taggable {
    /// The kind that `ResourceType` names: compared without case, since clients send `VpnGateWay`.
    pub(super) fn of(args: &Args<'_>) -> Result<Self, Refusal> {
        let text = args.required("ResourceType");
        match text.to_ascii_uppercase().as_str() {
            "VPC" => Ok(Self::Vpc),
            "VSWITCH" => Ok(Self::VSwitch),
            "VPNGATEWAY" => Ok(Self::VpnGateway),
            _ => Err(args.illegal("ResourceType", text)),
        }
    }

    /// The spelling in the store and in answers.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Vpc => "VPC",
            Self::VSwitch => "VSWITCH",
            Self::VpnGateway => "VPNGATEWAY",
        }
    }

    /// Refuses an id that is not the account's in the region.
    pub(super) fn must_exist(
        self,
        snapshot: &Snapshot<'_>,
        account: &AccountId,
        region: &str,
        id: &str,
    ) -> Result<(), Failure> {
        let (found, code) = match self {
            Self::Vpc => (snapshot.vpc(account, id)?.map(|vpc| vpc.region), &c::VPC_NOT_FOUND),
            Self::VSwitch => {
                (snapshot.vswitch(account, id)?.map(|vswitch| vswitch.region), &c::VSWITCH_NOT_FOUND)
            }
            Self::VpnGateway => {
                (snapshot.gateway(account, id)?.map(|gateway| gateway.region), &c::GATEWAY_NOT_FOUND)
            }
        };
        if found.is_some_and(|found| found.as_str() == region) { Ok(()) } else { Err(code.into()) }
    }
}

/// Tags to look for: an empty value matches any, like one that is not sent.
pub(crate) fn sought(args: &Args<'_>, _: &'static str) -> Result<Vec<TagFilter>, Refusal> {
    Ok(args.tags()?.into_iter().map(exactly).collect())
}

/// A filter for a tag with just this value.
pub(super) fn exactly(tag: Tag) -> TagFilter {
    TagFilter { key: tag.key, value: Some(tag.value).filter(|value| !value.is_empty()) }
}
