//! A database of every released schema opens with this release, and everything is still there.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use std::path::Path;

use tongguan_model::connection::{Connection, Negotiation};
use tongguan_model::gateway::{BindingState, ChildState, Status};
use tongguan_model::id::{AccountId, ConnectionId};
use tongguan_store::{
    Archive, ConnectionFilter, CustomerGatewayFilter, DATABASE_FILE, GatewayFilter, Holder, NetworkFilter,
    Options, ResourceGroupStatus, Store, StoreError, TokenName, UploadFilter, default_resource_group,
};

const ACCOUNT: &str = "1234567890123456";

#[test]
fn databases_of_every_released_schema_open() {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas");
    let mut seen = 0;
    for schema in 1.. {
        let path = schemas.join(format!("{schema}.db"));
        if !path.exists() {
            break;
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::copy(&path, directory.path().join(DATABASE_FILE)).unwrap();
        for _ in 0..2 {
            let store = Store::open(directory.path(), &Options::default()).unwrap();
            everything_is_there(&store, schema);
            groups_are_there(&store);
            if schema >= 3 {
                rights_are_there(&store);
            }
            if schema >= 4 {
                assert!(store.read(|snapshot| snapshot.rights_sealed()).unwrap());
            }
            if schema >= 5 {
                connections_are_there(&store);
                uploads_are_there(&store);
            }
            if schema >= 6 {
                routes_are_there(&store);
            }
            if schema >= 5 {
                the_record_of_what_is_applied_names_it(&store, schema);
            }
            drop(store);
            for (rule, findings) in Archive::open(directory.path()).unwrap().relations().unwrap() {
                assert!(findings.is_empty(), "schema {schema}: {rule}: {findings:?}");
            }
        }
        seen += 1;
    }
    assert!(seen >= 8, "a database is missing");
}

/// Every account has its default group, and every resource is in a group of its account.
fn groups_are_there(store: &Store) {
    let account = AccountId::new(ACCOUNT);
    let groups = store.read(|snapshot| snapshot.resource_groups(&account)).unwrap();
    let default = default_resource_group(&account);
    assert!(groups.iter().filter(|group| group.is_default).all(|group| group.id == default));
    assert_eq!(groups.iter().filter(|group| group.is_default).count(), 1);
    assert_eq!(store.read(|s| s.tally_everywhere("resource_group", &account)).unwrap(), groups.len() as u64);
    let vpcs = store.read(|snapshot| snapshot.vpcs(&account, &NetworkFilter::default(), 0, 50)).unwrap();
    for vpc in vpcs.items {
        assert!(groups.iter().any(|group| group.id == vpc.resource_group), "{}", vpc.resource_group);
    }
}

/// Groups were not kept before schema 5: what resources had been given becomes one.
#[test]
fn ids_of_groups_that_resources_were_given_become_groups() {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(DATABASE_FILE);
    std::fs::copy(schemas.join("4.db"), &path).unwrap();
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(
            "UPDATE vpc SET resource_group = 'rg-mine'; UPDATE vpn_gateway SET resource_group = 'rg-mine'",
        )
        .unwrap();
    let account = AccountId::new(ACCOUNT);
    for _ in 0..2 {
        let store = Store::open(directory.path(), &Options::default()).unwrap();
        groups_are_there(&store);
        let mine = store.read(|snapshot| snapshot.resource_group(&account, "rg-mine")).unwrap().unwrap();
        assert_eq!(
            (mine.name.as_str(), mine.status, mine.is_default),
            ("rg-mine", ResourceGroupStatus::Ok, false)
        );
        assert!(store.read(|snapshot| snapshot.resource_group_in_use(&mine)).unwrap());
    }
}

fn rights_are_there(store: &Store) {
    let account = AccountId::new(ACCOUNT);
    let names = |policies: Vec<tongguan_store::AttachedPolicy>| -> Vec<_> {
        policies.into_iter().map(|policy| (policy.name, policy.custom.map(|(version, _)| version))).collect()
    };
    let alice = store.read(|snapshot| snapshot.user(&account, "ALICE")).unwrap().unwrap();
    assert_eq!(alice.display_name, "Alice");
    let policies = store.read(|snapshot| snapshot.effective_policies_of_user(alice.seq)).unwrap();
    let (own, through_group) = ("AliyunSTSAssumeRoleAccess".to_owned(), "look".to_owned());
    assert_eq!(names(policies), [(own, None), (through_group.clone(), Some(2))]);
    let role = store.read(|snapshot| snapshot.role(&account, "operator")).unwrap().unwrap();
    assert!(role.trust.contains("user/alice"));
    // Nothing was ended yet, but the sessions whose tokens do not say whence they come.
    assert_eq!(
        (role.sessions_from_ms, store.read(|s| s.account_sessions_from(&account)).unwrap()),
        (0, Some(0))
    );
    assert_eq!(store.read(|snapshot| snapshot.sealed_service_key("security-token")).unwrap(), None);
    let policies = store.read(|snapshot| snapshot.effective_policies_of_role(role.seq)).unwrap();
    assert_eq!(names(policies), [(through_group, Some(2))]);
}

fn everything_is_there(store: &Store, schema: u32) {
    let account = AccountId::new(ACCOUNT);
    let gateways = store
        .read(|snapshot| snapshot.gateways(&account, "cn-hangzhou", &GatewayFilter::default(), 0, 50))
        .unwrap();
    let connected = if schema >= 5 { 2 } else { 0 };
    assert_eq!(gateways.total, 5 + connected);
    let status = |name: &str| gateways.items.iter().find(|gateway| gateway.name == name).unwrap().status();
    assert_eq!(status("rest"), Status::Active);
    assert_eq!((status("binding"), status("unbinding")), (Status::Updating, Status::Updating));
    assert_eq!((status("deleting"), status("provisioning")), (Status::Deleting, Status::Provisioning));
    let rest = gateways.items.iter().find(|gateway| gateway.name == "rest").unwrap();
    let bindings = store.read(|snapshot| snapshot.bindings_of(&rest.id)).unwrap();
    assert!(bindings.len() == 2 && bindings.iter().all(|held| held.state == BindingState::Associated));
    assert_eq!(store.read(|snapshot| snapshot.tags_of(rest.id.as_str())).unwrap()[0].value, "kept");
    assert_eq!(store.read(|snapshot| snapshot.intents(10)).unwrap().len() as u64, 4 + connected);
    let token = |action: &str, token: &str| {
        let name = TokenName { account: &account, action, token };
        store.read(|snapshot| snapshot.token(name)).unwrap().is_some()
    };
    assert!(token("CreateVpnGateway", "token-rest"));
    assert!(token("AssociateVpnGatewayWithCertificate", "token-bind"));
    assert!(store.read(|snapshot| snapshot.has_access_keys()).unwrap());
    let role = |name| store.read(|snapshot| snapshot.role(&account, name)).unwrap();
    let role = role("AliyunServiceRoleForVPNCertificate").unwrap();
    assert_eq!(role.service.as_deref(), Some("certificate.vpn.aliyuncs.com"));
    assert!(role.trust.contains(r#"{"Service":["certificate.vpn.aliyuncs.com"]}"#));
    let held = store.read(|snapshot| snapshot.attachments(Holder::Role(role.seq))).unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].name, "AliyunServiceRolePolicyForVPNCertificate");
    assert!(store.read(|snapshot| snapshot.tally("ram_role", &account, "")).unwrap() >= 1);
}

/// Connections with all that belongs to them, at rest and in the middle of a change.
fn connections_are_there(store: &Store) {
    let account = AccountId::new(ACCOUNT);
    let filter = ConnectionFilter::default();
    let found = store.read(|snapshot| snapshot.connections(&account, "cn-hangzhou", &filter, 0, 50)).unwrap();
    assert_eq!((found.total, found.items.len()), (4, 4));
    let one = |name: &str| found.items.iter().find(|connection| connection.name == name).unwrap();
    let far = store.read(|snapshot| {
        snapshot.customer_gateways(&account, "cn-hangzhou", &CustomerGatewayFilter::default(), 0, 50)
    });
    let far = far.unwrap().items;
    let leads = |name: &str| far.iter().find(|gateway| gateway.name == name).unwrap();
    let (office, branch) = (leads("office"), leads("branch"));
    assert_eq!((office.asn, office.sealed_auth_key.is_some()), (Some(65_530), true));
    let team = store.read(|snapshot| snapshot.resource_group_named(&account, "team")).unwrap().unwrap();
    assert_eq!(branch.resource_group, team.id);

    let dual = one("dual");
    assert_eq!((dual.state, dual.settings.remote_subnet.as_str()), (ChildState::Active, "10.7.0.0/24"));
    let tunnels = store.read(|snapshot| snapshot.tunnels_of_all(&[dual.id.as_str()])).unwrap();
    let tunnels = &tunnels[&dual.id];
    let to: Vec<_> = tunnels.iter().map(|tunnel| (&tunnel.customer_gateway, tunnel.observed)).collect();
    let up = Negotiation::IpsecEstablished;
    assert_eq!(to, [(&office.id, up), (&branch.id, up)]);
    let seen = store.read(|snapshot| snapshot.observations(&dual.id, 0, i64::MAX)).unwrap();
    // What is seen of each, and what was seen of it before.
    let down = Negotiation::IkeNotEstablished;
    let what: Vec<_> = seen.iter().map(|seen| (&seen.tunnel, seen.observed)).collect();
    let [first, second] = [&tunnels[0].id, &tunnels[1].id];
    assert_eq!(what, [(first, down), (second, down), (first, up), (second, up)]);
    assert!(seen[0].at_ms < seen[2].at_ms && seen[2].at_ms == tunnels[0].observed_ms);
    assert_eq!(store.read(|snapshot| snapshot.tags_of(dual.id.as_str())).unwrap()[0].value, "kept");
    let gateway = dual.gateway.as_ref().unwrap().as_str();
    let diagnosis =
        store.read(|snapshot| snapshot.diagnosis(&account, None, Some(gateway))).unwrap().unwrap();
    assert_eq!(diagnosis.connection, dual.id);

    let attached = one("attached");
    assert_eq!((&attached.gateway, &attached.resource_group), (&None, &team.id));
    assert_eq!(one("creating").state, ChildState::Creating);
    let changed = one("changed");
    assert_eq!(
        (changed.state, changed.settings.remote_subnet.as_str()),
        (ChildState::Updating, "10.9.0.0/24")
    );
    assert_eq!(changed.before.as_ref().unwrap().remote_subnet, "10.8.0.0/24");
    let tunnels = store.read(|snapshot| snapshot.tunnels_of_all(&[changed.id.as_str()])).unwrap();
    let tunnel = &tunnels[&changed.id][0];
    assert_eq!((&tunnel.customer_gateway, tunnel.before.as_ref()), (&branch.id, Some(&office.id)));
    for connection in &found.items {
        assert!(store.read(|snapshot| snapshot.connection_keys(&connection.id)).unwrap().is_some());
    }
    // What packets each takes was not kept before schema 7.
    let alike = |connection: &Connection| {
        let other = Connection { id: ConnectionId::new("vco-other"), ..connection.clone() };
        store.read(|snapshot| snapshot.settings_to_compare(&other)).unwrap()
    };
    assert_eq!(alike(one("creating")), [one("creating").settings.clone()]);
    assert_eq!(alike(one("changed")), [one("changed").settings.clone()]);
    let attachments = ConnectionFilter { attachments: true, ..filter };
    let found = store.read(|snapshot| snapshot.connections(&account, "cn-hangzhou", &attachments, 0, 1));
    let found = found.unwrap();
    assert_eq!((found.total, found.items[0].name.as_str()), (1, "attached"));
    let tunnels = store.read(|snapshot| snapshot.tunnels_of_all(&[found.items[0].id.as_str()])).unwrap();
    let addresses: Vec<_> =
        tunnels[&found.items[0].id].iter().filter_map(|tunnel| tunnel.ip.as_ref()).collect();
    assert_eq!(addresses.len(), 2);
    assert!(addresses.iter().all(|ip| store.read(|snapshot| snapshot.address_in_use(ip)).unwrap()));
}

/// A route over a connection with two tunnels.
fn routes_are_there(store: &Store) {
    let account = AccountId::new(ACCOUNT);
    let filter = ConnectionFilter::default();
    let found = store.read(|snapshot| snapshot.connections(&account, "cn-hangzhou", &filter, 0, 50)).unwrap();
    let dual = found.items.iter().find(|connection| connection.name == "dual").unwrap();
    let routes = store.read(|snapshot| snapshot.routes_of(dual.gateway.as_ref().unwrap())).unwrap();
    let routes: Vec<_> = routes.iter().map(|row| (&row.route.next_hop, row.route.published)).collect();
    assert_eq!(routes, [(&dual.id, true)]);
}

/// What the data plane has of gateways repeated all settings before schema 8.
fn the_record_of_what_is_applied_names_it(store: &Store, schema: u32) {
    let account = AccountId::new(ACCOUNT);
    let filter = ConnectionFilter::default();
    let found = store.read(|snapshot| snapshot.connections(&account, "cn-hangzhou", &filter, 0, 50)).unwrap();
    for connection in found.items.iter().filter(|connection| connection.gateway.is_some()) {
        let gateway = connection.gateway.as_ref().unwrap();
        let (_, document) =
            store.read(|snapshot| snapshot.applied(gateway.as_str())).unwrap().expect("it is applied");
        // One that is being made is not in force yet.
        let (id, in_force) = (connection.id.as_str(), connection.state != ChildState::Creating);
        let connections = if in_force { format!(r#"["{id}"]"#) } else { "[]".to_owned() };
        let routed = schema >= 6 && connection.name == "dual";
        let route = format!(r#"["dbr {id}  10.7.0.0/24 100  1"]"#);
        let routes = if routed { route } else { "[]".to_owned() };
        let (connections, routes) =
            (format!(r#""connections":{connections}"#), format!(r#""routes":{routes}"#));
        for part in [&*connections, &routes, r#""auto_propagate":false"#, r#""id":"vpn-"#] {
            assert!(document.contains(part), "{document}");
        }
    }
}

/// What is in Cas: an SM pair and a request.
fn uploads_are_there(store: &Store) {
    let account = AccountId::new(ACCOUNT);
    let uploads = store.read(|snapshot| snapshot.uploads(&account, &UploadFilter::default(), 0, 50)).unwrap();
    assert_eq!((uploads.total, uploads.items[0].upload.name.as_str()), (1, "pair"));
    let halves = store.read(|snapshot| snapshot.uploaded(&account, &[], None, 0, 50)).unwrap();
    assert_eq!(halves.total, 2);
    let asked = store.read(|snapshot| snapshot.signing_requests(&account, &[], None, 0, 50)).unwrap();
    let asked = &asked.items[0];
    assert_eq!(asked.name, "asked");
    assert!(store.read(|snapshot| snapshot.signing_request_key(asked)).unwrap().is_some());
}

#[test]
fn a_newer_schema_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path(), &Options::default()).unwrap());
    let path = directory.path().join(DATABASE_FILE);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 999).unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(directory.path(), &Options::default()).unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 999, .. }));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// Each migration is one transaction: a step that fails leaves the database as it was.
#[test]
fn a_migration_that_fails_leaves_the_database_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(DATABASE_FILE);
    let schema_1 = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas/1.db");
    std::fs::copy(schema_1, &path).unwrap();
    // In the way of the step to schema 2.
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE fault (unexpected)").unwrap();
    drop(connection);
    assert!(matches!(Store::open(directory.path(), &Options::default()), Err(StoreError::Database(_))));
    let connection = rusqlite::Connection::open(&path).unwrap();
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let store: u32 = connection
        .query_row("SELECT count(*) FROM sqlite_master WHERE name = 'store'", [], |row| row.get(0))
        .unwrap();
    assert_eq!((version, store), (1, 0));
}
