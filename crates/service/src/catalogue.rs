//! Every error code that the service answers, once, with where it comes from.
//!
//! A code marked [`Origin::Ours`] fills a gap that the documentation leaves; a real one can replace it
//! here, in one place. `<Param>` and `%s` are slots that a [`Refusal`] fills.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Where a code and its message come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Code, status and message are printed in a vendor page or SDK.
    Documented,
    /// Seen in answers of the real service or derived from a documented pattern.
    Seen,
    /// The code is the vendor's, known from its clients; status and message are ours.
    CodeOnly,
    /// Nothing is published for the case; all of it is our choice.
    Ours,
}

impl Origin {
    /// One word for tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::Seen => "seen",
            Self::CodeOnly => "code only",
            Self::Ours => "ours",
        }
    }
}

/// One error code.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The code; may hold the slot `<Param>`.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// The message; may hold the slots `<Param>` and `%s`.
    pub message: &'static str,
    /// Where it comes from.
    pub origin: Origin,
    /// When it is answered.
    pub when: &'static str,
}

macro_rules! codes {
    ($($name:ident = $status:literal $code:literal $message:literal $origin:ident $when:literal;)+) => {
        $(#[doc = concat!("`", $code, "`: ", $when)]
        pub static $name: Code = Code {
            code: $code, status: $status, message: $message, origin: Origin::$origin, when: $when,
        };)+

        /// Every code, in the order of this file.
        pub static ALL: &[&Code] = &[$(&$name),+];
    };
}

