//! VPCs and vSwitches: the networks that a gateway is in.
//!
//! Only what the VPN Gateway API needs is modelled (`states.md`, section 7): both are created `Pending` and become
//! `Available`; neither can be deleted while it contains something.

use crate::id::{AccountId, RegionId, VSwitchId, VpcId};
use crate::wire_enum;

wire_enum! {
    /// State of a VPC or a vSwitch.
    pub enum NetworkStatus {
        /// Being built.
        Pending = "Pending",
        /// Ready for use.
        Available = "Available",
    }
}

wire_enum! {
    /// State of a route in a VPC's table.
    pub enum RouteStatus {
        /// Being put into it.
        Pending = "Pending",
        /// In use.
        Available = "Available",
        /// Being removed from it.
        Deleting = "Deleting",
    }
}

impl From<NetworkStatus> for RouteStatus {
    fn from(status: NetworkStatus) -> Self {
        match status {
            NetworkStatus::Pending => Self::Pending,
            NetworkStatus::Available => Self::Available,
        }
    }
}

wire_enum! {
    /// Who made a route table.
    pub enum RouteTableType {
        /// It came with the VPC.
        System = "System",
        /// A user.
        Custom = "Custom",
    }
}

wire_enum! {
    /// Who made a route.
    pub enum RouteType {
        /// It came with the VPC or a vSwitch.
        System = "System",
        /// A user, or a VPN gateway that publishes it.
        Custom = "Custom",
        /// It was learnt by BGP.
        Bgp = "BGP",
        /// A transit router.
        Cen = "CEN",
        /// An express connect router.
        Ecr = "ECR",
    }
}

wire_enum! {
    /// What a route table belongs to.
    pub enum RouterType {
        /// The vRouter of a VPC.
        VRouter = "VRouter",
        /// A virtual border router.
        Vbr = "VBR",
    }
}

/// A virtual private cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vpc {
    /// Id, prefix `vpc-`.
    pub id: VpcId,
    /// Owner.
    pub account: AccountId,
    /// Region.
    pub region: RegionId,
    /// Name; may be empty.
    pub name: String,
    /// Description; may be empty.
    pub description: String,
    /// IPv4 block.
    pub cidr: String,
    /// User blocks, comma-separated; may be empty.
    pub user_cidrs: String,
    /// Whether DNS host names are on.
    pub dns_hostname: bool,
    /// Further IPv4 blocks, comma-separated; may be empty.
    pub secondary_cidrs: String,
    /// Whether it is the account's default VPC in its region.
    pub is_default: bool,
    /// Whether ClassicLink is on.
    pub classic_link: bool,
    /// Id of the vRouter made along with it.
    pub vrouter: String,
    /// Id of the system route table made along with it.
    pub route_table: String,
    /// Name of that table; may be empty.
    pub route_table_name: String,
    /// Description of that table; may be empty.
    pub route_table_description: String,
    /// Whether that table takes in propagated routes.
    pub route_propagation: bool,
    /// Resource group.
    pub resource_group: String,
    /// Creation, UNIX milliseconds.
    pub created_ms: i64,
    /// Whether the engine has built it.
    pub ready: bool,
}

impl Vpc {
    /// The status to show.
    #[must_use]
    pub fn status(&self) -> NetworkStatus {
        status(self.ready)
    }

    /// Its further IPv4 blocks, oldest first.
    pub fn secondary_blocks(&self) -> impl Iterator<Item = &str> {
        self.secondary_cidrs.split(',').filter(|block| !block.is_empty())
    }

    /// All of its IPv4 blocks, the first one first.
    pub fn blocks(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.cidr.as_str()).chain(self.secondary_blocks())
    }
}

/// A subnet of a VPC in one zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VSwitch {
    /// Id, prefix `vsw-`.
    pub id: VSwitchId,
    /// Owner.
    pub account: AccountId,
    /// Region.
    pub region: RegionId,
    /// The VPC it belongs to.
    pub vpc: VpcId,
    /// Zone.
    pub zone: String,
    /// Name; may be empty.
    pub name: String,
    /// Description; may be empty.
    pub description: String,
    /// IPv4 block.
    pub cidr: String,
    /// Whether it is the default vSwitch of its zone.
    pub is_default: bool,
    /// Resource group.
    pub resource_group: String,
    /// Creation, UNIX milliseconds.
    pub created_ms: i64,
    /// Whether the engine has built it.
    pub ready: bool,
}

impl VSwitch {
    /// The status to show.
    #[must_use]
    pub fn status(&self) -> NetworkStatus {
        status(self.ready)
    }
}

fn status(ready: bool) -> NetworkStatus {
    if ready { NetworkStatus::Available } else { NetworkStatus::Pending }
}
