//! Requests for certificates in Cas, with their private keys, which are sealed, where they are known.

use tongguan_model::certificate::SigningRequest;
use tongguan_model::id::AccountId;

use super::search::{Page, Search, part};
use super::{Answer, Done, Table as _};
use crate::{Bearer, Snapshot, Tx};

table! {
    SigningRequest as request in "cas_csr" {
        both {
            id, number, account, name, key_spec, common_name, corp_name, department, locality, province, country_code,
            dns_names, csr, public_key, created_ms,
        }
        read { has_key = "sealed_private_key IS NOT NULL" }
        write(sealed: Option<&[u8]>) { sealed_private_key = sealed }
    }
}

impl Snapshot<'_> {
    /// The account's request of this number.
    ///
    /// # Errors
    /// A database error.
    pub fn signing_request(&self, account: &AccountId, number: u64) -> Answer<Option<SigningRequest>> {
        let sql = sql!(SigningRequest::SELECT, " WHERE number = ?1 AND account = ?2");
        self.session.one(sql, &binds![number, account])
    }

    /// Whether any account has a request of this number.
    ///
    /// # Errors
    /// A database error.
    pub fn signing_request_taken(&self, number: u64) -> Answer<bool> {
        Ok(self.number("SELECT count(*) FROM cas_csr WHERE number = ?1", &binds![number])? > 0)
    }

    /// Private key of a request, sealed; none if it is not known.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`](crate::StoreError::Forged).
    pub fn signing_request_key(&self, request: &SigningRequest) -> Answer<Option<Vec<u8>>> {
        self.vouch(Bearer::SigningRequest(&request.id))?;
        let sql = "SELECT sealed_private_key FROM cas_csr WHERE id = ?1";
        let sealed: Option<Option<Vec<u8>>> = self.session.one(sql, &binds![request.id])?;
        Ok(sealed.flatten())
    }

    /// A page of the account's requests, newest first: those with keys of these kinds (all if empty) in which
    /// `keyword` stands.
    ///
    /// # Errors
    /// A database error.
    pub fn signing_requests(
        &self,
        account: &AccountId,
        key_specs: &[String],
        keyword: Option<&str>,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<SigningRequest>> {
        let pattern = keyword.map(part);
        let mut search = Search::of(account, None);
        search.among("key_spec", key_specs);
        search.holds(&["name", "common_name", "dns_names"], pattern.as_ref());
        self.page(&search, offset, limit)
    }
}

impl Tx<'_> {
    /// Stores a request with its private key, if that is known, sealed.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_signing_request(&self, request: &SigningRequest, sealed: Option<&[u8]>) -> Done {
        insert(self.session, request, sealed)?;
        self.count("cas_csr", &request.account, "", 1)
    }

    /// Gives a request its private key, sealed.
    ///
    /// # Errors
    /// A database error.
    pub fn set_signing_request_key(&self, request: &SigningRequest, sealed: &[u8]) -> Done {
        update!(self.session, "cas_csr" { sealed_private_key: sealed } where { id: request.id })?;
        Ok(())
    }

    /// Removes a request with its key.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_signing_request(&self, request: &SigningRequest) -> Done {
        self.execute("DELETE FROM cas_csr WHERE id = ?1", &binds![request.id])?;
        self.count("cas_csr", &request.account, "", -1)
    }
}