codes! {
    // The gateway, before any operation is reached.
    MISSING = 400 "Missing<Param>" "<Param> is mandatory for this action." Seen "A common parameter, or a required one of the operation, is absent or empty.";
    MISSING_PARAMETER = 400 "MissingParameter" "The parameter \"<Param>\" is needed but not provided." Documented "Kms: a required parameter is absent or empty.";
    ECS_MISSING = 400 "MissingParameter" "The input parameter \"<Param>\" that is mandatory for processing this request is not supplied." Documented "Ecs: a required parameter is absent or empty.";
    RAM_MISSING = 400 "MissingParameter" "Parameter <Param> is required." Seen "Ram: a required parameter is absent or empty. (Seen in an answer of CreatePolicyVersion in 2019; that all of Ram says so is our choice.)";
    ACCESS_KEY_NOT_FOUND = 404 "InvalidAccessKeyId.NotFound" "Specified access key is not found." Documented "The access key id is unknown.";
    ACCESS_KEY_INACTIVE = 400 "InvalidAccessKeyId.Inactive" "Specified access key is disabled." Documented "The access key is inactive.";
    TOKEN_MISSING = 400 "MissingSecurityToken" "SecurityToken is mandatory for this action." Documented "A temporary access key (STS.) without its security token.";
    TOKEN_EXPIRED = 400 "InvalidSecurityToken.Expired" "Specified SecurityToken is expired." Documented "The role session is over: its time, its role, what it came from, or it was ended.";
    TOKEN_MISMATCH_KEY = 400 "InvalidSecurityToken.MismatchWithAccessKey" "Specified SecurityToken mismatch with the AccessKey." Documented "The security token belongs to another access key.";
    TOKEN_MALFORMED = 400 "InvalidSecurityToken.Malformed" "Specified SecurityToken is malformed." Documented "A security token that this service did not issue.";
    BEARER_UNSUPPORTED = 400 "InvalidSignatureType" "Bearer tokens are not issued by this service: sign the request with an AccessKey." Ours "SignatureType is BEARERTOKEN.";
    SIGNATURE_METHOD = 400 "InvalidSignatureMethod" "Specified signature method is not supported." Seen "The signature method is unknown or does not fit the kind of key.";
    SIGNATURE_VERSION = 400 "InvalidParamater" "The specified parameter \"SignatureVersion\" is not valid." Documented "SignatureVersion is not 1.0.";
    TIMESTAMP_FORMAT = 400 "InvalidTimeStamp.Format" "Specified time stamp or date value is not well formatted." Seen "The time stamp is not YYYY-MM-DDThh:mm:ssZ.";
    TIMESTAMP_EXPIRED = 400 "InvalidTimeStamp.Expired" "Specified time stamp or date value is expired." Documented "The time stamp is more than 15 minutes off.";
    SIGNATURE_INCOMPLETE = 400 "IncompleteSignature" "The request signature does not conform to Aliyun standards." Documented "The signature is there and not well formed, or leaves out a header that must be signed.";
    SIGNATURE_MISMATCH = 400 "SignatureDoesNotMatch" "Specified signature is not matched with our calculation. server string to sign is:%s" Documented "The signature is wrong.";
    NONCE_USED = 400 "SignatureNonceUsed" "Specified signature nonce was used already." Documented "The nonce was used before.";
    INVALID_VERSION = 400 "InvalidVersion" "Specified parameter Version is not valid." Documented "No product has this version.";
    ACTION_NOT_FOUND = 404 "InvalidAction.NotFound" "Specified api is not found, please check your url and method." Documented "The product has no such operation.";
    NOT_RECORDED = 404 "NotRecorded" "No answer to this request for %s was recorded, and this service answers nothing else." Ours "Of `tongguan dev --replay-only` alone: the recording has no answer to the request.";
    METHOD_UNSUPPORTED = 403 "UnsupportedHTTPMethod" "This http method is not supported." Documented "Neither GET nor POST.";
    REQUEST_MALFORMED = 400 "InvalidParameter" "The specified parameter is not valid." Documented "The request cannot be read: bad escapes, too many or too long parameters, one name with two values, a wrong path.";
    BODY_TOO_LARGE = 400 "InvalidParameter.BodyTooLarge" "The request body is longer than this service accepts." Ours "The body exceeds the limit.";
    HEAD_MALFORMED = 400 "InvalidParameter.RequestHead" "The head of the request is not HTTP/1.1." Ours "The request line or a header field cannot be read.";
    HEAD_TOO_LARGE = 431 "InvalidParameter.RequestHeadTooLarge" "The head of the request is longer than this service accepts." Ours "Request line and header fields together, or the number of fields, exceed the limit.";
    TARGET_TOO_LONG = 414 "InvalidParameter.RequestTargetTooLong" "The target of the request is longer than this service accepts." Ours "Path and query exceed what HTTP software takes.";
    HOST_INVALID = 400 "InvalidParameter.Host" "The request must have one valid Host header field." Ours "Host is missing, given twice or not valid (RFC 9112, 3.2).";
    TRANSFER_CODING = 400 "InvalidParameter.TransferEncoding" "The only transfer coding that this service accepts is chunked." Ours "Transfer-Encoding is something else, or several codings (RFC 9112, 6.1).";
    BODY_CUT_OFF = 400 "InvalidParameter.BodyIncomplete" "The request body did not arrive whole." Ours "The body broke off or took too long.";
    THROTTLING = 400 "Throttling" "Request was denied due to request throttling." Seen "The source address has sent too many requests that nobody signed (wrong signatures, unknown keys).";
    THROTTLING_USER = 400 "Throttling.User" "Request was denied due to user flow control." Documented "Too many calls in too short a time, of the account or of the user in it; or its share of something bounded is used up: nonces, ClientTokens, waiting changes, long work.";
    INTERNAL = 500 "InternalError" "The request processing has failed due to some unknown error." Documented "A fault of this service; the log says more.";
    UNAVAILABLE = 503 "ServiceUnavailable" "The request has failed due to a temporary failure of the server." Documented "The service is stopping, its store cannot be used (a full disk), or there is no room for a long request.";

    // Permission.
    FORBIDDEN = 403 "Forbidden" "User not authorized to operate on the specified resource." Documented "Vpc: the caller's policies do not allow the operation. (That Cas, which publishes no codes, answers it too is our choice.)";
    FORBIDDEN_ECS = 403 "Forbidden.RAM" "User not authorized to operate on the specified resource, or this API doesn't support RAM." Documented "Ecs: the caller's policies do not allow the operation.";
    FORBIDDEN_KMS = 403 "Forbidden.NoPermission" "This operation is forbidden by permission system." Documented "Kms: the caller's policies do not allow the operation.";

    NO_PERMISSION = 403 "NoPermission" "You are not authorized to do this action." Documented "Ram and ResourceManager: the caller's policies do not allow the operation.";
    NO_PERMISSION_STS = 403 "NoPermission" "You are not authorized to do this action. You should be authorized by RAM." Documented "Sts: the caller's policies do not allow the operation.";
    RIGHTS_TOO_COSTLY = 403 "Forbidden.PolicyTooComplex" "The policies of the caller need more steps than a decision may take, so nothing is allowed by them. Use fewer patterns with wildcards in their conditions." Ours "A decision on rights would take more than 100,000 steps; see docs/security.md.";

    // Idempotency and dry runs.
    CLIENT_TOKEN = 400 "InvalidParameter" "The specified parameter \"ClientToken\" is not valid." Ours "ClientToken is longer than 64 characters or not ASCII.";
    TOKEN_MISMATCH = 400 "IdempotentParameterMismatch" "The request is retried with updated parameters." Documented "The ClientToken was used with other parameters.";
    DRY_RUN = 400 "DryRunOperation" "Request validation has been passed with DryRun flag set." Documented "DryRun=true and every check passed, for every operation but Associate and Dissociate.";

    // Values.
    ILLEGAL = 400 "IllegalParam.<Param>" "The specified \"<Param>\" (%s) is invalid." Documented "Vpc: a malformed or disallowed value.";
    ILLEGAL_CERTIFICATE_TYPE = 400 "IllegalParam.CertificateType" "The specified certificate type (%s) is invalid." Documented "CertificateType is neither Encryption nor Signature.";
    INCORRECT = 400 "InvalidParameter.<Param>" "The parameter - \"<Param>\" is incorrect." Seen "Ram and Sts: a bad value that no code of its own is published for.";
    INVALID_PARAMETER = 400 "InvalidParameter" "The specified parameter is not valid." Documented "Kms: a bad value; the text that follows says which.";
    REGION_NOT_FOUND = 404 "InvalidRegionId.NotFound" "The specified region is not found during access authentication." Documented "RegionId is unknown.";
    REGION_NOT_FOUND_LOCATION = 404 "InvalidRegionId" "The specified region does not exist." Documented "Location: the region is unknown.";
    INVALID_NAME = 400 "InvalidName" "The name is not valid" Documented "The gateway's name breaks the rules.";
    INVALID_DESCRIPTION = 400 "InvalidDescription" "The description is not valid" Documented "The gateway's description breaks the rules.";
    INVALID_TAG_KEY = 400 "InvalidParameter.TagKey" "The specified parameter TagKey is invalid." Documented "A tag key breaks the rules.";
    INVALID_TAG_VALUE = 400 "InvalidParameter.TagValue" "The specified parameter TagValue is invalid." Documented "A tag value breaks the rules.";
    DUPLICATED_TAG_KEY = 400 "Duplicated.TagKey" "The specified parameter TagKey is duplicated." Documented "A tag key is given twice; keys that differ in the case of letters alone are one, as policies see them.";
    INVALID_RESOURCE_GROUP = 400 "InvalidResourceGroupId" "The specified ResourceGroupId does not exist." Documented "ResourceGroupId is none of the account's resource groups, or of one that is being deleted.";

    // Resource groups.
    RG_NAME = 400 "InvalidParameter.Name" "The parameter - \"Name\" is incorrect." Seen "CreateResourceGroup: the identifier breaks the rules.";
    RG_DISPLAY_NAME = 400 "InvalidParameter.DisplayName" "The parameter - \"DisplayName\" is incorrect." Seen "CreateResourceGroup: the display name is too long.";
    RG_NEW_DISPLAY_NAME = 400 "InvalidParameter.NewDisplayName" "The parameter - \"NewDisplayName\" is incorrect." Seen "UpdateResourceGroup: the display name is too long.";
    RG_NOT_FOUND = 404 "EntityNotExists.ResourceGroup" "The resource group does not exist." CodeOnly "No such resource group, or another account's; or it is being deleted and is to be changed.";
    RG_EXISTS = 409 "EntityAlreadyExists.ResourceGroup" "The resource group already exists." Ours "CreateResourceGroup: the account has a group of the name.";
    RG_QUOTA = 409 "LimitExceeded.ResourceGroup" "The number of resource groups exceeds the limit." Ours "CreateResourceGroup: the account has as many groups as it may.";
    RG_IN_USE = 409 "DeleteConflict.ResourceGroup.Resource" "The resource group still contains resources." CodeOnly "DeleteResourceGroup: a resource is in the group.";
    RG_DEFAULT = 409 "DeleteConflict.ResourceGroup.Default" "The default resource group cannot be deleted." Ours "DeleteResourceGroup: it is the account's default group.";

    // Ecs: regions and zones.
    ECS_ILLEGAL = 400 "InvalidParameter" "The specified parameter \"<Param>\" is not valid." Seen "Ecs: a bad value that no code of its own is published for.";
    ECS_REGION_NOT_FOUND = 404 "InvalidRegionId.NotFound" "The specified RegionId does not exist." Documented "DescribeZones of Ecs: RegionId is unknown.";
    ECS_REGION_INVALID = 404 "Invalid.RegionId" "The specified RegionId does not exist." Documented "DescribeAvailableResource: RegionId is unknown.";
    ECS_LANGUAGE = 404 "InvalidAcceptLanguage.NotFound" "Only Chinese (zh-CN), English (en-US), and Japanese (ja) are allowed." Documented "Ecs: AcceptLanguage is none of those that its page lists. (The message is the vendor's, and older than the list.)";
    ECS_CHARGE_TYPE = 404 "InvalidInstanceChargeType.NotFound" "The InstanceChargeType does not exist in our records" Documented "DescribeZones of Ecs: InstanceChargeType is neither PrePaid nor PostPaid.";
    ECS_SPOT_STRATEGY = 400 "InvalidSpotStrategy" "The specified SpotStrategy is not valid." Documented "DescribeZones of Ecs: SpotStrategy is none of its words.";
    ECS_DESTINATION = 404 "Invalid.DestinationResource" "The specified DestinationResource is not valid." Documented "DescribeAvailableResource: DestinationResource is none of its words.";
    ECS_AVAILABLE_CHARGE_TYPE = 400 "Invalid.InstanceChargeType" "The specified InstanceChargeType is not valid." Documented "DescribeAvailableResource: InstanceChargeType is neither PrePaid nor PostPaid.";
    ECS_AVAILABLE_SPOT_STRATEGY = 404 "Invalid.SpotStrategy" "The specified SpotStrategy is not valid." Documented "DescribeAvailableResource: SpotStrategy is none of its words.";
    ECS_IO_OPTIMIZED = 404 "Invalid.IoOptimized" "The specified IoOptimized is not valid." Documented "DescribeAvailableResource: IoOptimized is neither none nor optimized.";
    ECS_NETWORK_CATEGORY = 404 "Invalid.NetworkCategory" "The specified NetworkCategory is not valid." Documented "DescribeAvailableResource: NetworkCategory is neither vpc nor classic.";
    ECS_RESOURCE_TYPE = 404 "Invalid.ResourceType" "The ResourceType provided does not exist in our records." Documented "DescribeAvailableResource: ResourceType is none of its words.";
    ECS_DEDICATED_HOST = 403 "InvalidDedicatedHostId.NotFound" "The specified DedicatedHostId does not exist." Documented "DescribeAvailableResource: a dedicated host is named; there are none.";
    ECS_TYPE_CONFLICT = 403 "InvalidParam.TypeAndCpuMem.Conflict" "The specified 'InstanceType' and 'Cores','Memory' are not blank at the same time." Documented "DescribeAvailableResource: InstanceType beside Cores or Memory.";
    ECS_CORES = 403 "InvalidParam.Cores" "The specified parameter 'Cores' should be empty" Documented "DescribeAvailableResource: Cores, and what is asked for is no instance type.";
    ECS_MEMORY = 403 "InvalidParam.Memory" "The specified parameter 'Memory' should be empty" Documented "DescribeAvailableResource: Memory, and what is asked for is no instance type.";

    // Role sessions.
    ROLE_ARN = 400 "InvalidParameter.RoleArn" "The parameter RoleArn is wrongly formed." Documented "RoleArn is not acs:ram::ACCOUNT:role/NAME.";
    ROLE_SESSION_NAME = 400 "InvalidParameter.RoleSessionName" "The parameter RoleSessionName is wrongly formed." Documented "RoleSessionName breaks the rules.";
    DURATION_SECONDS = 400 "InvalidParameter.DurationSeconds" "The Min/Max value of DurationSeconds is 15min/1hr." Documented "DurationSeconds is below 900 or above the role's MaxSessionDuration.";
    SESSION_POLICY_GRAMMAR = 400 "InvalidParameter.PolicyGrammar" "The parameter Policy has not passed grammar check." Documented "The session policy is malformed; the text that follows says where.";
    SESSION_POLICY_SIZE = 400 "InvalidParameter.PolicySize" "The size of Policy must be smaller than 1024 bytes." Documented "The session policy has more than 2048 characters. (The text is the vendor's, and older than the limit.)";
    ROOT_ASSUMES = 403 "NoPermission" "Roles may not be assumed by root accounts." Documented "AssumeRole signed with the account's own key.";
    ROLE_UNTRUSTING = 403 "NoPermission" "No permission perform sts:AssumeRole on this Role. Maybe you are not authorized to perform sts:AssumeRole or the specified role does not trust you" Documented "The trust policy does not allow the caller, or another account has no such role.";
    ROLE_CHAIN = 403 "NoPermission" "The session may not assume a role." Ours "AssumeRole by a session: the chain of sessions is as old or has come through as many roles as it may, or quotas forbid chains.";
    SOURCE_IDENTITY_HELD = 400 "InvalidParameter.SourceIdentity" "The source identity of a session cannot be changed." Ours "AssumeRole by a session that has another source identity.";
    ROLE_NOT_FOUND_STS = 404 "EntityNotExist.Role" "The specified Role not exists." Documented "AssumeRole: the caller's account has no such role.";

    // Gateways.
    GATEWAY_NOT_FOUND = 404 "InvalidVpnGatewayInstanceId.NotFound" "The specified vpn gateway instance id does not exist." Documented "No such gateway, or another account's.";
    GATEWAY_CONFIGURING = 400 "VpnGateway.Configuring" "The specified service is configuring." Documented "The gateway is not settled: a change is under way.";
    GATEWAY_QUOTA = 400 "Resource.QuotaFull" "The quota of resource is full" Documented "The account has as many gateways as it may.";
    GATEWAY_PAID_TERM = 403 "ForbiddenRelease" "Forbidden to release a prepaid instance within validity period" Documented "A subscription gateway inside its paid term is not deleted.";
    GATEWAY_LOCKED = 400 "VpnGateway.FinancialLocked" "The specified service is financial locked." Documented "The account's debts lock the gateway. Nothing is charged here, so only an operator's hand in the database does.";
    GATEWAY_HAS_CONNECTIONS = 400 "DependencyViolation" "The VPN gateway still has IPsec connections: delete them first." Ours "DeleteVpnGateway: connections are left. (The rule is documented, its code is not.)";
    SSL_NOT_SUPPORTED = 400 "OperationFailed.SslNotSupport" "SSL-VPN is not available on this type of VPN gateway." CodeOnly "EnableSsl on an SM gateway.";
    ADDRESS_POOL_EMPTY = 400 "ResourceNotAvailable" "Resource you requested is not available in this region or zone." Documented "The pool of gateway addresses is used up.";

    // Customer gateways.
    CUSTOMER_GATEWAY_NOT_FOUND = 404 "InvalidCustomerGatewayInstanceId.NotFound" "The specified customer gateway instance id does not exist." Documented "No such customer gateway, or another account's.";
    CUSTOMER_ADDRESS_FORMAT = 400 "InvalidIpAddress.WrongFormat" "Specified IpAddress is invalid." Documented "CreateCustomerGateway: no IPv4 address that a device can have.";
    CUSTOMER_ADDRESS_TAKEN = 400 "InvalidIpAddress.AlreadyExist" "Specified IpAddress is already exist." Documented "CreateCustomerGateway: another customer gateway of the region has the address.";
    CUSTOMER_GATEWAY_QUOTA = 400 "Resource.QuotaFull" "The quota of resource is full" Documented "The account has as many customer gateways in the region as it may.";

    CUSTOMER_GATEWAY_IN_USE = 400 "DependencyViolation.VpnConnection" "The customer gateway is in use by IPsec connection %s." Ours "DeleteCustomerGateway: a connection or attachment leads to it. (The rule is documented, its code is not.)";

    // IPsec connections.
    CONNECTION_NOT_FOUND = 404 "InvalidVpnConnectionInstanceId.NotFound" "The specified vpn connection instance id does not exist." Documented "No such connection, or another account's.";
    CONNECTION_EXISTS = 400 "InvalidVpnConnection.AlreadyExists" "Vpn connection already exists." Documented "Another connection of the gateway leads to the same customer gateway with the same blocks on both sides. (The code is documented; that this is its condition is our choice.)";
    CONNECTION_QUOTA = 400 "Resource.QuotaFull" "The quota of resource is full" Documented "The gateway has as many connections, or the region as many attachments, as it may.";
    GATEWAY_WITHOUT_IPSEC = 400 "OperationUnsupported.IpsecVpn" "IPsec-VPN is not enabled on the VPN gateway." Ours "CreateVpnConnection: EnableIpsec of the gateway is false.";
    GATEWAY_WITHOUT_CERTIFICATES = 400 "OperationDenied.CertificateNotBound" "An Encryption and a Signature certificate must be bound to the VPN gateway first." Ours "CreateVpnConnection: an SM gateway without both certificates. (The rule is documented, its code is not.)";
    CONNECTION_HAS_ROUTES = 400 "DependencyViolation.VpnRouteEntry" "The IPsec connection is the next hop of route entries: delete them first." Ours "DeleteVpnConnection, DeleteVpnAttachment: routes lead over it.";
    DIAGNOSIS_NOT_FOUND = 404 "InvalidDiagnoseId.NotFound" "The specified diagnosis does not exist." Ours "GetVpnGatewayDiagnoseResult: no such diagnosis, an older one of its gateway, or another account's.";
    TUNNEL_OPTIONS = 400 "VpnConnection.InvalidCreateTunnelOptions" "TunnelOptionsSpecification must hold exactly two tunnels." CodeOnly "Tunnels were given, and not two; or none for an attachment.";

    // Routes into tunnels.
    ROUTE_NOT_FOUND = 404 "InvalidRouteEntry.NotFound" "The specified route entry does not exist." CodeOnly "The gateway or attachment has no such route, or it has another weight or priority.";
    ROUTE_EXISTS = 400 "InvalidRouteEntry.AlreadyExists" "The specified route entry already exists." Ours "The gateway has a route to the destination (of policy routes, from the source as well) over the connection; an attachment has one with the weight.";
    ROUTE_CONFLICT = 400 "InvalidRouteEntry.Conflict" "The route entry over IPsec connection %s has the same weight: of both, one must be active and the other standby." Ours "Another route for the same packets, over another connection, has the weight and the priority that are asked for.";
    ROUTE_TABLE_CONFLICT = 400 "InvalidRouteEntry.PublishConflict" "The route table of the VPC has another route to the destination: its next hop is %s." Ours "A route would be published to a block that the table of the VPC leads elsewhere: to another gateway, to a vSwitch or to the vendor's services.";
    ROUTE_QUOTA = 400 "Resource.QuotaFull" "The quota of resource is full" Documented "The gateway has as many destination or policy routes, or the attachment as many routes, as it may.";

    // Bindings: nothing is published for these cases.
    CERTIFICATE_NOT_FOUND = 404 "Certificate.NotFound" "The specified certificate is not found." Documented "No such certificate, or another account's. (That Associate answers it too is our choice.)";
    CERTIFICATE_NOT_BINDABLE = 400 "IllegalParam.CertificateId" "The specified certificate (%s) cannot be bound: it must be ACTIVE, use SM2 with SM3, and be within its validity." Ours "The certificate is PENDING, INACTIVE, REVOKED, expired, not yet valid, or not an SM certificate.";
    CERTIFICATE_USAGE = 400 "IllegalParam.CertificateId" "The specified certificate (%s) cannot be bound with the specified certificate type: its keyUsage does not allow it. Signature needs digitalSignature or nonRepudiation; Encryption needs keyEncipherment, dataEncipherment or keyAgreement." Ours "The certificate's keyUsage contradicts the role.";
    GATEWAY_NOT_SM = 400 "OperationUnsupported.Certificate" "Certificates can be bound only to a VPN gateway whose VpnType is NationalStandard." Ours "The gateway is of type Normal.";
    CERTIFICATE_DUPLICATED = 400 "OperationDenied.CertificateDuplicated" "The same certificate must not be bound as both Encryption and Signature." Ours "The certificate holds the other role on the gateway.";
    ROLE_OCCUPIED = 400 "OperationDenied.CertificateTypeOccupied" "Another certificate is already bound with the specified certificate type." Ours "The role holds another certificate.";
    NOT_BOUND = 404 "InvalidCertificateAssociation.NotFound" "The specified certificate is not bound to the VPN gateway with the specified certificate type." Ours "Dissociate: the gateway has no such certificate in that role.";

    // Network.
    VPC_NOT_FOUND = 404 "InvalidVpcId.NotFound" "Specified VPC does not exist." Documented "No such VPC, or another account's.";
    VPC_STATUS = 400 "IncorrectVpcStatus" "Current VPC status does not support this operation." Documented "The VPC is still Pending.";
    VPC_CIDR = 400 "InvalidParameter" "Specified CIDR block is not valid" Documented "The VPC's block breaks the rules.";
    VPC_NAME = 400 "InvalidVpcName.Malformed" "Specified VPC name is not valid." Documented "The VPC's name breaks the rules.";
    VPC_DESCRIPTION = 400 "InvalidVpcDiscription.Malformed" "Specified VPC description is not valid." Documented "The VPC's description breaks the rules.";
    VPC_QUOTA = 400 "QuotaExceeded.Vpc" "VPC quota exceeded." Documented "The account has as many VPCs in the region as it may.";
    VPC_REGION = 404 "InvalidRegionId.NotFound" "Specified value of \"regionId\" is not supported." Documented "CreateVpc, EnableVpcClassicLink, DisableVpcClassicLink: RegionId is unknown.";
    USER_CIDR = 400 "InvalidParameter" "Specified UserCidr invalid format." Documented "UserCidr is not a list of blocks.";
    USER_CIDR_QUOTA = 400 "InvalidUserCidr.Quota" "Specified UserCidr number is greater than 3." Documented "More than three user blocks.";
    IPV6_UNSUPPORTED = 400 "OperationUnsupported.Ipv6Feature" "The IPv6 feature is not supported in the region." Documented "EnableIpv6=true, or an IPv6 block.";
    IPAM_UNSUPPORTED = 400 "UnsupportedFeature.IPAM" "VPCs cannot be created by using IPAM." Documented "An IPAM pool is named.";
    IPAM_REGION = 400 "UnsupportedFeature.Ipam" "IPAM is not supported in this region." Documented "AssociateVpcCidrBlock: an IPAM pool is named.";
    VPC_IDS_NUMBER = 400 "InvalidVpcIdNumber.NotSupported" "The number of vpcIds exceeds the limit." Documented "More than 20 VPC ids.";
    BLOCK_IP_VERSION = 400 "IllegalParam.IpVersion" "%s" Documented "AssociateVpcCidrBlock: IpVersion is neither IPV4 nor IPV6. (The code is documented, the message is the detail.)";
    BLOCK_MISSING = 400 "MissingParam.SecondaryCidrBlockOrIpv6CidrBlock" "Either SecondaryCidrBlock or Ipv6CidrBlock must be specified." Documented "No block is named.";
    BLOCK_MALFORMED = 400 "InvalidCidrBlock.Malformed" "Specified CIDR block is not valid." Documented "AssociateVpcCidrBlock: the block cannot be read or has host bits.";
    BLOCK_MASK = 400 "OperationDenied.MaskOfCidrIsNotAllowed" "The input mask or mask of the input CIDR is not allowed." Documented "AssociateVpcCidrBlock: the mask is not between 8 and 28.";
    BLOCK_ILLEGAL = 400 "IllegalParam.SecondaryCidrBlock" "%s" Documented "The block lies in a reserved range, overlaps a block of the VPC, or is no further block of it. (The code is documented, the message is the detail; that UnassociateVpcCidrBlock answers it too is our choice.)";
    BLOCK_EXISTS = 400 "InvalidCidrBlock" "Specified CIDR block is already exists." Documented "AssociateVpcCidrBlock: the VPC has the block.";
    BLOCK_QUOTA = 400 "QuotaExceeded.VpcMultiCidr" "%s" Documented "The VPC has as many further blocks as it may. (The code is documented, the message is the detail.)";
    BLOCK_VPC_NOT_FOUND = 400 "InvalidVpc.NotFound" "%s" Documented "AssociateVpcCidrBlock: no such VPC, or another account's. (The code is documented, the message is the detail.)";
    BLOCK_VPC_STATUS = 400 "IncorrectStatus.Vpc" "%s" Documented "AssociateVpcCidrBlock: the VPC is still Pending. (The code is documented, the message is the detail.)";
    CLASSIC_LINK_STATUS = 404 "IncorrectClassicLinkStatus" "Specified VPC classicLink enabled." Documented "EnableVpcClassicLink: it is on.";
    DEFAULT_VPC_EXISTS = 400 "OperationDenied.DefaultVpcExists" "The account has a default VPC in the specified region." Ours "CreateDefaultVpc: there is one.";
    NO_DEFAULT_VPC = 400 "OperationDenied.NoDefaultVpc" "The account has no default VPC in the specified region." Ours "CreateDefaultVSwitch: there is no VPC for it.";
    DEFAULT_VSWITCH_EXISTS = 400 "OperationDenied.DefaultVSwitchExists" "The account has a default virtual switch in the specified zone." Ours "CreateDefaultVSwitch: there is one.";
    ROUTE_TABLE_NOT_FOUND = 400 "Abs.InvalidRouteTableId.NotExist" "The route table id is not exist." Documented "ModifyRouteTableAttributes: no such route table, or another account's.";
    ROUTE_TABLE_NOT_FOUND_READ = 404 "InvalidRouteTableId.NotFound" "Specified route table does not exist." Ours "DescribeRouteEntryList: no such route table, or another account's.";
    ROUTE_TABLE_VPC_STATUS = 400 "IncorrectStatus.Vpc" "Vpc status is invalid." Documented "ModifyRouteTableAttributes: the VPC is still Pending.";
    ROUTE_TABLE_NAME = 400 "Abs.InvaliTableName.Malformed" "Table name format is invalid." Documented "The route table's name breaks the rules.";
    ROUTE_TABLE_DESCRIPTION = 400 "InvalidDescription.Malformed" "Description format is invalid." Documented "The route table's description breaks the rules.";
    VPC_HAS_VSWITCH = 400 "DependencyViolation.VSwitch" "Specified object has dependent resources" Documented "The VPC still has vSwitches.";
    VPC_HAS_GATEWAY = 400 "DependencyViolation.Tunnel" "Specified object has dependent tunnel." Documented "The VPC still has VPN gateways. (The code is documented; that it stands for gateways is our choice.)";
    ZONE_NOT_FOUND = 404 "InvalidZoneId.NotFound" "Specified zone does not exist." Documented "No such zone in the VPC's region.";
    ZONES_REGION = 404 "InvalidRegionId.NotFound" "The RegionId provided does not exist in our records." Documented "DescribeZones: RegionId is unknown.";
    VSWITCH_NOT_FOUND = 404 "InvalidVSwitchId.NotFound" "VSwitch not exist." Documented "No such vSwitch, or another account's.";
    VSWITCH_NOT_FOUND_READ = 404 "InvalidVSwitchId.NotFound" "Specified VSwitch can not found." CodeOnly "DescribeVSwitchAttributes: no such vSwitch, or another account's. (The page says 400; clients that wait until a vSwitch is gone know 404 alone, and they win.)";
    VSWITCH_NOT_FOUND_MODIFY = 404 "InvalidVSwitchId.NotFound" "The specified virtual switch does not exists." Documented "ModifyVSwitchAttribute: no such vSwitch, or another account's.";
    VPC_CIDR_MODIFY = 400 "InvalidCidrBlock.Malformed" "Specified CIDR block is not valid." Documented "ModifyVpcAttribute: the block breaks the rules, or a vSwitch would lie outside it.";
    VSWITCH_STATUS = 400 "IncorrectVSwitchStatus" "The current virtual switch status does not support this operation." Documented "The vSwitch is still Pending.";
    VSWITCH_SIMULTANEOUS = 400 "IncorrectVSwitchStatus" "VSwitch Creation simultaneously is not supported." Documented "Another vSwitch of the VPC is being created.";
    VSWITCH_NAME = 400 "InvalidVSwitchName.Malformed" "Specified virtual switch name is not valid." Documented "The vSwitch's name breaks the rules.";
    VSWITCH_DESCRIPTION = 400 "InvalidVSwitchDiscription.Malformed" "Specified virtual switch description is not valid." Documented "The vSwitch's description breaks the rules.";
    VSWITCH_CIDR = 400 "InvalidCidrBlock.Malformed" "Specified CIDR block is not valid." Documented "The block cannot be read or has host bits.";
    VSWITCH_CIDR_MASK = 400 "InvalidCirdrBlock.MaskLength" "Specified CIDR block is not valid ." Documented "The mask is not between 16 and 29.";
    VSWITCH_CIDR_OUTSIDE = 400 "InvalidParameter" "Specified CIDR block is not valid in VPC." Documented "The block is not inside the VPC's.";
    VSWITCH_CIDR_ROUTE = 400 "InvalidCidrBlock.Overlapped" "Specified CIDR block overlapped with other entry." Documented "The block is that of a route which a VPN gateway publishes to the route table of the VPC.";
    VSWITCH_CIDR_OVERLAP = 400 "InvalidCidrBlock.Overlapped" "Specified CIDR block overlapped with other subnets." Documented "The block overlaps another vSwitch's.";
    VSWITCH_QUOTA = 400 "QuotaExceeded.VSwitch" "Virtual switch quota exceeded." Documented "The VPC has as many vSwitches as it may.";
    VSWITCH_IN_USE = 400 "DependencyViolation" "Specified object has dependent resources." Documented "A gateway stands in the vSwitch.";

    // Tags.
    TAG_QUOTA = 400 "QuotaExceeded.TagsPerResource" "The number of tags on the resource (%s) exceeds the limit." Ours "A resource would get more tags than it may have.";
    TAG_FILTER = 400 "MissingParam.ResourceIdOrTag" "At least one of ResourceId.N and Tag.N must be given." Ours "ListTagResources without either.";

    // Certificates.
    CERTIFICATE_STATE = 409 "Rejected.StateModifiedFailed" "Keystate modified failed." Documented "The certificate's state does not allow the change. (Documented for keys; that it stands for certificates is our choice.)";
    CERTIFICATE_IN_USE = 409 "Rejected.CertificateInUse" "The certificate is bound to VPN gateway %s: dissociate it first." Ours "A bound certificate is not deleted.";
    CERTIFICATE_NOT_EXPORTABLE = 409 "Rejected.NotExportable" "The private key of the certificate was made so that it is not exported." Ours "ExportCertificate of a certificate made with ExportablePrivateKey=false.";
    CERTIFICATE_QUOTA = 400 "Rejected.LimitExceeded" "The request was rejected because user create resource limit was exceeded." Documented "The account has as many certificates as it may.";

    // Cas, of which no codes are published.
    CAS_ILLEGAL = 400 "InvalidParameter.<Param>" "The specified parameter \"<Param>\" is not valid." Ours "Cas: a bad value; the text that follows says what is wrong with it.";
    CAS_NOT_FOUND = 404 "NotFound" "The specified resource is not found." CodeOnly "Cas: no such certificate or request, or another account's. (Terraform takes this code for gone; status and message are ours.)";
    CAS_NAME_TAKEN = 400 "Duplicated.Name" "The specified name is used by another certificate of the account." Ours "UploadUserCertificate: the account has a certificate of this name.";
    CAS_CERTIFICATE_QUOTA = 400 "QuotaExceeded.Certificate" "The account has as many certificates as it may have." Ours "UploadUserCertificate: the account has as many certificates, in Kms and Cas together, as it may.";
    CAS_CSR_QUOTA = 400 "QuotaExceeded.Csr" "The account has as many certificate requests as it may have." Ours "CreateCsr, UploadCsr: the account has as many requests as it may.";

    // Ram: users, access keys and groups.
    RAM_INVALID_CHARS = 400 "InvalidParameter.<Param>.InvalidChars" "The parameter - \"<Param>\" contains invalid chars." Documented "Ram: a name or text holds characters that it may not.";
    RAM_LENGTH = 400 "InvalidParameter.<Param>.Length" "The parameter - \"<Param>\" beyond the length limit." Documented "Ram: a name, text or document is too long.";
    RAM_FORMAT = 400 "InvalidParameter.<Param>.Format" "The format of the parameter - \"<Param>\" is incorrect." Documented "Ram: a telephone number, mail address or version id is not of its form.";
    USER_NOT_FOUND = 404 "EntityNotExist.User" "The user does not exist." Documented "No such RAM user, or another account's.";
    USER_EXISTS = 409 "EntityAlreadyExists.User" "The user does already EXIST." Documented "Another user of the account has the name; case makes no difference.";
    USER_QUOTA = 409 "LimitExceeded.User" "The count of users beyond the current limits." Documented "The account has as many users as it may.";
    USER_IN_GROUP = 409 "DeleteConflict.User.Group" "The user CAN NOT be in any group while deleting the user." Documented "DeleteUser: the user is in a group.";
    USER_HAS_KEY = 409 "DeleteConflict.User.AccessKey" "The user CAN NOT has any access key while deleting the user." Documented "DeleteUser: the user has an access key, active or not.";
    USER_HAS_POLICY = 409 "DeleteConflict.User.Policy" "The user CAN NOT has any attached policy while deleting the user." Documented "DeleteUser: a policy is attached to the user.";
    LOGIN_PROFILE_NOT_FOUND = 404 "EntityNotExist.User.LoginProfile" "The user login profile does not exist." Documented "The user has no login profile; none has one here.";
    MFA_DEVICE_NOT_FOUND = 404 "EntityNotExist.User.MFADevice" "The user has not bound any MFA device." Documented "The user has no MFA device; none has one here.";
    KEY_NOT_FOUND = 404 "EntityNotExist.User.AccessKey" "The user access key does not exist." Documented "The user, or the account, has no such access key.";
    KEY_QUOTA = 409 "LimitExceeded.User.AccessKey" "The access key count of the user access keys beyond the current limits." Documented "The user, or the account, has as many access keys as it may.";
    GROUP_NOT_FOUND = 404 "EntityNotExist.Group" "The group does not exist." Documented "No such group, or another account's.";
    GROUP_EXISTS = 409 "EntityAlreadyExists.Group" "The group does already EXIST." Documented "Another group of the account has the name; case makes no difference.";
    GROUP_QUOTA = 409 "LimitExceeded.Group" "The count of groups beyond the current limits." Documented "The account has as many groups as it may.";
    GROUP_HAS_USER = 409 "DeleteConflict.Group.User" "The group CAN NOT has any user member while deleting the group." Documented "DeleteGroup: a user is in the group.";
    GROUP_HAS_POLICY = 409 "DeleteConflict.Group.Policy" "The entity CAN NOT has any attached policy while deleting the group." Documented "DeleteGroup: a policy is attached to the group.";
    MEMBER_EXISTS = 409 "EntityAlreadyExists.User.Group" "The user has already joined the group." Documented "AddUserToGroup: the user is in the group.";
    MEMBER_QUOTA = 409 "LimitExceeded.User.Group" "The count of groups the target user joined beyond the current limits." Documented "The user is in as many groups as it may be.";
    MEMBER_NOT_FOUND = 404 "EntityNotExist.User.Group" "The user has not joined the group." Documented "RemoveUserFromGroup: the user is not in the group.";

    // Ram: roles, policies and attachments.
    MALFORMED_POLICY = 400 "MalformedPolicyDocument" "%s" Documented "Ram: a policy document breaks the rules of its language; the message says where. (The code is documented, the message is the detail.)";
    ROLE_NOT_FOUND = 404 "EntityNotExist.Role" "The role does not exist." Documented "No such role, or another account's. (That the operations about deletion tasks answer it too is our choice.)";
    ROLE_EXISTS = 409 "EntityAlreadyExists.Role" "The role does already EXIST." Documented "Another role of the account has the name; case makes no difference.";
    ROLE_QUOTA = 409 "LimitExceeded.Role" "The count of roles beyond the current limits." Documented "The account has as many roles as it may.";
    ROLE_NAME_CHARS = 400 "InvalidParameter.RoleName.InvalidChars" "The parameter - \"RoleNam\" contains invalid chars." Documented "DeleteRole: as for other names, spelt as its page spells it.";
    ROLE_HAS_POLICY = 409 "DeleteConflict.Role.Policy" "The role CAN NOT has any attached policy while deleting the role." Documented "DeleteRole: a policy is attached to the role.";
    OF_A_SERVICE = 403 "NoPermission" "You are not authorized to do this action. The role or policy belongs to a service, which alone may change or attach it." Ours "A service-linked role, or the policy of one, is to be changed, deleted, attached or detached by a caller.";
    POLICY_NOT_FOUND = 404 "EntityNotExist.Policy" "The policy does not exist." Documented "No such policy of that type, or another account's.";
    POLICY_EXISTS = 409 "EntityAlreadyExists.Policy" "The group does already EXIST." Documented "Another custom policy of the account has the name; case makes no difference. (The message is the vendor's.)";
    POLICY_QUOTA = 409 "LimitExceeded.Policy" "The count of policy beyond the current limits." Documented "The account has as many custom policies as it may.";
    POLICY_HAS_USER = 409 "DeleteConflict.Policy.User" "The policy CAN NOT been attached to any user while deleting the policy." Documented "DeletePolicy: the policy is attached to a user.";
    POLICY_HAS_GROUP = 409 "DeleteConflict.Policy.Group" "The policy CAN NOT been attached to any group while deleting the policy." Documented "DeletePolicy: the policy is attached to a group.";
    POLICY_HAS_ROLE = 409 "DeleteConflict.Policy.Role" "The policy CAN NOT been attached to any role while deleting the policy." CodeOnly "DeletePolicy: the policy is attached to a role.";
    POLICY_HAS_VERSION = 409 "DeleteConflict.Policy.Version" "The policy CAN NOT has any version except the default version." Documented "DeletePolicy without CascadingDelete: the policy has further versions.";
    POLICY_DESCRIPTION_LENGTH = 400 "InvalidParameter.Description.Length" "The parameter - \"Description\" beyond the length limit." Documented "UpdatePolicyDescription: NewDescription is too long, spelt as its page spells it.";
    VERSION_NOT_FOUND = 404 "EntityNotExist.Policy.Version" "The policy version does not exist." Documented "The policy has no such version.";
    VERSION_QUOTA = 409 "LimitExceeded.Policy.Version" "The count of policy version beyond the current limits." Documented "The policy has as many versions as it may.";
    VERSION_DEFAULT = 409 "DeleteConflict.Policy.Version.Default" "The default policy version CAN NOT been deleted directly." Documented "DeletePolicyVersion: the version is in force.";
    USER_POLICY_EXISTS = 409 "EntityAlreadyExists.User.Policy" "The user has already been attached this policy." Documented "The policy is attached to the user already.";
    USER_POLICY_QUOTA = 409 "LimitExceeded.User.Policy" "The policy count of the user attached policies beyond the current limits." Documented "The user has as many policies as it may.";
    USER_POLICY_NOT_FOUND = 404 "EntityNotExist.User.Policy" "The indicate policy of the user does not exist." Documented "The policy is not attached to the user.";
    GROUP_POLICY_EXISTS = 409 "EntityAlreadyExists.Group.Policy" "The group has already been attached this policy." Documented "The policy is attached to the group already.";
    GROUP_POLICY_QUOTA = 409 "LimitExceeded.Group.Policy" "The policy count of the group beyond the current limits." Documented "The group has as many policies as it may.";
    GROUP_POLICY_NOT_FOUND = 404 "EntityNotExist.Group.Policy" "The indicate policy attached to the group does not exist." Documented "The policy is not attached to the group.";
    ROLE_POLICY_EXISTS = 409 "EntityAlreadyExists.Role.Policy" "The role has already been attached this policy." Ours "The policy is attached to the role already. (The code follows the pattern of the other two.)";
    ROLE_POLICY_QUOTA = 409 "LimitExceeded.Role.Policy" "The count of policies attached to the role beyond the current limits." Documented "The role has as many policies as it may.";
    ROLE_POLICY_NOT_FOUND = 404 "EntityNotExist.Role.Policy" "The indicate policy attached to the role does not exist." CodeOnly "The policy is not attached to the role.";
}

