//! A table, its columns named once: what is selected, how a row is read, and how one is put in follow from one list.

use tongguan_model::certificate::{CertificateStatus, KeyPurposes};
use tongguan_model::gateway::{BindingState, BusinessStatus, ChargeType, NetworkType, Phase, Role, VpnType};
use tongguan_model::id::{AccountId, CertificateId, RegionId, VSwitchId, VpcId, VpnGatewayId};

use super::fault::FaultOutcome;
use super::intent::IntentKind;
use super::ram::DeletionStatus;
use crate::session::{AsBind, Bind, FromColumn, FromRow, Unreadable, Value};

/// Columns that are read together.
pub(crate) trait Columns: FromRow {
    /// The columns, in the order in which they are read.
    const COLUMNS: &'static str;
}

/// Rows of one table.
pub(crate) trait Table: Columns {
    /// Name of the table.
    const NAME: &'static str;
    /// Selects them from the table; a condition may follow.
    const SELECT: &'static str;
}

/// Length of texts together.
pub(crate) const fn length(parts: &[&str]) -> usize {
    let (mut length, mut at) = (0, 0);
    while at < parts.len() {
        length += parts[at].len();
        at += 1;
    }
    length
}

/// Texts one after the other.
pub(crate) const fn joined<const LENGTH: usize>(parts: &[&str]) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let (mut filled, mut at) = (0, 0);
    while at < parts.len() {
        let part = parts[at].as_bytes();
        let mut byte = 0;
        while byte < part.len() {
            bytes[filled] = part[byte];
            filled += 1;
            byte += 1;
        }
        at += 1;
    }
    bytes
}

/// How many columns a list names, of which none has a comma in it.
pub(crate) const fn count(columns: &str) -> usize {
    let (mut count, mut at) = (1, 0);
    while at < columns.len() {
        if columns.as_bytes()[at] == b',' {
            count += 1;
        }
        at += 1;
    }
    count
}

/// A statement put together of constant texts while the program is compiled.
macro_rules! sql {
    ($($part:expr),+ $(,)?) => {{
        const PARTS: &[&str] = &[$($part),+];
        const BYTES: [u8; $crate::rows::table::length(PARTS)] = $crate::rows::table::joined(PARTS);
        const TEXT: &str = match std::str::from_utf8(&BYTES) {
            Ok(text) => text,
            Err(_) => panic!("texts one after the other are a text"),
        };
        TEXT
    }};
}

/// The column of a field: of the field's name, unless another one is given.
macro_rules! column {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident = $column:expr) => {
        $column
    };
}

/// The place of one more value.
pub(crate) const fn another(_column: &str) -> &'static str {
    ", ?"
}

/// Names the columns of a row, or of a part of one, once: the fields in the order in which they are read.
macro_rules! columns {
    ($row:ty { $first:ident $(= $first_column:expr)? $(, $field:ident $(= $column:expr)?)* $(,)? }) => {
        impl $crate::rows::table::Columns for $row {
            const COLUMNS: &'static str =
                sql!(column!($first $(= $first_column)?) $(, ", ", column!($field $(= $column)?))*);
        }

        impl $crate::session::FromRow for $row {
            #[inline]
            fn from_row(cells: &mut $crate::session::Cells<'_>) -> Result<Self, $crate::DatabaseError> {
                Ok(Self { $first: cells.next()? $(, $field: cells.next()?)* })
            }
        }
    };
}

/// Names the columns of a table once: those that are put in and read (`both`), those that are read and come from the
/// database or from somebody else (`read`), and those that are put in and not read (`write`, with what they are made of).
/// Gives the row its [`Table`], and the module a function `insert`.
macro_rules! table {
    (
        $row:ty as $it:ident in $table:literal {
            both { $first:ident $(= $first_column:expr)? $(, $both:ident $(= $both_column:expr)?)* $(,)? }
            $(read { $($read:ident $(= $read_column:expr)?),+ $(,)? })?
            $(write $(($($argument:ident: $kind:ty),+))? { $($write:ident = $value:expr),+ $(,)? })?
        }
    ) => {
        columns! {
            $row {
                $first $(= $first_column)? $(, $both $(= $both_column)?)* $($(, $read $(= $read_column)?)+)?
            }
        }

        impl $crate::rows::table::Table for $row {
            const NAME: &'static str = $table;
            const SELECT: &'static str =
                sql!("SELECT ", <$row as $crate::rows::table::Columns>::COLUMNS, " FROM ", $table);
        }

        /// The statement that puts a row in.
        pub(super) const INSERT: &str = sql!(
            "INSERT INTO ", $table, " (", column!($first $(= $first_column)?)
            $(, ", ", column!($both $(= $both_column)?))* $($(, ", ", stringify!($write))+)?, ") VALUES (?"
            $(, $crate::rows::table::another(stringify!($both)))*
            $($(, $crate::rows::table::another(stringify!($write)))+)?, ")"
        );

        /// Puts a row in; the statement is [`INSERT`].
        pub(super) fn insert(
            statement: &mut $crate::session::Statement<'_>,
            $it: &$row
            $($(, $($argument: $kind),+)?)?
        ) -> Result<(), $crate::StoreError> {
            statement.execute(&binds![$it.$first $(, $it.$both)* $($(, $value)+)?])?;
            Ok(())
        }
    };
}

