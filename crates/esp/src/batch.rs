//! Batches: many packets in one piece of memory, sealed or opened together.
//!
//! A batch owns its memory and keeps it from one use to the next. Whoever reads packets writes them into
//! [`SealBatch::slot`] or [`OpenBatch::slot`], and nothing is copied after that.

use std::sync::Arc;

use aws_lc_rs::cipher::{DecryptionContext, EncryptionContext};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use subtle::ConstantTimeEq;
use tongguan_smcrypto::{CbcJob, MacJob, cbc_decrypt, cbc_encrypt, hmac_sm3};

use crate::inner;
use crate::sa::{CipherKey, ICV_LENGTHS, Inbound, IntegrityKey, Outbound};

/// Packets of a batch at most.
pub const BATCH: usize = 64;
/// Memory of a packet: an Ethernet frame with everything around it, and more.
pub const ROOM: usize = 2_048;
/// SPI and sequence number.
const HEADER: usize = 8;
/// Length of a block, and of a vector.
const BLOCK: usize = 16;
/// Where the encrypted part begins.
const BODY: usize = HEADER + BLOCK;
/// Length of padding and next header.
const TRAILER: usize = 2;
/// The longest code.
const LONGEST_ICV: usize = 32;
/// The longest inner packet that fits into [`ROOM`].
const LONGEST_INNER: usize = (ROOM - BODY - LONGEST_ICV) / BLOCK * BLOCK - TRAILER;

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was sealed or opened.
    Good,
    /// It is too short or too long, or not made of whole blocks.
    Length,
    /// Its number was received before, or is too old.
    Replay,
    /// Its code is wrong.
    Authentication,
    /// It is authentic, and its padding or its inner packet is malformed.
    Malformed,
    /// It is authentic, and its addresses are not those of the SA.
    Selector,
    /// The SA has carried as much as it may.
    Exhausted,
}

/// Packets of one batch, each with an SA.
struct Slots<S> {
    octets: Vec<u8>,
    entries: Vec<Entry<S>>,
}

struct Entry<S> {
    sa: Arc<S>,
    /// Of the inner packet, or of the whole one.
    length: usize,
    verdict: Verdict,
}

impl<S> Slots<S> {
    fn new() -> Self {
        Self { octets: vec![0; BATCH * ROOM], entries: Vec::with_capacity(BATCH) }
    }

    fn slot(&mut self) -> Option<&mut [u8]> {
        self.octets.chunks_exact_mut(ROOM).nth(self.entries.len())
    }

    /// Those that are good so far.
    fn good(&mut self) -> impl Iterator<Item = (&mut Entry<S>, &mut [u8])> {
        let all = self.entries.iter_mut().zip(self.octets.chunks_exact_mut(ROOM));
        all.filter(|(entry, _)| entry.verdict == Verdict::Good)
    }
}

/// Packets to be sealed.
pub struct SealBatch(Slots<Outbound>);

impl Default for SealBatch {
    fn default() -> Self {
        Self(Slots::new())
    }
}

impl SealBatch {
    /// Where the next inner packet is to be written; none if the batch is full.
    pub fn slot(&mut self) -> Option<&mut [u8]> {
        self.0.slot().map(|slot| &mut slot[BODY..BODY + LONGEST_INNER])
    }

    /// Takes what stands in [`SealBatch::slot`] as an inner packet of some length.
    pub fn push(&mut self, sa: Arc<Outbound>, length: usize) {
        let verdict = if length <= LONGEST_INNER { Verdict::Good } else { Verdict::Length };
        self.0.entries.push(Entry { sa, length, verdict });
    }

