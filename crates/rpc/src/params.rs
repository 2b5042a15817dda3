//! The parameters of a request: query and form merged, decoded, sorted, one value per name.
//!
//! One sorted vector serves everything: the V1 string to sign walks it in order, a look-up is
//! a binary search, and the members of a flattened list or structure lie next to each other.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::digest;

use crate::encoding::each_pair;
use crate::error::{ParamError, WireError};

/// How much a request may hold. The size of the body itself is the HTTP server's to limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Pairs in query and form together, repeated ones counted each. Default 1000.
    pub parameters: usize,
    /// Bytes of a decoded name. Default 256.
    pub name_bytes: usize,
    /// Bytes of a decoded value. Default 131072.
    pub value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { parameters: 1000, name_bytes: 256, value_bytes: 131_072 }
    }
}

/// The parameters that belong to the gateway, not to the operation, in a V1 request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Common {
    AccessKeyId,
    Action,
    BearerToken,
    Format,
    SecurityToken,
    Signature,
    SignatureMethod,
    SignatureNonce,
    SignatureType,
    SignatureVersion,
    Timestamp,
    Version,
}

const COMMON_COUNT: usize = 12;

impl Common {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "AccessKeyId" => Self::AccessKeyId,
            "Action" => Self::Action,
            "BearerToken" => Self::BearerToken,
            "Format" => Self::Format,
            "SecurityToken" => Self::SecurityToken,
            "Signature" => Self::Signature,
            "SignatureMethod" => Self::SignatureMethod,
            "SignatureNonce" => Self::SignatureNonce,
            "SignatureType" => Self::SignatureType,
            "SignatureVersion" => Self::SignatureVersion,
            "Timestamp" => Self::Timestamp,
            "Version" => Self::Version,
            _ => return None,
        })
    }
}

/// Where a pair was found. V3 signs the pairs of the query only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Query,
    Form,
}

#[derive(Clone)]
pub(crate) struct Pair<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) value: Cow<'a, str>,
    /// Sent in the query, whether or not also in the form.
    pub(crate) in_query: bool,
    pub(crate) common: Option<Common>,
}

/// Which common names are left out when the product's parameters are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hidden {
    /// All of them: V1, bearer and anonymous requests.
    Common,
    /// `Format` alone: in V3 and V4 the others travel in headers, and what has such a name is the product's.
    Format,
}

/// Decoded parameters, sorted by name (bytewise), one value per name. Prints names only.
#[derive(Clone)]
pub struct Params<'a> {
    pairs: Vec<Pair<'a>>,
    /// Index into `pairs` of each common parameter plus one; 0 is absent.
    common: [u32; COMMON_COUNT],
    hidden: Hidden,
}

/// Collects pairs under the limits.
pub(crate) struct Builder<'a, 'l> {
    pairs: Vec<Pair<'a>>,
    limits: &'l Limits,
}

impl<'a, 'l> Builder<'a, 'l> {
    pub(crate) fn new(limits: &'l Limits) -> Self {
        Self { pairs: Vec::with_capacity(32.min(limits.parameters)), limits }
    }

    /// Adds the pairs of a query or a form body.
    pub(crate) fn add(&mut self, text: &'a str, origin: Origin) -> Result<(), WireError> {
        let Self { pairs, limits } = self;
        each_pair(text, |name, value| {
            if pairs.len() >= limits.parameters {
                return Err(WireError::TooManyParameters { limit: limits.parameters });
            }
            if name.len() > limits.name_bytes {
                return Err(WireError::NameTooLong { limit: limits.name_bytes });
            }
            if value.len() > limits.value_bytes {
                return Err(WireError::ValueTooLong { name: name.into_owned(), limit: limits.value_bytes });
            }
            let common = Common::of(&name);
            let in_query = origin == Origin::Query;
            pairs.push(Pair { name, value, in_query, common });
            Ok(())
        })
    }

