//! Whether a principal may do something: policies combined as the RAM documentation says.
//!
//! The account itself may do everything. A RAM user may do what its policies and those of its groups allow; a
//! role session what the role's policies *and* its session policy allow. A Deny anywhere wins. Source:
//! `docs/api/ram-policy.md`, section 2.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::net::IpAddr;

use serde_json::{Map, Value};
use tongguan_model::policy::{
    AccessRequest, Budget, ConditionKeys, Decision, Exhausted, PolicySet, ResourceKeys, is_of_resource,
};
use tongguan_model::principal::{Identity, Principal};
use tongguan_model::{region, service_role};
use tongguan_store::{StoreError, TagFilter};

use crate::args::Args;
use crate::catalogue::{self, Refusal};
use crate::context::{Context, iso8601};
use crate::operation::{Condition, Failure, Operation, Part, Product};
use crate::seldom::Seldom;

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Address of the client.
    pub address: IpAddr,
    /// Whether it came over TLS.
    pub secure: bool,
}

impl Peer {
    /// The address as a text, for the audit record of every call.
    pub(crate) fn source(self) -> String {
        let IpAddr::V4(address) = self.address else { return self.address.to_string() };
        // What the standard library writes, without its formatting.
        let mut text = String::with_capacity("255.255.255.255".len());
        for (at, octet) in address.octets().into_iter().enumerate() {
            if at > 0 {
                text.push('.');
            }
            for (unit, least) in [(100, 100), (10, 10), (1, 0)] {
                if octet >= least {
                    text.push(char::from(b'0' + octet / unit % 10));
                }
            }
        }
        text
    }
}

/// Resources of one call whose tags are asked about, or as many as a call may tag, if that is more: further ones are
/// refused by the operations.
const NAMED: usize = 100;
/// Bytes of a condition value that comes from a parameter: those of the longest ExternalId.
const LONGEST_VALUE: usize = 1_224;

/// What of tags a condition key names.
const REQUEST_TAG: &str = "acs:requesttag/";
const RESOURCE_TAG: &str = "acs:resourcetag/";

/// Under which circumstances something is asked for.
#[derive(Debug, Clone)]
pub struct Circumstances<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// From where.
    pub peer: Peer,
    /// When, UNIX milliseconds.
    pub now_ms: i64,
    /// Further condition keys of the call in lower case, with their values.
    pub keys: &'a [(&'a str, &'a str)],
    /// The call's own tags.
    pub tags: &'a [TagFilter],
    /// Values that are written out when they are asked for.
    pub written: Written,
}

/// Values of condition keys that are made when they are first used, since most policies do not use them, and
/// kept, since others ask a thousand times.
#[derive(Debug, Clone, Default)]
pub struct Written {
    address: OnceCell<String>,
    time: OnceCell<String>,
    principal: OnceCell<String>,
}

/// The resources that a call names, for `acs:ResourceTag/<key>`. Keys are compared without case, as all condition
/// keys are. Resources with the same values for all keys that the policies mention are one.
struct Resources<'a> {
    context: &'a Context,
    principal: &'a Principal,
    named: Vec<&'a str>,
    kinds: OnceCell<Vec<Vec<Tag>>>,
    /// Set when tags could not be read: then nothing is decided.
    unread: Cell<bool>,
}

/// Key in lower case, and value.
type Tag = (String, String);

impl Resources<'_> {
    /// The tags that the policies mention, each set of them once.
    fn kinds(&self) -> &[Vec<Tag>] {
        self.kinds.get_or_init(|| {
            let mut kinds = self.read().unwrap_or_else(|error| {
                tracing::warn!(%error, "the tags of a resource cannot be read");
                self.unread.set(true);
                Vec::new()
            });
            kinds.sort_unstable();
            kinds.dedup();
            // A call that names no resource is asked for once, without tags.
            if kinds.is_empty() { vec![Vec::new()] } else { kinds }
        })
    }

    fn read(&self) -> Result<Vec<Vec<Tag>>, StoreError> {
        let sets = sets(self.principal);
        let mentioned = |key: &str| sets.clone().any(|(set, _)| set.resource_keys().contains(key));
        let account = &self.principal.account;
        self.context.store.read(|snapshot| {
            let tags_of = |id: &&str| {
                let tags = match snapshot.region_of(account, id)? {
                    Some(_) => snapshot.tags_of(id)?,
                    None => Vec::new(),
                };
                let tags = tags.into_iter().map(|tag| (tag.key.to_ascii_lowercase(), tag.value));
                Ok(tags.filter(|(key, _)| mentioned(&format!("{RESOURCE_TAG}{key}"))).collect())
            };
            self.named.iter().map(tags_of).collect()
        })
    }
}

