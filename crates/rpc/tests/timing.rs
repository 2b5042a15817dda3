//! A refused signature does not tell by its time how much of it was right: a wrong key, a signature wrong in its first
//! and one wrong in its last digit take the same time, as far as that can be measured.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may stop where something is wrong")]

mod common;

use std::hint::black_box;
use std::time::Instant;

use common::{Owned, secret};
use http::Method;
use tongguan_rpc::{ClientCall, Format, Placement, Secret, SignatureMethod, Signer};
use tongguan_testkit::api::VPC;

/// Rounds, in each of which every case has its turn: what else the machine does meets all alike.
const ROUNDS: usize = 4_001;
/// How far the medians may be apart. A comparison that stops at the first difference saves some ten nanoseconds of some
/// ten microseconds: what this finds is a path that is left out, not that.
const APART: f64 = 1.25;

#[test]
fn refusals_take_the_same_time() {
    const SECRET: &str = "the secret of a test of times";
    for method in [
        SignatureMethod::HmacSha1,
        SignatureMethod::HmacSha256,
        SignatureMethod::Acs3HmacSha256,
        SignatureMethod::Acs3HmacSm3,
    ] {
        let signer = Signer {
            access_key_id: "LTAItimes".into(),
            secret: Secret::from(SECRET),
            security_token: None,
            method,
        };
        let parameters = [("RegionId".to_owned(), "cn-hangzhou".to_owned())];
        let call = |nonce: u32| {
            Owned::from(&signer.sign(&ClientCall {
                http_method: Method::GET,
                host: "vpc.test",
                action: "DescribeVpnGateways",
                version: VPC,
                parameters: &parameters,
                placement: Placement::Query,
                format: Format::Json,
                timestamp: "2026-11-23T00:00:00Z",
                nonce: &format!("nonce-{nonce}"),
            }))
        };
        // One whose signature has no character that a URL must escape but the padding.
        let plain = |request: &Owned| {
            let value = request.query.split_once("Signature=").map_or("", |(_, rest)| rest);
            !value.split('&').next().unwrap().trim_end_matches("%3D").contains('%')
        };
        let right = (0..).map(call).find(plain).unwrap();
        right.parse().unwrap().verify(&secret(SECRET)).unwrap();
        let (first, last) = (altered(&right, true), altered(&right, false));
        let cases = [
            ("wrong key", &right, secret("the secret of a test of timeS")),
            ("wrong first digit", &first, secret(SECRET)),
            ("wrong last digit", &last, secret(SECRET)),
        ];
        let mut times = cases.each_ref().map(|_| Vec::with_capacity(ROUNDS));
        for round in 0..ROUNDS {
            for turn in 0..cases.len() {
                // Each case follows each other one equally often.
                let number = (turn + round) % cases.len();
                let (name, request, key) = &cases[number];
                let incoming = request.parse().unwrap();
                let begun = Instant::now();
                let verified = black_box(&incoming).verify(black_box(key));
                times[number].push(begun.elapsed().as_nanos());
                assert!(verified.is_err(), "{name}");
            }
        }
        let medians = times.map(|mut times| {
            times.sort_unstable();
            times[ROUNDS / 2] as f64
        });
        for ((name, ..), median) in cases.iter().zip(medians) {
            println!("{}: {name}: {:.2} us", method.name(), median / 1e3);
        }
        let (least, most) = medians
            .iter()
            .fold((f64::MAX, 0.0), |(least, most), time| (f64::min(least, *time), f64::max(most, *time)));
        assert!(most / least < APART, "{}: {medians:?} ns", method.name());
    }
}

/// The request with the first or a late digit of its signature changed into another one.
fn altered(request: &Owned, first: bool) -> Owned {
    let mut request = request.clone();
    let change = |text: &str, begin: usize, end: usize| {
        let place = if first { begin } else { end };
        let digit = if text.as_bytes()[place] == b'a' { "b" } else { "a" };
        format!("{}{digit}{}", &text[..place], &text[place + 1..])
    };
    if let Some(begin) = request.query.find("Signature=").map(|place| place + "Signature=".len()) {
        let end =
            request.query[begin..].find(['&', '%']).map_or(request.query.len(), |length| begin + length);
        request.query = change(&request.query, begin, end - 2);
    } else {
        let text = request.headers["authorization"].to_str().unwrap().to_owned();
        let begin = text.find("Signature=").unwrap() + "Signature=".len();
        let text = change(&text, begin, text.len() - 1);
        request.headers.insert("authorization", text.parse().unwrap());
    }
    request
}