/// A refusal on its way to the caller.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The code in the catalogue.
    pub code: &'static Code,
    /// What fills `<Param>`.
    parameter: Option<Cow<'static, str>>,
    /// What fills `%s`.
    value: Option<String>,
    /// What is said after the message.
    detail: Option<String>,
    /// Why permission was refused, for clients that read it.
    pub access_denied: Option<Map<String, Value>>,
}

impl Refusal {
    /// A refusal without anything to fill in.
    #[must_use]
    pub fn new(code: &'static Code) -> Self {
        Self { code, parameter: None, value: None, detail: None, access_denied: None }
    }

    /// Fills the slot `<Param>`.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.parameter = Some(name.into());
        self
    }

    /// Fills the slot `%s`. Long values are cut: what a caller sent is echoed, not mirrored.
    #[must_use]
    pub fn value(mut self, value: &str) -> Self {
        const SHOWN: usize = 128;
        self.value = Some(match value.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}...", &value[..end]),
            None => value.to_owned(),
        });
        self
    }

    /// Fills the slot `%s` with a text that must stay whole, such as a string to sign.
    #[must_use]
    pub fn whole_value(mut self, value: String) -> Self {
        self.value = Some(value);
        self
    }

    /// Says more after the documented message.
    #[must_use]
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The code as it goes out.
    #[must_use]
    pub fn code(&self) -> Cow<'static, str> {
        match &self.parameter {
            Some(name) if self.code.code.contains("<Param>") => {
                self.code.code.replace("<Param>", name).into()
            }
            _ => self.code.code.into(),
        }
    }

    /// The message as it goes out.
    #[must_use]
    pub fn message(&self) -> String {
        let mut message = self.code.message.to_owned();
        if let Some(name) = &self.parameter {
            message = message.replace("<Param>", name);
        }
        if let Some(value) = &self.value {
            message = message.replacen("%s", value, 1);
        }
        if let Some(detail) = &self.detail {
            message.push(' ');
            message.push_str(detail);
        }
        message
    }
}

