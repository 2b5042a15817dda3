//! Values as PostgreSQL sends and takes them.

use std::error::Error;

use tokio_postgres::Row;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::session::{Bind, Value};

/// A column of a row; none if there is no such column.
pub(crate) fn value(row: &Row, at: usize) -> Option<Value<'_>> {
    row.try_get::<_, Raw<'_>>(at).ok().map(|Raw(value)| value)
}

/// A value of any type that the service's queries answer.
struct Raw<'r>(Value<'r>);

type Unknown = Box<dyn Error + Sync + Send>;

fn number<const BYTES: usize>(raw: &[u8]) -> Result<[u8; BYTES], Unknown> {
    Ok(raw.try_into()?)
}

impl<'r> FromSql<'r> for Raw<'r> {
    fn from_sql(ty: &Type, raw: &'r [u8]) -> Result<Self, Unknown> {
        Ok(Self(match *ty {
            Type::INT8 => Value::Integer(i64::from_be_bytes(number(raw)?)),
            Type::INT4 => Value::Integer(i32::from_be_bytes(number(raw)?).into()),
            Type::INT2 => Value::Integer(i16::from_be_bytes(number(raw)?).into()),
            Type::BOOL => Value::Integer(i64::from(raw != [0])),
            Type::FLOAT8 => Value::Real(f64::from_be_bytes(number(raw)?)),
            Type::NUMERIC => {
                Value::Integer(whole_number(raw).ok_or("a number that is not whole, or too large")?)
            }
            Type::BYTEA => Value::Blob(raw),
            _ => Value::Text(raw),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Unknown> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A NUMERIC, which sums are: digits to the base of 10,000.
fn whole_number(raw: &[u8]) -> Option<i64> {
    let (words, _) = raw.as_chunks::<2>();
    let [digits, weight, sign, _scale, rest @ ..] = words else { return None };
    let (digits, weight) = (i16::from_be_bytes(*digits), i16::from_be_bytes(*weight));
    if digits > weight + 1 {
        return None;
    }
    let mut sum: i64 = 0;
    for place in 0..=usize::try_from(weight).unwrap_or(0) {
        let digit = rest.get(place).map_or(0, |digit| i16::from_be_bytes(*digit));
        sum = sum.checked_mul(10_000)?.checked_add(digit.into())?;
    }
    match u16::from_be_bytes(*sign) {
        0 => Some(sum),
        0x4000 => Some(-sum),
        _ => None,
    }
}

impl ToSql for Bind<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Unknown> {
        match (*self, ty) {
            (Self::Null, _) => return Ok(IsNull::Yes),
            (Self::Integer(number), &Type::INT8) => out.extend_from_slice(&number.to_be_bytes()),
            (Self::Integer(number), &Type::INT4) => {
                out.extend_from_slice(&i32::try_from(number)?.to_be_bytes());
            }
            (Self::Integer(number), &Type::INT2) => {
                out.extend_from_slice(&i16::try_from(number)?.to_be_bytes());
            }
            (Self::Integer(number), &Type::BOOL) => out.extend_from_slice(&[u8::from(number != 0)]),
            (Self::Integer(number), &Type::FLOAT8) => out.extend_from_slice(&(number as f64).to_be_bytes()),
            (Self::Integer(number), &Type::TEXT | &Type::VARCHAR) => {
                out.extend_from_slice(number.to_string().as_bytes());
            }
            (Self::Real(number), &Type::FLOAT8) => out.extend_from_slice(&number.to_be_bytes()),
            // No text there has a zero byte. What is kept never has one; what is looked for is found nowhere.
            (Self::Text(text), &Type::TEXT | &Type::VARCHAR | &Type::NAME) if text.contains('\0') => {
                out.extend_from_slice(text.replace('\0', "\u{fffd}").as_bytes());
            }
            (Self::Text(text), &Type::TEXT | &Type::VARCHAR | &Type::NAME | &Type::BYTEA) => {
                out.extend_from_slice(text.as_bytes());
            }
            (Self::Blob(bytes), &Type::BYTEA) => out.extend_from_slice(bytes),
            (Self::Lines(lines), &Type::TEXT | &Type::VARCHAR) => {
                out.extend_from_slice(lines.join("\n").as_bytes());
            }
            (Self::Integer(_), _) => return Err(format!("a number is not bound to {ty}").into()),
            (Self::Real(_), _) => return Err(format!("a fraction is not bound to {ty}").into()),
            (Self::Text(_) | Self::Lines(_), _) => return Err(format!("a text is not bound to {ty}").into()),
            (Self::Blob(_), _) => return Err(format!("bytes are not bound to {ty}").into()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_whole_numbers() {
        let numeric = |digits: &[i16], weight: i16, sign: u16| {
            let mut raw = Vec::new();
            raw.extend_from_slice(&(digits.len() as i16).to_be_bytes());
            raw.extend_from_slice(&weight.to_be_bytes());
            raw.extend_from_slice(&sign.to_be_bytes());
            raw.extend_from_slice(&0_i16.to_be_bytes());
            digits.iter().for_each(|digit| raw.extend_from_slice(&digit.to_be_bytes()));
            whole_number(&raw)
        };
        assert_eq!(numeric(&[], 0, 0), Some(0));
        assert_eq!(numeric(&[1, 2345], 1, 0), Some(12_345));
        assert_eq!(numeric(&[7], 1, 0x4000), Some(-70_000));
        assert_eq!(numeric(&[7], -1, 0), None);
        assert_eq!(numeric(&[9_999; 6], 5, 0), None);
        assert_eq!(numeric(&[1], 0, 0xC000), None);
    }
}
