//! The columns of a table, named once: the list that is selected, the reader of a row and its INSERT are made of one
//! list of fields, by macros.

use tongguan_model::certificate::{CertificateStatus, KeyPurposes, Role};
use tongguan_model::connection::{Negotiation, TunnelBandwidth};
use tongguan_model::gateway::{
    BindingState, BusinessStatus, ChargeType, ChildState, NetworkType, Phase, VpnType,
};
use tongguan_model::id::{
    AccountId, CertificateId, ConnectionId, CustomerGatewayId, RegionId, TunnelId, VSwitchId, VpcId,
    VpnGatewayId,
};
use tongguan_model::route::RouteKind;

use super::fault::FaultOutcome;
use super::intent::IntentKind;
use super::ram::DeletionStatus;
use super::resource_group::ResourceGroupStatus;
use crate::session::{AsBind, Bind, FromColumn, FromRow, Unreadable, Value, Whole};

/// A row type, or a part of one.
pub(crate) trait Columns: FromRow {
    /// The columns, in the order in which they are read.
    const COLUMNS: &'static str;
}

/// Rows of one table.
pub(crate) trait Table: Columns + Whole {
    /// Name of the table.
    const NAME: &'static str;
    /// Selects the columns from the table; a condition may follow.
    const SELECT: &'static str;
    /// The place of a row that is taken over whole, to be selected from the table.
    const PLACE: &'static str;
    /// Selects the places of rows that are taken over whole, for rows of many columns that are read often, and for
    /// pages. A condition may follow.
    const PLACES: &'static str;
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

/// Concatenates texts.
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

/// A statement, concatenated of constants at compile time.
macro_rules! sql {
    ($($part:expr),+ $(,)?) => {{
        const PARTS: &[&str] = &[$($part),+];
        const BYTES: [u8; $crate::rows::table::length(PARTS)] = $crate::rows::table::joined(PARTS);
        const TEXT: &str = match std::str::from_utf8(&BYTES) {
            Ok(text) => text,
            Err(_) => panic!("concatenated texts are UTF-8"),
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

/// The placeholder of one more value.
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

/// A part of a row that is stored later than the row: its columns and their values.
pub(crate) trait Part: Columns {
    /// Sets each column, in an UPDATE.
    const SET: &'static str;

    /// The values, in the same order.
    fn values(&self) -> Vec<Bind<'_>>;
}

/// Names the columns of a part of a row once; it can be read and stored later.
macro_rules! part {
    ($part:ty { $first:ident $(= $first_column:expr)? $(, $field:ident $(= $column:expr)?)* $(,)? }) => {
        columns! { $part { $first $(= $first_column)? $(, $field $(= $column)?)* } }

        impl $crate::rows::table::Part for $part {
            const SET: &'static str = sql!(
                column!($first $(= $first_column)?), " = ?" $(, ", ", column!($field $(= $column)?), " = ?")*
            );

            fn values(&self) -> Vec<$crate::session::Bind<'_>> {
                binds![self.$first $(, self.$field)*].to_vec()
            }
        }
    };
}

/// Names the columns of a table once: those that are inserted and read (`both`), those that are only read because the
/// database or a later change sets them (`read`), and those that are only inserted (`write`, each with its expression).
/// Implements [`Table`] for the row, and defines `INSERT` and `insert` in the module.
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
            const PLACE: &'static str = sql!(
                <$row as $crate::session::Whole>::FUNCTION, "(", <$row as $crate::session::Whole>::ARGUMENTS, ")"
            );
            const PLACES: &'static str =
                sql!("SELECT ", <$row as $crate::rows::table::Table>::PLACE, " FROM ", $table);
        }

        impl $crate::session::Whole for $row {
            const FUNCTION: &'static str = concat!("whole_", $table);
            const ARGUMENTS: &'static str = <$row as $crate::rows::table::Columns>::COLUMNS;
        }

        /// The statement that inserts a row.
        pub(super) const INSERT: &str = sql!(
            "INSERT INTO ", $table, " (", column!($first $(= $first_column)?)
            $(, ", ", column!($both $(= $both_column)?))* $($(, ", ", stringify!($write))+)?, ") VALUES (?"
            $(, $crate::rows::table::another(stringify!($both)))*
            $($(, $crate::rows::table::another(stringify!($write)))+)?, ")"
        );

        /// Inserts a row: by a session, or by a statement that was prepared of [`INSERT`].
        pub(super) fn insert(
            by: impl $crate::session::Inserts,
            $it: &$row
            $($(, $($argument: $kind),+)?)?
        ) -> Result<(), $crate::StoreError> {
            $crate::session::Inserts::insert(by, INSERT, &binds![$it.$first $(, $it.$both)* $($(, $value)+)?])
        }
    };
}

