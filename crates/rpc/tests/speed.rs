//! How long parsing and verifying take. Run with
//! `cargo test --release -p tongguan-rpc --test speed -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

mod common;

use std::hint::black_box;
use std::time::Instant;

use common::golden;

#[test]
#[ignore = "a measurement, meaningful in release builds only"]
fn microseconds_per_request() {
    let names = [
        "node-alicloud-pop-core-get-1.8.0-DissociateVpnGatewayWithCertificate",
        "py-alibabacloud-vpc20160428-1.0.1-DissociateVpnGatewayWithCertificate",
        "node-alicloud-vpc20160428-7.3.2-DissociateVpnGatewayWithCertificate",
        "py-alibabacloud-vpc20160428-7.2.2-DissociateVpnGatewayWithCertificate-sts",
        "py-alibabacloud-vpc20160428-7.2.2-DescribeVpnGateway",
        "py-alibabacloud-kms20160120-sigv4-3.3.1-DescribeKey",
        "node-alicloud-vpc20160428-sm3-7.3.2-DissociateVpnGatewayWithCertificate",
        "node-alicloud-vpc20160428-rsa-7.3.2-DissociateVpnGatewayWithCertificate",
    ];
    let all = golden();
    for name in names {
        let golden = all.iter().find(|golden| golden.name == name).unwrap();
        let time = |work: &dyn Fn()| {
            let round = || {
                let start = Instant::now();
                for _ in 0..20_000 {
                    work();
                }
                start.elapsed().as_secs_f64() * 1e6 / 20_000.0
            };
            (0..7).map(|_| round()).fold(f64::MAX, f64::min)
        };
        let parse = time(&|| drop(black_box(&golden.request).parse().unwrap()));
        let both = time(&|| {
            let incoming = black_box(&golden.request).parse().unwrap();
            black_box(&incoming).verify(&golden.key).unwrap();
        });
        println!("{both:7.2} us, of which parsing {parse:5.2} us  {name}");
    }
}
