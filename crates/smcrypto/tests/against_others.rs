//! Every answer against another implementation's: RustCrypto's `sm4` and `sm3`.
//!
//! All lengths, numbers of jobs and alignments that a packet may have; keys and vectors differ from job to job.

#![allow(clippy::unwrap_used)]

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sm4::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt};
use tongguan_smcrypto::{
    CbcJob, HmacSm3Key, MacJob, NotWholeBlocks, Sm3, Sm4Key, cbc_decrypt, cbc_encrypt, hmac_sm3,
};

/// CBC as the modes' definition has it, over the other crate's cipher.
fn reference_cbc(key: &[u8; 16], iv: [u8; 16], data: &mut [u8]) {
    let cipher = sm4::Sm4::new(&Array::from(*key));
    let mut chain = iv;
    for block in data.chunks_exact_mut(16) {
        chain.iter_mut().zip(block.iter()).for_each(|(chain, byte)| *chain ^= byte);
        let mut array = Array::from(chain);
        cipher.encrypt_block(&mut array);
        chain = array.into();
        block.copy_from_slice(&chain);
    }
}

fn reference_hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<sm3::Sm3>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn reference_sm3(message: &[u8]) -> [u8; 32] {
    <sm3::Sm3 as sm3::Digest>::digest(message).into()
}

/// Bytes that look random and are the same in every run.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(length)
    .collect()
}

fn array<const N: usize>(seed: u64) -> [u8; N] {
    bytes(seed, N).try_into().unwrap()
}

