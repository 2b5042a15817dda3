//! A query for all rows of a page answers what one query for each row answers.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use tongguan_model::gateway::{BusinessStatus, ChargeType, NetworkType, Phase, VpnGateway, VpnType};
use tongguan_model::id::{AccountId, RegionId, VSwitchId, VpcId, VpnGatewayId};
use tongguan_model::network::{VSwitch, Vpc};
use tongguan_store::{Options, Store, StoreError, Tx, Verdict};

/// More than go into one statement, and no power of two.
const MANY: usize = 150;

fn account() -> AccountId {
    AccountId::new("1234567890123456")
}

fn region() -> RegionId {
    RegionId::new("cn-hangzhou")
}

fn vpc(number: usize) -> Vpc {
    Vpc {
        id: VpcId::new(format!("vpc-{number:03}")),
        account: account(),
        region: region(),
        name: String::new(),
        description: String::new(),
        cidr: "10.0.0.0/8".into(),
        user_cidrs: String::new(),
        dns_hostname: false,
        secondary_cidrs: String::new(),
        is_default: false,
        classic_link: false,
        vrouter: format!("vrt-{number:03}"),
        route_table: format!("vtb-{number:03}"),
        route_table_name: String::new(),
        route_table_description: String::new(),
        route_propagation: true,
        resource_group: String::new(),
        created_ms: 1,
        ready: true,
    }
}

/// The vSwitches of VPC `number`: none, one or two of them.
fn vswitches(number: usize) -> impl Iterator<Item = VSwitch> {
    (0..number % 3).map(move |place| VSwitch {
        // Ids do not grow with the order in which they are made.
        id: VSwitchId::new(format!("vsw-{}-{number:03}", 9 - place)),
        account: account(),
        region: region(),
        vpc: vpc(number).id,
        zone: "cn-hangzhou-h".into(),
        name: String::new(),
        description: String::new(),
        cidr: "10.0.0.0/24".into(),
        is_default: false,
        resource_group: String::new(),
        created_ms: 1,
        ready: true,
    })
}

fn gateway(number: usize, first: Option<VSwitchId>, second: Option<VSwitchId>) -> VpnGateway {
    VpnGateway {
        id: VpnGatewayId::new(format!("vpn-{number:03}")),
        account: account(),
        region: region(),
        name: String::new(),
        description: String::new(),
        vpc: vpc(number).id,
        vswitch: first,
        disaster_recovery_vswitch: second,
        bandwidth: 10,
        network_type: NetworkType::ALL[0],
        vpn_type: VpnType::ALL[0],
        ipsec: true,
        ssl: false,
        ssl_connections: 5,
        charge_type: ChargeType::ALL[0],
        auto_propagate: false,
        resource_group: String::new(),
        internet_ip: format!("192.0.2.{number}"),
        disaster_recovery_ip: None,
        order_id: 1,
        created_ms: 1,
        end_ms: 2,
        business_status: BusinessStatus::ALL[0],
        phase: Phase::ALL[0],
        intended: 1,
        applied: 1,
        certificate_alert: None,
    }
}

fn build(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.ensure_account(&account(), 1)?;
    for number in 0..MANY {
        tx.insert_vpc(&vpc(number))?;
        let mut ids = Vec::new();
        for vswitch in vswitches(number) {
            tx.insert_vswitch(&vswitch)?;
            ids.push(vswitch.id);
        }
        tx.insert_gateway(&gateway(number, ids.first().cloned(), ids.get(1).cloned()))?;
        for key in ["b", "a", "c"].iter().take(number % 4) {
            let id = vpc(number).id;
            tx.put_tag(&account(), "cn-hangzhou", "vpc", id.as_str(), key, &number.to_string())?;
        }
    }
    Ok(())
}

#[test]
fn a_query_for_all_answers_what_one_for_each_answers() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    store.write_blocking(|tx| Ok(Verdict::Keep(build(tx)?))).unwrap();
    // Also one that is not there, and one of them twice, far apart.
    let mut vpcs = vec![vpc(2).id, VpcId::new("vpc-unknown")];
    vpcs.extend((0..MANY).rev().map(|number| vpc(number).id));
    let vswitches: Vec<VSwitchId> = (0..MANY).flat_map(vswitches).map(|vswitch| vswitch.id).collect();
    for many in [0, 1, 2, 3, 50, 64, 65, vpcs.len()] {
        let vpcs: Vec<&VpcId> = vpcs.iter().take(many).collect();
        let resources: Vec<&str> = vpcs.iter().map(|vpc| vpc.as_str()).collect();
        let vswitches: Vec<&VSwitchId> = vswitches.iter().take(many).collect();
        store
            .read(|snapshot| {
                let (tags, ids) =
                    (snapshot.tags_of_all(&account(), &resources)?, snapshot.vswitches_of_all(&vpcs)?);
                let tables = snapshot.route_tables_of_all(&account(), &vpcs)?;
                for vpc in &vpcs {
                    assert_eq!(
                        tags.get(vpc.as_str()).cloned().unwrap_or_default(),
                        snapshot.tags_of(vpc.as_str())?
                    );
                    let each: Vec<_> =
                        snapshot.vswitches_in(vpc)?.into_iter().map(|vswitch| vswitch.id).collect();
                    assert_eq!(ids.get(vpc).cloned().unwrap_or_default(), each);
                    let each = snapshot.vpc(&account(), vpc.as_str())?.map(|vpc| vpc.route_table);
                    assert_eq!(tables.get(vpc).cloned(), each);
                }
                let counts = snapshot.gateways_in_all(&vswitches)?;
                for vswitch in &vswitches {
                    let count = counts.get(vswitch).copied().unwrap_or(0);
                    assert_eq!(count, snapshot.gateways_in_vswitch(vswitch)?);
                }
                Ok(())
            })
            .unwrap();
    }
    let foreign = AccountId::new("6543210987654321");
    let tables = store.read(|snapshot| snapshot.route_tables_of_all(&foreign, &[&vpc(1).id])).unwrap();
    assert!(tables.is_empty(), "a VPC of another account has none");
}
