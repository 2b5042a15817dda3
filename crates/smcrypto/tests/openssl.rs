//! Ciphertexts and codes are those of OpenSSL 3.

#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use tongguan_smcrypto::{CbcJob, HmacSm3Key, MacJob, Sm4Key, cbc_encrypt, hmac_sm3};

const KEY: [u8; 16] = *b"0123456789abcdef";
const IV: [u8; 16] = *b"fedcba9876543210";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the command writes when it has read `input`.
fn openssl(arguments: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("OpenSSL 3 is needed");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments}");
    output.stdout
}

fn message(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 7 + place / 251) as u8).collect()
}

#[test]
fn ciphertexts_are_those_of_openssl() {
    let key = Sm4Key::new(&KEY);
    let arguments = format!("enc -sm4-cbc -nopad -K {} -iv {}", hex(&KEY), hex(&IV));
    let lengths = [16, 32, 240, 256, 1408, 4096];
    let mut data: Vec<Vec<u8>> = lengths.iter().map(|length| message(*length)).collect();
    let jobs = data.iter_mut().map(|data| CbcJob::new(&key, IV, data).unwrap());
    cbc_encrypt(&mut jobs.collect::<Vec<_>>());
    for (length, sealed) in lengths.iter().zip(&data) {
        assert_eq!(hex(sealed), hex(&openssl(&arguments, &message(*length))), "{length} bytes");
    }
}

#[test]
fn codes_are_those_of_openssl() {
    let key = HmacSm3Key::new(&KEY);
    let arguments = format!("dgst -sm3 -binary -mac HMAC -macopt hexkey:{}", hex(&KEY));
    let messages: Vec<Vec<u8>> = [0, 1, 54, 55, 56, 63, 64, 65, 119, 120, 1408].map(message).into();
    let mut jobs: Vec<MacJob<'_>> = messages.iter().map(|message| MacJob::new(&key, message)).collect();
    hmac_sm3(&mut jobs);
    for (job, message) in jobs.iter().zip(&messages) {
        assert_eq!(hex(job.tag()), hex(&openssl(&arguments, message)), "{} bytes", message.len());
    }
}