/// A table as one whose rows are looked at, and the column that names them.
macro_rules! readable {
    ($row:ty, $name:literal) => {
        (
            <$row as $crate::rows::Table>::NAME,
            sql!(
                "SELECT ",
                $name,
                ", ",
                <$row as $crate::rows::Columns>::COLUMNS,
                " FROM ",
                <$row as $crate::rows::Table>::NAME,
                " ORDER BY seq"
            ),
            |cells| cells.next::<$row>().map(drop),
        )
    };
}

/// The account's row of an id. A foreign one is left out by the question, not after it was read: it takes the time of an
/// unknown one.
macro_rules! owned {
    ($row:ty) => {
        sql!(<$row as $crate::rows::Table>::SELECT, " WHERE id = ?1 AND account = ?2")
    };
}

/// Puts a row in, of which each column is named beside its value; more SQL may follow.
macro_rules! insert {
    (
        $session:expr, $table:literal
        { $first:ident: $first_value:expr $(, $column:ident: $value:expr)* $(,)? } $($rest:literal)?
    ) => {
        $session.execute(
            sql!(
                "INSERT INTO ", $table, " (", stringify!($first) $(, ", ", stringify!($column))*, ") VALUES (?"
                $(, $crate::rows::table::another(stringify!($column)))*, ")" $(, " ", $rest)?
            ),
            &binds![$first_value $(, $value)*],
        )
    };
}

/// Puts a row in, or replaces what stands at its key.
macro_rules! upsert {
    (
        $session:expr, $table:literal
        { $first:ident: $first_value:expr $(, $key:ident: $key_value:expr)* $(,)? }
        set { $replaced:ident: $replaced_value:expr $(, $column:ident: $value:expr)* $(,)? }
    ) => {
        $session.execute(
            sql!(
                "INSERT INTO ", $table, " (", stringify!($first) $(, ", ", stringify!($key))*, ", ",
                stringify!($replaced) $(, ", ", stringify!($column))*, ") VALUES (?"
                $(, $crate::rows::table::another(stringify!($key)))*, ", ?"
                $(, $crate::rows::table::another(stringify!($column)))*, ") ON CONFLICT (",
                stringify!($first) $(, ", ", stringify!($key))*, ") DO UPDATE SET ",
                stringify!($replaced), " = excluded.", stringify!($replaced)
                $(, ", ", stringify!($column), " = excluded.", stringify!($column))*
            ),
            &binds![$first_value $(, $key_value)*, $replaced_value $(, $value)*],
        )
    };
}

/// Changes columns of the rows that have these values.
macro_rules! update {
    (
        $session:expr, $table:literal
        { $first:ident: $first_value:expr $(, $column:ident: $value:expr)* $(,)? }
        where { $key:ident: $key_value:expr $(, $more:ident: $more_value:expr)* $(,)? }
    ) => {
        $session.execute(
            sql!(
                "UPDATE ", $table, " SET ", stringify!($first), " = ?"
                $(, ", ", stringify!($column), " = ?")*, " WHERE ", stringify!($key), " = ?"
                $(, " AND ", stringify!($more), " = ?")*
            ),
            &binds![$first_value $(, $value)*, $key_value $(, $more_value)*],
        )
    };
}

/// Ids, which are texts.
macro_rules! ids {
    ($($id:ident),+) => {$(
        impl AsBind for $id {
            #[inline]
            fn bind(&self) -> Bind<'_> {
                Bind::Text(self.as_str())
            }
        }

        impl FromColumn for $id {
            #[inline]
            fn read(value: Value<'_>) -> Result<Self, Unreadable> {
                value.text().map($id::new).ok_or(Unreadable::Kind)
            }
        }
    )+};
}
ids!(AccountId, CertificateId, RegionId, VSwitchId, VpcId, VpnGatewayId);

/// Words of the API, one of a few.
macro_rules! words {
    ($($word:ident),+) => {$(
        impl AsBind for $word {
            #[inline]
            fn bind(&self) -> Bind<'_> {
                Bind::Text(self.as_str())
            }
        }

        impl FromColumn for $word {
            #[inline]
            fn read(value: Value<'_>) -> Result<Self, Unreadable> {
                let text = value.text().ok_or(Unreadable::Kind)?;
                $word::parse(text).ok_or_else(|| Unreadable::Word(text.to_owned()))
            }
        }
    )+};
}
words!(
    BindingState,
    BusinessStatus,
    CertificateStatus,
    ChargeType,
    DeletionStatus,
    FaultOutcome,
    IntentKind,
    NetworkType,
    Phase,
    Role,
    VpnType
);

impl AsBind for KeyPurposes {
    #[inline]
    fn bind(&self) -> Bind<'_> {
        Bind::Integer(self.bits().into())
    }
}

impl FromColumn for KeyPurposes {
    #[inline]
    fn read(value: Value<'_>) -> Result<Self, Unreadable> {
        u8::read(value).map(Self::from_bits)
    }
}