impl From<&'static Code> for Refusal {
    fn from(code: &'static Code) -> Self {
        Self::new(code)
    }
}

impl From<tongguan_model::gateway::Refusal> for Refusal {
    fn from(refusal: tongguan_model::gateway::Refusal) -> Self {
        use tongguan_model::gateway::Refusal as Rule;
        Self::new(match refusal {
            Rule::Configuring => &GATEWAY_CONFIGURING,
            Rule::NotNationalStandard => &GATEWAY_NOT_SM,
            Rule::CertificateNotBindable => &CERTIFICATE_NOT_BINDABLE,
            Rule::CertificateUsage => &CERTIFICATE_USAGE,
            Rule::CertificateDuplicated => &CERTIFICATE_DUPLICATED,
            Rule::RoleOccupied => &ROLE_OCCUPIED,
            Rule::NotBound => &NOT_BOUND,
            Rule::PaidTerm => &GATEWAY_PAID_TERM,
            Rule::FinancialLocked => &GATEWAY_LOCKED,
            Rule::NoIpsec => &GATEWAY_WITHOUT_IPSEC,
            Rule::CertificatesMissing => &GATEWAY_WITHOUT_CERTIFICATES,
            Rule::HasConnections => &GATEWAY_HAS_CONNECTIONS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled_and_long_values_cut() {
        let missing = Refusal::new(&MISSING).parameter("VpnGatewayId");
        assert_eq!(missing.code(), "MissingVpnGatewayId");
        assert_eq!(missing.message(), "VpnGatewayId is mandatory for this action.");
        let illegal = Refusal::new(&ILLEGAL).parameter("Bandwidth").value(&"通".repeat(200));
        assert_eq!(illegal.code(), "IllegalParam.Bandwidth");
        assert!(illegal.message().len() < 500);
    }

    #[test]
    fn a_signature_message_has_one_colon_before_the_string() {
        // SDKs take the text after the first colon.
        let message = Refusal::new(&SIGNATURE_MISMATCH).whole_value("GET&%2F&a%3Db".into()).message();
        assert_eq!(message.split_once(':').unwrap().1, "GET&%2F&a%3Db");
    }

    #[test]
    fn no_message_names_another_code() {
        // Terraform takes a code found in a message for the answer's own.
        for code in ALL {
            for other in ALL.iter().filter(|other| other.code.contains('.')) {
                assert!(!code.message.contains(other.code), "{} names {}", code.code, other.code);
            }
        }
    }
}