impl ResourceKeys for Resources<'_> {
    fn count(&self) -> usize {
        self.kinds().len()
    }

    fn values(&self, resource: usize, key: &str, each: &mut dyn FnMut(&str)) {
        let Some(key) = key.strip_prefix(RESOURCE_TAG) else { return };
        let tags = self.kinds()[resource].iter();
        tags.filter(|(known, _)| known == key).for_each(|(_, value)| each(value));
    }
}

/// The sets of policies that must allow what a principal does; none for the account itself.
fn sets(principal: &Principal) -> impl Iterator<Item = (&PolicySet, DeniedBy)> + Clone {
    let sets: [Option<(&PolicySet, DeniedBy)>; 2] = match &principal.identity {
        Identity::Root => [None, None],
        Identity::User { policies, .. } => [None, Some((policies, DeniedBy::Identity))],
        Identity::Session(session) => [
            session.restriction.as_deref().map(|set| (set, DeniedBy::Session)),
            Some((&session.policies, DeniedBy::Identity)),
        ],
    };
    sets.into_iter().flatten()
}

/// Why something is not permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPermitted {
    /// The policies say so.
    Denied(Denial),
    /// The policies need more steps than a decision may take: nothing is allowed by them.
    TooCostly,
}

/// Why something is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// A Deny, or no Allow.
    pub explicit: bool,
    /// Whose policies said so.
    pub by: DeniedBy,
}

/// Whose policies refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeniedBy {
    /// Those of the user, its groups, or the role.
    Identity,
    /// The session's own.
    Session,
    /// The role's trust policy.
    Trust,
}

impl DeniedBy {
    /// `PolicyType` of the answer.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "AccountLevelIdentityBasedPolicy",
            Self::Session => "SessionPolicy",
            Self::Trust => "AssumeRolePolicy",
        }
    }
}

/// Values are made when a condition asks for them: most policies ask for none.
impl ConditionKeys for Circumstances<'_> {
    fn values(&self, key: &str, each: &mut dyn FnMut(&str)) {
        let written = &self.written;
        match key {
            "acs:sourceip" => {
                each(written.address.get_or_init(|| self.peer.address.to_canonical().to_string()));
            }
            "acs:securetransport" => each(if self.peer.secure { "true" } else { "false" }),
            "acs:currenttime" => each(written.time.get_or_init(|| iso8601(self.now_ms))),
            "acs:mfapresent" => each("false"),
            "acs:principalarn" => each(written.principal.get_or_init(|| self.principal.arn())),
            "acs:sourceidentity" => self.held_identity().into_iter().for_each(each),
            "acs:tokenissuetime" => {
                let session = self.principal.session();
                session.into_iter().for_each(|session| each(&iso8601(session.issued_ms)));
            }
            // What a session has it cannot change: nothing else is asked about, whatever the call says.
            "sts:sourceidentity" if self.held_identity().is_some() => {
                self.held_identity().into_iter().for_each(each);
            }
            // Of what the call names, see [`Resources`].
            _ if is_of_resource(key) => {}
            _ => match key.strip_prefix(REQUEST_TAG) {
                Some(key) => {
                    let named = self.tags.iter().filter(|tag| tag.key.eq_ignore_ascii_case(key));
                    named.for_each(|tag| each(tag.value.as_deref().unwrap_or_default()));
                }
                None => {
                    self.keys.iter().filter(|(known, _)| *known == key).for_each(|(_, value)| each(value));
                }
            },
        }
    }
}

/// A call that names no resource.
struct NoResource;

impl ResourceKeys for NoResource {
    fn count(&self) -> usize {
        1
    }

