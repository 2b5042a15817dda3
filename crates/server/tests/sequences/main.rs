//! Replays what the Terraform provider sends in the life of its resources (order, parameters, where they
//! stand, polling, retries) against the real program, and asserts the answers that it needs: an empty plan is
//! a read that answers what was written, and "gone" is an answer that it knows.
//!
//! Each `*.json` here is a life. Those in `recorded/` are what the provider's own acceptance tests sent and were
//! answered when they passed; the others were put together by hand from its source, release 1.289. Terraform itself
//! is not run by these tests. The words of a life are explained at [`replay`].
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

#[path = "../common/mod.rs"]
mod common;
mod replay;

use common::{Key, Server};
use futures_util::future::join_all;
use http::Method;
use replay::Life;
use tongguan_rpc::Format;
use tongguan_testkit::{Call, Manner, Stamp};

/// Reads `<name>.json` and replays it.
async fn live(name: &str) {
    let path = format!("{}/tests/sequences/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let life = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Life::read(&life).replay().await;
}

macro_rules! lives {
    ($($name:ident)+) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            live(stringify!($name)).await;
        })+

        #[test]
        fn every_life_is_replayed() {
            let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sequences")).unwrap();
            let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
            let mut found: Vec<_> = names.filter_map(|name| name.strip_suffix(".json").map(ToOwned::to_owned)).collect();
            found.sort();
            assert_eq!(found, [$(stringify!($name)),+]);
        }
    };
}
lives! {
    terraform_certificates
    terraform_ram_policy
    terraform_ram_role
    terraform_ram_user
    terraform_vpc_vswitch_gateway
    terraform_vpcs_data_source
    terraform_vpn_routes
}

/// Every acceptance test of the provider that passed, call by call.
#[tokio::test(flavor = "multi_thread")]
async fn recorded_acceptance_tests() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sequences/recorded");
    let files =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        files.filter_map(|file| Some(format!("recorded/{}", file.strip_suffix(".json")?))).collect();
    names.sort();
    assert!(names.len() >= RECORDED, "{names:?}");
    for some in names.chunks(4) {
        join_all(some.iter().map(|name| live(name))).await;
    }
}

/// How many acceptance tests are recorded at least.
const RECORDED: usize = 40;

/// The list that Terraform reads of every VPC, as clients of the other format see it.
#[tokio::test]
async fn the_route_table_list_in_xml() {
    let server = Server::start(&[]);
    let made = server.call(common::VPC, "CreateVpc", &[("RegionId", "cn-hangzhou")]).await.json();
    let call = Call::new(common::VPC, "DescribeRouteTableList", &[("RegionId", "cn-hangzhou")]);
    let manner = Manner { http_method: Method::GET, format: Format::Xml, ..Manner::V1 };
    let request = Key::of(common::KEY, common::SECRET).sign(&call, &manner, &Stamp::now());
    let text = server.send(&common::http_bytes(&request, "")).await.text();
    let id = made["RouteTableId"].as_str().unwrap();
    for part in [
        "<DescribeRouteTableListResponse>",
        "<RouterTableList><RouterTableListType>",
        &format!("<RouteTableId>{id}</RouteTableId>"),
        "<RouteTableType>System</RouteTableType>",
        "<TotalCount>1</TotalCount>",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}
