//! Certificates with their private keys, which are sealed.

use tongguan_model::certificate::{Certificate, CertificateStatus, Issued};
use tongguan_model::id::{AccountId, CertificateId};

use super::table::{Part as _, count};
use super::{Answer, Columns as _, Done};
use crate::session::{Cells, FromRow};
use crate::{Bearer, DatabaseError, Snapshot, Tx};

part! {
    Issued {
        certificate, chain, sm, issuer, subject = "issued_subject", serial, signature_algorithm, subject_key_identifier,
        not_before, not_after, purposes = "key_purposes",
    }
}

/// Present if there is a certificate.
impl FromRow for Option<Issued> {
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        if cells.is_null()? {
            cells.skip(count(Issued::COLUMNS));
            return Ok(None);
        }
        cells.next().map(Some)
    }
}

table! {
    Certificate as certificate in "certificate" {
        both {
            id, account, region, key_spec, status, exportable, subject, dns_names, csr, public_key, created_ms, updated_ms,
        }
        read { issued = Issued::COLUMNS }
        write(sealed: &[u8]) { sealed_private_key = sealed }
    }
}

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
        self.session.one(owned!(Certificate), &binds![id, account])
    }

    /// Private key of the account's certificate of this id, sealed.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`](crate::StoreError::Forged).
    pub fn certificate_key(&self, account: &AccountId, id: &str) -> Answer<Option<CertificateKey>> {
        let sql = "SELECT sealed_private_key FROM certificate WHERE account = ?1 AND id = ?2";
        let Some(sealed) = self.session.one(sql, &binds![account, id])? else { return Ok(None) };
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
        insert(&mut self.session.prepare(INSERT)?, certificate, sealed_private_key)?;
        self.count("certificate", &certificate.account, certificate.region.as_str(), 1)
    }

    /// Stores what was uploaded for a certificate, which becomes active.
    ///
    /// # Errors
    /// A database error.
    pub fn certificate_issued(&self, id: &CertificateId, issued: &Issued, now_ms: i64) -> Done {
        let mut values = issued.values();
        values.extend(binds![CertificateStatus::Active, now_ms, id]);
        self.execute(
            sql!("UPDATE certificate SET ", Issued::SET, ", status = ?, updated_ms = ? WHERE id = ?"),
            &values,
        )
    }

    /// Stores a certificate's state.
    ///
    /// # Errors
    /// A database error.
    pub fn set_certificate_status(&self, id: &CertificateId, status: CertificateStatus, now_ms: i64) -> Done {
        update!(self.session, "certificate" { status: status, updated_ms: now_ms } where { id: id })?;
        Ok(())
    }

    /// Removes a certificate with its key.
    ///
    /// # Errors
    /// A database error, also if it is bound.
    pub fn delete_certificate(&self, certificate: &Certificate) -> Done {
        self.execute("DELETE FROM certificate WHERE id = ?1", &binds![certificate.id])?;
        self.count("certificate", &certificate.account, certificate.region.as_str(), -1)
    }
}
