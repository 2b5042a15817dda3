//! `tongguan check`: whether a database contains what the service relies on, down to every key.
//!
//! The store verifies structure and relations; this module verifies the values that only the service understands:
//! every certificate is parsed and compared with its key, and with the master key every secret is decrypted.

use tongguan_model::certificate::{Certificate, SigningRequest, Uploaded};
use tongguan_pki::{PkiError, PrivateKey, PublicKey, parse_csr, verify_chain};
use tongguan_store::{AUDIT_RULE, Archive, AuditHead, Finding, RIGHTS_RULE, SealedKind, StoreError};

use crate::vault::Vault;
use crate::{audit, master, operations, rights};

/// The records are not sealed.
const NO_KEY: &str = "there is no seal and no key for it: they were removed, or no service of this release has \
                      served this database yet";

/// What one rule came to.
#[derive(Debug)]
pub struct Verdict {
    /// The rule.
    pub rule: &'static str,
    /// What breaks it; empty if it holds.
    pub findings: Vec<Finding>,
}

/// Checks everything. Without a vault the sealed secrets are left alone.
///
/// # Errors
/// The database cannot be read at all.
pub fn everything(archive: &Archive, vault: Option<&Vault>) -> Result<Vec<Verdict>, StoreError> {
    everything_and(archive, vault, &[])
}

/// [`everything`], and that the chain of audit records still holds `heads`, which were kept elsewhere.
///
/// # Errors
/// The database cannot be read at all.
pub fn everything_and(
    archive: &Archive,
    vault: Option<&Vault>,
    heads: &[AuditHead],
) -> Result<Vec<Verdict>, StoreError> {
    let structure = archive.structure()?;
    let whole = structure.is_empty();
    let mut verdicts =
        vec![Verdict { rule: "structure: pages, indexes, constraints, schema", findings: structure }];
    if !whole || !archive.current() {
        // What a broken index answers means nothing, and an older schema has other rows.
        return Ok(verdicts);
    }
    for (rule, findings) in archive.relations()? {
        verdicts.push(Verdict { rule, findings });
    }
    let findings = archive.rows(
        |certificate, sealed| fault_of(certificate, sealed.unwrap_or_default(), vault).err(),
        |request, sealed| fault_of_request(request, sealed, vault).err(),
    )?;
    let rule = if vault.is_some() {
        "every row can be read; every certificate fits its key, and every key opens"
    } else {
        "every row can be read; every certificate fits its key (keys not opened: no master key)"
    };
    verdicts.push(Verdict { rule, findings });
    if let Some(vault) = vault {
        verdicts.push(sealed_values(archive, vault)?);
    }
    verdicts.push(rights_rows(archive, vault)?);
    verdicts.push(audit_record(archive, vault, heads)?);
    Ok(verdicts)
}

fn rights_rows(archive: &Archive, vault: Option<&Vault>) -> Result<Verdict, StoreError> {
    Ok(match vault {
        Some(vault) => Verdict { rule: RIGHTS_RULE, findings: rights::findings(archive, vault)? },
        None => Verdict {
            rule: "no row that confers rights was changed, removed or put in (not checked: no master key)",
            findings: Vec::new(),
        },
    })
}

fn audit_record(
    archive: &Archive,
    vault: Option<&Vault>,
    heads: &[AuditHead],
) -> Result<Verdict, StoreError> {
    let sealed = archive.read(|snapshot| snapshot.audit_key())?;
    let key = vault.map(|vault| sealed.map(|sealed| vault.open(audit::PURPOSE, &sealed)).transpose());
    let (key, wrong) = match key {
        None => (None, None),
        Some(Ok(key)) => (key, None),
        Some(Err(_)) => (None, Some("the key of the seal does not open")),
    };
    let mut findings = match archive.audit(key.as_ref().map(|key| key.as_slice()), heads) {
        Ok(verdict) => {
            // A database without records was made and never served.
            let any = verdict.records + verdict.before > 0 || verdict.chain.head.seq > 0;
            let lost = vault.is_some() && key.is_none() && wrong.is_none() && any;
            let lost = lost.then(|| Finding { rule: AUDIT_RULE, what: NO_KEY.into() });
            verdict.findings.into_iter().chain(lost).collect()
        }
        Err(StoreError::Damaged(what)) => vec![Finding { rule: AUDIT_RULE, what }],
        Err(error) => return Err(error),
    };
    findings.extend(wrong.map(|what| Finding { rule: AUDIT_RULE, what: what.into() }));
    let rule = if vault.is_some() {
        AUDIT_RULE
    } else {
        "no audit record was changed, removed or put in (seal not checked: no master key)"
    };
    Ok(Verdict { rule, findings })
}

fn sealed_values(archive: &Archive, vault: &Vault) -> Result<Verdict, StoreError> {
    let rule = "every access key, connection key, BGP key and service key opens";
    let mut findings = Vec::new();
    archive.read(|snapshot| {
        snapshot.each_sealed(|kind, id, sealed| {
            // Those of certificates and requests were opened and compared with them, and that of the audit record is
            // looked at with it.
            let elsewhere = matches!(kind, SealedKind::Certificate | SealedKind::SigningRequest)
                || master::purpose(kind, id) == audit::PURPOSE;
            let closed = !elsewhere && vault.open(&master::purpose(kind, id), sealed).is_err();
            if closed {
                findings.push(Finding { rule, what: master::named(kind, id) });
            }
            true
        })
    })?;
    Ok(Verdict { rule, findings })
}

