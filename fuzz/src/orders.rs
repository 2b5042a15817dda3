//! Frames of orders, as they come to the socket of a gateway.

use tongguan_dataplane::orders::{Frames, Order, frame};

use crate::within;

/// Memory that reading may hold beside a multiple of the octets.
const SLACK: usize = 64 * 1024;
/// Memory that reading may hold per octet.
const FACTOR: usize = 128;

/// What comes out of some octets, until one of them is no frame.
fn taken(pieces: [&[u8]; 2]) -> (Vec<Order>, bool) {
    let (mut frames, mut out) = (Frames::default(), Vec::new());
    for piece in pieces {
        frames.push(piece);
        loop {
            match frames.take::<Order>() {
                Ok(Some(order)) => out.push(order),
                Ok(None) => break,
                Err(error) => {
                    // What it was is not repeated: it may be a secret.
                    assert!(error.to_string().len() < 80);
                    return (out, false);
                }
            }
        }
    }
    (out, true)
}

/// The first two octets say where the rest is cut in two. However it is cut, the same orders come out, in bounded
/// memory; written again they are the same; and a document is translated or refused.
pub fn orders(input: &[u8]) {
    let Some((cut, octets)) = input.split_first_chunk::<2>() else { return };
    let cut = usize::from(u16::from_be_bytes(*cut)).min(octets.len());
    let (first, second) = octets.split_at(cut);
    let limit = SLACK + FACTOR * octets.len();
    let whole = within(limit, || taken([octets, &[]]));
    let pieces = within(limit, || taken([first, second]));
    assert_eq!(whole, pieces, "cut at {cut}");
    for order in whole.0 {
        let written = frame(&order).expect("it was not too long before");
        assert_eq!(taken([&written, &[]]), (vec![order.clone()], true));
        if let Order::Apply { document, .. } = &order {
            // Refused in words, or done: never more tunnels than there are.
            let tunnels = document.connections.values().map(|connection| connection.settings.tunnels.len());
            if let Ok(done) = tongguan_gateway::tunnels(document) {
                assert!(done.len() <= tunnels.sum());
            }
        }
    }
}
