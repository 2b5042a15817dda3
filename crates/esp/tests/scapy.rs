//! Packets of ours are opened by scapy, and packets of scapy's by us: SM4-CBC and HMAC-SM3 by two programs that share
//! no line.
//!
//! scapy does not know these algorithms; `by_scapy.py` registers what the package cryptography has of them. Without
//! scapy the test says `skipped`, unless TONGGUAN_JUDGES is `required`: then that is a failure.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use tongguan_esp::sa::{CipherKey, Common, IcvLength, Inbound, IntegrityKey, Outbound, Selector};
use tongguan_esp::{OpenBatch, SealBatch};

/// The other program.
struct Scapy {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Scapy {
    /// None if it is not there. Debian has it for its own Python.
    fn start() -> Option<Self> {
        let python = ["/usr/bin/python3", "python3"].into_iter().find(|python| {
            let imports =
                Command::new(python).args(["-c", "import scapy.layers.ipsec, cryptography"]).output();
            imports.is_ok_and(|output| output.status.success())
        });
        let Some(python) = python else {
            tongguan_testkit::skipped("no scapy");
            return None;
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/by_scapy.py");
        let mut process =
            Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Some(Self { process, input, output: BufReader::new(output) })
    }

    fn ask(&mut self, line: &str) -> Vec<u8> {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        let digits = answer.trim().as_bytes();
        assert!(!digits.is_empty(), "it did not answer: {line}");
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }
}

impl Drop for Scapy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn sum(parts: &[u8]) -> u16 {
    let mut sum: u32 = parts.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A header of IPv4 with its checksum: scapy computes none for a packet that it is given.
fn header(length: usize, protocol: u8, [source, destination]: [[u8; 4]; 2]) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend((length as u16).to_be_bytes());
    header.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    header.extend(source);
    header.extend(destination);
    let checksum = sum(&header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    header
}

/// An inner packet of some length, of a protocol that scapy does not look into.
fn inner(length: usize) -> Vec<u8> {
    let mut packet = header(length, 253, [[10, 0, 3, 4], [10, 1, 5, 6]]);
    packet.extend((20..length).map(|place| (place * 31) as u8));
    packet
}

/// What we have sealed, as it is on the wire.
fn outer(sealed: &[u8], udp: bool) -> Vec<u8> {
    let mut payload = Vec::new();
    if udp {
        payload.extend([4_500u16, 4_500, 8 + sealed.len() as u16, 0].map(u16::to_be_bytes).concat());
    }
    payload.extend(sealed);
    let protocol = if udp { 17 } else { 50 };
    [header(20 + payload.len(), protocol, [[192, 0, 2, 1], [192, 0, 2, 2]]), payload].concat()
}

fn common(icv: usize, selector: Selector) -> Common {
    Common {
        spi: 0x1007,
        cipher: CipherKey::sm4(&[7; 16]).unwrap(),
        integrity: IntegrityKey::sm3(&[14; 32]),
        icv: IcvLength::fixed(icv).unwrap(),
        selector,
    }
}

#[test]
fn scapy_opens_what_we_seal_and_we_open_what_scapy_seals() {
    let Some(mut scapy) = Scapy::start() else { return };
    let (east, west) = ("10.0.0.0/16".parse().unwrap(), "10.1.0.0/16".parse().unwrap());
    let lengths = [20, 21, 34, 35, 36, 100, 576, 1_399, 1_400];
    for icv in [12, 16, 32] {
        for udp in [false, true] {
            let outbound = Arc::new(Outbound::new(
                common(icv, Selector { local: east, remote: west }),
                0x1007,
                [icv as u8; 16],
            ));
            let inbound = Arc::new(Inbound::new(common(icv, Selector { local: west, remote: east })));
            let (mut seal, mut open) = (SealBatch::default(), OpenBatch::default());
            let kind = if udp { "udp" } else { "esp" };
            for length in lengths {
                seal.slot().unwrap()[..length].copy_from_slice(&inner(length));
                seal.push(Arc::clone(&outbound), length);
            }
            seal.seal();
            for ((_, sealed), length) in seal.results().zip(lengths) {
                let packet = outer(sealed.unwrap(), udp);
                let opened = scapy.ask(&format!("open {icv} {kind} {}", hex(&packet)));
                assert_eq!(opened, inner(length), "{icv} {kind} {length}");
            }
            for (count, length) in lengths.into_iter().enumerate() {
                let line = format!("seal {icv} {kind} {} {}", hex(&inner(length)), count + 1);
                let packet = scapy.ask(&line);
                let sealed = &packet[if udp { 28 } else { 20 }..];
                open.slot().unwrap()[..sealed.len()].copy_from_slice(sealed);
                open.push(Arc::clone(&inbound), sealed.len());
            }
            open.open();
            for ((_, opened), length) in open.results().zip(lengths) {
                // Its time to live may be another: scapy takes one hop off.
                let (opened, expected) = (opened.unwrap(), inner(length));
                assert_eq!((opened.len(), &opened[12..]), (length, &expected[12..]), "{icv} {kind} {length}");
            }
        }
    }
}
