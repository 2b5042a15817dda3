//! The products, and the conventions in which they differ.

use crate::api;
use crate::catalogue::{self as c, Code};

/// Products that share the port, told apart by their version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Virtual private cloud, VPN gateways included.
    Vpc,
    /// Key management: certificates.
    Kms,
    /// Certificate management: certificates that are uploaded with their keys.
    Cas,
    /// Security token service.
    Sts,
    /// Endpoint look-up.
    Location,
    /// Resource access management: users, groups, roles, policies.
    Ram,
    /// Resource management: resource groups, service-linked roles.
    ResourceManager,
    /// Computing: regions and zones alone.
    Ecs,
    /// Load balancing: zones alone.
    Alb,
}

/// How a product refuses a value that a parameter may not have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Illegal {
    /// With this code, and the parameter's name after the message.
    Named(&'static Code),
    /// With this code, which names parameter and value.
    Value(&'static Code),
    /// With this code, which names the parameter.
    Parameter(&'static Code),
}

/// What a product does its own way.
#[derive(Debug)]
pub(crate) struct Conventions {
    name: &'static str,
    version: &'static str,
    /// Request ids are written in lower case.
    pub(crate) lower_case_ids: bool,
    /// Root element of every answer in XML, errors included; none: that of the operation, and `Error`.
    pub(crate) xml_root: Option<&'static str>,
    /// Error bodies repeat the HTTP status.
    pub(crate) status_in_errors: bool,
    /// A required parameter is absent.
    pub(crate) missing: &'static Code,
    /// A parameter has a value that it may not have.
    pub(crate) illegal: Illegal,
    /// The caller's policies do not allow the call.
    pub(crate) forbidden: &'static Code,
    /// It has no regions: requests may be signed for the region `center`.
    pub(crate) central: bool,
    /// Resources are named by ids that say all: their tags are asked about by policies.
    pub(crate) tagged: bool,
    /// A call lies in the service's own region, unless it names a resource that lies elsewhere.
    pub(crate) own_region: bool,
}

static VPC: Conventions = Conventions {
    name: "Vpc",
    version: api::vpc::VERSION,
    lower_case_ids: false,
    xml_root: None,
    status_in_errors: false,
    missing: &c::MISSING,
    illegal: Illegal::Value(&c::ILLEGAL),
    forbidden: &c::FORBIDDEN,
    central: false,
    tagged: true,
    own_region: false,
};

static KMS: Conventions = Conventions {
    name: "Kms",
    version: api::kms::VERSION,
    lower_case_ids: true,
    xml_root: Some("KMS"),
    status_in_errors: true,
    missing: &c::MISSING_PARAMETER,
    illegal: Illegal::Named(&c::INVALID_PARAMETER),
    forbidden: &c::FORBIDDEN_KMS,
    tagged: false,
    own_region: true,
    ..VPC
};

// Nothing is published of how it refuses: its codes are ours, and a value is never repeated, since many are private
// keys.
static CAS: Conventions = Conventions {
    name: "Cas",
    version: "2020-04-07",
    illegal: Illegal::Parameter(&c::CAS_ILLEGAL),
    central: true,
    tagged: false,
    ..VPC
};

static STS: Conventions = Conventions {
    name: "Sts",
    version: api::sts::VERSION,
    illegal: Illegal::Parameter(&c::INCORRECT),
    forbidden: &c::NO_PERMISSION_STS,
    central: true,
    tagged: false,
    ..VPC
};

static LOCATION: Conventions =
    Conventions { name: "Location", version: api::location::VERSION, central: true, tagged: false, ..VPC };

static RAM: Conventions = Conventions {
    name: "Ram",
    version: api::ram::VERSION,
    missing: &c::RAM_MISSING,
    illegal: Illegal::Parameter(&c::INCORRECT),
    forbidden: &c::NO_PERMISSION,
    central: true,
    tagged: false,
    ..VPC
};

static RESOURCE_MANAGER: Conventions = Conventions {
    name: "ResourceManager",
    version: api::resourcemanager::VERSION,
    missing: &c::MISSING,
    ..RAM
};

static ECS: Conventions = Conventions {
    name: "Ecs",
    version: "2014-05-26",
    missing: &c::ECS_MISSING,
    illegal: Illegal::Parameter(&c::ECS_ILLEGAL),
    forbidden: &c::FORBIDDEN_ECS,
    tagged: false,
    ..VPC
};

static ALB: Conventions = Conventions { name: "Alb", version: "2020-06-16", tagged: false, ..VPC };

impl Product {
    /// Every product.
    pub const ALL: &'static [Self] = &[
        Self::Vpc,
        Self::Kms,
        Self::Cas,
        Self::Sts,
        Self::Location,
        Self::Ram,
        Self::ResourceManager,
        Self::Ecs,
        Self::Alb,
    ];

    pub(crate) fn conventions(self) -> &'static Conventions {
        match self {
            Self::Vpc => &VPC,
            Self::Kms => &KMS,
            Self::Cas => &CAS,
            Self::Sts => &STS,
            Self::Location => &LOCATION,
            Self::Ram => &RAM,
            Self::ResourceManager => &RESOURCE_MANAGER,
            Self::Ecs => &ECS,
            Self::Alb => &ALB,
        }
    }

    /// The product's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.conventions().name
    }

    /// The API version that it speaks.
    #[must_use]
    pub fn version(self) -> &'static str {
        self.conventions().version
    }

    /// The product of this version.
    #[must_use]
    pub fn of_version(version: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|product| product.version() == version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_told_apart_and_refuse_with_403() {
        for (at, product) in Product::ALL.iter().enumerate() {
            assert_eq!(product.conventions().forbidden.status, 403);
            assert!(Product::ALL[at + 1..].iter().all(|other| other.version() != product.version()));
            assert_eq!(Product::of_version(product.version()), Some(*product));
        }
    }
}