    fn values(&self, _: usize, _: &str, _: &mut dyn FnMut(&str)) {}
}

impl Circumstances<'_> {
    /// The source identity of the session that asks.
    fn held_identity(&self) -> Option<&str> {
        self.principal.session()?.source_identity.as_deref()
    }

    /// Whether `action` is allowed on `resource`, which has no tags.
    ///
    /// # Errors
    /// Why not.
    pub fn permit(&self, action: &str, resource: &str) -> Result<(), NotPermitted> {
        self.permit_all(action, resource, &NoResource, &Budget::default())
    }

    fn permit_all(
        &self,
        action: &str,
        resource: &str,
        resources: &dyn ResourceKeys,
        budget: &Budget,
    ) -> Result<(), NotPermitted> {
        for (set, by) in sets(self.principal) {
            let request = AccessRequest { action, resource, context: self };
            match set.decide_all(&request, resources, budget) {
                Ok(Decision::Allow) => {}
                Ok(Decision::ExplicitDeny) => {
                    return Err(NotPermitted::Denied(Denial { explicit: true, by }));
                }
                Ok(Decision::ImplicitDeny) => {
                    return Err(NotPermitted::Denied(Denial { explicit: false, by }));
                }
                Err(Exhausted) => return Err(NotPermitted::TooCostly),
            }
        }
        Ok(())
    }
}

impl NotPermitted {
    /// The refusal, in the words of the product that was called. Says in the log whose policies are too costly.
    #[must_use]
    pub fn refusal(self, product: Product, principal: &Principal, action: &str) -> Refusal {
        match self {
            Self::Denied(denial) => denial.refusal(product, principal, action),
            Self::TooCostly => too_costly(principal, action),
        }
    }
}

/// The refusal for policies that need more steps than a decision may take. Metrics count it by its code.
pub(crate) fn too_costly(principal: &Principal, action: &str) -> Refusal {
    static COSTLY: Seldom = Seldom::new();
    if COSTLY.now() {
        tracing::warn!(
            account = %principal.account, principal = principal.label(), action,
            "a call is refused: its policies need more than {} steps", Budget::STEPS
        );
    }
    Refusal::new(&catalogue::RIGHTS_TOO_COSTLY)
}

impl Denial {
    /// The refusal, in the words of the product that was called.
    #[must_use]
    pub fn refusal(self, product: Product, principal: &Principal, action: &str) -> Refusal {
        self.explained(Refusal::new(product.conventions().forbidden), principal, action)
    }

    /// Adds to a refusal why permission was denied, as clients read it.
    #[must_use]
    pub fn explained(self, mut refusal: Refusal, principal: &Principal, action: &str) -> Refusal {
        let (kind, name) = match &principal.identity {
            // Not reached by policies: the account is refused by a rule of the operation.
            Identity::Root => ("Account", principal.account.to_string()),
            Identity::User { id, .. } => ("SubUser", id.clone()),
            Identity::Session(session) => {
                ("AssumedRoleUser", format!("{}:{}", session.role_id, session.name))
            }
        };
        let members: [(&str, &str); 6] = [
            ("AuthAction", action),
            ("AuthPrincipalType", kind),
            ("AuthPrincipalOwnerId", principal.account.as_str()),
            ("AuthPrincipalDisplayName", &name),
            ("NoPermissionType", if self.explicit { "ExplicitDeny" } else { "ImplicitDeny" }),
            ("PolicyType", self.by.as_str()),
        ];
        let members = members.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
        refusal.access_denied = Some(members.collect::<Map<_, _>>());
        refusal
    }
}