/// An entry of [`READ`](super::READ): a row type, and the column that names a row in a report.
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

/// The query for the account's row of an id. A row of another account is excluded by the query, not after it was
/// read: it takes the time of an unknown id.
macro_rules! owned {
    ($row:ty) => {
        sql!(<$row as $crate::rows::Table>::SELECT, " WHERE id = ?1 AND account = ?2")
    };
}

/// Inserts a row, each column beside its value; more SQL may follow.
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

/// Inserts a row, or replaces the columns of the one that has its key.
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

/// Updates columns of the rows that have these values.
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
            #[inline(always)]
            fn read(value: Value<'_>) -> Result<Self, Unreadable> {
                value.text().map($id::new).ok_or(Unreadable::Kind)
            }
        }
    )+};
}
ids!(
    AccountId,
    CertificateId,
    ConnectionId,
    CustomerGatewayId,
    RegionId,
    TunnelId,
    VSwitchId,
    VpcId,
    VpnGatewayId
);

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
            #[inline(always)]
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
    ChildState,
    DeletionStatus,
    FaultOutcome,
    IntentKind,
    Negotiation,
    NetworkType,
    Phase,
    ResourceGroupStatus,
    Role,
    RouteKind,
    TunnelBandwidth,
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

#[cfg(test)]
mod tests {
    use tongguan_model::certificate::{Certificate, Issued, SigningRequest, Upload};
    use tongguan_model::connection::Connection;
    use tongguan_model::gateway::{Binding, VpnGateway};
    use tongguan_model::network::{VSwitch, Vpc};
    use tongguan_model::route::VpnRoute;

    use super::*;
    use crate::rows::WHOLE;
    use crate::rows::ram::{GroupRow, PolicyRow, RoleDeletion, RoleRow, UserRow};
    use crate::session::Session;
    use crate::session::whole::make_all_known;
    use crate::sqlite::schema;
    use crate::{
        AccountRow, AuditRecord, CustomerGatewayRow, DiagnosisRow, Fault, Intent, ObservationRow, TagRow,
        TunnelRow,
    };

    /// Every list of columns is one that the schema has.
    #[test]
    fn every_table_can_be_selected() {
        let fresh = schema::fresh().unwrap();
        make_all_known(&fresh, WHOLE).unwrap();
        let session = Session::new(&fresh);
        for select in [
            VpnGateway::SELECT,
            Vpc::SELECT,
            VSwitch::SELECT,
            Binding::SELECT,
            Certificate::SELECT,
            Upload::SELECT,
            SigningRequest::SELECT,
            CustomerGatewayRow::SELECT,
            Connection::SELECT,
            VpnRoute::SELECT,
            UserRow::SELECT,
            GroupRow::SELECT,
            RoleRow::SELECT,
            PolicyRow::SELECT,
            RoleDeletion::SELECT,
            AuditRecord::SELECT,
        ] {
            session.prepare(select).unwrap_or_else(|error| panic!("{select}: {error}"));
        }
        for places in [VpnGateway::PLACES, Certificate::PLACES, Connection::PLACES] {
            session.prepare(places).unwrap_or_else(|error| panic!("{places}: {error}"));
        }
        for (columns, table) in [
            (AccountRow::COLUMNS, "account"),
            (Fault::COLUMNS, "fault"),
            (Intent::COLUMNS, "intent"),
            (TagRow::COLUMNS, "tag"),
            (TunnelRow::COLUMNS, "vpn_tunnel"),
            (ObservationRow::COLUMNS, "vpn_observation"),
            (DiagnosisRow::COLUMNS, "vpn_diagnosis"),
        ] {
            session.prepare(&format!("SELECT {columns} FROM {table}")).unwrap();
        }
    }

    #[test]
    fn statements_are_made_of_the_fields() {
        assert_eq!(TagRow::COLUMNS, "resource, key, value");
        assert_eq!(count(Issued::COLUMNS), 11);
        assert!(Issued::SET.starts_with("certificate = ?, chain = ?, sm = ?"), "{}", Issued::SET);
        assert_eq!(
            super::super::binding::INSERT,
            "INSERT INTO binding (gateway, role, certificate, named, state, associated_ms, account, region) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        );
        assert_eq!(owned!(Vpc), [Vpc::SELECT, " WHERE id = ?1 AND account = ?2"].concat());
        assert!(
            Vpc::SELECT.starts_with("SELECT id, account, region, ")
                && Vpc::SELECT.ends_with(", ready FROM vpc")
        );
    }
}
