//! Packets of ESP, which anybody may send: none is opened whose code is not right.

use std::sync::Arc;

use tongguan_esp::sa::{CipherKey, Common, IcvLength, Inbound, IntegrityKey, Outbound, Selector};
use tongguan_esp::{BATCH, OpenBatch, ROOM, SealBatch, Verdict};

/// Length of an authentic packet's code.
const ICV: usize = 12;

fn common(icv: IcvLength) -> Common {
    let every = "0.0.0.0/0".parse().expect("it is a network");
    Common {
        spi: 0x1234_5678,
        cipher: CipherKey::sm4(&[1; 16]).expect("it is a key"),
        integrity: IntegrityKey::sm3(&[2; 32]),
        icv,
        selector: Selector { local: every, remote: every },
    }
}

/// Pieces, each after its length in two octets. Each is received as a packet, and each is sent as an inner packet and
/// received again.
pub fn esp(input: &[u8]) {
    let pieces = pieces(input);
    let learnt = Arc::new(Inbound::new(common(IcvLength::learnt())));
    let mut opening = OpenBatch::default();
    for piece in &pieces {
        let Some(slot) = opening.slot() else { break };
        slot[..piece.len()].copy_from_slice(piece);
        opening.push(Arc::clone(&learnt), piece.len());
    }
    opening.open();
    assert!(opening.results().all(|(_, result)| result.is_err()), "a packet was forged");

    let icv = IcvLength::fixed(ICV).expect("it is a length");
    let outbound = Arc::new(Outbound::new(common(icv.clone()), 256, [3; 16]));
    let inbound = Arc::new(Inbound::new(common(icv)));
    let mut sealing = SealBatch::default();
    for piece in &pieces {
        let Some(slot) = sealing.slot() else { break };
        let length = piece.len().min(slot.len());
        slot[..length].copy_from_slice(&piece[..length]);
        sealing.push(Arc::clone(&outbound), length);
    }
    sealing.seal();
    opening.clear();
    let mut sent = Vec::new();
    for ((_, sealed), piece) in sealing.results().zip(&pieces) {
        let Ok(sealed) = sealed else { continue };
        let slot = opening.slot().expect("there are no more than before");
        slot[..sealed.len()].copy_from_slice(sealed);
        opening.push(Arc::clone(&inbound), sealed.len());
        sent.push(piece);
    }
    opening.open();
    for ((_, opened), piece) in opening.results().zip(sent) {
        match opened {
            Ok(opened) => assert!(piece.starts_with(opened), "another packet came out"),
            Err(verdict) => assert!(matches!(verdict, Verdict::Malformed | Verdict::Selector), "{verdict:?}"),
        }
    }
}

fn pieces(mut input: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some((length, rest)) = input.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len()).min(ROOM);
        let (piece, rest) = rest.split_at(length);
        pieces.push(piece);
        input = rest;
        if pieces.len() == BATCH {
            break;
        }
    }
    pieces
}
