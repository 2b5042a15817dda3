//! The SA payload: proposals, their transforms, and the attributes of those (RFC 2408, 3.4 to 3.6; RFC 2407, 4.6).

use super::{Malformed, Reader};

/// Most transforms of an SA payload, all proposals together.
pub const MAX_TRANSFORMS: usize = 64;
/// Octets of an SPI at most (RFC 2407, 4.6.1).
const MAX_SPI: usize = 16;
/// Domain of interpretation: IPsec.
pub(crate) const DOI: u32 = 1;
/// Situation: identity only.
const SITUATION: u32 = 1;
/// Kinds of payloads within the payload.
const PROPOSAL: u8 = 2;
const TRANSFORM: u8 = 3;
/// Marks an attribute whose value stands in its header.
const SHORT: u16 = 0x8000;

/// An SA payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sa {
    /// In order of preference.
    pub proposals: Vec<Proposal>,
}

/// A protocol, and ways to protect it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Proposals of one number go together.
    pub number: u8,
    /// 1 ISAKMP, 3 ESP.
    pub protocol: u8,
    /// What the sender wants to receive under; empty or ignored in phase 1.
    pub spi: Vec<u8>,
    /// In order of preference.
    pub transforms: Vec<Transform>,
}

/// An algorithm with its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transform {
    /// Counts the transforms of a proposal.
    pub number: u8,
    /// 1 (KEY_IKE) in phase 1, an ESP transform in phase 2.
    pub id: u8,
    /// In the order in which they stand.
    pub attributes: Vec<Attribute>,
}

/// An attribute: a kind with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Without the bit that says how it is written.
    pub kind: u16,
    /// Two octets of a short one, or any number.
    pub value: Value,
}

/// How the value of an attribute is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// In the header.
    Short(u16),
    /// After it.
    Long(Vec<u8>),
}

impl Attribute {
    /// A short attribute.
    pub fn short(kind: u16, value: u16) -> Self {
        Self { kind, value: Value::Short(value) }
    }

    /// One that holds a number, short if that fits.
    pub fn number(kind: u16, number: u32) -> Self {
        let value = match u16::try_from(number) {
            Ok(short) => Value::Short(short),
            Err(_) => Value::Long(number.to_be_bytes().to_vec()),
        };
        Self { kind, value }
    }

    /// The number that it holds, if that has at most eight octets.
    pub fn as_number(&self) -> Option<u64> {
        match &self.value {
            Value::Short(short) => Some(u64::from(*short)),
            Value::Long(octets) if octets.len() <= 8 => {
                Some(octets.iter().fold(0, |number, octet| number << 8 | u64::from(*octet)))
            }
            Value::Long(_) => None,
        }
    }
}

impl Transform {
    /// The number of the one attribute of a kind; none if it is not there, or twice.
    pub fn number_of(&self, kind: u16) -> Option<u64> {
        let mut found = self.attributes.iter().filter(|attribute| attribute.kind == kind);
        let first = found.next()?;
        if found.next().is_some() { None } else { first.as_number() }
    }
}

impl Sa {
    /// Reads a payload's body.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "SA payload");
        for (what, expected) in [("domain of interpretation", DOI), ("situation", SITUATION)] {
            let found = reader.u32()?;
            if found != expected {
                return Err(Malformed::Unknown(what, found));
            }
        }
        let mut proposals = Vec::new();
        let mut left = MAX_TRANSFORMS;
        let mut more = true;
        while more {
            let following = reader.u8()?;
            more = goes_on(following, PROPOSAL)?;
            reader.zero(1)?;
            let length = usize::from(reader.u16()?);
            let body = length.checked_sub(4).ok_or(Malformed::Length("proposal"))?;
            proposals.push(Proposal::read(reader.take(body)?, &mut left)?);
        }
        reader.end()?;
        Ok(Self { proposals })
    }

    /// A payload's body.
    pub fn write(&self) -> Vec<u8> {
        let mut out = [DOI.to_be_bytes(), SITUATION.to_be_bytes()].concat();
        for (place, proposal) in self.proposals.iter().enumerate() {
            let last = place + 1 == self.proposals.len();
            nest(&mut out, if last { 0 } else { PROPOSAL }, &proposal.write());
        }
        out
    }
}

impl Proposal {
    fn read(body: &[u8], left: &mut usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "proposal");
        let [number, protocol, spi_bytes, count] = reader.array()?;
        if usize::from(spi_bytes) > MAX_SPI {
            return Err(Malformed::Length("SPI"));
        }
        let spi = reader.take(spi_bytes.into())?.to_vec();
        let mut transforms = Vec::new();
        for place in 1..=count {
            *left = left.checked_sub(1).ok_or(Malformed::TooMany("transforms", MAX_TRANSFORMS))?;
            let more = goes_on(reader.u8()?, TRANSFORM)?;
            reader.zero(1)?;
            let length = usize::from(reader.u16()?);
            let body = length.checked_sub(4).ok_or(Malformed::Length("transform"))?;
            transforms.push(Transform::read(reader.take(body)?)?);
            if more != (place < count) {
                return Err(Malformed::Payloads("the number of transforms is wrong"));
            }
        }
        reader.end()?;
        if transforms.is_empty() {
            return Err(Malformed::Payloads("a proposal has no transform"));
        }
        Ok(Self { number, protocol, spi, transforms })
    }

    fn write(&self) -> Vec<u8> {
        let mut out = vec![self.number, self.protocol, self.spi.len() as u8, self.transforms.len() as u8];
        out.extend(&self.spi);
        for (place, transform) in self.transforms.iter().enumerate() {
            let last = place + 1 == self.transforms.len();
            nest(&mut out, if last { 0 } else { TRANSFORM }, &transform.write());
        }
        out
    }
}

impl Transform {
    fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "transform");
        let [number, id] = reader.array()?;
        reader.zero(2)?;
        let mut attributes = Vec::new();
        while !reader.is_empty() {
            let (kind, value) = (reader.u16()?, reader.u16()?);
            let value = if kind & SHORT != 0 {
                Value::Short(value)
            } else {
                Value::Long(reader.take(value.into())?.to_vec())
            };
            attributes.push(Attribute { kind: kind & !SHORT, value });
        }
        Ok(Self { number, id, attributes })
    }

    fn write(&self) -> Vec<u8> {
        let mut out = vec![self.number, self.id, 0, 0];
        for attribute in &self.attributes {
            match &attribute.value {
                Value::Short(value) => {
                    out.extend((attribute.kind | SHORT).to_be_bytes());
                    out.extend(value.to_be_bytes());
                }
                Value::Long(octets) => {
                    out.extend(attribute.kind.to_be_bytes());
                    out.extend((octets.len() as u16).to_be_bytes());
                    out.extend(octets);
                }
            }
        }
        out
    }
}

fn goes_on(following: u8, expected: u8) -> Result<bool, Malformed> {
    match following {
        0 => Ok(false),
        next if next == expected => Ok(true),
        next => Err(Malformed::Unknown("payload within an SA payload", next.into())),
    }
}

fn nest(out: &mut Vec<u8>, next: u8, body: &[u8]) {
    out.extend(super::generic(next, body.len()));
    out.extend(body);
}
