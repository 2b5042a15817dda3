//! Values: bound to a statement, stored, and read from a column.

use std::borrow::Cow;

/// A value to bind to a statement.
#[derive(Clone, Copy)]
pub(crate) enum Bind<'v> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'v str),
    Blob(&'v [u8]),
    /// Lines, bound as one text.
    Lines(&'v [String]),
}

/// What it is, and not its value: drivers log what they are given.
impl std::fmt::Debug for Bind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "nothing",
            Self::Integer(_) => "an integer",
            Self::Real(_) => "a fraction",
            Self::Text(_) | Self::Lines(_) => "a text",
            Self::Blob(_) => "bytes",
        })
    }
}

/// What can be bound to a statement.
pub(crate) trait AsBind {
    fn bind(&self) -> Bind<'_>;
}

/// Binds values, borrowed.
macro_rules! binds {
    ($($value:expr),* $(,)?) => { [$($crate::session::AsBind::bind(&$value)),*] };
}

impl<T: AsBind + ?Sized> AsBind for &T {
    #[inline]
    fn bind(&self) -> Bind<'_> {
        (**self).bind()
    }
}

impl<T: AsBind> AsBind for Option<T> {
    #[inline]
    fn bind(&self) -> Bind<'_> {
        self.as_ref().map_or(Bind::Null, AsBind::bind)
    }
}

/// Types that are stored as integers.
macro_rules! integers {
    ($($kind:ty),+) => {$(
        impl AsBind for $kind {
            #[inline]
            fn bind(&self) -> Bind<'_> {
                Bind::Integer(i64::from(*self))
            }
        }

        impl FromColumn for $kind {
            #[inline(always)]
            fn read(value: Value<'_>) -> Result<Self, Unreadable> {
                value.integer().and_then(|number| number.try_into().ok()).ok_or(Unreadable::Kind)
            }
        }
    )+};
}
integers!(i64, u32, u16, u8);

/// Types that are bound as they are.
macro_rules! bound {
    ($($kind:ty: $value:ident => $bind:expr;)+) => {$(
        impl AsBind for $kind {
            #[inline]
            fn bind(&self) -> Bind<'_> {
                let $value = self;
                $bind
            }
        }
    )+};
}
bound! {
    bool: value => Bind::Integer(i64::from(*value));
    // The signed number of the same bits.
    u64: value => Bind::Integer(value.cast_signed());
    str: text => Bind::Text(text);
    String: text => Bind::Text(text);
    Cow<'_, str>: text => Bind::Text(text);
    [u8]: bytes => Bind::Blob(bytes);
    Vec<u8>: bytes => Bind::Blob(bytes);
    Vec<String>: lines => Bind::Lines(lines);
    Bind<'_>: bind => *bind;
    Value<'_>: value => value.into_bind();
}

impl<const N: usize> AsBind for [u8; N] {
    #[inline]
    fn bind(&self) -> Bind<'_> {
        Bind::Blob(self)
    }
}

/// A value as it is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'r> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'r [u8]),
    Blob(&'r [u8]),
}

/// As reports of `check` show it.
impl std::fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Integer(number) => write!(f, "Integer({number})"),
            Self::Real(number) => write!(f, "Real({number:?})"),
            Self::Text(text) => write!(f, "Text({:?})", String::from_utf8_lossy(text)),
            Self::Blob(bytes) => write!(f, "Blob({bytes:?})"),
        }
    }
}

/// A value that outlives its row. No column holds fractions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owned {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl Owned {
    /// None of a fraction, and of a text that is none.
    pub(crate) fn of(value: Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Integer(number) => Self::Integer(number),
            Value::Real(_) => return None,
            Value::Text(_) => Self::Text(value.text()?.to_owned()),
            Value::Blob(bytes) => Self::Blob(bytes.to_vec()),
        })
    }

    /// What is bound; none of a fraction.
    pub(crate) fn of_bind(bind: Bind<'_>) -> Option<Self> {
        Some(match bind {
            Bind::Null => Self::Null,
            Bind::Integer(number) => Self::Integer(number),
            Bind::Real(_) => return None,
            Bind::Text(text) => Self::Text(text.to_owned()),
            Bind::Blob(bytes) => Self::Blob(bytes.to_vec()),
            Bind::Lines(lines) => Self::Text(lines.join("\n")),
        })
    }

    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(text.as_bytes()),
            Self::Blob(bytes) => Value::Blob(bytes),
        }
    }
}

impl AsBind for Owned {
    fn bind(&self) -> Bind<'_> {
        self.value().into_bind()
    }
}

impl<'r> Value<'r> {
    /// What it is, for messages.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Integer(_) => "an integer",
            Self::Real(_) => "a fraction",
            Self::Text(_) => "a text",
            Self::Blob(_) => "bytes",
        }
    }

    /// Binds the value.
    pub(crate) fn into_bind(self) -> Bind<'r> {
        match self {
            Self::Null => Bind::Null,
            Self::Integer(number) => Bind::Integer(number),
            Self::Real(number) => Bind::Real(number),
            // Text that is not UTF-8 equals no text.
            Self::Text(text) => std::str::from_utf8(text).map_or(Bind::Blob(text), Bind::Text),
            Self::Blob(bytes) => Bind::Blob(bytes),
        }
    }

    /// The number, if it is a whole one.
    #[inline(always)]
    fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(number),
            _ => None,
        }
    }

    /// The bytes of a blob.
    #[inline]
    pub(crate) fn blob(self) -> Option<&'r [u8]> {
        match self {
            Self::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[inline(always)]
    pub(crate) fn text(self) -> Option<&'r str> {
        match self {
            Self::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// The bytes of a text or a blob.
    pub(crate) fn bytes(self) -> Option<&'r [u8]> {
        match self {
            Self::Text(bytes) | Self::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Why a value cannot be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It is of another kind, or beyond the bounds of the type.
    Kind,
    /// Not one of the words of its type.
    Word(String),
}

/// What is read from one column.
pub(crate) trait FromColumn: Sized {
    fn read(value: Value<'_>) -> Result<Self, Unreadable>;
}

impl<T: FromColumn> FromColumn for Option<T> {
    #[inline(always)]
    fn read(value: Value<'_>) -> Result<Self, Unreadable> {
        if value == Value::Null { Ok(None) } else { T::read(value).map(Some) }
    }
}

/// Types that are made of a value, if it is of their kind.
macro_rules! read {
    ($($kind:ty: $value:ident => $made:expr;)+) => {$(
        impl FromColumn for $kind {
            #[inline(always)]
            fn read($value: Value<'_>) -> Result<Self, Unreadable> {
                $made.ok_or(Unreadable::Kind)
            }
        }
    )+};
}
read! {
    bool: value => value.integer().map(|number| number != 0);
    u64: value => value.integer().map(i64::cast_unsigned);
    String: value => value.text().map(Into::into);
    Cow<'static, str>: value => value.text().map(|text| Cow::Owned(text.into()));
    // Empty lines are skipped.
    Vec<String>: value => value.text().map(|text| {
        text.split('\n').filter(|line| !line.is_empty()).map(Into::into).collect()
    });
    Vec<u8>: value => value.blob().map(<[u8]>::to_vec);
}

impl<const N: usize> FromColumn for [u8; N] {
    #[inline]
    fn read(value: Value<'_>) -> Result<Self, Unreadable> {
        value.blob().and_then(|bytes| bytes.try_into().ok()).ok_or(Unreadable::Kind)
    }
}
