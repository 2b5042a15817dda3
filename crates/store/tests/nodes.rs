//! Work that one process does at a time: who has it, until when, and what becomes of it when a process ends.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use tempfile::TempDir;
use tongguan_store::{Intent, IntentKind, Lease, Node, Options, Store, StoreError, Term, Tx, Verdict};

const TERM_MS: i64 = 1_000;

fn shared(number: u8) -> Node {
    Node::new([number; 16], Term::Shared(TERM_MS))
}

fn sole(number: u8) -> Node {
    Node::new([number; 16], Term::Sole)
}

fn write<T: Send + 'static>(
    store: &Store,
    mut change: impl FnMut(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> T {
    store.write_blocking(move |tx| Ok(Verdict::Keep(change(tx)?))).unwrap()
}

fn place() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    (directory, store)
}

fn take(store: &Store, node: &Node, now_ms: i64) -> Option<Lease> {
    let node = node.clone();
    write(store, move |tx| tx.take_lease("house", &node, now_ms))
}

fn holds(store: &Store, lease: &Lease) -> bool {
    store.read(|snapshot| snapshot.lease_holds(lease)).unwrap()
}

#[test]
fn a_lease_is_one_process_s_until_it_ends() {
    let (_directory, store) = place();
    let [one, two] = [shared(1), shared(2)];
    let first = take(&store, &one, 5_000).unwrap();
    assert_eq!((first.fence(), holds(&store, &first)), (1, true));
    assert_eq!(take(&store, &two, 5_999), None);
    // Whoever has it goes on with it, and it lasts longer.
    let renewed = take(&store, &one, 5_500).unwrap();
    assert_eq!(renewed.fence(), 1);
    assert!(renewed.lasts(&one, 5_600) && !renewed.lasts(&one, 6_400) && !renewed.lasts(&two, 5_600));
    assert_eq!(take(&store, &two, 6_499), None);
    let second = take(&store, &two, 6_500).unwrap();
    assert_eq!(second.fence(), 2);
    assert_eq!([&first, &renewed, &second].map(|lease| holds(&store, lease)), [false, false, true]);
    // The first one was held up: it has it no more, and gets it back with another fence.
    assert_eq!(take(&store, &one, 7_000), None);
    assert_eq!(take(&store, &one, 7_500).unwrap().fence(), 3);
    // Work of another name is another's.
    let other = two.clone();
    assert!(write(&store, move |tx| tx.take_lease("watch", &other, 7_500)).is_some());
    // Nobody waits for one that has ended in order.
    write(&store, move |tx| tx.end_node(&one));
    assert_eq!(take(&store, &two, 7_501).unwrap().fence(), 4);
}

fn insert(store: &Store, resource: &'static str, due_ms: i64) {
    write(store, move |tx| tx.insert_intent(resource, IntentKind::Vpc, 1, "create", due_ms, due_ms));
}

fn claim(store: &Store, node: &Node, now_ms: i64) -> Vec<String> {
    let node = node.clone();
    let claimed = write(store, move |tx| tx.claim_intents(&node, now_ms, 10));
    claimed.into_iter().map(|intent| intent.resource).collect()
}

fn intent(store: &Store, resource: &str) -> Intent {
    store.read(|snapshot| snapshot.intent(resource)).unwrap().unwrap()
}

#[test]
fn a_change_is_its_accepter_s_and_then_another_s() {
    let (_directory, store) = place();
    let [one, two] = [shared(1), shared(2)];
    store.act_as(one.clone());
    for (resource, due_ms) in [("vpc-b", 200), ("vpc-a", 100), ("vpc-c", 5_000)] {
        insert(&store, resource, due_ms);
    }
    assert!(intent(&store, "vpc-a").is_held_by(&one, 100));
    assert_eq!(claim(&store, &one, 300), [""; 0], "they are its own already");
    assert_eq!(claim(&store, &two, 1_099), [""; 0]);
    assert_eq!(claim(&store, &two, 1_100), ["vpc-a"]);
    let stale = intent(&store, "vpc-b");
    assert_eq!(claim(&store, &two, 1_200), ["vpc-b"]);
    // What is not due is nobody's else, and what is claimed is not claimed twice.
    assert_eq!(claim(&store, &two, 1_500), [""; 0]);
    let held = intent(&store, "vpc-b");
    assert_eq!((held.owner.as_deref(), held.fence, stale.fence), (Some(two.id()), 2, 1));
    // Whoever was held up records nothing.
    let (late, node) = (stale.clone(), one.clone());
    let struck = write(&store, move |tx| {
        tx.postpone_intent(&node, &late, 9_000, Some("late"))?;
        tx.hold_intent(&node, &late, 9_000, "late")?;
        assert!(!tx.renew_intent(&node, &late, 9_000)?);
        tx.strike_off(&late)
    });
    assert!(!struck && !stale.same_claim(&held));
    assert_eq!(intent(&store, "vpc-b"), held);
    // When each has to look again.
    let next = |node: &Node| store.read(|snapshot| snapshot.next_intent_of(node)).unwrap();
    assert_eq!((next(&one), next(&two)), (Some(2_100), Some(100)));
    let now = held.clone();
    assert!(write(&store, move |tx| tx.renew_intent(&two, &now, 3_000)));
    assert_eq!((intent(&store, "vpc-b").due_ms, intent(&store, "vpc-b").lease_until), (3_000, 3_000));
    assert!(write(&store, move |tx| tx.strike_off(&held)));
}

/// The embedded store has one process at a time: what an earlier one has left is not waited for.
#[test]
fn who_has_the_store_to_itself_takes_over_at_once() {
    let (directory, store) = place();
    store.act_as(sole(1));
    insert(&store, "vpc-a", 100);
    insert(&store, "vpc-b", 900_000);
    let first = take(&store, &sole(1), 5_000).unwrap();
    assert!(
        first.lasts(&sole(1), i64::MAX - 1) && intent(&store, "vpc-a").is_held_by(&sole(1), i64::MAX - 1)
    );
    write(&store, |tx| tx.begin_node(&sole(1), "{}", 1, 0));
    drop(store);
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    let next = sole(2);
    store.act_as(next.clone());
    assert!(!intent(&store, "vpc-a").is_held_by(&next, 100));
    // It could take up what is due without having said that it begins.
    assert_eq!(claim(&store, &next, 100), ["vpc-a"]);
    write(&store, |tx| tx.begin_node(&sole(2), "{}", 100, 0));
    for resource in ["vpc-a", "vpc-b"] {
        assert!(intent(&store, resource).is_held_by(&next, 100), "{resource}");
    }
    assert!(intent(&store, "vpc-b").fence > 1);
    let nodes = store.read(|snapshot| snapshot.nodes_since(0)).unwrap();
    assert_eq!(nodes.iter().map(|node| node.id.as_str()).collect::<Vec<_>>(), [next.id()]);
    assert!(take(&store, &next, 1).is_some() && !holds(&store, &first));
}