/// Refuses what the principal's policies do not allow.
pub(crate) fn authorise(
    context: &Context,
    operation: &'static Operation,
    args: &Args<'_>,
    principal: &Principal,
    peer: Peer,
    now_ms: i64,
) -> Result<(), Failure> {
    let Some(action) = operation.permission else { return Ok(()) };
    if matches!(principal.identity, Identity::Root) {
        return Ok(());
    }
    let keys = keys(operation, args);
    let tags = args.request_tags()?;
    // Tags are those of one resource: a call that names several must be allowed for each.
    // A role may be called like a gateway and has not its tags.
    let subject = operation.subject.filter(|_| operation.product.conventions().tagged);
    let mut named = subject.map(|subject| args.named(subject)).unwrap_or_default();
    let tagged = context.settings.quotas.tagged_resources_per_call;
    named.truncate(usize::try_from(tagged).unwrap_or(usize::MAX).max(NAMED));
    let resources = Resources { context, principal, named, kinds: OnceCell::new(), unread: Cell::new(false) };
    let written = Written::default();
    let circumstances = Circumstances { principal, peer, now_ms, keys: &keys, tags: &tags, written };
    // One budget for the whole call.
    let budget = Budget::default();
    // All of them must be allowed.
    for parts in operation.arns {
        let arn = arn(context, parts, principal, args)?;
        let permitted = circumstances.permit_all(action, &arn, &resources, &budget);
        if resources.unread.get() {
            return Err(Failure::Unavailable("tags cannot be read".to_owned()));
        }
        permitted.map_err(|reason| reason.refusal(operation.product, principal, action))?;
    }
    Ok(())
}

/// Condition keys that come from the call's own parameters.
fn keys<'a>(operation: &Operation, args: &Args<'a>) -> Vec<(&'static str, &'a str)> {
    let value = |condition: &Condition| {
        let value = args.bare(condition.parameter)?;
        if condition.service_of_role {
            return service_role::of_role(value).map(|service| service.name);
        }
        // Longer ones are refused by the operations, and would make matching expensive.
        Some(value).filter(|value| value.len() <= LONGEST_VALUE)
    };
    operation.conditions.iter().filter_map(|known| Some((known.key, value(known)?))).collect()
}

/// An ARN that an operation's permission is checked on: slots filled from the call. What the call does not name is
/// `*`, which only a pattern covers that covers everything there.
fn arn(
    context: &Context,
    parts: &'static [Part],
    principal: &Principal,
    args: &Args<'_>,
) -> Result<Cow<'static, str>, StoreError> {
    if let [Part::Text(whole)] = parts {
        return Ok((*whole).into());
    }
    let mut arn = String::with_capacity(96);
    for part in parts {
        match *part {
            Part::Text(text) => arn.push_str(text),
            Part::Account => arn.push_str(principal.account.as_str()),
            Part::PolicyOwner => {
                let system = args.bare("PolicyType") == Some("System");
                arn.push_str(if system { "system" } else { principal.account.as_str() });
            }
            Part::Region { of } => arn.push_str(region(context, of, principal, args)?),
            Part::Parameter(name) => arn.push_str(match (args.bare(name), &principal.identity) {
                (Some(value), _) => cut(value),
                // Calls about one's own keys name nobody.
                (_, Identity::User { name: user, .. }) if name == "UserName" => user,
                _ => "*",
            }),
        }
    }
    Ok(arn.into())
}

/// A value as it stands in an ARN. No name is that long; more of it would only make matching expensive.
fn cut(value: &str) -> &str {
    const LONGEST: usize = 256;
    value.get(..LONGEST).unwrap_or(if value.len() > LONGEST { "*" } else { value })
}

/// The region in an ARN. A resource that the call names lies where it lies, whatever region the call says: else
/// a Deny for one region could be passed by naming none, or another.
fn region(
    context: &Context,
    of: Option<&'static str>,
    principal: &Principal,
    args: &Args<'_>,
) -> Result<&'static str, StoreError> {
    // What is no region is refused later; it must not stand in an ARN, where it could look like several parts.
    let named = args.bare("RegionId").and_then(region::find).map(|region| region.id);
    let own = args.operation().product.conventions().own_region;
    if let Some(named) = named
        && !own
    {
        return Ok(named);
    }
    if let Some(id) = of.and_then(|parameter| args.bare(parameter)) {
        let account = &principal.account;
        let found = context.store.read(|snapshot| snapshot.region_of(account, id))?;
        if let Some(region) = found.and_then(|region| region::find(region.as_str())) {
            return Ok(region.id);
        }
    }
    Ok(named.unwrap_or(if own { context.settings.default_region.id } else { "*" }))
}
