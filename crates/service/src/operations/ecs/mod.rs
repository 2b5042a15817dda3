//! Product Ecs, version 2014-05-26: regions, zones and what is in stock there, which Terraform asks before it makes
//! networks.
//!
//! No instances are made here. Terraform's `alicloud_zones` leaves out a zone that has neither an instance type nor a
//! kind of disk, or that is not in stock: so each zone has one of either, `INSTANCE_TYPE` and `DISK`.

pub mod describe_available_resource;
pub mod describe_regions;
pub mod describe_zones;

use tongguan_model::wire_enum;

use crate::args::Args;
use crate::catalogue::{self as c, Refusal};
use crate::operations::vpc::language::Language;

/// The instance type of every zone.
const INSTANCE_TYPE: &str = "ecs.g6.large";
/// Its vCPUs.
const CORES: u64 = 2;
/// Its memory, GiB.
const MEMORY: f64 = 8.0;
/// The kind of disk of every zone.
const DISK: &str = "cloud_essd";

wire_enum! {
    /// How an instance would be paid for.
    pub enum ChargeType {
        /// In advance.
        PrePaid = "PrePaid",
        /// As it is used.
        PostPaid = "PostPaid",
    }
}

wire_enum! {
    /// Whether an instance would be a spot instance.
    pub enum SpotStrategy {
        /// It would not.
        No = "NoSpot",
        /// Up to a price.
        WithPriceLimit = "SpotWithPriceLimit",
        /// At any price.
        AsPriceGo = "SpotAsPriceGo",
    }
}

wire_enum! {
    /// What is asked for.
    pub enum Destination {
        /// Zones.
        Zone = "Zone",
        /// Optimisation of input and output.
        IoOptimized = "IoOptimized",
        /// Instance types.
        InstanceType = "InstanceType",
        /// Networks.
        Network = "Network",
        /// Dedicated hosts.
        DedicatedHost = "ddh",
        /// System disks.
        SystemDisk = "SystemDisk",
        /// Data disks.
        DataDisk = "DataDisk",
    }
}

wire_enum! {
    /// Whether input and output are optimised.
    pub enum IoOptimized {
        /// They are not.
        No = "none",
        /// They are.
        Yes = "optimized",
    }
}

wire_enum! {
    /// Kind of network.
    pub enum NetworkCategory {
        /// A VPC.
        Vpc = "vpc",
        /// The classic network.
        Classic = "classic",
    }
}

wire_enum! {
    /// Kind of resource that would be made.
    pub enum ResourceType {
        /// An instance.
        Instance = "instance",
        /// A disk.
        Disk = "disk",
        /// A reserved instance.
        ReservedInstance = "reservedinstance",
        /// A dedicated host.
        DedicatedHost = "ddh",
    }
}

/// The language that is asked for; Chinese is the default, and what is not Chinese is answered in English.
pub(crate) fn language(args: &Args<'_>, name: &'static str) -> Result<Language, Refusal> {
    match args.text(name) {
        None | Some("zh-CN" | "zh_TW") => Ok(Language::Chinese),
        Some("en-US" | "ja" | "fr" | "de" | "ko") => Ok(Language::English),
        Some(_) => Err(Refusal::new(&c::ECS_LANGUAGE)),
    }
}

/// Memory in GiB.
pub(crate) fn memory(args: &Args<'_>, name: &'static str) -> Result<Option<f64>, Refusal> {
    let Some(text) = args.text(name) else { return Ok(None) };
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| plain).map(Some).ok_or_else(|| args.illegal(name, text))
}
