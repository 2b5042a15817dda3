//! Does a certificate belong to a key, and do certificates form a chain?
//!
//! Path validation after RFC 5280, 6, cut down to what an uploaded chain needs. There is no trust
//! anchor, so the question is consistency. The order of checks is fixed: names first, so that a
//! shuffled chain is called shuffled and not badly signed; then what issuers may do; then signatures;
//! then name constraints; then dates.
//!
//! Of RFC 5280 are not done: policies (any policy is as good as another, so policyConstraints, policyMappings and
//! inhibitAnyPolicy decide nothing; a *critical* one of these is refused as unknown), revocation, and name constraints
//! on forms other than DNS names and directory names (critical ones are refused as unknown).

use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::oid::db::rfc5280;
use x509_cert::ext::pkix::NameConstraints;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

use crate::certificate::MAX_CHAIN;
use crate::{Certificate, PkiError, PublicKey, name};

/// Critical extensions this crate processes or may ignore: usages are the business of the user of the
/// key, and policies are accepted whatever they are (the initial policy set is any-policy).
const KNOWN_CRITICAL: [ObjectIdentifier; 7] = [
    rfc5280::ID_CE_BASIC_CONSTRAINTS,
    rfc5280::ID_CE_KEY_USAGE,
    rfc5280::ID_CE_EXT_KEY_USAGE,
    rfc5280::ID_CE_SUBJECT_ALT_NAME,
    rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER,
    rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER,
    rfc5280::ID_CE_CERTIFICATE_POLICIES,
];

/// Does `certificate` certify `key`?
pub fn matches(certificate: &Certificate, key: &PublicKey) -> bool {
    certificate.public_key().is_ok_and(|certified| certified == *key)
}

/// Verifies the signature of `certificate` with the key of `issuer`; names, dates and rights are not
/// looked at. SM2 signatures must have been made with [`crate::DEFAULT_USER_ID`].
///
/// # Errors
/// [`PkiError::EmptyUserId`] if an SM2 signature verifies only with the empty user id, else
/// [`PkiError::BadSm2Signature`]; [`PkiError::BadSignature`]; [`PkiError::AlgorithmMismatch`];
/// [`PkiError::UnsupportedAlgorithm`]; [`PkiError::Malformed`] for a bad issuer key.
pub fn verify_issued_by(certificate: &Certificate, issuer: &Certificate) -> Result<(), PkiError> {
    let (scheme, message, signature) = certificate.signature()?;
    scheme.diagnose(&issuer.material()?, message, signature)
}

/// Was `certificate` signed with its own key, but under the empty SM2 user id? For self-signed
/// certificates that come without a chain.
pub fn self_signature_uses_empty_id(certificate: &Certificate) -> bool {
    matches!(verify_issued_by(certificate, certificate), Err(PkiError::EmptyUserId))
}

/// Verifies that `chain` (sub-CA first, root last) certifies `leaf` at `now` (unix seconds).
///
/// Checked are order, basicConstraints, keyCertSign, path length, critical extensions, signatures, name constraints
/// and validity, and that a last certificate naming itself as issuer is signed by itself. The chain may
/// stop before the root, and may begin with the leaf once more. With an empty chain what remains is
/// the leaf's own validity and, if it is self-issued, its signature.
///
/// # Errors
/// [`PkiError::ChainTooLong`], or [`PkiError::Chain`] with the index (0 is the leaf, n the n-th
/// certificate of `chain`), subject and reason of the first certificate that fails.
pub fn verify_chain(leaf: &Certificate, chain: &[Certificate], now: i64) -> Result<(), PkiError> {
    if chain.len() > MAX_CHAIN {
        return Err(PkiError::ChainTooLong { found: chain.len(), limit: MAX_CHAIN });
    }
    let repeated = chain.first() == Some(leaf);
    let mut path: Vec<Link<'_>> = vec![Link { index: 0, certificate: leaf }];
    let numbered = chain.iter().enumerate().skip(usize::from(repeated));
    path.extend(numbered.map(|(i, certificate)| Link { index: i + 1, certificate }));

    for pair in path.windows(2) {
        if let [child, issuer] = pair {
            check_order(child, issuer, &path)?;
        }
    }
    check_issuers(&path)?;
    for (position, link) in path.iter().enumerate() {
        let issuer = path.get(position + 1).or(link.certificate.is_self_issued().then_some(link));
        if let Some(issuer) = issuer {
            link.blame(verify_issued_by(link.certificate, issuer.certificate))?;
        }
        link.blame(check_critical(link.certificate))?;
    }
    check_names(&path)?;
    path.iter().try_for_each(|link| link.blame(check_validity(link.certificate, now)))
}

/// A certificate and its place in the caller's list.
struct Link<'a> {
    index: usize,
    certificate: &'a Certificate,
}

impl Link<'_> {
    fn blame(&self, outcome: Result<(), PkiError>) -> Result<(), PkiError> {
        outcome.map_err(|reason| PkiError::Chain {
            index: self.index,
            subject: self.certificate.subject(),
            reason: Box::new(reason),
        })
    }
}