    /// Seals every packet.
    pub fn seal(&mut self) {
        for (entry, slot) in self.0.good() {
            entry.verdict = frame(entry, slot);
        }
        self.vectors();
        let mut jobs = Vec::with_capacity(BATCH);
        for (entry, slot) in self.0.good() {
            let (head, body) = slot.split_at_mut(BODY);
            let body = &mut body[..entry.length - BODY];
            let vector = *head.last_chunk::<BLOCK>().unwrap_or(&[0; BLOCK]);
            match &entry.sa.common.cipher {
                CipherKey::Sm4(key) => jobs.extend(CbcJob::new(key, vector, body)),
                CipherKey::Aes(key) => {
                    let context = EncryptionContext::Iv128(FixedLength::from(vector));
                    if key.encrypt.less_safe_encrypt(body, context).is_err() {
                        entry.verdict = Verdict::Length;
                    }
                }
            }
        }
        cbc_encrypt(&mut jobs);
        drop(jobs);
        codes(
            &mut self.0,
            |sa| &sa.common.integrity,
            |entry, code, slot| {
                let length = match &entry.sa.common.integrity {
                    IntegrityKey::Sm3(_) => entry.sa.common.icv.octets(),
                    IntegrityKey::Sha(key) => sha_icv(key),
                };
                slot[entry.length..entry.length + length].copy_from_slice(&code[..length]);
                entry.length += length;
            },
        );
    }

    /// Every packet: its SA, and itself or what became of it.
    pub fn results(&self) -> impl Iterator<Item = (&Arc<Outbound>, Result<&[u8], Verdict>)> {
        self.0.entries.iter().zip(self.0.octets.chunks_exact(ROOM)).map(|(entry, slot)| {
            let good = entry.verdict == Verdict::Good;
            (&entry.sa, if good { Ok(&slot[..entry.length]) } else { Err(entry.verdict) })
        })
    }

    /// Makes room for the next packets.
    pub fn clear(&mut self) {
        self.0.entries.clear();
    }

    /// Encrypts the sequence numbers, which stand where the vectors belong, under a key of their own.
    fn vectors(&mut self) {
        let mut jobs = Vec::with_capacity(BATCH);
        for (entry, slot) in self.0.good() {
            jobs.extend(CbcJob::new(&entry.sa.vectors, [0; BLOCK], &mut slot[HEADER..BODY]));
        }
        cbc_encrypt(&mut jobs);
    }
}

/// Writes header and trailer around an inner packet, and the number from which the vector comes.
fn frame(entry: &mut Entry<Outbound>, slot: &mut [u8]) -> Verdict {
    let Some(next_header) = inner::protocol(&slot[BODY..BODY + entry.length]) else {
        return Verdict::Malformed;
    };
    let body = (entry.length + TRAILER).next_multiple_of(BLOCK);
    let Some(sequence) = entry.sa.next_sequence(body / BLOCK) else { return Verdict::Exhausted };
    slot[..4].copy_from_slice(&entry.sa.spi().to_be_bytes());
    slot[4..HEADER].copy_from_slice(&sequence.to_be_bytes());
    slot[HEADER..BODY].fill(0);
    slot[BODY - 4..BODY].copy_from_slice(&sequence.to_be_bytes());
    let padding = body - TRAILER - entry.length;
    for (count, octet) in slot[BODY + entry.length..BODY + body - TRAILER].iter_mut().enumerate() {
        *octet = count as u8 + 1;
    }
    slot[BODY + body - 2] = padding as u8;
    slot[BODY + body - 1] = next_header;
    entry.length = BODY + body;
    Verdict::Good
}

/// Packets to be opened.
pub struct OpenBatch(Slots<Inbound>);

impl Default for OpenBatch {
    fn default() -> Self {
        Self(Slots::new())
    }
}

impl OpenBatch {
    /// Where the next packet is to be written, from its SPI on; none if the batch is full.
    pub fn slot(&mut self) -> Option<&mut [u8]> {
        self.0.slot()
    }

    /// The SPI of what stands in [`OpenBatch::slot`].
    pub fn spi(&mut self) -> Option<u32> {
        self.slot()?.first_chunk().map(|spi| u32::from_be_bytes(*spi))
    }

