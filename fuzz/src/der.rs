//! The few pieces of DER that inputs are cut into and signed structures put together from.

/// The first value of `der` with its tag and length, and what follows it; lengths as DER has them.
pub(crate) fn split(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, length) = match *der.get(1)? {
        short @ 0..=127 => (2, usize::from(short)),
        long @ 0x81..=0x83 => {
            let count = usize::from(long - 0x80);
            let octets = der.get(2..2 + count)?;
            (2 + count, octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)))
        }
        _ => return None,
    };
    der.split_at_checked(head + length)
}

/// A value of this tag.
pub(crate) fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=127 => out.push(short as u8),
        length => {
            let octets: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
            out.push(0x80 | octets.len() as u8);
            out.extend(octets);
        }
    }
    out.extend_from_slice(content);
    out
}

/// SEQUENCE { content, algorithm, BIT STRING }, as certificates and requests are signed.
pub(crate) fn signed(content: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    let bits = wrap(0x03, &[&[0], signature].concat());
    wrap(0x30, &[content, algorithm, &bits].concat())
}