fn check_order(child: &Link<'_>, next: &Link<'_>, path: &[Link<'_>]) -> Result<(), PkiError> {
    let wanted = child.certificate.issuer_name();
    if name::same(wanted, next.certificate.subject_name()) {
        return Ok(());
    }
    let issuer = child.certificate.issuer();
    let found = next.certificate.subject();
    let elsewhere = path
        .iter()
        .any(|link| link.index != child.index && name::same(wanted, link.certificate.subject_name()));
    // A self-issued certificate needs no issuer, so something after it can only be misplaced.
    child.blame(Err(if elsewhere || child.certificate.is_self_issued() {
        PkiError::WrongOrder { issuer, found }
    } else {
        PkiError::MissingIssuer { issuer, found }
    }))
}

/// May every certificate but the first issue the one before it (RFC 5280, 6.1.4, k to n)?
fn check_issuers(path: &[Link<'_>]) -> Result<(), PkiError> {
    let mut below = 0;
    for link in path.iter().skip(1) {
        link.blame(check_issuer(link.certificate, below))?;
        below += usize::from(!link.certificate.is_self_issued());
    }
    Ok(())
}

fn check_issuer(issuer: &Certificate, cas_below: usize) -> Result<(), PkiError> {
    if !issuer.is_ca() {
        return Err(PkiError::NotCa);
    }
    if issuer.key_usage().is_some_and(|usage| !usage.key_cert_sign()) {
        return Err(PkiError::NoCertSign);
    }
    match issuer.path_len() {
        Some(allowed) if cas_below > usize::from(allowed) => {
            Err(PkiError::PathLength { allowed, found: cas_below })
        }
        Some(_) | None => Ok(()),
    }
}

fn check_critical(certificate: &Certificate) -> Result<(), PkiError> {
    let compared = |oid: &ObjectIdentifier| {
        *oid == rfc5280::ID_CE_NAME_CONSTRAINTS && certificate.name_constraints().is_some_and(comparable)
    };
    let unknown =
        certificate.critical_extensions().find(|oid| !KNOWN_CRITICAL.contains(oid) && !compared(oid));
    match unknown {
        Some(oid) => Err(PkiError::UnhandledCriticalExtension { oid: oid.to_string() }),
        None => Ok(()),
    }
}

/// The subtrees of both kinds.
fn subtrees(constraints: &NameConstraints) -> impl Iterator<Item = &GeneralSubtree> {
    let both = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    both.into_iter().flatten().flatten()
}

/// Are all of its forms ones that are compared here, without distances (RFC 5280, 4.2.1.10: none are used)?
fn comparable(constraints: &NameConstraints) -> bool {
    subtrees(constraints).all(|subtree| {
        let form = matches!(subtree.base, GeneralName::DnsName(_) | GeneralName::DirectoryName(_));
        form && subtree.minimum == 0 && subtree.maximum.is_none()
    })
}

/// Is every certificate named as the CAs above it may name them? Self-issued CA certificates are left out
/// (RFC 5280, 6.1.3, b and c).
fn check_names(path: &[Link<'_>]) -> Result<(), PkiError> {
    for (place, issuer) in path.iter().enumerate().skip(1) {
        let Some(constraints) = issuer.certificate.name_constraints() else { continue };
        for (below, link) in path.iter().enumerate().take(place) {
            if below > 0 && link.certificate.is_self_issued() {
                continue;
            }
            if let Some(name) = outside(constraints, link.certificate) {
                let issuer = issuer.certificate.subject();
                return link.blame(Err(PkiError::NameConstraint { name, issuer }));
            }
        }
    }
    Ok(())
}

/// The first name of a certificate that constraints do not allow.
fn outside(constraints: &NameConstraints, certificate: &Certificate) -> Option<String> {
    let subject = certificate.subject_name();
    if !subject.as_ref().as_ref().is_empty() && !allowed(constraints, |base| directory(base, subject)) {
        return Some(name::to_string(subject));
    }
    certificate.alternative_names().iter().find_map(|alternative| match alternative {
        GeneralName::DnsName(host) => {
            let host = host.as_str();
            (!allowed(constraints, |base| dns(base, host))).then(|| format!("DNS:{host}"))
        }
        GeneralName::DirectoryName(name) => {
            (!allowed(constraints, |base| directory(base, name))).then(|| name::to_string(name))
        }
        _ => None,
    })
}

/// May a name be certified? `inside` says whether it lies in a subtree; none if that is of another form.
fn allowed(constraints: &NameConstraints, inside: impl Fn(&GeneralName) -> Option<bool>) -> bool {
    let answers = |subtrees: &Option<Vec<GeneralSubtree>>| -> Vec<bool> {
        subtrees.iter().flatten().filter_map(|subtree| inside(&subtree.base)).collect()
    };
    let permitted = answers(&constraints.permitted_subtrees);
    (permitted.is_empty() || permitted.contains(&true))
        && !answers(&constraints.excluded_subtrees).contains(&true)
}

fn directory(base: &GeneralName, name: &Name) -> Option<bool> {
    let GeneralName::DirectoryName(base) = base else { return None };
    Some(name::begins_with(name, base))
}

/// A host lies in the tree of its own name and of every name that it ends with at a dot.
fn dns(base: &GeneralName, host: &str) -> Option<bool> {
    let GeneralName::DnsName(base) = base else { return None };
    let (base, host) = (base.as_str().to_ascii_lowercase(), host.to_ascii_lowercase());
    let Some(before) = host.strip_suffix(&base) else { return Some(false) };
    Some(base.is_empty() || before.is_empty() || base.starts_with('.') || before.ends_with('.'))
}

fn check_validity(certificate: &Certificate, now: i64) -> Result<(), PkiError> {
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    if now < not_before {
        return Err(PkiError::NotYetValid { not_before });
    }
    if now > not_after {
        return Err(PkiError::Expired { not_after });
    }
    Ok(())
}