    /// Sorts, merges equal pairs and refuses a name with two values.
    pub(crate) fn finish(self) -> Result<Params<'a>, WireError> {
        let mut pairs = self.pairs;
        pairs.sort_unstable_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        let mut conflict = false;
        pairs.dedup_by(|later, kept| {
            let same = later.name == kept.name;
            conflict |= same && later.value != kept.value;
            kept.in_query |= same && later.in_query;
            // A conflicting pair stays, so that its name can be reported.
            same && later.value == kept.value
        });
        if conflict {
            let twice = pairs.windows(2).find(|pair| pair[0].name == pair[1].name);
            let name = twice.map(|pair| pair[0].name.clone().into_owned());
            return Err(WireError::ConflictingParameter(name.unwrap_or_default()));
        }
        let mut common = [0; COMMON_COUNT];
        for (at, pair) in (1..).zip(&pairs) {
            if let Some(which) = pair.common {
                common[which as usize] = at;
            }
        }
        Ok(Params { pairs, common, hidden: Hidden::Common })
    }
}

impl<'a> Params<'a> {
    /// The value of `name`, if it was sent. Common parameters are found too.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        /// Among so few, a name is found sooner by lengths than by order.
        const FEW: usize = 32;
        if self.pairs.len() <= FEW {
            return self.pairs.iter().find(|pair| pair.name == name).map(|pair| &*pair.value);
        }
        let found = self.pairs.binary_search_by(|pair| pair.name.as_bytes().cmp(name.as_bytes()));
        found.ok().map(|at| &*self.pairs[at].value)
    }

    /// The product's parameters in the order of their names, without the common ones
    /// (`Action`, `Timestamp`, `Signature`, ... in V1; only `Format` in V3).
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().filter(|pair| self.is_visible(pair)).map(|pair| (&*pair.name, &*pair.value))
    }

    /// How many pairs [`iter`](Self::iter) gives.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether no product parameter was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The flattened list `Name.1`, `Name.2`, ... in the order of the indices; gaps are allowed.
    ///
    /// A bare `Name` is not part of it. A list that was not sent is empty.
    ///
    /// # Errors
    /// [`ParamError::Index`] when anything but an index from 1 follows `Name.`.
    pub fn list(&self, name: &str) -> Result<Vec<&str>, ParamError> {
        let mut items = Vec::new();
        for (rest, pair) in self.below(name) {
            let index = parse_index(rest).ok_or_else(|| ParamError::Index(pair.name.clone().into_owned()))?;
            items.push((index, &*pair.value));
        }
        items.sort_unstable_by_key(|&(index, _)| index);
        Ok(items.into_iter().map(|(_, value)| value).collect())
    }

    /// The flattened list of structures `Name.1.Key`, `Name.1.Value`, `Name.2.Key`, ... as
    /// (index, structure) in the order of the indices; gaps are allowed.
    ///
    /// What does not have this form (no index, no field) is not part of it.
    #[must_use]
    pub fn structs(&self, name: &str) -> Vec<(u32, StructParams<'_>)> {
        let mut fields: Vec<(u32, &str, &str)> = self
            .below(name)
            .filter_map(|(rest, pair)| {
                let (index, field) = rest.split_once('.')?;
                Some((parse_index(index)?, field, &*pair.value))
            })
            .collect();
        fields.sort_by_key(|&(index, _, _)| index);
        fields
            .chunk_by(|a, b| a.0 == b.0)
            .map(|chunk| {
                let fields = chunk.iter().map(|&(_, field, value)| (field, value)).collect();
                (chunk[0].0, StructParams { fields })
            })
            .collect()
    }

    /// SHA-256 over the product's parameters, except those named in `leave_out`. Who has it can try guesses at what
    /// they are: it is to be kept under a key alone.
    ///
    /// Names and values are prefixed with their lengths, so no two different sets collide.
    /// It does not depend on order, on the split between query and form, or on the signature.
    #[must_use]
    pub fn digest(&self, leave_out: &[&str]) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut update = |text: &str| {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        };
        for (name, value) in self.iter().filter(|(name, _)| !leave_out.contains(name)) {
            update(name);
            update(value);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }

    /// A copy that borrows nothing of the request.
    #[must_use]
    pub fn owned(&self) -> Params<'static> {
        let owned = |text: &Cow<'_, str>| Cow::Owned(text.as_ref().to_owned());
        let pairs = self.pairs.iter().map(|pair| Pair {
            name: owned(&pair.name),
            value: owned(&pair.value),
            in_query: pair.in_query,
            common: pair.common,
        });
        Params { pairs: pairs.collect(), common: self.common, hidden: self.hidden }
    }

    pub(crate) fn hide(&mut self, hidden: Hidden) {
        self.hidden = hidden;
    }

    /// All pairs, sorted, the common ones included.
    pub(crate) fn pairs(&self) -> &[Pair<'a>] {
        &self.pairs
    }

    /// A common parameter, if it was sent, even when empty.
    pub(crate) fn common(&self, which: Common) -> Option<&str> {
        let at = (self.common[which as usize] as usize).checked_sub(1)?;
        self.pairs.get(at).map(|pair| &*pair.value)
    }

    fn is_visible(&self, pair: &Pair<'_>) -> bool {
        match (pair.common, self.hidden) {
            (None, _) => true,
            (Some(_), Hidden::Common) => false,
            (Some(common), Hidden::Format) => common != Common::Format,
        }
    }

    /// The pairs whose name begins with `name` and a dot, with what follows the dot.
    fn below<'p, 'n>(
        &'p self,
        name: &'n str,
    ) -> impl Iterator<Item = (&'p str, &'p Pair<'a>)> + use<'p, 'n, 'a> {
        let start = self.pairs.partition_point(|pair| sorts_before_dot(&pair.name, name));
        self.pairs[start..].iter().map_while(move |pair| {
            let rest = pair.name.strip_prefix(name)?.strip_prefix('.')?;
            Some((rest, pair))
        })
    }
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// Whether `pair_name` sorts before `name` followed by a dot.
fn sorts_before_dot(pair_name: &str, name: &str) -> bool {
    let wanted = name.bytes().chain([b'.']);
    pair_name.bytes().cmp(wanted).is_lt()
}

/// One element of a flattened list of structures: the fields below `Name.N.`. Prints names only.
#[derive(Clone, PartialEq, Eq)]
pub struct StructParams<'p> {
    fields: Vec<(&'p str, &'p str)>,
}

