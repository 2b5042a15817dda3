//! Page markers: what a list returns for the caller to request the next page with (`Marker`, `NextToken`).
//!
//! A marker contains the position after which the page begins, and reveals nothing of it: positions are row numbers
//! that count over all accounts. It is sealed (AES-256-GCM) under a key of its own, which is derived (HKDF-SHA256)
//! from the *marker key* of the service, the list, the account, and 16 random bytes at the beginning of the marker.
//! So a marker of another list or account is as invalid as one that was made up, and nothing is stored for the
//! markers that were returned.
//!
//! The marker key is generated once and kept in the database, sealed under the master key: markers survive restarts
//! and a change of the master key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::Prk;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tongguan_model::id::AccountId;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue::Refusal;
use crate::context::Context;
use crate::operation::{Failure, Operation};
#[cfg(test)]
use crate::own_key::KEY_BYTES;
use crate::own_key::{MARKERS, MarkerKey};
use crate::random::random;

/// Bytes from which the key of one marker is derived.
const SALT_BYTES: usize = 16;
/// Characters of a marker at most; that of the longest tag has some 800.
const CHARS_MAX: usize = 2_048;
/// What the key of one marker is derived for.
const SEALS: &[u8] = b"seal of one marker";

/// Makes and reads the markers of one list of one account.
#[derive(Debug)]
pub struct Markers {
    prk: Prk,
    operation: &'static Operation,
    account: AccountId,
}

impl Markers {
    /// Those of the list that the call asks for.
    ///
    /// # Errors
    /// [`Failure::Internal`] if the context was never given to a service.
    pub fn of(call: &Call) -> Result<Self, Failure> {
        let markers = Self::of_list(&call.context, call.operation, &call.principal.account);
        markers.ok_or_else(|| Failure::Internal(format!("no service key `{}`", MARKERS.name)))
    }

    /// Those of a list of an account; none before the context was given to a service.
    fn of_list(context: &Context, operation: &'static Operation, account: &AccountId) -> Option<Self> {
        let MarkerKey(prk) = &context.keys()?.markers;
        Some(Self { prk: prk.clone(), operation, account: account.clone() })
    }

    /// Those of a list of an account, under this marker key.
    #[cfg(test)]
    pub(crate) fn under(key: &[u8; KEY_BYTES], operation: &'static Operation, account: &str) -> Self {
        Self { prk: MARKERS.extracted(key), operation, account: AccountId::new(account) }
    }

    /// A marker of this place: letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// The cipher fails.
    pub fn make(&self, place: &[u8]) -> Result<String, Failure> {
        let salt = random::<SALT_BYTES>();
        let mut marker = salt.to_vec();
        let seal = || {
            let mut text = place.to_vec();
            self.key(&salt)?.seal_in_place_append_tag(only_nonce(), Aad::empty(), &mut text)?;
            Ok(text)
        };
        let sealed = seal().map_err(|Unspecified| Failure::Internal("a marker cannot be sealed".into()))?;
        marker.extend_from_slice(&sealed);
        Ok(URL_SAFE_NO_PAD.encode(marker))
    }