/// Seals and opens jobs of some lengths, each at an offset of its own, and compares every byte.
fn round_trip(lengths: &[usize], offset: usize, keys: usize) {
    let raw: Vec<[u8; 16]> = (0..keys as u64).map(array).collect();
    let keys: Vec<Sm4Key> = raw.iter().map(Sm4Key::new).collect();
    let clear: Vec<Vec<u8>> =
        lengths.iter().enumerate().map(|(job, length)| bytes(job as u64, offset + length)).collect();
    let mut data = clear.clone();
    let mut expected = clear.clone();
    let iv = |job: usize| array::<16>(1_000 + job as u64);
    for (job, expected) in expected.iter_mut().enumerate() {
        reference_cbc(&raw[job % raw.len()], iv(job), &mut expected[offset..]);
    }
    let run = |data: &mut Vec<Vec<u8>>, batch: fn(&mut [CbcJob<'_>])| {
        let jobs = data
            .iter_mut()
            .enumerate()
            .map(|(job, data)| CbcJob::new(&keys[job % keys.len()], iv(job), &mut data[offset..]).unwrap());
        batch(&mut jobs.collect::<Vec<_>>());
    };
    run(&mut data, cbc_encrypt);
    assert!(data == expected, "sealing {} jobs", lengths.len());
    run(&mut data, cbc_decrypt);
    assert!(data == clear, "opening {} jobs", lengths.len());
}

#[test]
fn every_length_of_a_packet_alone() {
    for length in (0..=4096).step_by(16) {
        round_trip(&[length], 0, 1);
    }
}

#[test]
fn every_number_of_jobs_with_one_key_and_with_many() {
    for jobs in 0..=130 {
        round_trip(&vec![48; jobs], jobs % 16, 1);
        let mixed: Vec<usize> = (0..jobs).map(|job| (job * 7 % 11) * 16).collect();
        round_trip(&mixed, jobs % 7, 5);
    }
}

#[test]
fn every_alignment() {
    for offset in 0..64 {
        round_trip(&[64, 0, 1408, 16, 336], offset, 2);
    }
}

#[test]
fn a_broken_block_is_refused() {
    let key = Sm4Key::new(&[0; 16]);
    for length in 0..=64 {
        let mut data = vec![0; length];
        let refused = CbcJob::new(&key, [0; 16], &mut data).err();
        assert_eq!(refused, (length % 16 != 0).then_some(NotWholeBlocks), "{length}");
    }
}

#[test]
fn single_blocks_there_and_back() {
    for seed in 0..200 {
        let (raw, clear): ([u8; 16], [u8; 16]) = (array(seed), array(seed + 5_000));
        let (key, reference) = (Sm4Key::new(&raw), sm4::Sm4::new(&Array::from(raw)));
        let mut expected = Array::from(clear);
        reference.encrypt_block(&mut expected);
        let mut block = clear;
        key.encrypt_block(&mut block);
        assert_eq!(block[..], expected[..]);
        key.decrypt_block(&mut block);
        reference.decrypt_block(&mut expected);
        assert_eq!(block[..], expected[..]);
        assert_eq!(block, clear);
    }
}

#[test]
fn codes_of_every_length_alone_and_side_by_side() {
    let raw = bytes(1, 32);
    let key = HmacSm3Key::new(&raw);
    let messages: Vec<Vec<u8>> = (0..700).map(|length| bytes(length as u64, length)).collect();
    let expected: Vec<[u8; 32]> = messages.iter().map(|message| reference_hmac(&raw, message)).collect();
    for (message, expected) in messages.iter().zip(&expected) {
        assert_eq!(key.mac(&[message]), *expected, "{} bytes", message.len());
        assert_eq!(Sm3::digest(&[message]), reference_sm3(message));
        let mut alone = [MacJob::new(&key, message)];
        hmac_sm3(&mut alone);
        assert_eq!(alone[0].tag(), expected);
    }
    let mut jobs: Vec<MacJob<'_>> = messages.iter().map(|message| MacJob::new(&key, message)).collect();
    hmac_sm3(&mut jobs);
    for (job, expected) in jobs.iter().zip(&expected) {
        assert_eq!(job.tag(), expected);
    }
}

#[test]
fn codes_with_every_number_of_jobs_and_a_key_each() {
    for count in 0..40_usize {
        let raw: Vec<Vec<u8>> = (0..count).map(|job| bytes(job as u64, job * 5)).collect();
        let keys: Vec<HmacSm3Key> = raw.iter().map(|raw| HmacSm3Key::new(raw)).collect();
        let messages: Vec<Vec<u8>> = (0..count).map(|job| bytes(job as u64 + 99, job * 37 % 300)).collect();
        let mut jobs: Vec<MacJob<'_>> =
            keys.iter().zip(&messages).map(|(key, message)| MacJob::new(key, message)).collect();
        hmac_sm3(&mut jobs);
        for ((job, raw), message) in jobs.iter().zip(&raw).zip(&messages) {
            assert_eq!(*job.tag(), reference_hmac(raw, message));
        }
    }
}

#[test]
fn a_code_matches_its_beginning_from_96_bits_on() {
    let key = HmacSm3Key::new(b"key");
    let mut jobs = [MacJob::new(&key, b"message"), MacJob::new(&key, b"")];
    hmac_sm3(&mut jobs);
    let tag = *jobs[0].tag();
    for length in 0..=32 {
        assert_eq!(jobs[0].matches(&tag[..length]), length >= 12, "{length}");
    }
    assert!(!jobs[0].matches(&[&tag[..], &[0]].concat()));
    for bit in 0..256 {
        let mut wrong = tag;
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert!(!jobs[0].matches(&wrong));
    }
}

#[test]
fn nothing_of_a_key_is_shown() {
    let shown = format!("{:?} {:?}", Sm4Key::new(&[0xab; 16]), HmacSm3Key::new(&[0xcd; 32]));
    assert_eq!(shown, "Sm4Key HmacSm3Key");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_batch(lengths in prop::collection::vec(0usize..100, 0..100), offset in 0usize..64, keys in 1usize..9) {
        let lengths: Vec<usize> = lengths.iter().map(|blocks| blocks * 16).collect();
        round_trip(&lengths, offset, keys);
    }

    #[test]
    fn a_message_in_any_pieces(message in prop::collection::vec(any::<u8>(), 0..400), cuts in prop::collection::vec(0usize..400, 0..6)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(message.len())).collect();
        cuts.extend([0, message.len()]);
        cuts.sort_unstable();
        let parts: Vec<&[u8]> = cuts.windows(2).map(|cut| &message[cut[0]..cut[1]]).collect();
        prop_assert_eq!(Sm3::digest(&parts), reference_sm3(&message));
        prop_assert_eq!(HmacSm3Key::new(b"k").mac(&parts), reference_hmac(b"k", &message));
    }
}
