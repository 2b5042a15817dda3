//! Certificates with their private keys, which are sealed.

use rusqlite::OptionalExtension as _;
use rusqlite::{Row, params};
use tongguan_model::certificate::{Certificate, CertificateStatus, Issued, KeyPurposes};
use tongguan_model::id::{AccountId, CertificateId, RegionId};

use super::{Answer, Done, word};
use crate::{Bearer, Snapshot, Tx};

pub(crate) const CERTIFICATE_COLUMNS: &str = columns!(CERTIFICATE);

/// A certificate's private key, sealed.
#[derive(Debug, Clone)]
pub struct CertificateKey {
    /// Sealed PKCS #8 document.
    pub sealed: Vec<u8>,
}

impl Snapshot<'_> {
    /// The account's certificate of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn certificate(&self, account: &AccountId, id: &str) -> Answer<Option<Certificate>> {
        let sql = concat_columns!("SELECT ", CERTIFICATE, " FROM certificate WHERE id = ?1 AND account = ?2");
        self.own(sql, account, id, certificate)
    }

    /// Private key of the account's certificate of this id, sealed.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`].
    pub fn certificate_key(&self, account: &AccountId, id: &str) -> Answer<Option<CertificateKey>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT sealed_private_key FROM certificate WHERE account = ?1 AND id = ?2")?;
        let sealed = statement.query_row(params![account.as_str(), id], |row| row.get(0)).optional()?;
        let Some(sealed) = sealed else { return Ok(None) };
        self.vouch(Bearer::Certificate(id))?;
        Ok(Some(CertificateKey { sealed }))
    }
}

impl Tx<'_> {
    /// Stores a new certificate with its sealed private key.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_certificate(&self, certificate: &Certificate, sealed_private_key: &[u8]) -> Done {
        self.execute(
            "INSERT INTO certificate (id, account, region, key_spec, status, exportable, subject, dns_names, csr, \
             public_key, sealed_private_key, created_ms, updated_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                certificate.id.as_str(),
                certificate.account.as_str(),
                certificate.region.as_str(),
                certificate.key_spec,
                certificate.status.as_str(),
                certificate.exportable,
                certificate.subject,
                certificate.dns_names.join("\n"),
                certificate.csr,
                certificate.public_key,
                sealed_private_key,
                certificate.created_ms,
                certificate.updated_ms
            ],
        )?;
        self.count("certificate", &certificate.account, certificate.region.as_str(), 1)
    }

    /// Stores what was uploaded for a certificate, which becomes active.
    ///
    /// # Errors
    /// A database error.
    pub fn certificate_issued(&self, id: &CertificateId, issued: &Issued, now_ms: i64) -> Done {
        self.execute(
            "UPDATE certificate SET status = 'ACTIVE', updated_ms = ?2, certificate = ?3, chain = ?4, sm = ?5, \
             issuer = ?6, issued_subject = ?7, serial = ?8, signature_algorithm = ?9, subject_key_identifier = ?10, \
             not_before = ?11, not_after = ?12, key_purposes = ?13 WHERE id = ?1",
            params![
                id.as_str(),
                now_ms,
                issued.certificate,
                issued.chain,
                issued.sm,
                issued.issuer,
                issued.subject,
                issued.serial,
                issued.signature_algorithm,
                issued.subject_key_identifier,
                issued.not_before,
                issued.not_after,
                issued.purposes.map(KeyPurposes::bits)
            ],
        )
    }

    /// Stores a certificate's state.
    ///
    /// # Errors
    /// A database error.
    pub fn set_certificate_status(&self, id: &CertificateId, status: CertificateStatus, now_ms: i64) -> Done {
        self.execute(
            "UPDATE certificate SET status = ?2, updated_ms = ?3 WHERE id = ?1",
            params![id.as_str(), status.as_str(), now_ms],
        )
    }

    /// Removes a certificate with its key.
    ///
    /// # Errors
    /// A database error, also if it is bound.
    pub fn delete_certificate(&self, certificate: &Certificate) -> Done {
        self.execute("DELETE FROM certificate WHERE id = ?1", params![certificate.id.as_str()])?;
        self.count("certificate", &certificate.account, certificate.region.as_str(), -1)
    }
}

pub(crate) fn certificate(row: &Row<'_>) -> rusqlite::Result<Certificate> {
    let pem: Option<String> = row.get(12)?;
    let issued = match pem {
        None => None,
        Some(certificate) => Some(Issued {
            certificate,
            chain: row.get(13)?,
            sm: row.get(14)?,
            issuer: row.get(15)?,
            subject: row.get(16)?,
            serial: row.get(17)?,
            signature_algorithm: row.get(18)?,
            subject_key_identifier: row.get(19)?,
            not_before: row.get(20)?,
            not_after: row.get(21)?,
            purposes: row.get::<_, Option<u8>>(22)?.map(KeyPurposes::from_bits),
        }),
    };
    let names: String = row.get(7)?;
    Ok(Certificate {
        id: CertificateId::new(row.get::<_, String>(0)?),
        account: AccountId::new(row.get::<_, String>(1)?),
        region: RegionId::new(row.get::<_, String>(2)?),
        key_spec: row.get(3)?,
        status: word(row, 4, CertificateStatus::parse)?,
        exportable: row.get(5)?,
        subject: row.get(6)?,
        dns_names: names.split('\n').filter(|name| !name.is_empty()).map(Into::into).collect(),
        csr: row.get(8)?,
        public_key: row.get(9)?,
        created_ms: row.get(10)?,
        updated_ms: row.get(11)?,
        issued,
    })
}
