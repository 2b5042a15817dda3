//! Certificates with their private keys, which are sealed: those of Kms, and those of uploads to Cas.

use tongguan_model::certificate::Role;
use tongguan_model::certificate::{Certificate, CertificateStatus, Issued, Uploaded, upload_number};
use tongguan_model::id::{AccountId, CertificateId};

use super::search::{Page, Search};
use super::table::{Part as _, count};
use super::{Answer, Columns as _, Done, Table as _};
use crate::session::{Cells, FromRow};
use crate::{Bearer, DatabaseError, Snapshot, Tx};

part! {
    Issued {
        certificate, chain, sm, issuer, subject = "issued_subject", serial, signature_algorithm, subject_key_identifier,
        not_before, not_after, purposes = "key_purposes",
    }
}

columns! { Uploaded { upload, half, domain, text = "uploaded_text" } }

/// Present if it came with an upload.
impl FromRow for Option<Uploaded> {
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        if cells.is_null()? {
            cells.skip(count(Uploaded::COLUMNS));
            return Ok(None);
        }
        cells.next().map(Some)
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
        read { uploaded = Uploaded::COLUMNS, issued = Issued::COLUMNS }
        write(sealed: &[u8]) {
            sealed_private_key = sealed,
            upload = certificate.uploaded.as_ref().map(|uploaded| uploaded.upload),
            half = certificate.uploaded.as_ref().and_then(|uploaded| uploaded.half),
            domain = certificate.uploaded.as_ref().map(|uploaded| uploaded.domain.as_str()),
            uploaded_text = certificate.uploaded.as_ref().map(|uploaded| uploaded.text.as_str()),
        }
    }
}

/// A certificate's private key, sealed.
#[derive(Debug, Clone)]
pub struct CertificateKey {
    /// Sealed PKCS #8 document; of an uploaded one the text that was uploaded, PEM.
    pub sealed: Vec<u8>,
}

/// Which certificates of Kms a list asks for: AND between the members.
#[derive(Debug, Clone, Default)]
pub struct CertificateFilter {
    /// Subject, as DescribeCertificate shows it.
    pub subject: Option<String>,
    /// Issuer, likewise.
    pub issuer: Option<String>,
    /// State.
    pub status: Option<CertificateStatus>,
}

impl Snapshot<'_> {
    /// The account's certificate of this id in Kms.
    ///
    /// # Errors
    /// A database error.
    pub fn certificate(&self, account: &AccountId, id: &str) -> Answer<Option<Certificate>> {
        let sql = sql!(Certificate::PLACES, " WHERE id = ?1 AND account = ?2 AND upload IS NULL");
        self.session.whole_row(sql, &binds![id, account])
    }

    /// The account's certificate that this id names for a role: one of Kms by its own id; of an upload to Cas, by the
    /// number of that, the only one or the half of the role.
    ///
    /// # Errors
    /// A database error.
    pub fn certificate_for(&self, account: &AccountId, id: &str, role: Role) -> Answer<Option<Certificate>> {
        let Some(number) = upload_number(id) else { return self.certificate(account, id) };
        let sql =
            sql!(Certificate::SELECT, " WHERE upload = ?1 AND account = ?2 AND (half IS NULL OR half = ?3)");
        self.session.one(sql, &binds![number, account, role])
    }

    /// The certificates of one of the account's uploads: of a pair the one for encryption first.
    ///
    /// # Errors
    /// A database error.
    pub fn certificates_of_upload(&self, account: &AccountId, number: u64) -> Answer<Vec<Certificate>> {
        let sql = sql!(Certificate::SELECT, " WHERE upload = ?1 AND account = ?2 ORDER BY half");
        self.session.all(sql, &binds![number, account])
    }

    /// A page of the account's certificates of Kms in a region, newest first.
    ///
    /// # Errors
    /// A database error.
    pub fn certificates(
        &self,
        account: &AccountId,
        region: &str,
        filter: &CertificateFilter,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<Certificate>> {
        let mut search = Search::of(account, Some(region));
        search.equal("coalesce(issued_subject, subject)", filter.subject.as_ref());
        search.equal("issuer", filter.issuer.as_ref());
        search.equal("status", filter.status.as_ref());
        // The tally counts none of Cas.
        search.always("upload IS NULL");
        self.page(&search, offset, limit)
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
        insert(self.session, certificate, sealed_private_key)?;
        self.count("certificate", &certificate.account, certificate.region.as_str(), 1)
    }

    /// Stores a certificate of an upload to Cas with its sealed private key.
    pub(super) fn insert_uploaded(&self, certificate: &Certificate, issued: &Issued, sealed: &[u8]) -> Done {
        insert(self.session, certificate, sealed)?;
        self.certificate_issued(&certificate.id, issued, certificate.updated_ms)
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
