//! A few edits at the head of an input, to be made to what follows once that is signed.

/// Bytes of one edit: what, where (two bytes, scaled to the text), with what.
const EDIT: usize = 4;
/// Edits at most.
const MOST: usize = 4;

/// Takes the edits off an input: how many in the first byte, then four bytes each.
pub(crate) fn take(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = data.split_first()?;
    rest.split_at_checked(usize::from(*count) % (MOST + 1) * EDIT)
}

/// Makes the edits, one after the other.
pub(crate) fn apply(edits: &[u8], text: &mut Vec<u8>) {
    for edit in edits.chunks_exact(EDIT) {
        let place = usize::from(edit[1]) << 8 | usize::from(edit[2]);
        let at = place * text.len() / 65_536;
        let with = edit[3];
        if at >= text.len() {
            text.push(with);
            continue;
        }
        let end = (at + usize::from(with)).min(text.len());
        match edit[0] % 7 {
            0 => text[at] ^= 1 << (with % 8),
            1 => text[at] = with,
            2 => text.insert(at, with),
            3 => drop(text.remove(at)),
            4 => drop(text.drain(at..end)),
            5 => {
                let copy = text[at..end].to_vec();
                text.splice(at..at, copy);
            }
            _ => text.swap(at, end.saturating_sub(1)),
        }
    }
}