    /// Takes what stands in [`OpenBatch::slot`] as a packet of some length.
    pub fn push(&mut self, sa: Arc<Inbound>, length: usize) {
        let verdict = if length <= ROOM { Verdict::Good } else { Verdict::Length };
        self.0.entries.push(Entry { sa, length, verdict });
    }

    /// Opens every packet.
    pub fn open(&mut self) {
        let mut icvs = [[0; LONGEST_ICV]; BATCH];
        let mut lengths = [0; BATCH];
        for (place, (entry, slot)) in
            self.0.entries.iter_mut().zip(self.0.octets.chunks_exact_mut(ROOM)).enumerate()
        {
            if entry.verdict != Verdict::Good {
                continue;
            }
            entry.verdict = before_code(entry, slot);
            if entry.verdict == Verdict::Good {
                lengths[place] = icv_length(entry, slot);
                let end = entry.length - lengths[place];
                icvs[place][..lengths[place]].copy_from_slice(&slot[end..entry.length]);
                entry.length = end;
                if !is_framed(end) {
                    entry.verdict = Verdict::Length;
                }
            }
        }
        let mut received = std::collections::VecDeque::with_capacity(BATCH);
        let all = self.0.entries.iter().zip(icvs.iter().zip(lengths));
        received.extend(all.filter(|(entry, _)| entry.verdict == Verdict::Good).map(|(_, icv)| icv));
        codes(
            &mut self.0,
            |sa| &sa.common.integrity,
            |entry, code, slot| {
                let Some((icv, length)) = received.pop_front() else { return };
                if !bool::from(code[..length].ct_eq(&icv[..length])) {
                    entry.verdict = Verdict::Authentication;
                } else if !entry.sa.accept(sequence(slot)) {
                    entry.verdict = Verdict::Replay;
                }
            },
        );
        self.decrypt();
        for (entry, slot) in self.0.good() {
            entry.verdict = after_code(entry, &slot[BODY..]);
        }
    }

    /// Every packet: its SA, and the inner packet or what became of it.
    pub fn results(&self) -> impl Iterator<Item = (&Arc<Inbound>, Result<&[u8], Verdict>)> {
        self.0.entries.iter().zip(self.0.octets.chunks_exact(ROOM)).map(|(entry, slot)| {
            let good = entry.verdict == Verdict::Good;
            (&entry.sa, if good { Ok(&slot[BODY..BODY + entry.length]) } else { Err(entry.verdict) })
        })
    }

    /// Makes room for the next packets.
    pub fn clear(&mut self) {
        self.0.entries.clear();
    }

    fn decrypt(&mut self) {
        let mut jobs = Vec::with_capacity(BATCH);
        for (entry, slot) in self.0.good() {
            let (head, body) = slot.split_at_mut(BODY);
            let body = &mut body[..entry.length - BODY];
            let vector = *head.last_chunk::<BLOCK>().unwrap_or(&[0; BLOCK]);
            match &entry.sa.common.cipher {
                CipherKey::Sm4(key) => jobs.extend(CbcJob::new(key, vector, body)),
                CipherKey::Aes(key) => {
                    let context = DecryptionContext::Iv128(FixedLength::from(vector));
                    if key.decrypt.decrypt(body, context).is_err() {
                        entry.verdict = Verdict::Length;
                    }
                }
            }
        }
        cbc_decrypt(&mut jobs);
    }
}

/// Length and number, before anything is computed.
fn before_code(entry: &Entry<Inbound>, slot: &[u8]) -> Verdict {
    if entry.length < BODY + BLOCK + ICV_LENGTHS[0] {
        return Verdict::Length;
    }
    if entry.sa.admits(sequence(slot)) { Verdict::Good } else { Verdict::Replay }
}

