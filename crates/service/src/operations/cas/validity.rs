//! How long a certificate is still valid, in the words of each list, and the uploads that are.

use tongguan_model::wire_enum;
use tongguan_store::{Page, Snapshot, UploadFilter, UploadRow};

use crate::args::Paging;
use crate::call::Call;
use crate::operation::Failure;

/// Days before its end in which a certificate is about to expire. Nothing is published; the vendor reminds of it in
/// this time.
const SOON_DAYS: i64 = 30;
/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;

wire_enum! {
    /// State in ListUserCertificateOrder.
    pub enum OrderStatus {
        /// An order that is paid.
        Payed = "PAYED",
        /// An order that is checked.
        Checking = "CHECKING",
        /// An order that was refused.
        CheckedFail = "CHECKED_FAIL",
        /// Valid.
        Issued = "ISSUED",
        /// About to expire.
        WillExpire = "WILLEXPIRED",
        /// Expired.
        Expired = "EXPIRED",
        /// An order that is not used yet.
        NotActivated = "NOTACTIVATED",
        /// Revoked.
        Revoked = "REVOKED",
    }
}

wire_enum! {
    /// State in ListCertificates and GetCertificateDetail.
    pub enum CertificateStatus {
        /// Valid.
        Issued = "issued",
        /// Revoked.
        Revoked = "revoked",
        /// About to expire.
        WillExpire = "willExpire",
        /// Expired.
        Expired = "expired",
    }
}

/// What an uploaded certificate can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Valid, and not about to expire.
    Valid,
    /// About to expire.
    Soon,
    /// Expired.
    Over,
}

impl Validity {
    /// That of a certificate that ends then, at `now`, both in UNIX seconds.
    pub(super) fn of(not_after: i64, now: i64) -> Self {
        if not_after < now {
            Self::Over
        } else if not_after < soon(now) {
            Self::Soon
        } else {
            Self::Valid
        }
    }

    /// The word of ListUserCertificateOrder.
    pub(super) fn order_status(self) -> OrderStatus {
        match self {
            Self::Valid => OrderStatus::Issued,
            Self::Soon => OrderStatus::WillExpire,
            Self::Over => OrderStatus::Expired,
        }
    }

    /// The word of ListCertificates.
    pub(super) fn status(self) -> CertificateStatus {
        match self {
            Self::Valid => CertificateStatus::Issued,
            Self::Soon => CertificateStatus::WillExpire,
            Self::Over => CertificateStatus::Expired,
        }
    }

    /// Narrows a list to certificates of this kind.
    fn narrow(self, filter: &mut UploadFilter, now: i64) {
        (filter.ends_from, filter.ends_before) = match self {
            Self::Valid => (Some(soon(now)), None),
            Self::Soon => (Some(now), Some(soon(now))),
            Self::Over => (None, Some(now)),
        };
    }
}

impl OrderStatus {
    /// What an uploaded certificate in this state is; none can be in it.
    pub(super) fn validity(self) -> Option<Validity> {
        match self {
            Self::Issued => Some(Validity::Valid),
            Self::WillExpire => Some(Validity::Soon),
            Self::Expired => Some(Validity::Over),
            Self::Payed | Self::Checking | Self::CheckedFail | Self::NotActivated | Self::Revoked => None,
        }
    }
}

impl CertificateStatus {
    /// What an uploaded certificate in this state is; none can be in it.
    pub(super) fn validity(self) -> Option<Validity> {
        match self {
            Self::Issued => Some(Validity::Valid),
            Self::WillExpire => Some(Validity::Soon),
            Self::Expired => Some(Validity::Over),
            Self::Revoked => None,
        }
    }
}

/// A page of the caller's uploads that fit `filter`, of those of one validity if one is asked for. No upload is in a
/// state without one.
pub(super) fn page_of_uploads(
    call: &Call,
    snapshot: &Snapshot<'_>,
    mut filter: UploadFilter,
    validity: Option<Option<Validity>>,
    paging: Paging,
) -> Result<Page<UploadRow>, Failure> {
    match validity {
        Some(None) => return Ok(Page::empty()),
        Some(Some(validity)) => validity.narrow(&mut filter, call.now_ms.div_euclid(1000)),
        None => {}
    }
    Ok(snapshot.uploads(&call.principal.account, &filter, paging.offset(), paging.size)?)
}

/// The moment from which on an end is not near.
fn soon(now: i64) -> i64 {
    now.saturating_add(SOON_DAYS * DAY)
}

/// Whole days until then, none if it is over.
pub(super) fn remaining_days(not_after: i64, now: i64) -> i64 {
    not_after.saturating_sub(now).max(0) / DAY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_second_is_valid_and_filters_agree() {
        let now = 1_000_000_000;
        for (not_after, validity, days) in [
            (now - 1, Validity::Over, 0),
            (now, Validity::Soon, 0),
            (now + 30 * DAY - 1, Validity::Soon, 29),
            (now + 30 * DAY, Validity::Valid, 30),
        ] {
            assert_eq!(Validity::of(not_after, now), validity);
            assert_eq!(remaining_days(not_after, now), days);
            for kind in [Validity::Valid, Validity::Soon, Validity::Over] {
                let mut filter = UploadFilter::default();
                kind.narrow(&mut filter, now);
                let inside = filter.ends_from.is_none_or(|from| not_after >= from)
                    && filter.ends_before.is_none_or(|before| not_after < before);
                assert_eq!(inside, kind == validity, "{not_after} {kind:?}");
                assert_eq!(kind.order_status().validity(), Some(kind));
                assert_eq!(kind.status().validity(), Some(kind));
            }
        }
    }
}
