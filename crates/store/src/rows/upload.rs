//! Uploads to Cas: names and groups of certificates that came with their keys. The certificates themselves are rows of
//! `certificate`.

use tongguan_model::certificate::{Certificate, Issued, Upload};
use tongguan_model::id::AccountId;

use super::search::{Page, Search, part};
use super::{Answer, Columns as _, Done, Relation};
use crate::{Snapshot, Tx};

table! {
    Upload as upload in "cas_certificate" {
        both { number, instance, account, name, resource_group, created_ms }
    }
}

/// Which uploads a list asks for: AND between the members.
#[derive(Debug, Clone, Default)]
pub struct UploadFilter {
    /// Part of the name, of the id, or of a name in the certificate, in any case.
    pub keyword: Option<String>,
    /// Resource group.
    pub resource_group: Option<String>,
    /// `InstanceId`.
    pub instance: Option<String>,
    /// Earliest end of validity, UNIX seconds.
    pub ends_from: Option<i64>,
    /// End of validity before this, UNIX seconds.
    pub ends_before: Option<i64>,
}

/// An upload with the certificate that stands for it: the only one, or that for signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// The upload.
    pub upload: Upload,
    /// The certificate, PEM.
    pub certificate: String,
}

columns! { UploadRow { upload = Upload::COLUMNS, certificate } }

/// Uploads, each with the certificate that stands for it.
const UPLOADS: &str = "cas_certificate JOIN (SELECT upload, certificate, domain, dns_names, not_after FROM certificate \
                       WHERE upload IS NOT NULL AND (half IS NULL OR half = 'Signature')) AS main ON main.upload = number";

/// One certificate of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedRow {
    /// Its own id, a GUID.
    pub id: String,
    /// The certificate, PEM.
    pub certificate: String,
}

columns! { UploadedRow { id, certificate } }

/// Certificates of uploads, each with the name of its upload.
const UPLOADED: &str =
    "certificate JOIN (SELECT number, name FROM cas_certificate) AS whole ON whole.number = upload";

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "an upload has one certificate, or the two of a pair, of its own account",
    "SELECT u.number FROM cas_certificate u WHERE (SELECT count(*) FROM certificate c WHERE c.upload = u.number \
         AND c.account = u.account AND c.certificate IS NOT NULL) <> \
         CASE WHEN EXISTS (SELECT 1 FROM certificate c WHERE c.upload = u.number AND c.half IS NULL) THEN 1 ELSE 2 END \
         OR EXISTS (SELECT 1 FROM certificate c WHERE c.upload = u.number AND c.account <> u.account)",
)];

impl Snapshot<'_> {
    /// The account's upload of this number.
    ///
    /// # Errors
    /// A database error.
    pub fn upload(&self, account: &AccountId, number: u64) -> Answer<Option<Upload>> {
        let sql = sql!(<Upload as super::Table>::SELECT, " WHERE number = ?1 AND account = ?2");
        self.session.one(sql, &binds![number, account])
    }

    /// Whether the account has an upload of this name.
    ///
    /// # Errors
    /// A database error.
    pub fn upload_named(&self, account: &AccountId, name: &str) -> Answer<bool> {
        let sql = "SELECT count(*) FROM cas_certificate WHERE account = ?1 AND name = ?2";
        Ok(self.number(sql, &binds![account, name])? > 0)
    }

    /// Whether any account has an upload of this number, or of this instance.
    ///
    /// # Errors
    /// A database error.
    pub fn upload_taken(&self, number: u64, instance: &str) -> Answer<bool> {
        let sql = "SELECT count(*) FROM cas_certificate WHERE number = ?1 OR instance = ?2";
        Ok(self.number(sql, &binds![number, instance])? > 0)
    }

    /// A page of the account's uploads, newest first.
    ///
    /// # Errors
    /// A database error.
    pub fn uploads(
        &self,
        account: &AccountId,
        filter: &UploadFilter,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<UploadRow>> {
        let pattern = filter.keyword.as_deref().map(part);
        let mut search = Search::of(account, None);
        search.holds(&["name", "instance", "domain", "dns_names"], pattern.as_ref());
        search.equal("resource_group", filter.resource_group.as_ref());
        search.equal("instance", filter.instance.as_ref());
        if let Some(from) = &filter.ends_from {
            let place = search.value(from);
            search.raw(&format!("not_after >= ?{place}"));
        }
        if let Some(before) = &filter.ends_before {
            let place = search.value(before);
            search.raw(&format!("not_after < ?{place}"));
        }
        self.page_of(&search, "cas_certificate", (UploadRow::COLUMNS, UPLOADS), offset, limit)
    }

    /// A page of the certificates in the account's uploads, newest first: those of these ids (all if empty) in which
    /// `keyword` stands.
    ///
    /// # Errors
    /// A database error.
    pub fn uploaded(
        &self,
        account: &AccountId,
        ids: &[String],
        keyword: Option<&str>,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<UploadedRow>> {
        let pattern = keyword.map(part);
        let mut search = Search::of(account, None);
        // There is no tally of single certificates.
        search.raw("upload IS NOT NULL");
        search.any("id", ids);
        search.holds(&["name", "domain", "dns_names"], pattern.as_ref());
        self.page_of(&search, "cas_certificate", (UploadedRow::COLUMNS, UPLOADED), offset, limit)
    }
}

impl Tx<'_> {
    /// Stores an upload with its certificates, each with its sealed private key.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_upload(&self, upload: &Upload, certificates: &[(Certificate, Issued, Vec<u8>)]) -> Done {
        insert(self.session, upload)?;
        for (certificate, issued, sealed) in certificates {
            self.insert_uploaded(certificate, issued, sealed)?;
        }
        self.count("cas_certificate", &upload.account, "", 1)
    }

    /// Removes an upload with its certificates, their keys and its tags.
    ///
    /// # Errors
    /// A database error, also if a certificate is bound.
    pub fn delete_upload(&self, upload: &Upload) -> Done {
        self.execute("DELETE FROM certificate WHERE upload = ?1", &binds![upload.number])?;
        self.delete_all_tags(&upload.instance)?;
        self.execute("DELETE FROM cas_certificate WHERE number = ?1", &binds![upload.number])?;
        self.count("cas_certificate", &upload.account, "", -1)
    }
}