/// Padding, inner length and addresses of an authentic packet.
fn after_code(entry: &mut Entry<Inbound>, body: &[u8]) -> Verdict {
    let body = &body[..entry.length - BODY];
    let Some(([padding, next_header], rest)) =
        body.split_last_chunk::<TRAILER>().map(|(rest, last)| (*last, rest))
    else {
        return Verdict::Malformed;
    };
    let Some((packet, padding)) = rest.len().checked_sub(padding.into()).map(|length| rest.split_at(length))
    else {
        return Verdict::Malformed;
    };
    let counted = padding.iter().enumerate().all(|(count, octet)| usize::from(*octet) == count + 1);
    let addresses = inner::addresses(packet).filter(|_| inner::protocol(packet) == Some(next_header));
    let Some((source, destination, length)) = addresses.filter(|_| counted) else {
        return Verdict::Malformed;
    };
    let selector = entry.sa.selector();
    if !selector.remote.contains(&source) || !selector.local.contains(&destination) {
        return Verdict::Selector;
    }
    // What follows the inner packet is padding against the analysis of traffic (RFC 4303, 2.7).
    entry.length = length;
    Verdict::Good
}

fn sequence(slot: &[u8]) -> u32 {
    slot[4..].first_chunk().map_or(0, |sequence| u32::from_be_bytes(*sequence))
}

/// Whether a packet without its code has a vector and whole blocks.
fn is_framed(length: usize) -> bool {
    length >= BODY + BLOCK && (length - BODY).is_multiple_of(BLOCK)
}

/// How long the code of a packet is. If that is to be learnt, each length that fits is tried.
fn icv_length(entry: &Entry<Inbound>, slot: &[u8]) -> usize {
    let common = &entry.sa.common;
    let key = match &common.integrity {
        IntegrityKey::Sha(key) => return sha_icv(key),
        IntegrityKey::Sm3(key) => key,
    };
    if let Some(length) = common.icv.known() {
        return length;
    }
    let right = |length: usize| {
        let end = entry.length.checked_sub(length).filter(|end| is_framed(*end));
        end.is_some_and(|end| bool::from(key.mac(&[&slot[..end]])[..length].ct_eq(&slot[end..entry.length])))
    };
    let found = ICV_LENGTHS.into_iter().find(|length| right(*length));
    if let Some(length) = found {
        common.icv.learn(length);
    }
    found.unwrap_or(common.icv.octets())
}

/// Octets of a cut code of the SHA family (RFC 2404, RFC 4868): half, or 96 bits.
fn sha_icv(key: &hmac::Key) -> usize {
    if key.algorithm() == hmac::HMAC_SHA256 { 16 } else { 12 }
}

/// Computes the code of every good packet and hands it, with the packet, to `take`, in order.
fn codes<S>(
    slots: &mut Slots<S>,
    integrity: impl Fn(&S) -> &IntegrityKey,
    mut take: impl FnMut(&mut Entry<S>, &[u8; LONGEST_ICV], &mut [u8]),
) {
    let mut computed = [[0; LONGEST_ICV]; BATCH];
    let mut jobs = Vec::with_capacity(BATCH);
    let mut places = Vec::with_capacity(BATCH);
    let all = slots.entries.iter().zip(slots.octets.chunks_exact(ROOM)).enumerate();
    for (place, (entry, slot)) in all.filter(|(_, (entry, _))| entry.verdict == Verdict::Good) {
        match integrity(&entry.sa) {
            IntegrityKey::Sm3(key) => {
                jobs.push(MacJob::new(key, &slot[..entry.length]));
                places.push(place);
            }
            IntegrityKey::Sha(key) => {
                let code = hmac::sign(key, &slot[..entry.length]);
                let code = code.as_ref();
                computed[place][..code.len()].copy_from_slice(code);
            }
        }
    }
    hmac_sm3(&mut jobs);
    for (place, job) in places.iter().zip(&jobs) {
        computed[*place] = *job.tag();
    }
    drop(jobs);
    let all = slots.entries.iter_mut().zip(slots.octets.chunks_exact_mut(ROOM)).zip(&computed);
    for ((entry, slot), code) in all.filter(|((entry, _), _)| entry.verdict == Verdict::Good) {
        take(entry, code, slot);
    }
}