    /// The place of a marker; none if it was not made for this list and account.
    #[must_use]
    pub fn read(&self, marker: &str) -> Option<Vec<u8>> {
        if marker.len() > CHARS_MAX {
            return None;
        }
        let marker = URL_SAFE_NO_PAD.decode(marker).ok()?;
        let (salt, sealed) = marker.split_first_chunk::<SALT_BYTES>()?;
        let mut text = sealed.to_vec();
        let key = self.key(salt).ok()?;
        let length = key.open_in_place(only_nonce(), Aad::empty(), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }

    /// A marker of a row's number.
    ///
    /// # Errors
    /// As [`Markers::make`].
    pub fn of_row(&self, row: i64) -> Result<String, Failure> {
        self.make(&row.to_be_bytes())
    }

    /// The row's number of a marker; none as in [`Markers::read`].
    #[must_use]
    pub fn row(&self, marker: &str) -> Option<i64> {
        self.read(marker)?.try_into().ok().map(i64::from_be_bytes)
    }

    /// A marker of a tag: what it stands on, and its key.
    ///
    /// # Errors
    /// As [`Markers::make`].
    pub fn of_tag(&self, resource: &str, key: &str) -> Result<String, Failure> {
        self.make(format!("{resource}\n{key}").as_bytes())
    }

    /// What the tag of a marker stands on, and its key; none as in [`Markers::read`].
    #[must_use]
    pub fn tag(&self, marker: &str) -> Option<(String, String)> {
        let text = String::from_utf8(self.read(marker)?).ok()?;
        let (resource, key) = text.split_once('\n')?;
        Some((resource.to_owned(), key.to_owned()))
    }

    /// A marker of a name.
    ///
    /// # Errors
    /// As [`Markers::make`].
    pub fn of_name(&self, name: &str) -> Result<String, Failure> {
        self.make(name.as_bytes())
    }

    /// The name of a marker; none as in [`Markers::read`].
    #[must_use]
    pub fn name(&self, marker: &str) -> Option<String> {
        String::from_utf8(self.read(marker)?).ok()
    }

    /// The key of the marker that begins so. It seals no other.
    fn key(&self, salt: &[u8; SALT_BYTES]) -> Result<LessSafeKey, Unspecified> {
        let (version, action) = (self.operation.product.version(), self.operation.action);
        let list = format!("\0{version} {action}\0{}\0", self.account);
        let info = [SEALS, list.as_bytes(), salt];
        let key: UnboundKey = self.prk.expand(&info, &AES_256_GCM)?.into();
        Ok(LessSafeKey::new(key))
    }
}

/// The row after which the page begins, if a parameter says it by a marker.
///
/// # Errors
/// The refusal of a bad value, if this list has not given the marker to this account.
pub(crate) fn row(args: &Args<'_>, name: &'static str) -> Result<Option<i64>, Refusal> {
    place(args, name, |markers, marker| markers.row(marker))
}

/// The tag after which the page begins, if a parameter says it by a marker: what it stands on, and its key.
///
/// # Errors
/// As [`row`].
pub(crate) fn tag(args: &Args<'_>, name: &'static str) -> Result<Option<(String, String)>, Refusal> {
    place(args, name, |markers, marker| markers.tag(marker))
}

/// The name after which the page begins, if a parameter says it by a marker.
///
/// # Errors
/// As [`row`].
pub(crate) fn name(args: &Args<'_>, name: &'static str) -> Result<Option<String>, Refusal> {
    place(args, name, |markers, marker| markers.name(marker))
}

fn place<T>(
    args: &Args<'_>,
    name: &'static str,
    read: fn(&Markers, &str) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    let Some(marker) = args.text(name) else { return Ok(None) };
    let markers = Markers::of_list(args.context(), args.operation(), &args.caller().account);
    let place = markers.and_then(|markers| read(&markers, marker));
    place.map(Some).ok_or_else(|| args.illegal(name, marker))
}

/// Each key seals one marker, so there is one nonce.
fn only_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    const ONE: &str = "1234567890123456";

    fn markers(key: u8, operation: &'static Operation, account: &str) -> Markers {
        Markers::under(&[key; KEY_BYTES], operation, account)
    }

    #[test]
    fn a_marker_is_read_back_by_its_own_list_and_account_alone() {
        let (users, groups) = (&api::ram::LIST_USERS, &api::ram::LIST_GROUPS);
        let own = markers(7, users, ONE);
        let others = [
            markers(7, groups, ONE),
            markers(7, users, "9999567890123456"),
            markers(7, users, "123456789012345"),
            markers(8, users, ONE),
        ];
        for at in [i64::MIN, -1, 0, 1, i64::MAX] {
            let marker = own.of_row(at).unwrap();
            assert_eq!(own.row(&marker), Some(at));
            assert_eq!(own.tag(&marker), None);
            assert!(others.iter().all(|other| other.row(&marker).is_none()), "{at}");
            // Fifty-four characters, whatever the number.
            assert_eq!(marker.len(), 54);
            assert!(marker.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{marker}");
        }
    }

    /// Lists of the same name, of two products, do not share their markers.
    #[test]
    fn markers_of_tags_come_back_as_tags() {
        let own = markers(7, &api::vpc::LIST_TAG_RESOURCES, ONE);
        let other = markers(7, &api::ram::LIST_TAG_RESOURCES, ONE);
        let longest = "\u{10ffff}".repeat(128);
        for key in ["a\nb", "", &longest] {
            let marker = own.of_tag("vpn-1", key).unwrap();
            assert_eq!(own.tag(&marker), Some(("vpn-1".into(), key.to_owned())));
            assert_eq!(other.tag(&marker), None);
        }
    }

    #[test]
    fn what_was_made_up_or_altered_is_no_marker() {
        let own = markers(7, &api::ram::LIST_USERS, ONE);
        let marker = own.of_row(8).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&marker).unwrap();
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert_eq!(own.row(&URL_SAFE_NO_PAD.encode(&altered)), None, "{at}");
            assert_eq!(own.row(&URL_SAFE_NO_PAD.encode(&bytes[..at])), None, "{at}");
        }
        // The last two are of release 0.1.0.
        let long = "A".repeat(CHARS_MAX + 1);
        let padded = format!("{marker}=");
        for wrong in
            ["", "x", "EXAMPLE", "caeba0bbb2be", "\u{fffd}", &long, &padded, "TGlzdFVzZXJzOjE", "YjoxMg"]
        {
            assert_eq!(own.read(wrong), None, "{wrong}");
        }
    }

    /// The same place looks different each time, so that nothing is told by comparing either.
    #[test]
    fn no_two_markers_are_alike() {
        let own = markers(7, &api::ram::LIST_USERS, ONE);
        let made: std::collections::BTreeSet<_> = (0..1_000).map(|_| own.of_row(8).unwrap()).collect();
        assert_eq!(made.len(), 1_000);
    }
}
