//! What Terraform needs of the network, of resource groups, of tags on roles and policies, and of answers about what is
//! gone. The sequences of whole lives are in `crates/server/tests/sequences/`.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use common::{
    ACCOUNT, ALB, Caller, ECS, LOCATION, RAM, REGION, RESOURCE_MANAGER, RawCall, Rig, is_shared, missing,
    ram, ram_as, refused, rest,
};
use serde_json::{Value, json};
use tongguan_model::limits::Quotas;
use tongguan_service::context::iso8601;
use tongguan_service::operation::{self, Product, Shape};

const ROLE_TRUST: &str = r#"{"Version":"1","Statement":[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"RAM":"acs:ram::1234567890123456:root"}}]}"#;
const POLICY: &str =
    r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"vpc:Describe*","Resource":"*"}]}"#;
const AT: (&str, &str) = ("RegionId", REGION);

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}")).to_owned()
}

async fn vpc(rig: &Rig, more: &[(&str, &str)]) -> Value {
    let mut parameters = vec![AT];
    parameters.extend_from_slice(more);
    let made = rig.call("CreateVpc", &parameters).await.ok();
    rig.settle().await;
    made
}

async fn vswitch(rig: &Rig, vpc: &str, block: &str) -> String {
    let at = [AT, ("VpcId", vpc), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", block)];
    let made = rig.call("CreateVSwitch", &at).await.ok();
    rig.settle().await;
    text(&made, "VSwitchId")
}

async fn tables(rig: &Rig, more: &[(&str, &str)]) -> Vec<Value> {
    let mut parameters = vec![AT];
    parameters.extend_from_slice(more);
    let list = rig.call("DescribeRouteTableList", &parameters).await.ok();
    let tables = list["RouterTableList"]["RouterTableListType"].as_array().unwrap().clone();
    assert_eq!(list["TotalCount"], tables.len());
    tables
}

#[tokio::test(flavor = "multi_thread")]
async fn every_vpc_has_one_route_table() {
    let rig = Rig::new("0");
    let made = rig.call("CreateVpc", &[AT, ("CidrBlock", "10.0.0.0/8")]).await.ok();
    let (id, table, router) = (text(&made, "VpcId"), text(&made, "RouteTableId"), text(&made, "VRouterId"));
    assert_eq!(tables(&rig, &[("VpcId", &id)]).await[0]["Status"], "Pending");
    rig.settle().await;
    let (first, second) = (vswitch(&rig, &id, "10.0.0.0/24").await, vswitch(&rig, &id, "10.1.0.0/24").await);
    let group = rig.resource_group("other").await;
    let other = vpc(&rig, &[("ResourceGroupId", &group)]).await;
    let list = rest(rig.call("DescribeRouteTableList", &[AT, ("VpcId", &id)]).await);
    let row = json!({
        "RouteTableId": table, "RouteTableName": "", "Description": "", "RouteTableType": "System",
        "Status": "Available", "AssociateType": "VSwitch", "RoutePropagationEnable": true, "VpcId": id,
        "RouterId": router, "RouterType": "VRouter", "VSwitchIds": {"VSwitchId": [first, second]},
        "GatewayIds": {"GatewayIds": []}, "OwnerId": ACCOUNT.parse::<u64>().unwrap(),
        "CreationTime": iso8601(common::START_MS), "ResourceGroupId": made["ResourceGroupId"],
        "Tags": {"Tag": []},
    });
    let whole = json!({
        "RouterTableList": {"RouterTableListType": [row]}, "TotalCount": 1, "PageNumber": 1, "PageSize": 10
    });
    assert_eq!(list, whole);
    let of_other = text(&other, "RouteTableId");
    let ids = |tables: Vec<Value>| tables.iter().map(|row| text(row, "RouteTableId")).collect::<Vec<_>>();
    assert_eq!(ids(tables(&rig, &[]).await), [of_other.clone(), table.clone()], "newest first");
    let router = router.as_str();
    for (filter, found) in [
        (vec![("RouteTableId", &*table)], vec![&table]),
        (vec![("RouterId", router)], vec![&table]),
        (vec![("RouterId", router), ("RouteTableId", &of_other)], vec![]),
        (vec![("ResourceGroupId", &group)], vec![&of_other]),
        (vec![("RouteTableType", "System"), ("RouterType", "VRouter"), ("VpcId", &id)], vec![&table]),
        (vec![("RouteTableType", "Custom")], vec![]),
        (vec![("RouterType", "VBR")], vec![]),
        (vec![("RouterType", "VBR"), ("VpcId", &id)], vec![&table]),
        (vec![("RouteTableName", "any")], vec![]),
        (vec![("Tag.1.Key", "any")], vec![]),
        (vec![("VpcId", "vpc-none")], vec![]),
    ] {
        assert_eq!(ids(tables(&rig, &filter).await).iter().collect::<Vec<_>>(), found, "{filter:?}");
    }
    let paged = [AT, ("PageSize", "1"), ("PageNumber", "2")];
    let page = rig.call("DescribeRouteTableList", &paged).await.ok();
    assert_eq!(page["RouterTableList"]["RouterTableListType"][0]["RouteTableId"], table);
    assert_eq!((&page["TotalCount"], &page["PageNumber"]), (&json!(2), &json!(2)));
    for (parameter, code) in [
        (("RouteTableType", "system"), "IllegalParam.RouteTableType"),
        (("RouterType", "Router"), "IllegalParam.RouterType"),
        (("PageSize", "51"), "IllegalParam.PageSize"),
    ] {
        refused(&rig.call("DescribeRouteTableList", &[AT, parameter]).await, 400, code);
    }
    refused(&rig.call("DescribeRouteTableList", &[]).await, 400, "MissingRegionId");
    let elsewhere = [("RegionId", "cn-beijing"), ("VpcId", &*id)];
    let list = rig.call("DescribeRouteTableList", &elsewhere).await.ok();
    assert_eq!(list["TotalCount"], 0);
    let foreign = rig.by(&Caller::stranger(), common::VPC, "DescribeRouteTableList", &[AT]).await.ok();
    assert_eq!(foreign["TotalCount"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_table_is_named_and_its_router_listed() {
    let rig = Rig::new("0");
    let made = rig.call("CreateVpc", &[AT]).await.ok();
    let (id, table, router) = (text(&made, "VpcId"), text(&made, "RouteTableId"), text(&made, "VRouterId"));
    let modify = async |table: &str, more: &[(&str, &str)]| {
        let parameters = [&[AT, ("RouteTableId", table)], more].concat();
        rig.call("ModifyRouteTableAttributes", &parameters).await
    };
    refused(&modify(&table, &[("RouteTableName", "x")]).await, 400, "IncorrectStatus.Vpc");
    rig.settle().await;
    let all = [("RouteTableName", "main"), ("Description", "of all"), ("RoutePropagationEnable", "false")];
    modify(&table, &all).await.ok();
    let shown = async || tables(&rig, &[("VpcId", &id)]).await.remove(0);
    let row = shown().await;
    assert_eq!((text(&row, "RouteTableName"), text(&row, "Description")), ("main".into(), "of all".into()));
    assert_eq!(row["RoutePropagationEnable"], false);
    modify(&table, &[("Description", "")]).await.ok();
    let row = shown().await;
    assert_eq!((text(&row, "RouteTableName"), text(&row, "Description")), ("main".into(), String::new()));
    assert_eq!(row["RoutePropagationEnable"], false, "what is not sent stays");
    assert_eq!(tables(&rig, &[("RouteTableName", "main")]).await.len(), 1);
    assert_eq!(tables(&rig, &[("RouteTableName", "other")]).await.len(), 0);
    for (more, code) in [
        (("RouteTableName", "http://x"), "Abs.InvaliTableName.Malformed"),
        (("Description", "https://x"), "InvalidDescription.Malformed"),
    ] {
        refused(&modify(&table, &[more]).await, 400, code);
    }
    refused(&modify("vtb-none", &[]).await, 400, "Abs.InvalidRouteTableId.NotExist");
    let foreign = [AT, ("RouteTableId", &*table)];
    let foreign = rig.by(&Caller::stranger(), common::VPC, "ModifyRouteTableAttributes", &foreign).await;
    refused(&foreign, 400, "Abs.InvalidRouteTableId.NotExist");

    let list = rest(rig.call("DescribeVRouters", &[AT]).await);
    let row = json!({
        "VRouterId": router, "VRouterName": "", "Description": "", "VpcId": id, "RegionId": REGION,
        "RouteTableIds": {"RouteTableId": [table]}, "CreationTime": iso8601(common::START_MS),
    });
    assert_eq!(
        list,
        json!({"VRouters": {"VRouter": [row]}, "PageNumber": 1, "PageSize": 10, "TotalCount": 1})
    );
    let none = rig.call("DescribeVRouters", &[AT, ("VRouterId", "vrt-none")]).await.ok();
    assert_eq!(none["TotalCount"], 0);
}

/// Blocks of the routes of a table, with the kind of each one's next hop.
async fn routes(rig: &Rig, table: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let parameters = [&[AT, ("RouteTableId", table)], more].concat();
    let list = rig.call("DescribeRouteEntryList", &parameters).await.ok();
    let routes = list["RouteEntrys"]["RouteEntry"].as_array().unwrap();
    assert_eq!(list["TotalCount"], routes.len());
    let next_hop = |route: &Value| text(&route["NextHops"]["NextHop"][0], "NextHopType");
    routes.iter().map(|route| (text(route, "DestinationCidrBlock"), next_hop(route))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_table_has_a_route_to_each_vswitch_and_to_the_services() {
    let rig = Rig::new("0");
    let made = rig.call("CreateVpc", &[AT, ("CidrBlock", "10.0.0.0/8")]).await.ok();
    let (id, table) = (text(&made, "VpcId"), text(&made, "RouteTableId"));
    let services = ("100.64.0.0/10".to_owned(), "service".to_owned());
    assert_eq!(routes(&rig, &table, &[]).await, std::slice::from_ref(&services));
    rig.settle().await;
    vswitch(&rig, &id, "10.200.0.0/24").await;
    let second = vswitch(&rig, &id, "10.9.0.0/24").await;
    let local = |block: &str| (block.to_owned(), "local".to_owned());
    let all = [local("10.9.0.0/24"), local("10.200.0.0/24"), services];
    assert_eq!(routes(&rig, &table, &[]).await, all);
    for (filter, found) in [
        (vec![("NextHopType", "service")], &all[2..]),
        (vec![("DestinationCidrBlock", "10.9.0.0/24")], &all[..1]),
        (vec![("DestCidrBlockList.1", "10.9.0.0/24"), ("DestCidrBlockList.2", "10.200.0.0/24")], &all[..2]),
        (vec![("RouteEntryType", "System"), ("IpVersion", "ipv4")], &all[..]),
        (vec![("RouteEntryType", "Custom")], &[]),
        (vec![("IpVersion", "IPv6")], &[]),
        (vec![("NextHopId", "vpn-none")], &[]),
        (vec![("ServiceType", "TR")], &[]),
        (vec![("RouteEntryName", "any")], &[]),
    ] {
        assert_eq!(routes(&rig, &table, &filter).await, found, "{filter:?}");
    }
    // A route keeps its id, also over a restart, and is found by it.
    let list = rig.call("DescribeRouteEntryList", &[AT, ("RouteTableId", &table)]).await.ok();
    let route = list["RouteEntrys"]["RouteEntry"][0].clone();
    let whole = json!({
        "RouteEntryId": route["RouteEntryId"], "RouteEntryName": "", "Description": "", "RouteTableId": table,
        "DestinationCidrBlock": "10.9.0.0/24", "IpVersion": "ipv4", "Type": "System", "Origin": "SystemCreate",
        "Status": "Available", "ServiceType": "", "GmtModified": iso8601(common::START_MS),
        "NextHops": {"NextHop": [{"NextHopType": "local", "NextHopId": "", "Enabled": 1}]},
    });
    assert_eq!(route, whole);
    let rig = rig.restart("0");
    assert_eq!(routes(&rig, &table, &[("RouteEntryId", &text(&route, "RouteEntryId"))]).await, &all[..1]);
    // Pages: what comes and goes between them neither repeats nor leaves out another.
    let page = [AT, ("RouteTableId", &table), ("MaxResult", "1")];
    let first = rig.call("DescribeRouteEntryList", &page).await.ok();
    assert_eq!((&first["TotalCount"], &first["RouteEntrys"]["RouteEntry"][0]), (&json!(3), &route));
    rig.call("DeleteVSwitch", &[("VSwitchId", &second)]).await.ok();
    let next = text(&first, "NextToken");
    let page = [&page[..2], &[("MaxResult", "2"), ("NextToken", next.as_str())]].concat();
    let rest_of_it = rig.call("DescribeRouteEntryList", &page).await.ok();
    let shown = rest_of_it["RouteEntrys"]["RouteEntry"].as_array().unwrap();
    assert_eq!((shown.len(), text(&rest_of_it, "NextToken")), (2, String::new()));
    assert_eq!(shown[0]["DestinationCidrBlock"], "10.200.0.0/24");

    refused(&rig.call("DescribeRouteEntryList", &[AT]).await, 400, "MissingRouteTableId");
    let unknown = [AT, ("RouteTableId", "vtb-none")];
    refused(&rig.call("DescribeRouteEntryList", &unknown).await, 404, "InvalidRouteTableId.NotFound");
    let foreign = [AT, ("RouteTableId", &*table)];
    let foreign = rig.by(&Caller::stranger(), common::VPC, "DescribeRouteEntryList", &foreign).await;
    refused(&foreign, 404, "InvalidRouteTableId.NotFound");

    let old = rig.call("DescribeRouteTables", &[AT, ("VRouterId", &text(&made, "VRouterId"))]).await.ok();
    let shown = &old["RouteTables"]["RouteTable"][0];
    assert_eq!((&shown["RouteTableId"], &shown["Status"]), (&json!(table), &json!("Available")));
    let blocks: Vec<String> = shown["RouteEntrys"]["RouteEntry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|route| text(route, "DestinationCidrBlock"))
        .collect();
    assert_eq!(blocks, ["10.200.0.0/24", "100.64.0.0/10"]);
    let custom =
        rig.call("DescribeRouteTables", &[AT, ("RouteTableId", &table), ("Type", "Custom")]).await.ok();
    assert_eq!(custom["RouteTables"]["RouteTable"][0]["RouteEntrys"]["RouteEntry"], json!([]));
    let none = [AT, ("VRouterId", "vrt-none"), ("RouterId", &text(&made, "VRouterId"))];
    assert_eq!(rig.call("DescribeRouteTables", &none).await.ok()["TotalCount"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vpc_gets_and_loses_further_blocks() {
    let rig = Rig::with_quotas("0", Quotas { secondary_cidrs_per_vpc: 2, ..Quotas::default() });
    let made = rig.call("CreateVpc", &[AT, ("CidrBlock", "10.0.0.0/16")]).await.ok();
    let id = text(&made, "VpcId");
    let add = async |block: &str| {
        let parameters = [AT, ("VpcId", &*id), ("IpVersion", "IPV4"), ("SecondaryCidrBlock", block)];
        rig.call("AssociateVpcCidrBlock", &parameters).await
    };
    let remove = async |block: &str| {
        let parameters = [AT, ("VpcId", &*id), ("SecondaryCidrBlock", block)];
        rig.call("UnassociateVpcCidrBlock", &parameters).await
    };
    let blocks = async || {
        let shown = rig.call("DescribeVpcAttribute", &[AT, ("VpcId", &id)]).await.ok();
        shown["SecondaryCidrBlocks"]["SecondaryCidrBlock"].clone()
    };
    refused(&add("192.168.0.0/16").await, 400, "IncorrectStatus.Vpc");
    refused(&remove("192.168.0.0/16").await, 400, "IncorrectVpcStatus");
    rig.settle().await;
    assert_eq!(blocks().await, json!([]));
    let answer = rest(add("192.168.0.0/16").await);
    assert_eq!(answer, json!({"CidrBlock": "192.168.0.0/16", "IpVersion": "IPV4"}));
    for (block, code) in [
        ("192.168.0.0/16", "InvalidCidrBlock"),
        ("10.0.0.0/16", "InvalidCidrBlock"),
        ("192.168.7.0/24", "IllegalParam.SecondaryCidrBlock"),
        ("10.0.0.0/8", "IllegalParam.SecondaryCidrBlock"),
        ("100.64.0.0/16", "IllegalParam.SecondaryCidrBlock"),
        ("172.16.0.0/29", "OperationDenied.MaskOfCidrIsNotAllowed"),
        ("172.16.0.1/24", "InvalidCidrBlock.Malformed"),
        ("", "MissingParam.SecondaryCidrBlockOrIpv6CidrBlock"),
    ] {
        refused(&add(block).await, 400, code);
    }
    add("172.16.0.0/16").await.ok();
    refused(&add("172.17.0.0/16").await, 400, "QuotaExceeded.VpcMultiCidr");
    assert_eq!(blocks().await, json!(["192.168.0.0/16", "172.16.0.0/16"]));

    // A vSwitch may lie in any of them; while it does, the block stays, and so does the first one around it.
    let inside = vswitch(&rig, &id, "192.168.7.0/24").await;
    let outside = [AT, ("VpcId", &*id), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "172.20.0.0/24")];
    let outside = rig.call("CreateVSwitch", &outside).await;
    refused(&outside, 400, "InvalidParameter");
    refused(&remove("192.168.0.0/16").await, 400, "DependencyViolation.VSwitch");
    let grown = [AT, ("VpcId", &*id), ("CidrBlock", "172.0.0.0/8")];
    refused(&rig.call("ModifyVpcAttribute", &grown).await, 400, "InvalidCidrBlock.Malformed");
    let moved = [AT, ("VpcId", &*id), ("CidrBlock", "10.0.0.0/8")];
    rig.call("ModifyVpcAttribute", &moved).await.ok();
    rig.call("DeleteVSwitch", &[("VSwitchId", &inside)]).await.ok();
    remove("192.168.0.0/16").await.ok();
    refused(&remove("192.168.0.0/16").await, 400, "IllegalParam.SecondaryCidrBlock");
    refused(&remove("10.0.0.0/8").await, 400, "IllegalParam.SecondaryCidrBlock");
    refused(&remove("").await, 400, "MissingParam.SecondaryCidrBlockOrIpv6CidrBlock");
    assert_eq!(blocks().await, json!(["172.16.0.0/16"]));

    for (more, code) in [
        (("IpVersion", "IPV6"), "OperationUnsupported.Ipv6Feature"),
        (("IpVersion", "IPV5"), "IllegalParam.IpVersion"),
        (("IPv6CidrBlock", "2408::/56"), "OperationUnsupported.Ipv6Feature"),
        (("IpamPoolId", "ipam-pool-1"), "UnsupportedFeature.Ipam"),
    ] {
        let parameters = [AT, ("VpcId", &*id), ("SecondaryCidrBlock", "172.17.0.0/16"), more];
        refused(&rig.call("AssociateVpcCidrBlock", &parameters).await, 400, code);
    }
    let block = ("SecondaryCidrBlock", "172.17.0.0/16");
    let unknown = [AT, ("VpcId", "vpc-none"), block];
    refused(&rig.call("AssociateVpcCidrBlock", &unknown).await, 400, "InvalidVpc.NotFound");
    refused(&rig.call("UnassociateVpcCidrBlock", &unknown).await, 404, "InvalidVpcId.NotFound");
    let foreign = [AT, ("VpcId", &*id), block];
    let stranger = Caller::stranger();
    let foreign_add = rig.by(&stranger, common::VPC, "AssociateVpcCidrBlock", &foreign).await;
    refused(&foreign_add, 400, "InvalidVpc.NotFound");
    let foreign_remove = rig.by(&stranger, common::VPC, "UnassociateVpcCidrBlock", &foreign).await;
    refused(&foreign_remove, 404, "InvalidVpcId.NotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_has_one_default_vpc_and_a_zone_one_default_vswitch() {
    let rig = Rig::new("0");
    let zone = ("ZoneId", "cn-hangzhou-h");
    refused(&rig.call("CreateDefaultVSwitch", &[AT, zone]).await, 400, "OperationDenied.NoDefaultVpc");
    let usual = text(&vpc(&rig, &[]).await, "VpcId");
    let made = rig.call("CreateDefaultVpc", &[AT]).await.ok();
    let id = text(&made, "VpcId");
    refused(&rig.call("CreateDefaultVpc", &[AT]).await, 400, "OperationDenied.DefaultVpcExists");
    refused(&rig.call("CreateDefaultVSwitch", &[AT, zone]).await, 400, "IncorrectVpcStatus");
    rig.settle().await;
    let shown = rig.call("DescribeVpcAttribute", &[AT, ("VpcId", &id)]).await.ok();
    assert_eq!((&shown["IsDefault"], &shown["Status"]), (&json!(true), &json!("Available")));
    assert_eq!((&shown["VRouterId"], &shown["CidrBlock"]), (&made["VRouterId"], &json!("172.16.0.0/12")));
    let changed = [AT, ("VpcId", &*id), ("CidrBlock", "10.0.0.0/8")];
    refused(&rig.call("ModifyVpcAttribute", &changed).await, 400, "InvalidCidrBlock.Malformed");
    let same = [AT, ("VpcId", &*id), ("CidrBlock", "172.16.0.0/12"), ("VpcName", "default")];
    rig.call("ModifyVpcAttribute", &same).await.ok();
    let listed = async |action: &str, list: [&str; 3], default: &[(&str, &str)]| {
        let parameters = [&[AT], default].concat();
        let answer = rig.call(action, &parameters).await.ok();
        let rows = answer[list[0]][list[1]].as_array().unwrap().clone();
        rows.iter().map(|row| text(row, list[2])).collect::<Vec<_>>()
    };
    let vpcs = ["Vpcs", "Vpc", "VpcId"];
    assert_eq!(listed("DescribeVpcs", vpcs, &[]).await.len(), 2);
    assert_eq!(listed("DescribeVpcs", vpcs, &[("IsDefault", "true")]).await.len(), 2);
    assert_eq!(listed("DescribeVpcs", vpcs, &[("IsDefault", "false")]).await, std::slice::from_ref(&usual));

    // The first free block of its size, whatever lies before it.
    vswitch(&rig, &id, "172.16.3.0/24").await;
    let first = text(&rig.call("CreateDefaultVSwitch", &[AT, zone]).await.ok(), "VSwitchId");
    let other_zone = [AT, ("ZoneId", "cn-hangzhou-i")];
    refused(&rig.call("CreateDefaultVSwitch", &other_zone).await, 400, "IncorrectVSwitchStatus");
    rig.settle().await;
    refused(
        &rig.call("CreateDefaultVSwitch", &[AT, zone]).await,
        400,
        "OperationDenied.DefaultVSwitchExists",
    );
    let shown = rig.call("DescribeVSwitchAttributes", &[("VSwitchId", &first)]).await.ok();
    assert_eq!((&shown["IsDefault"], &shown["VpcId"]), (&json!(true), &json!(id)));
    assert_eq!((&shown["CidrBlock"], &shown["ZoneId"]), (&json!("172.16.16.0/20"), &json!("cn-hangzhou-h")));
    let second = text(&rig.call("CreateDefaultVSwitch", &other_zone).await.ok(), "VSwitchId");
    rig.settle().await;
    let vswitches = ["VSwitches", "VSwitch", "VSwitchId"];
    let defaults = listed("DescribeVSwitches", vswitches, &[("IsDefault", "true")]).await;
    assert_eq!(defaults, [second, first.clone()]);
    assert_eq!(listed("DescribeVSwitches", vswitches, &[("IsDefault", "false")]).await.len(), 1);
    let nowhere = [AT, ("ZoneId", "cn-shanghai-a")];
    refused(&rig.call("CreateDefaultVSwitch", &nowhere).await, 404, "InvalidZoneId.NotFound");

    // Each is one for each account and region, and can be made anew once it is gone.
    rig.call("CreateDefaultVpc", &[("RegionId", "cn-beijing")]).await.ok();
    rig.by(&Caller::stranger(), common::VPC, "CreateDefaultVpc", &[AT]).await.ok();
    rig.settle().await;
    rig.call("DeleteVSwitch", &[("VSwitchId", &first)]).await.ok();
    rig.call("CreateDefaultVSwitch", &[AT, zone]).await.ok();
    for (more, code) in [
        (("EnableIpv6", "true"), "OperationUnsupported.Ipv6Feature"),
        (("Ipv6CidrBlock", "2408::/56"), "OperationUnsupported.Ipv6Feature"),
    ] {
        refused(&rig.call("CreateDefaultVpc", &[("RegionId", "cn-shanghai"), more]).await, 400, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn classic_link_is_switched() {
    let rig = Rig::new("0");
    let made = rig.call("CreateVpc", &[AT]).await.ok();
    let named = [AT, ("VpcId", made["VpcId"].as_str().unwrap())];
    refused(&rig.call("EnableVpcClassicLink", &named).await, 400, "IncorrectVpcStatus");
    refused(&rig.call("DisableVpcClassicLink", &named).await, 400, "IncorrectVpcStatus");
    rig.settle().await;
    let shown = async || rig.call("DescribeVpcAttribute", &named).await.ok()["ClassicLinkEnabled"].clone();
    assert_eq!(shown().await, false);
    rig.call("EnableVpcClassicLink", &named).await.ok();
    assert_eq!(shown().await, true);
    refused(&rig.call("EnableVpcClassicLink", &named).await, 404, "IncorrectClassicLinkStatus");
    for _ in 0..2 {
        rig.call("DisableVpcClassicLink", &named).await.ok();
        assert_eq!(shown().await, false);
    }
    for action in ["EnableVpcClassicLink", "DisableVpcClassicLink"] {
        let unknown = rig.call(action, &[AT, ("VpcId", "vpc-none")]).await;
        refused(&unknown, 404, "InvalidVpcId.NotFound");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vpc_is_changed_in_place() {
    let rig = Rig::new("0");
    let id = text(&vpc(&rig, &[("CidrBlock", "10.0.0.0/8"), ("VpcName", "old")]).await, "VpcId");
    let inside = vswitch(&rig, &id, "10.0.7.0/24").await;
    let modify = async |more: &[(&str, &str)]| {
        let mut parameters = vec![AT, ("VpcId", &*id)];
        parameters.extend_from_slice(more);
        rig.call("ModifyVpcAttribute", &parameters).await
    };
    let shown = async || rig.call("DescribeVpcAttribute", &[AT, ("VpcId", &id)]).await.ok();
    let all = [
        ("VpcName", "new"),
        ("Description", "what for"),
        ("CidrBlock", "10.0.0.0/16"),
        ("EnableDnsHostname", "true"),
    ];
    assert_eq!(rest(modify(&all).await), json!({}));
    let vpc = shown().await;
    assert_eq!((&vpc["VpcName"], &vpc["Description"]), (&json!("new"), &json!("what for")));
    assert_eq!((&vpc["CidrBlock"], &vpc["DnsHostnameStatus"]), (&json!("10.0.0.0/16"), &json!("ENABLED")));
    assert_eq!(vpc["Status"], "Available");
    let outside = modify(&[("CidrBlock", "10.1.0.0/16")]).await;
    refused(&outside, 400, "InvalidCidrBlock.Malformed");
    assert!(text(&outside.body, "Message").contains(&inside));
    let long = "d".repeat(257);
    for (parameter, code) in [
        (("VpcName", "http://x"), "InvalidVpcName.Malformed"),
        (("Description", &*long), "InvalidVpcDiscription.Malformed"),
        (("CidrBlock", "10.0.0.1/16"), "InvalidCidrBlock.Malformed"),
        (("EnableIPv6", "true"), "OperationUnsupported.Ipv6Feature"),
        (("Ipv6CidrBlock", "2408::/56"), "OperationUnsupported.Ipv6Feature"),
        (("EnableDnsHostname", "maybe"), "IllegalParam.EnableDnsHostname"),
    ] {
        refused(&modify(&[parameter]).await, 400, code);
    }
    let mut after = shown().await;
    after["RequestId"] = vpc["RequestId"].clone();
    assert_eq!(after, vpc, "what is refused changes nothing");
    let unknown = [AT, ("VpcId", "vpc-none"), ("VpcName", "x")];
    refused(&rig.call("ModifyVpcAttribute", &unknown).await, 404, "InvalidVpcId.NotFound");
    let elsewhere = [("RegionId", "cn-beijing"), ("VpcId", &*id), ("VpcName", "x")];
    refused(&rig.call("ModifyVpcAttribute", &elsewhere).await, 404, "InvalidVpcId.NotFound");
    let theirs = [AT, ("VpcId", &*id), ("VpcName", "x")];
    let theirs = rig.by(&Caller::stranger(), common::VPC, "ModifyVpcAttribute", &theirs).await;
    refused(&theirs, 404, "InvalidVpcId.NotFound");
    let pending = text(&rig.call("CreateVpc", &[AT]).await.ok(), "VpcId");
    let pending = [AT, ("VpcId", &*pending), ("VpcName", "x")];
    refused(&rig.call("ModifyVpcAttribute", &pending).await, 400, "IncorrectVpcStatus");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vswitch_is_changed_in_place() {
    let rig = Rig::new("0");
    let id = text(&vpc(&rig, &[("CidrBlock", "10.0.0.0/8")]).await, "VpcId");
    let vswitch = vswitch(&rig, &id, "10.0.7.0/24").await;
    let modify = async |more: &[(&str, &str)]| {
        let mut parameters = vec![("VSwitchId", &*vswitch)];
        parameters.extend_from_slice(more);
        rig.call("ModifyVSwitchAttribute", &parameters).await
    };
    assert_eq!(rest(modify(&[("VSwitchName", "new"), ("Description", "what for")]).await), json!({}));
    let shown = rig.call("DescribeVSwitchAttributes", &[("VSwitchId", &vswitch)]).await.ok();
    assert_eq!((&shown["VSwitchName"], &shown["Description"]), (&json!("new"), &json!("what for")));
    assert_eq!((&shown["Status"], &shown["CidrBlock"]), (&json!("Available"), &json!("10.0.7.0/24")));
    let long = "n".repeat(129);
    for (parameter, code) in [
        (("VSwitchName", &*long), "InvalidVSwitchName.Malformed"),
        (("Description", "https://x"), "InvalidVSwitchDiscription.Malformed"),
        (("EnableIPv6", "true"), "OperationUnsupported.Ipv6Feature"),
        (("Ipv6CidrBlock", "1"), "OperationUnsupported.Ipv6Feature"),
    ] {
        refused(&modify(&[parameter]).await, 400, code);
    }
    let unknown = [("VSwitchId", "vsw-none"), ("VSwitchName", "x")];
    let unknown = rig.call("ModifyVSwitchAttribute", &unknown).await;
    refused(&unknown, 404, "InvalidVSwitchId.NotFound");
    assert_eq!(unknown.body["Message"], "The specified virtual switch does not exists.");
    refused(&modify(&[("RegionId", "cn-beijing")]).await, 404, "InvalidVSwitchId.NotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_move_to_another_group_and_take_along_what_stands_in_them() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("Normal").await;
    let gateway_shown = async || rig.call("DescribeVpnGateway", &[AT, ("VpnGatewayId", &gateway)]).await.ok();
    let shown = gateway_shown().await;
    let (id, default) = (text(&shown, "VpcId"), text(&shown, "ResourceGroupId"));
    let inside = vswitch(&rig, &id, "172.16.7.0/24").await;
    let move_vpc = async |kind: &str, id: &str, group: &str| {
        let parameters = [AT, ("ResourceType", kind), ("ResourceId", id), ("NewResourceGroupId", group)];
        rig.call("MoveResourceGroup", &parameters).await
    };
    let move_vpn = async |kind: &str, id: &str, group: &str| {
        let parameters = [AT, ("ResourceType", kind), ("InstanceId", id), ("NewResourceGroupId", group)];
        rig.call("MoveVpnResourceGroup", &parameters).await
    };
    let (networks, gateways) = (rig.resource_group("networks").await, rig.resource_group("gateways").await);
    assert_eq!(rest(move_vpc("vpc", &id, &networks).await), json!({}));
    let vpc = rig.call("DescribeVpcAttribute", &[AT, ("VpcId", &id)]).await.ok();
    assert_eq!(vpc["ResourceGroupId"], networks);
    // Terraform reads the group and the router twice: both must agree.
    let table = &tables(&rig, &[("VpcId", &id)]).await[0];
    assert_eq!(table["ResourceGroupId"], networks);
    assert_eq!(table["RouterId"], vpc["VRouterId"]);
    let vswitch = rig.call("DescribeVSwitchAttributes", &[("VSwitchId", &inside)]).await.ok();
    assert_eq!(vswitch["ResourceGroupId"], networks);
    assert_eq!(gateway_shown().await["ResourceGroupId"], default, "a gateway is moved by itself");

    assert_eq!(rest(move_vpn("VpnGateWay", &gateway, &gateways).await), json!({}));
    let moved = gateway_shown().await;
    assert_eq!((&moved["ResourceGroupId"], &moved["Status"]), (&json!(gateways), &json!("active")));
    for (group, number) in [(&*gateways, 1), (&*default, 0)] {
        let list = rig.call("DescribeVpnGateways", &[AT, ("ResourceGroupId", group)]).await.ok();
        assert_eq!(list["TotalCount"], number, "{group}");
    }
    let address = [AT, ("IpAddress", "1.1.1.1"), ("ResourceGroupId", &networks)];
    let customer = text(&rig.call("CreateCustomerGateway", &address).await.ok(), "CustomerGatewayId");
    move_vpn("CustomerGateway", &customer, &gateways).await.ok();
    let moved = rig.call("DescribeCustomerGateway", &[AT, ("CustomerGatewayId", &customer)]).await.ok();
    assert_eq!(moved["ResourceGroupId"], gateways);
    // The account's own group takes it back.
    move_vpn("VPNGATEWAY", &gateway, &default).await.ok();
    assert_eq!(gateway_shown().await["ResourceGroupId"], default);

    let long = format!("rg-{}", "a".repeat(62));
    // Neither what is no id, nor another account's group, nor one that there is not, nor one that is being deleted.
    let manager = async |caller: &Caller, action: &str, more: &[(&str, &str)]| {
        rig.by(caller, RESOURCE_MANAGER, action, more).await.ok()
    };
    let theirs = manager(&Caller::stranger(), "ListResourceGroups", &[]).await;
    let theirs = text(&theirs["ResourceGroups"]["ResourceGroup"][0], "Id");
    let leaving = rig.resource_group("leaving").await;
    manager(&Caller::named("root"), "DeleteResourceGroup", &[("ResourceGroupId", &leaving)]).await;
    for group in ["acfm", "rg-", "rg-a b", "rg-A", "rg-é", &long, "rg-acfmnone", &theirs, &leaving] {
        refused(&move_vpc("VPC", &id, group).await, 400, "InvalidResourceGroupId");
        refused(&move_vpn("VpnGateway", &gateway, group).await, 400, "InvalidResourceGroupId");
        let create = [AT, ("ResourceGroupId", group)];
        for action in ["CreateVpc", "CreateDefaultVpc"] {
            refused(&rig.call(action, &create).await, 400, "InvalidResourceGroupId");
        }
        let create = [AT, ("VpcId", &*id), ("Bandwidth", "10"), ("ResourceGroupId", group)];
        refused(&rig.call("CreateVpnGateway", &create).await, 400, "InvalidResourceGroupId");
        let create = [AT, ("IpAddress", "1.1.1.2"), ("ResourceGroupId", group)];
        refused(&rig.call("CreateCustomerGateway", &create).await, 400, "InvalidResourceGroupId");
    }
    let to = "rg-acfmx";
    refused(&move_vpc("VPC", "vpc-none", to).await, 404, "InvalidVpcId.NotFound");
    refused(&move_vpc("Eip", &id, to).await, 400, "IllegalParam.ResourceType");
    refused(&move_vpn("VpnGateway", "vpn-none", to).await, 404, "InvalidVpnGatewayInstanceId.NotFound");
    refused(&move_vpn("VpnConnection", &gateway, to).await, 400, "IllegalParam.ResourceType");
    refused(&move_vpc("VPC", &id, "").await, 400, "MissingNewResourceGroupId");
    refused(&move_vpn("VpnGateway", &gateway, "").await, 400, "MissingNewResourceGroupId");
}

/// Resource groups that a filter finds.
async fn groups(rig: &Rig, filter: &[(&str, &str)]) -> Vec<Value> {
    let list = rig.by(&Caller::named("root"), RESOURCE_MANAGER, "ListResourceGroups", filter).await.ok();
    list["ResourceGroups"]["ResourceGroup"].as_array().unwrap().clone()
}

/// What each filter finds of the default group, one named `networks` and a second one.
async fn filters_find(rig: &Rig, [id, group, second]: [&str; 3]) {
    for (filter, found) in [
        (vec![], vec![id, group, second]),
        (vec![("Status", "OK")], vec![id, group, second]),
        (vec![("Status", "Creating")], vec![]),
        (vec![("Name", "net")], vec![group]),
        (vec![("DisplayName", "ena")], vec![group]),
        (vec![("ResourceGroupId", second)], vec![second]),
        (vec![("ResourceGroupId", second), ("ResourceGroupIds.1", id)], vec![id]),
        (vec![("PageSize", "2"), ("PageNumber", "2")], vec![second]),
    ] {
        let ids: Vec<String> = groups(rig, &filter).await.iter().map(|row| text(row, "Id")).collect();
        assert_eq!(ids.iter().collect::<Vec<_>>(), found, "{filter:?}");
    }
    let page = rig
        .by(&Caller::named("root"), RESOURCE_MANAGER, "ListResourceGroups", &[("PageSize", "1")])
        .await
        .ok();
    assert_eq!(
        (&page["TotalCount"], &page["PageNumber"], &page["PageSize"]),
        (&json!(3), &json!(1), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn resource_groups_are_made_renamed_listed_and_deleted() {
    let rig = Rig::with_quotas("0", Quotas { resource_groups_per_account: 2, ..Quotas::default() });
    let call = async |action: &str, more: &[(&str, &str)]| {
        rig.by(&Caller::named("root"), RESOURCE_MANAGER, action, more).await
    };
    let list = async |more: &[(&str, &str)]| groups(&rig, more).await;
    // Every account has one from the start.
    let default = list(&[]).await;
    assert_eq!(default.len(), 1);
    let at = iso8601(0);
    let id = text(&default[0], "Id");
    let row = json!({"Id": id, "Name": "default", "DisplayName": "default resource group", "AccountId": ACCOUNT,
        "Status": "OK", "CreateDate": at});
    assert_eq!(default[0], row);
    assert_eq!(text(&vpc(&rig, &[]).await, "ResourceGroupId"), id);

    let named = [("Name", "networks"), ("DisplayName", "The networks")];
    let made = rest(call("CreateResourceGroup", &named).await);
    let group = text(&made["ResourceGroup"], "Id");
    assert!(group.len() == 18 && group.starts_with("rg-"), "{group}");
    assert_eq!(made["ResourceGroup"]["Status"], "Creating");
    let get = async |id: &str| call("GetResourceGroup", &[("ResourceGroupId", id)]).await;
    let shown = async |id: &str| get(id).await.ok()["ResourceGroup"].clone();
    assert_eq!(shown(&group).await["Status"], "Creating");
    rig.settle().await;
    let whole = shown(&group).await;
    assert_eq!((&whole["Status"], &whole["Name"]), (&json!("OK"), &json!("networks")));
    let regions = whole["RegionStatuses"]["RegionStatus"].as_array().unwrap();
    assert_eq!(regions.len(), tongguan_model::region::regions().len());
    assert!(regions.contains(&json!({"RegionId": REGION, "Status": "OK"})));

    refused(&call("CreateResourceGroup", &named).await, 409, "EntityAlreadyExists.ResourceGroup");
    for (name, display, code) in [
        ("1a", "x", "InvalidParameter.Name"),
        ("a", "x", "InvalidParameter.Name"),
        ("a_b", "x", "InvalidParameter.Name"),
        ("ab", &*"通".repeat(51), "InvalidParameter.DisplayName"),
    ] {
        refused(&call("CreateResourceGroup", &[("Name", name), ("DisplayName", display)]).await, 400, code);
    }
    let second = rig.resource_group("second").await;
    let third = [("Name", "third"), ("DisplayName", "x")];
    refused(&call("CreateResourceGroup", &third).await, 409, "LimitExceeded.ResourceGroup");

    let renamed = [("ResourceGroupId", &*group), ("NewDisplayName", "Renamed")];
    let answer = rest(call("UpdateResourceGroup", &renamed).await);
    let row = json!({"Id": group, "Name": "networks", "DisplayName": "Renamed", "AccountId": ACCOUNT,
        "CreateDate": made["ResourceGroup"]["CreateDate"]});
    assert_eq!(answer, json!({"ResourceGroup": row}));
    call("UpdateResourceGroup", &[("ResourceGroupId", &id), ("NewDisplayName", "Mine")]).await.ok();
    filters_find(&rig, [&id, &group, &second]).await;

    // What is in use, and the default one, stay.
    let inside = text(&vpc(&rig, &[("ResourceGroupId", &group)]).await, "VpcId");
    let delete = async |id: &str| call("DeleteResourceGroup", &[("ResourceGroupId", id)]).await;
    refused(&delete(&group).await, 409, "DeleteConflict.ResourceGroup.Resource");
    refused(&delete(&id).await, 409, "DeleteConflict.ResourceGroup.Default");
    rig.call("DeleteVpc", &[AT, ("VpcId", &inside)]).await.ok();
    assert_eq!(rest(delete(&group).await)["ResourceGroup"]["Status"], "PendingDelete");
    assert_eq!(shown(&group).await["Status"], "PendingDelete");
    refused(&delete(&group).await, 404, "EntityNotExists.ResourceGroup");
    refused(&call("UpdateResourceGroup", &renamed).await, 404, "EntityNotExists.ResourceGroup");
    rig.settle().await;
    refused(&get(&group).await, 404, "EntityNotExists.ResourceGroup");
    // Its name and its place are free; one that is being made can be deleted.
    let again = rest(call("CreateResourceGroup", &named).await);
    assert_eq!(
        rest(delete(&text(&again["ResourceGroup"], "Id")).await)["ResourceGroup"]["Status"],
        "PendingDelete"
    );
    rig.settle().await;
    assert_eq!(list(&[]).await.len(), 2);

    let stranger = Caller::stranger();
    for action in ["GetResourceGroup", "DeleteResourceGroup"] {
        let foreign = rig.by(&stranger, RESOURCE_MANAGER, action, &[("ResourceGroupId", &second)]).await;
        refused(&foreign, 404, "EntityNotExists.ResourceGroup");
    }
    let theirs = rig.by(&stranger, RESOURCE_MANAGER, "ListResourceGroups", &[]).await.ok();
    assert_eq!(theirs["TotalCount"], 1);
    let rig = rig.restart("0");
    let after = rig.by(&Caller::named("root"), RESOURCE_MANAGER, "ListResourceGroups", &[]).await.ok();
    assert_eq!(after["TotalCount"], 2, "a start makes no second default group");
    assert_eq!(after["ResourceGroups"]["ResourceGroup"][0]["DisplayName"], "Mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_resource_groups_are_kept_changed_listed_and_go_with_them() {
    let rig = Rig::with_quotas("0", Quotas { tags_per_resource: 3, ..Quotas::default() });
    let call = async |action: &str, more: &[(&str, &str)]| {
        rig.by(&Caller::named("root"), RESOURCE_MANAGER, action, more).await
    };
    let tagged = [("Name", "tagged"), ("DisplayName", "x"), ("Tag.1.Key", "a"), ("Tag.1.Value", "1")];
    let made = call("CreateResourceGroup", &tagged).await.ok();
    let group = text(&made["ResourceGroup"], "Id");
    rig.settle().await;
    let put = [
        ("ResourceId.1", &*group),
        ("ResourceType", "resourcegroup"),
        ("Tag.1.Key", "b"),
        ("Tag.1.Value", ""),
    ];
    call("TagResources", &put).await.ok();
    let tags = async |more: &[(&str, &str)]| {
        let list = call("ListTagResources", more).await.ok();
        let rows = list["TagResources"].as_array().unwrap().clone();
        assert!(list.get("NextToken").is_none(), "Terraform asks on while there is one");
        rows.iter()
            .map(|row| format!("{}={}", text(row, "TagKey"), text(row, "TagValue")))
            .collect::<Vec<_>>()
    };
    assert_eq!(tags(&[]).await, ["a=1", "b="]);
    assert_eq!(tags(&[("ResourceId.1", &group)]).await, ["a=1", "b="]);
    assert_eq!(tags(&[("ResourceId.1", "rg-none")]).await, [""; 0]);
    assert_eq!(tags(&[("Tag.1.Key", "a"), ("Tag.1.Value", "1")]).await, ["a=1", "b="]);
    assert_eq!(tags(&[("Tag.1.Key", "a"), ("Tag.1.Value", "2")]).await, [""; 0]);
    let row = call("ListTagResources", &[("MaxResults", "1")]).await.ok();
    assert_eq!(
        row["TagResources"][0],
        json!({"ResourceId": group, "ResourceType": "resourcegroup", "TagKey": "a", "TagValue": "1"})
    );
    assert!(!text(&row, "NextToken").is_empty());
    let shown = [("ResourceGroupId", &*group), ("IncludeTags", "true")];
    let shown = call("GetResourceGroup", &shown).await.ok();
    let both = json!({"Tag": [{"TagKey": "a", "TagValue": "1"}, {"TagKey": "b", "TagValue": ""}]});
    assert_eq!(shown["ResourceGroup"]["Tags"], both);
    let plain = call("GetResourceGroup", &[("ResourceGroupId", &group)]).await.ok();
    assert!(plain["ResourceGroup"].get("Tags").is_none());
    let listed = call("ListResourceGroups", &[("Tag.1.Key", "b")]).await.ok();
    assert_eq!(
        (&listed["TotalCount"], &listed["ResourceGroups"]["ResourceGroup"][0]["Tags"]),
        (&json!(1), &both)
    );

    let more = [&put[..1], &[("Tag.1.Key", "c"), ("Tag.2.Key", "d")]].concat();
    refused(&call("TagResources", &more).await, 400, "QuotaExceeded.TagsPerResource");
    assert_eq!(tags(&[]).await.len(), 2, "a refused change leaves nothing");
    // Terraform spells it so.
    call("UnTagResources", &[("ResourceId.1", &group), ("TagKey.1", "a")]).await.ok();
    assert_eq!(tags(&[]).await, ["b="]);
    refused(&call("UntagResources", &[("ResourceId.1", &group)]).await, 400, "MissingTagKey");
    call("UntagResources", &[("ResourceId.1", &group), ("All", "true")]).await.ok();
    assert_eq!(tags(&[]).await, [""; 0]);
    call("TagResources", &put).await.ok();
    for (action, more) in [("TagResources", ("Tag.1.Key", "k")), ("UntagResources", ("All", "true"))] {
        refused(
            &call(action, &[("ResourceId.1", "rg-none"), more]).await,
            404,
            "EntityNotExists.ResourceGroup",
        );
        let member = [("ResourceId.1", &*group), ("ResourceType", "Account"), more];
        refused(&call(action, &member).await, 400, "InvalidParameter.ResourceType");
        let foreign = [("ResourceId.1", &*group), more];
        let foreign = rig.by(&Caller::stranger(), RESOURCE_MANAGER, action, &foreign).await;
        refused(&foreign, 404, "EntityNotExists.ResourceGroup");
    }
    call("DeleteResourceGroup", &[("ResourceGroupId", &group)]).await.ok();
    rig.settle().await;
    assert_eq!(tags(&[]).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_and_zones_are_the_same_wherever_they_are_asked_for() {
    let rig = Rig::new("0");
    let root = Caller::named("root");
    let ids = |list: &Value, name: &str| -> Vec<String> {
        list.as_array().unwrap().iter().map(|row| text(row, name)).collect()
    };
    let regions = rig.call("DescribeRegions", &[]).await.ok();
    let of_ecs = rig.by(&root, ECS, "DescribeRegions", &[]).await.ok();
    let of_both = [&regions, &of_ecs].map(|list| ids(&list["Regions"]["Region"], "RegionId"));
    assert_eq!(of_both[0], of_both[1]);
    assert_eq!(of_ecs["Regions"]["Region"][0]["Status"], "available");
    let zones = ids(&rig.call("DescribeZones", &[AT]).await.ok()["Zones"]["Zone"], "ZoneId");
    let of_ecs = rig.by(&root, ECS, "DescribeZones", &[AT]).await.ok();
    assert_eq!(ids(&of_ecs["Zones"]["Zone"], "ZoneId"), zones);
    let of_alb = rig.by(&root, ALB, "DescribeZones", &[AT]).await.ok();
    assert_eq!(ids(&of_alb["Zones"], "ZoneId"), zones);
    let at_home = rig.by(&root, ALB, "DescribeZones", &[]).await.ok();
    assert_eq!(at_home["Zones"], of_alb["Zones"], "the region is the service's own if none is named");
    let gateways = [AT, ("Spec", "5M")];
    let of_gateways = rig.call("DescribeVpnGatewayAvailableZones", &gateways).await.ok();
    assert_eq!(ids(&of_gateways["AvailableZoneIdList"], "ZoneId"), zones);
    // What Terraform's alicloud_zones asks, and what it needs of the answers.
    let asked = [
        AT,
        ("DestinationResource", "Zone"),
        ("IoOptimized", "optimized"),
        ("NetworkCategory", "vpc"),
        ("InstanceChargeType", "PostPaid"),
        ("SpotStrategy", "NoSpot"),
    ];
    let stock = rig.by(&root, ECS, "DescribeAvailableResource", &asked).await.ok();
    let stock = &stock["AvailableZones"]["AvailableZone"];
    assert_eq!(ids(stock, "ZoneId"), zones);
    assert!(stock.as_array().unwrap().iter().all(|zone| zone["Status"] == "Available"));
    for zone in of_ecs["Zones"]["Zone"].as_array().unwrap() {
        assert!(!zone["AvailableInstanceTypes"]["InstanceTypes"].as_array().unwrap().is_empty());
        assert!(!zone["AvailableDiskCategories"]["DiskCategories"].as_array().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_has_nothing_of_what_is_asked_for_is_not_listed() {
    let rig = Rig::new("0");
    let root = Caller::named("root");
    let ask = async |destination: &str, more: &[(&str, &str)]| {
        let parameters = [&[AT, ("DestinationResource", destination)], more].concat();
        rig.by(&root, ECS, "DescribeAvailableResource", &parameters).await
    };
    let zones = async |destination: &str, more: &[(&str, &str)]| {
        ask(destination, more).await.ok()["AvailableZones"]["AvailableZone"].as_array().unwrap().clone()
    };
    let one = zones("InstanceType", &[("ZoneId", "cn-hangzhou-h"), ("Cores", "2"), ("Memory", "8.0")]).await;
    let resource = json!({"Value": "ecs.g6.large", "Status": "Available", "StatusCategory": "WithStock"});
    let types = json!({"Type": "InstanceType", "SupportedResources": {"SupportedResource": [resource]}});
    let whole = json!([{"RegionId": REGION, "ZoneId": "cn-hangzhou-h", "Status": "Available",
        "StatusCategory": "WithStock", "AvailableResources": {"AvailableResource": [types]}}]);
    assert_eq!(Value::from(one), whole);
    for (destination, more) in [
        ("Zone", ("ZoneId", "cn-shanghai-a")),
        ("Zone", ("IoOptimized", "none")),
        ("Zone", ("NetworkCategory", "classic")),
        ("Zone", ("ResourceType", "reservedinstance")),
        ("ddh", ("ZoneId", "cn-hangzhou-h")),
        ("InstanceType", ("InstanceType", "ecs.none")),
        ("InstanceType", ("Cores", "4")),
        ("InstanceType", ("Memory", "16")),
        ("SystemDisk", ("SystemDiskCategory", "cloud")),
        ("DataDisk", ("DataDiskCategory", "cloud")),
    ] {
        assert!(zones(destination, &[more]).await.is_empty(), "{destination} {more:?}");
    }
    for (destination, more, status, code) in [
        ("Everything", ("ZoneId", ""), 404, "Invalid.DestinationResource"),
        ("Zone", ("Cores", "2"), 403, "InvalidParam.Cores"),
        ("Zone", ("Memory", "8"), 403, "InvalidParam.Memory"),
        ("Zone", ("DedicatedHostId", "dh-1"), 403, "InvalidDedicatedHostId.NotFound"),
        ("Zone", ("SpotStrategy", "Spot"), 404, "Invalid.SpotStrategy"),
        ("InstanceType", ("Memory", "1e1"), 400, "InvalidParameter"),
    ] {
        refused(&ask(destination, &[more]).await, status, code);
    }
    let both = ask("InstanceType", &[("InstanceType", "ecs.g6.large"), ("Cores", "2")]).await;
    refused(&both, 403, "InvalidParam.TypeAndCpuMem.Conflict");
    refused(&rig.by(&root, ECS, "DescribeAvailableResource", &[AT]).await, 400, "MissingParameter");
    let nowhere = [("RegionId", "cn-nowhere")];
    refused(&rig.by(&root, ECS, "DescribeZones", &nowhere).await, 404, "InvalidRegionId.NotFound");
    // Languages without names of their own are answered in English.
    for (language, name) in [("zh_TW", "华东 1 可用区 B"), ("ko", "Hangzhou Zone B")] {
        let zones = rig.by(&root, ECS, "DescribeZones", &[AT, ("AcceptLanguage", language)]).await.ok();
        assert_eq!(zones["Zones"]["Zone"][0]["LocalName"], name);
    }
    let unknown = rig.by(&root, ECS, "DescribeRegions", &[("AcceptLanguage", "nl")]).await;
    refused(&unknown, 404, "InvalidAcceptLanguage.NotFound");
    // Where the products are is known to Location.
    for service in ["ecs", "alb", "resourcemanager", "ram", "vpc"] {
        let asked = [("Id", REGION), ("ServiceCode", service)];
        let found = rig.by(&root, LOCATION, "DescribeEndpoints", &asked).await.ok();
        assert_eq!(found["Endpoints"]["Endpoint"].as_array().unwrap().len(), 1, "{service}");
    }
}

/// Clients that wait until something is gone know status 404, and little else.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_told_by_status_404() {
    let rig = Rig::new("0");
    let mut seen = 0;
    for operation in operation::ALL {
        let reads = operation.action.starts_with("Describe") || operation.action.starts_with("Get");
        let subject = operation.subject.and_then(|name| {
            operation.parameters.iter().find(|p| p.name == name && p.required && p.shape == Shape::Text)
        });
        // A look-up of endpoints lists what there is.
        let reads = reads && operation.product != Product::Location;
        let Some(subject) = subject.filter(|_| reads) else { continue };
        seen += 1;
        let mut parameters = vec![(subject.name, "nothing-here")];
        for (name, value) in [
            AT,
            ("UserName", "nobody"),
            ("PolicyType", "Custom"),
            ("PolicyName", "nothing-here"),
            ("VersionId", "v1"),
            ("MinutePeriod", "10"),
        ] {
            if subject.name != name && operation.takes(name) {
                parameters.push((name, value));
            }
        }
        if operation.action == "GetServiceLinkedRoleDeletionStatus" {
            parameters[0].1 = "task/acs-service-role/certificate.vpn.aliyuncs.com/AliyunServiceRoleForVPNCertificate/00000000-0000-0000-0000-000000000000";
        }
        let version = operation.product.version();
        let nonce = rig.next_nonce();
        let raw = RawCall { version, nonce: &nonce, ..RawCall::new(operation.action, &parameters) };
        let reply = rig.send(&raw).await;
        assert_eq!(reply.status, 404, "{}: {}", operation.action, reply.body);
        let code = reply.code();
        assert!(code.contains("NotFound") || code.contains("NotExist"), "{}: {code}", operation.action);
    }
    assert_eq!(seen, 21);
    let gone = rig.call("DescribeVSwitchAttributes", &[("VSwitchId", "vsw-none")]).await;
    refused(&gone, 404, "InvalidVSwitchId.NotFound");
    assert_eq!(gone.body["Message"], "Specified VSwitch can not found.");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ssl_there_are_no_ssl_connections() {
    if is_shared() {
        // It writes to the file of the embedded store.
        return;
    }
    let rig = Rig::new("0");
    let network = text(&vpc(&rig, &[]).await, "VpcId");
    let order = async |more: &[(&str, &str)]| {
        let mut parameters = vec![AT, ("VpcId", &*network), ("Bandwidth", "10")];
        parameters.extend_from_slice(more);
        let made = rig.call("CreateVpnGateway", &parameters).await.ok();
        rig.settle().await;
        let id = text(&made, "VpnGatewayId");
        let one = rig.call("DescribeVpnGateway", &[AT, ("VpnGatewayId", &id)]).await.ok();
        let list = rig.call("DescribeVpnGateways", &[AT, ("VpnGatewayId", &id)]).await.ok();
        let row = &list["VpnGateways"]["VpnGateway"][0];
        assert_eq!(row["SslMaxConnections"], one["SslMaxConnections"]);
        (id, one["SslMaxConnections"].clone())
    };
    assert_eq!(order(&[]).await.1, 0);
    assert_eq!(order(&[("EnableSsl", "false"), ("SslConnections", "20")]).await.1, 0);
    assert_eq!(order(&[("EnableSsl", "true")]).await.1, 5);
    let (ssl, connections) = order(&[("EnableSsl", "true"), ("SslConnections", "20")]).await;
    assert_eq!(connections, 20);
    // A row of an older release says 5 without SSL.
    let database = rusqlite::Connection::open(rig.directory().join("tongguan.db")).unwrap();
    let changed = database
        .execute("UPDATE vpn_gateway SET ssl = 0, ssl_connections = 5 WHERE id = ?1", [&ssl])
        .unwrap();
    assert_eq!(changed, 1);
    drop(database);
    let rig = rig.restart("0");
    let old = rig.call("DescribeVpnGateway", &[AT, ("VpnGatewayId", &ssl)]).await.ok();
    assert_eq!((&old["SslVpn"], &old["SslMaxConnections"]), (&json!("disable"), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_of_principals_stands_beside_a_full_one() {
    let rig = Rig::new("0");
    let document = |principal: &str| {
        format!(
            r#"{{"Statement":[{{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{principal}}}],"Version":"1"}}"#
        )
    };
    let root = format!("acs:ram::{ACCOUNT}:root");
    let good = [
        r#"{"Service":["ecs.aliyuncs.com"],"RAM":[]}"#.to_owned(),
        format!(r#"{{"Federated":[],"RAM":["{root}"],"Service":[]}}"#),
    ];
    for (place, principal) in good.iter().enumerate() {
        let (name, document) = (format!("role-{place}"), document(principal));
        let made = [("RoleName", &*name), ("AssumeRolePolicyDocument", &document)];
        ram(&rig, "CreateRole", &made).await.ok();
        let shown = ram(&rig, "GetRole", &[("RoleName", &name)]).await.ok();
        assert_eq!(shown["Role"]["AssumeRolePolicyDocument"], document, "shown as it was given");
        let again = [("RoleName", &*name), ("NewAssumeRolePolicyDocument", &document)];
        ram(&rig, "UpdateRole", &again).await.ok();
    }
    for principal in [r#"{"Service":[],"RAM":[]}"#, r#"{"RAM":[]}"#, "{}", r#"{"RAM":[],"Service":""}"#] {
        let document = document(principal);
        let made = [("RoleName", "empty"), ("AssumeRolePolicyDocument", &*document)];
        refused(&ram(&rig, "CreateRole", &made).await, 400, "MalformedPolicyDocument");
        let changed = [("RoleName", "role-0"), ("NewAssumeRolePolicyDocument", &*document)];
        refused(&ram(&rig, "UpdateRole", &changed).await, 400, "MalformedPolicyDocument");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_recommends_reading_about_the_product_that_was_called() {
    let rig = Rig::new("0");
    let send = async |key: &str, version: &str, action: &str| {
        let nonce = rig.next_nonce();
        rig.send(&RawCall { key, version, nonce: &nonce, ..RawCall::new(action, &[]) }).await
    };
    let recommended = |body: &Value| {
        let link = text(body, "Recommend");
        let query = link.split_once('?').unwrap().1.to_owned();
        query.split('&').find_map(|pair| pair.strip_prefix("product=").map(ToOwned::to_owned))
    };
    for product in Product::ALL {
        let version = product.version();
        for (key, action, code) in [
            ("unknown", "NoSuchAction", "InvalidAccessKeyId.NotFound"),
            ("root", "NoSuchAction", "InvalidAction.NotFound"),
        ] {
            let reply = send(key, version, action).await;
            assert_eq!(reply.code(), code);
            assert_eq!(recommended(&reply.body).as_deref(), Some(product.as_str()), "{}", reply.body);
        }
    }
    // Without a version that says it, by the action that one product alone has.
    for (action, product) in [
        ("GetUser", Some("Ram")),
        ("CreateVpc", Some("Vpc")),
        ("CreateServiceLinkedRole", None),
        ("NoSuchAction", None),
    ] {
        let reply = send("root", "1999-01-01", action).await;
        refused(&reply, 400, "InvalidVersion");
        assert_eq!(recommended(&reply.body).as_deref(), product, "{action}");
        assert!(text(&reply.body, "Recommend").contains("?q=InvalidVersion&"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_missing_is_told_in_the_words_of_ram() {
    let rig = Rig::new("0");
    rig.ram("CreatePolicy", &[("PolicyName", "p"), ("PolicyDocument", POLICY)]).await;
    missing(&ram(&rig, "CreatePolicyVersion", &[("PolicyName", "p")]).await, "PolicyDocument");
    let empty = [("PolicyName", "p"), ("PolicyDocument", "")];
    missing(&ram(&rig, "CreatePolicyVersion", &empty).await, "PolicyDocument");
    // All of Ram says so: every operation, for the first parameter that it needs.
    for operation in operation::ALL.iter().filter(|operation| operation.product == Product::Ram) {
        if let Some(first) = operation.parameters.iter().find(|parameter| parameter.required) {
            missing(&ram(&rig, operation.action, &[]).await, first.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_have_neither_login_profile_nor_mfa_device() {
    let rig = Rig::new("0");
    rig.ram("CreateUser", &[("UserName", "alice")]).await;
    for (action, code) in [
        ("DeleteLoginProfile", "EntityNotExist.User.LoginProfile"),
        ("UnbindMFADevice", "EntityNotExist.User.MFADevice"),
    ] {
        refused(&ram(&rig, action, &[("UserName", "Alice")]).await, 404, code);
        refused(&ram(&rig, action, &[("UserName", "nobody")]).await, 404, "EntityNotExist.User");
        let theirs = ram_as(&rig, "stranger", action, &[("UserName", "alice")]).await;
        refused(&theirs, 404, "EntityNotExist.User");
        refused(
            &ram(&rig, action, &[("UserName", "a b")]).await,
            400,
            "InvalidParameter.UserName.InvalidChars",
        );
    }
    rig.ram("DeleteUser", &[("UserName", "alice")]).await;
}

async fn listed(rig: &Rig, more: &[(&str, &str)]) -> Vec<(String, String, String)> {
    let body = ram(rig, "ListTagResources", more).await.ok();
    let kind = more.iter().find(|(name, _)| *name == "ResourceType").unwrap().1.to_lowercase();
    let row = |tag: &Value| {
        assert_eq!(tag["ResourceType"], kind.as_str());
        (text(tag, "ResourceName"), text(tag, "TagKey"), text(tag, "TagValue"))
    };
    body["TagResources"].as_array().unwrap().iter().map(row).collect()
}

fn rows(rows: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    let owned = |text: &str| text.to_owned();
    rows.iter().map(|(name, key, value)| (owned(name), owned(key), owned(value))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_roles_and_policies_are_kept_changed_listed_and_go_with_them() {
    let rig = Rig::new("0");
    let role = |name: &'static str| [("RoleName", name), ("AssumeRolePolicyDocument", ROLE_TRUST)];
    let policy = |name: &'static str| [("PolicyName", name), ("PolicyDocument", POLICY)];
    let tags = ("Tag", r#"[{"Key":"Created","Value":"TF"},{"Key":"For","Value":"tests"}]"#);
    for (kind, create, one, two, delete, gone) in [
        ("role", "CreateRole", role("One"), role("Two"), ("DeleteRole", "RoleName"), "EntityNotExist.Role"),
        (
            "policy",
            "CreatePolicy",
            policy("One"),
            policy("Two"),
            ("DeletePolicy", "PolicyName"),
            "EntityNotExist.Policy",
        ),
    ] {
        let kind = ("ResourceType", kind);
        ram(&rig, create, &[one[0], one[1], tags]).await.ok();
        ram(&rig, create, &two).await.ok();
        let both = ("ResourceNames", r#"["one","TWO"]"#);
        let first = ("ResourceNames", r#"["One"]"#);
        let given = rows(&[("One", "Created", "TF"), ("One", "For", "tests")]);
        assert_eq!(listed(&rig, &[kind, first]).await, given);
        assert_eq!(listed(&rig, &[kind]).await, given);
        assert_eq!(listed(&rig, &[kind, ("ResourceNames", r#"["Two"]"#)]).await, []);
        assert_eq!(listed(&rig, &[kind, ("ResourceNames", r#"["None"]"#)]).await, [], "not all of them");

        // As Terraform replaces one: removed keys first, under both names, then the added.
        let keys = [("TagKeys", r#"["For"]"#), ("TagKey.1", "For")];
        assert_eq!(rest(ram(&rig, "UntagResources", &[kind, first, keys[0], keys[1]]).await), json!({}));
        let added = ("Tag", r#"[{"Key":"Env","Value":"b"},{"Key":"Created","Value":""}]"#);
        assert_eq!(rest(ram(&rig, "TagResources", &[kind, both, added]).await), json!({}));
        let all =
            rows(&[("One", "Created", ""), ("One", "Env", "b"), ("Two", "Created", ""), ("Two", "Env", "b")]);
        let mut seen = listed(&rig, &[("ResourceType", kind.1.to_uppercase().as_str()), both]).await;
        seen.sort();
        assert_eq!(seen, all);
        let by_value = ("Tag", r#"[{"Key":"Env","Value":"b"}]"#);
        assert_eq!(listed(&rig, &[kind, by_value]).await.len(), 4);
        assert_eq!(listed(&rig, &[kind, ("Tag", r#"[{"Key":"Env","Value":"a"}]"#)]).await, []);

        // Page by page.
        let mut pages = Vec::new();
        let mut token = String::new();
        loop {
            let mut page = vec![kind, ("PageSize", "3")];
            if !token.is_empty() {
                page.push(("NextToken", &token));
            }
            let body = ram(&rig, "ListTagResources", &page).await.ok();
            pages.push(body["TagResources"].as_array().unwrap().len());
            match body.get("NextToken") {
                Some(next) => token = next.as_str().unwrap().to_owned(),
                None => break,
            }
        }
        assert_eq!(pages, [3, 1]);

        // The lists of the things themselves show the same.
        let (list, member, inner) = match kind.1 {
            "role" => ("ListRoles", "Roles", "Role"),
            _ => ("ListPolicies", "Policies", "Policy"),
        };
        let shown = ram(&rig, list, &[by_value]).await.ok();
        let shown = shown[member][inner].as_array().unwrap();
        assert_eq!(shown.len(), 2);
        let tag = |key: &str, value: &str| json!({"TagKey": key, "TagValue": value});
        assert_eq!(shown[0]["Tags"], json!({"Tag": [tag("Created", ""), tag("Env", "b")]}));

        ram(&rig, "UntagResources", &[kind, both, ("All", "true")]).await.ok();
        assert_eq!(listed(&rig, &[kind]).await, []);
        ram(&rig, "TagResources", &[kind, first, by_value]).await.ok();
        ram(&rig, delete.0, &[(delete.1, "One")]).await.ok();
        refused(&ram(&rig, "TagResources", &[kind, first, by_value]).await, 404, gone);
        refused(&ram(&rig, "UntagResources", &[kind, first, keys[0]]).await, 404, gone);
        ram(&rig, create, &one).await.ok();
        assert_eq!(listed(&rig, &[kind]).await, [], "tags go with what they stand on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_roles_and_policies_are_refused_for_what_is_wrong_with_them() {
    let quotas = Quotas { tags_per_resource: 2, tagged_resources_per_call: 2, ..Quotas::default() };
    let rig = Rig::with_quotas("0", quotas);
    for name in ["One", "Two"] {
        rig.ram("CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", ROLE_TRUST)]).await;
    }
    let service = ("ServiceName", "certificate.vpn.aliyuncs.com");
    ram(&rig, "CreateServiceLinkedRole", &[service]).await.ok();
    let kind = ("ResourceType", "role");
    let one = ("ResourceNames", r#"["One"]"#);
    let tag = ("Tag", r#"[{"Key":"k","Value":"v"}]"#);
    let many = r#"["One","Two","Three"]"#;
    for (kind, names, tag, code) in [
        (kind, ("", ""), tag, "MissingParameter"),
        (kind, ("ResourceNames", "[]"), tag, "MissingParameter"),
        (("ResourceType", "user"), one, tag, "InvalidParameter.ResourceType"),
        (kind, ("ResourceNames", "One"), tag, "InvalidParameter.ResourceNames"),
        (kind, ("ResourceNames", r#"{"One":1}"#), tag, "InvalidParameter.ResourceNames"),
        (kind, ("ResourceNames", many), tag, "InvalidParameter.ResourceNames"),
        (kind, ("ResourceNames", r#"["a b"]"#), tag, "InvalidParameter.ResourceNames.InvalidChars"),
        (kind, ("ResourceNames", r#"[""]"#), tag, "InvalidParameter.ResourceNames.Length"),
        (kind, one, ("Tag", "k"), "InvalidParameter.Tag"),
        (kind, one, ("Tag", r#"[{"Key":"","Value":"v"}]"#), "InvalidParameter.TagKey"),
        (kind, one, ("Tag", r#"[{"Key":"k","Value":"acs:v"}]"#), "InvalidParameter.TagValue"),
        (kind, one, ("Tag", r#"[{"Key":"k"},{"Key":"k"}]"#), "Duplicated.TagKey"),
        (kind, one, ("Tag", r#"[{"Key":"a"},{"Key":"b"},{"Key":"c"}]"#), "QuotaExceeded.TagsPerResource"),
    ] {
        refused(&ram(&rig, "TagResources", &[kind, names, tag]).await, 400, code);
    }
    assert_eq!(listed(&rig, &[kind]).await, []);
    // One that is not there: none is tagged.
    let names = ("ResourceNames", r#"["One","None"]"#);
    refused(&ram(&rig, "TagResources", &[kind, names, tag]).await, 404, "EntityNotExist.Role");
    assert_eq!(listed(&rig, &[kind]).await, []);
    let system = ("ResourceNames", r#"["AdministratorAccess"]"#);
    let policy = ("ResourceType", "policy");
    refused(&ram(&rig, "TagResources", &[policy, system, tag]).await, 404, "EntityNotExist.Policy");
    let linked = ("ResourceNames", r#"["AliyunServiceRoleForVPNCertificate"]"#);
    for action in ["TagResources", "UntagResources"] {
        let reply = ram(&rig, action, &[kind, linked, tag, ("TagKeys", r#"["k"]"#)]).await;
        refused(&reply, 403, "NoPermission");
    }
    let long = format!(r#"[{{"Key":"k","Value":"{}"}}]"#, "v".repeat(256));
    ram(&rig, "TagResources", &[kind, one, ("Tag", &long)]).await.ok();
    let long = format!(r#"[{{"Key":"k","Value":"{}"}}]"#, "v".repeat(257));
    refused(&ram(&rig, "TagResources", &[kind, one, ("Tag", &long)]).await, 400, "InvalidParameter.TagValue");
    missing(&ram(&rig, "UntagResources", &[kind, one]).await, "TagKeys");
    for (parameter, code) in [
        (("PageSize", "101"), "InvalidParameter.PageSize"),
        (("NextToken", "x"), "InvalidParameter.NextToken"),
        (("TagKeys", "k"), ""),
    ] {
        let reply = ram(&rig, "ListTagResources", &[kind, parameter]).await;
        if code.is_empty() { drop(reply.ok()) } else { refused(&reply, 400, code) }
    }
    let theirs = ram_as(&rig, "stranger", "ListTagResources", &[kind]).await.ok();
    assert_eq!(theirs["TagResources"], json!([]));
    assert_eq!(RAM, Product::Ram.version());
}

/// A role may be called like a gateway. It has not the gateway's tags.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_does_not_borrow_the_tags_of_a_resource() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("Normal").await;
    let tag = [AT, ("ResourceType", "VpnGateWay"), ("ResourceId.1", &*gateway)];
    let tag = [tag[0], tag[1], tag[2], ("Tag.1.Key", "team"), ("Tag.1.Value", "a")];
    rig.call("TagResources", &tag).await.ok();
    rig.ram("CreateRole", &[("RoleName", &gateway), ("AssumeRolePolicyDocument", ROLE_TRUST)]).await;
    let statement = json!([{
        "Effect": "Allow", "Action": "*", "Resource": "*",
        "Condition": {"StringEquals": {"acs:ResourceTag/team": "a"}}
    }]);
    let user = rig.user("of-team-a", &statement).await;
    let read = [AT, ("VpnGatewayId", &*gateway)];
    rig.by(&user, common::VPC, "DescribeVpnGateway", &read).await.ok();
    refused(&rig.by(&user, RAM, "GetRole", &[("RoleName", &gateway)]).await, 403, "NoPermission");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_of_a_policy_is_changed() {
    let rig = Rig::new("0");
    let made = [("PolicyName", "p"), ("PolicyDocument", POLICY), ("Description", "old")];
    rig.ram("CreatePolicy", &made).await;
    rig.advance(5_000);
    let update = async |name: &str, description: &str| {
        ram(&rig, "UpdatePolicyDescription", &[("PolicyName", name), ("NewDescription", description)]).await
    };
    let now = rig.clock.0.load(std::sync::atomic::Ordering::SeqCst);
    let shown = json!({"Policy": {
        "PolicyType": "Custom", "PolicyName": "p", "Description": "new", "DefaultVersion": "v1",
        "CreateDate": iso8601(common::START_MS), "UpdateDate": iso8601(now),
    }});
    assert_eq!(rest(update("P", "new").await), shown);
    let read = ram(&rig, "GetPolicy", &[("PolicyName", "p"), ("PolicyType", "Custom")]).await.ok();
    assert_eq!(
        (&read["Policy"]["Description"], &read["Policy"]["UpdateDate"]),
        (&json!("new"), &json!(iso8601(now)))
    );
    let long = update("p", &"d".repeat(1025)).await;
    refused(&long, 400, "InvalidParameter.Description.Length");
    assert_eq!(long.body["Message"], "The parameter - \"Description\" beyond the length limit.");
    refused(&update("p", "\u{1}").await, 400, "InvalidParameter.NewDescription.InvalidChars");
    refused(&update("none", "x").await, 404, "EntityNotExist.Policy");
    refused(&update("AdministratorAccess", "x").await, 404, "EntityNotExist.Policy");
    missing(&ram(&rig, "UpdatePolicyDescription", &[("PolicyName", "p")]).await, "NewDescription");
}
