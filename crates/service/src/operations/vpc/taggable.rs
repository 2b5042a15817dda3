//! Which resources carry tags, and how their type is spelled.

use tongguan_model::connection::Connection;
use tongguan_model::id::AccountId;
use tongguan_model::wire_enum;
use tongguan_store::{Snapshot, TagFilter};

use crate::args::{Args, Tag};
use crate::catalogue::{self as c, Refusal};
use crate::operation::Failure;

wire_enum! {
    /// Kinds of resource that carry tags here, as they are spelled in the store and in answers.
    pub enum Taggable {
        /// A VPC.
        Vpc = "VPC",
        /// A vSwitch.
        VSwitch = "VSWITCH",
        /// A VPN gateway.
        VpnGateway = "VPNGATEWAY",
        /// A customer gateway.
        CustomerGateway = "CUSTOMERGATEWAY",
        /// An IPsec connection of a VPN gateway.
        VpnConnection = "VPNCONNECTION",
        /// An IPsec connection without one.
        VpnAttachment = "VPNATTACHMENT",
    }
}

/// The kind that is named: compared without case, since clients send `VpnGateWay`.
pub(crate) fn kind(args: &Args<'_>, name: &'static str) -> Result<Taggable, Refusal> {
    let text = args.required(name);
    Taggable::parse(&text.to_ascii_uppercase()).ok_or_else(|| args.illegal(name, text))
}

/// The kind that is named, which must be one of these.
pub(super) fn only(args: &Args<'_>, name: &'static str, wanted: &[Taggable]) -> Result<Taggable, Refusal> {
    let named = kind(args, name)?;
    if wanted.contains(&named) { Ok(named) } else { Err(args.illegal(name, args.required(name))) }
}

impl Taggable {
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
            Self::CustomerGateway => {
                let row = snapshot.customer_gateway(account, id)?;
                (row.map(|row| row.region), &c::CUSTOMER_GATEWAY_NOT_FOUND)
            }
            Self::VpnConnection | Self::VpnAttachment => {
                let connection = snapshot.connection(account, id)?;
                let fits = |one: &Connection| one.gateway.is_none() == (self == Self::VpnAttachment);
                (connection.filter(fits).map(|connection| connection.region), &c::CONNECTION_NOT_FOUND)
            }
        };
        if found.is_some_and(|found| found.as_str() == region) { Ok(()) } else { Err(code.into()) }
    }
}

/// Tags to look for: an empty value matches any, like one that is not sent.
pub(crate) fn sought(args: &Args<'_>, name: &'static str) -> Result<Vec<TagFilter>, Refusal> {
    Ok(args.tags(name)?.into_iter().map(exactly).collect())
}

/// A filter for a tag with just this value.
pub(super) fn exactly(tag: Tag) -> TagFilter {
    TagFilter { key: tag.key, value: Some(tag.value).filter(|value| !value.is_empty()) }
}