impl<'p> StructParams<'p> {
    /// The value of a field. A field of a nested structure is named with a dot: `TunnelIkeConfig.Psk`.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&'p str> {
        let found = self.fields.iter().find(|(name, _)| *name == field);
        found.map(|&(_, value)| value)
    }

    /// All fields in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'p str, &'p str)> {
        self.fields.iter().copied()
    }
}

impl fmt::Debug for StructParams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// An index of a flattened list: decimal, from 1, without leading zeros.
fn parse_index(text: &str) -> Option<u32> {
    let decimal = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    decimal.then(|| text.parse().ok())?
}

/// Reads a boolean as clients write it: `true` or `false` in any case.
#[must_use]
pub fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &'static str, form: &'static str) -> Result<Params<'static>, WireError> {
        let limits = Limits { parameters: 12, name_bytes: 8, value_bytes: 8 };
        let mut builder = Builder::new(&limits);
        builder.add(query, Origin::Query)?;
        builder.add(form, Origin::Form)?;
        builder.finish()
    }

    fn names(params: &Params<'_>) -> Vec<String> {
        params.iter().map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn merged_sorted_and_without_common_names() {
        let mut merged = params("b=2&Format=x&Action=A&c=3", "a=1&b=2&%61=1").unwrap();
        assert_eq!(names(&merged), ["a", "b", "c"]);
        assert_eq!((merged.len(), merged.is_empty()), (3, false));
        let none = params("", "").unwrap();
        assert_eq!((none.len(), none.is_empty()), (0, true));
        assert_eq!(merged.get("b"), Some("2"));
        assert_eq!(merged.get("Action"), Some("A"));
        assert_eq!(merged.get("aa"), None);
        let in_query = |name| merged.pairs().iter().find(|pair| pair.name == name).unwrap().in_query;
        assert_eq!([in_query("a"), in_query("b"), in_query("c")], [false, true, true]);
        merged.hide(Hidden::Format);
        assert_eq!(names(&merged), ["Action", "a", "b", "c"]);
    }

    #[test]
    fn two_values_for_one_name_are_refused() {
        for (query, form) in [("x=1&x=2", ""), ("", "x=1&a=1&x=2"), ("x=1", "x="), ("x=1&x=1&x=2", "x=1")] {
            let expected = WireError::ConflictingParameter("x".to_owned());
            assert_eq!(params(query, form).unwrap_err(), expected, "{query} {form}");
        }
        assert_eq!(params("x=1&x=1", "x=1").unwrap().len(), 1);
    }

    #[test]
    fn limits_are_inclusive() {
        assert_eq!(params("a=1&b&c&d&e&f", "g&h&i&j&k&l").unwrap().len(), 12);
        assert_eq!(
            params("a=1&b&c&d&e&f", "g&h&i&j&k&l&a=1").unwrap_err(),
            WireError::TooManyParameters { limit: 12 }
        );
        assert!(params("12345678=%31%32%33%34%35%36%37%38", "").is_ok());
        assert_eq!(params("123456789=1", "").unwrap_err(), WireError::NameTooLong { limit: 8 });
        let too_long = WireError::ValueTooLong { name: "a".to_owned(), limit: 8 };
        assert_eq!(params("", "a=123456789").unwrap_err(), too_long);
    }

    #[test]
    fn lists() {
        let found = params("L.10=j&L.2=b&L.1=a&L=bare&L-=x&LL.1=y&M.01=z&N.0=z&O.a=z", "P.1.K=z").unwrap();
        assert_eq!(found.list("L").unwrap(), ["a", "b", "j"]);
        assert_eq!(found.list("Q").unwrap(), [""; 0]);
        for (list, name) in [("M", "M.01"), ("N", "N.0"), ("O", "O.a"), ("P", "P.1.K")] {
            assert_eq!(found.list(list).unwrap_err(), ParamError::Index(name.to_owned()));
        }
        assert!(params("L.9999999999=1", "").is_err(), "name limit");
        assert_eq!(parse_index("4294967295"), Some(u32::MAX));
        assert_eq!([parse_index("4294967296"), parse_index(""), parse_index("+1")], [None; 3]);
    }

    #[test]
    fn structures() {
        let found = params("T.10.K=k10&T.2.V=v2&T.2.K=k2&T.1=x&T.x.K=x&T.2.A.B=b", "").unwrap();
        let tags = found.structs("T");
        let indices: Vec<u32> = tags.iter().map(|(index, _)| *index).collect();
        assert_eq!(indices, [2, 10]);
        assert_eq!(tags[0].1.get("K"), Some("k2"));
        assert_eq!(tags[0].1.get("A.B"), Some("b"));
        assert_eq!(tags[0].1.iter().count(), 3);
        assert_eq!(tags[1].1.get("V"), None);
        assert!(found.structs("Tag").is_empty());
    }

    #[test]
    fn digests_see_product_parameters_only() {
        let base = params("a=1&b=2&Action=X", "c=3").unwrap().digest(&["c"]);
        assert_eq!(params("c=4", "b=2&a=1&Action=Y").unwrap().digest(&["c"]), base);
        assert_ne!(params("a=1&b=2", "c=3").unwrap().digest(&[]), base);
        assert_ne!(params("a=1b&=2", "").unwrap().digest(&[]), base);
        assert_ne!(params("a=&1b=2", "").unwrap().digest(&[]), base);
    }

    #[test]
    fn booleans() {
        for text in ["true", "True", "TRUE"] {
            assert_eq!(parse_bool(text), Some(true));
        }
        assert_eq!(parse_bool("False"), Some(false));
        assert_eq!([parse_bool(""), parse_bool("1"), parse_bool("yes"), parse_bool("true ")], [None; 4]);
    }
}