/// What is wrong with a certificate's row.
fn fault_of(certificate: &Certificate, sealed: &[u8], vault: Option<&Vault>) -> Result<(), String> {
    let own = PublicKey::from_pem(&certificate.public_key).map_err(|error| format!("public key: {error}"))?;
    if own.spec().as_str() != certificate.key_spec {
        return Err("the key is of another kind".into());
    }
    match &certificate.uploaded {
        Some(uploaded) => fault_of_upload(certificate, uploaded)?,
        None => {
            let csr = parse_csr(&certificate.csr).map_err(|error| format!("certificate request: {error}"))?;
            if csr.public_key().to_spki_der() != own.to_spki_der() {
                return Err("the certificate request is for another key".into());
            }
        }
    }
    if let Some(issued) = &certificate.issued {
        let wrong = |error: PkiError| format!("certificate: {error}");
        let leaf = tongguan_pki::Certificate::from_pem(&issued.certificate).map_err(wrong)?;
        if leaf.public_key().map_err(wrong)?.to_spki_der() != own.to_spki_der() {
            return Err("the certificate is for another key".into());
        }
        let chain = if issued.chain.is_empty() {
            Vec::new()
        } else {
            tongguan_pki::Certificate::chain_from_pem(&issued.chain).map_err(wrong)?
        };
        if operations::kms::issued(&leaf, &chain) != *issued {
            return Err("what is kept of the certificate is not what stands in it".into());
        }
        // At a time when all of the chain was valid: that it has expired since is no damage.
        let then = chain.iter().map(tongguan_pki::Certificate::not_before).fold(leaf.not_before(), i64::max);
        verify_chain(&leaf, &chain, then).map_err(wrong)?;
    }
    if let Some(vault) = vault {
        let purpose = master::purpose(SealedKind::Certificate, certificate.id.as_str());
        let document = vault.open(&purpose, sealed).map_err(|error| format!("private key: {error}"))?;
        let key = match certificate.uploaded {
            Some(_) => key_of_text(&document),
            None => PrivateKey::from_pkcs8_der(&document).map_err(|error| format!("private key: {error}")),
        };
        if key?.public_key().to_spki_der() != own.to_spki_der() {
            return Err("the private key is another one".into());
        }
    }
    Ok(())
}

/// The private key in a text that was sealed.
fn key_of_text(document: &[u8]) -> Result<PrivateKey, String> {
    let text = std::str::from_utf8(document).map_err(|error| format!("private key: {error}"))?;
    PrivateKey::from_pem(text).map_err(|error| format!("private key: {error}"))
}

/// What is wrong with what is kept of an uploaded certificate beside it.
fn fault_of_upload(certificate: &Certificate, uploaded: &Uploaded) -> Result<(), String> {
    let wrong = |error: PkiError| format!("what was uploaded: {error}");
    let texts = tongguan_pki::Certificate::chain_from_pem(&uploaded.text).map_err(wrong)?;
    let (leaf, chain) = texts.split_first().ok_or("nothing was uploaded")?;
    if certificate.issued.as_ref() != Some(&operations::kms::issued(leaf, chain)) {
        return Err("the certificate is not the one that was uploaded".into());
    }
    if uploaded.domain != operations::cas::domain(leaf) || certificate.dns_names != leaf.dns_names() {
        return Err("what it is looked for by is not what stands in it".into());
    }
    Ok(())
}

/// What is wrong with a certificate request's row.
fn fault_of_request(
    request: &SigningRequest,
    sealed: Option<&[u8]>,
    vault: Option<&Vault>,
) -> Result<(), String> {
    let own = PublicKey::from_pem(&request.public_key).map_err(|error| format!("public key: {error}"))?;
    let csr = parse_csr(&request.csr).map_err(|error| format!("certificate request: {error}"))?;
    if csr.public_key() != &own || own.spec().as_str() != request.key_spec {
        return Err("the certificate request is for another key".into());
    }
    let part = |kind| csr.subject_part(kind).unwrap_or_default();
    let kept = [
        (&request.common_name, "CN"),
        (&request.corp_name, "O"),
        (&request.department, "OU"),
        (&request.locality, "L"),
        (&request.province, "ST"),
        (&request.country_code, "C"),
    ];
    if kept.iter().any(|(kept, kind)| **kept != part(kind)) || request.dns_names != csr.dns_names() {
        return Err("what is kept of the request is not what stands in it".into());
    }
    if let (Some(vault), Some(sealed)) = (vault, sealed) {
        let purpose = master::purpose(SealedKind::SigningRequest, &request.id);
        let document = vault.open(&purpose, sealed).map_err(|error| format!("private key: {error}"))?;
        if key_of_text(&document)?.public_key() != own {
            return Err("the private key is another one".into());
        }
    }
    Ok(())
}
