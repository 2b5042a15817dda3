//! What operations share: the store, the data plane, limits and sources of time and randomness.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use ipnet::Ipv4Net;
use tongguan_dataplane::DataPlane;
use tongguan_model::id;
use tongguan_model::limits::Quotas;
use tongguan_model::region::{self, Region};
use tongguan_store::{Lease, Node, NodeRow, Scope, Store, StoreError, Term, Tx, Verdict, resource_group_id};
use tracing::{error, info};

use crate::clock::{Apart, Reading};
pub use crate::clock::{Clock, SteppedClock, SystemClock};
use crate::fingerprint::FingerprintKey;
use crate::own_key::MarkerKey;
pub use crate::random::seed_ids;
use crate::random::{for_id, random, seeded};
use crate::vault::Vault;

/// Settings of the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Limits.
    pub quotas: Quotas,
    /// Region of calls that name none (Kms).
    pub default_region: &'static Region,
    /// Host and port that endpoint look-ups answer; none: the host that the call was sent to.
    pub endpoint: Option<String>,
    /// Addresses of public gateways.
    pub address_pool: Ipv4Net,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            quotas: Quotas::default(),
            default_region: region::find("cn-hangzhou").unwrap_or(&region::regions()[0]),
            endpoint: None,
            address_pool: ADDRESS_POOL,
        }
    }
}

/// 198.18.0.0/15, set aside for testing (RFC 2544): no gateway of a detached data plane takes an address
/// that belongs to somebody.
const ADDRESS_POOL: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(198, 18, 0, 0), 15);

/// What operations share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context(Arc<Whole>);

#[derive(Debug)]
struct Whole {
    shared: Shared,
    /// Set when the service is put together.
    keys: OnceLock<Keys>,
    node: Node,
    /// Digests of the settings that it has in common with others that share the store, as they are stored.
    common: OnceLock<String>,
    /// Processes that share the store and live, when they were last counted.
    living: Arc<AtomicU32>,
}

/// Keys of the service's own, as they are used.
#[derive(Debug)]
pub(crate) struct Keys {
    /// What markers of pages are made with.
    pub(crate) markers: MarkerKey,
    /// What fingerprints of requests are made with.
    pub(crate) fingerprints: FingerprintKey,
}

/// See [`Context`].
#[derive(Debug)]
pub struct Shared {
    /// The store.
    pub store: Store,
    /// The data plane.
    pub dataplane: Arc<dyn DataPlane>,
    /// Secrets at rest.
    pub vault: Vault,
    /// Settings.
    pub settings: Settings,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// For how long a process that shares its store has what it claims, milliseconds: so long nobody takes it up when it
/// dies.
const LEASE_MS: i64 = 10_000;

impl Context {
    /// Puts the parts together.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        let term = if shared.store.is_shared() { Term::Shared(LEASE_MS) } else { Term::Sole };
        let node = shared.store.act_as(Node::new(random(), term)).clone();
        let (keys, common, living) = (OnceLock::new(), OnceLock::new(), Arc::new(AtomicU32::new(1)));
        Self(Arc::new(Whole { shared, keys, node, common, living }))
    }

    /// How many processes share the store and live, this one among them, when they were last counted.
    #[must_use]
    pub fn living(&self) -> &Arc<AtomicU32> {
        &self.0.living
    }

    /// Why the clock of the machine does not do; none if it does.
    #[must_use]
    pub fn apart(&self) -> Option<Apart> {
        self.clock.difference_ms().and_then(Apart::of)
    }

    /// Compares the clock of the machine with that of the database, if there is one.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) fn compare_clocks(&self) -> Result<(), StoreError> {
        let before = self.apart();
        if let Some(reading) = Reading::of(&self.store)? {
            self.clock.compared(reading);
        }
        match (before, self.apart()) {
            (None, Some(apart)) => error!("{apart}: calls are refused until they agree"),
            (Some(_), None) => info!("the clock of this machine agrees with that of the database again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        Ok(())
    }

    /// Which of the processes this is that have the store.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.0.node
    }

    /// Keeps the service's own keys for the life of the process.
    pub(crate) fn keep_keys(&self, keys: Keys) {
        // The first ones count: those in the database are the same.
        let _ = self.0.keys.set(keys);
    }

    /// Says in the store that this process has begun, with these digests of its settings: what earlier processes on the
    /// embedded store have left is its own.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) fn begin(&self, settings: String, now_ms: i64) -> Result<(), StoreError> {
        let node = self.node().clone();
        // The first ones count: a process has its settings for its life.
        let settings = self.0.common.get_or_init(|| settings).clone();
        let living = self.store.write_blocking(move |tx| {
            let now_ms = tx.now_ms(now_ms)?;
            begin(tx, &node, &settings, now_ms)?;
            Ok(Verdict::Keep(living(tx, &node, now_ms)?))
        })?;
        self.living().store(living, Ordering::Relaxed);
        Ok(())
    }

    /// Says in the store that a process lives, and counts those that do.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) async fn beat(&self, node: &Node) -> Result<(), StoreError> {
        let (node, now_ms) = (node.clone(), self.clock.now_ms());
        let settings = self.0.common.get().cloned().unwrap_or_default();
        let beat = self.store.write_in(Scope::Nothing, move |tx| {
            let now_ms = tx.now_ms(now_ms)?;
            // Others have thought it dead, and have taken up what it had; it begins anew.
            if !tx.beat(&node, now_ms)? {
                begin(tx, &node, &settings, now_ms)?;
            }
            Ok(Verdict::Keep(living(tx, &node, now_ms)?))
        });
        self.living().store(beat.await?, Ordering::Relaxed);
        Ok(())
    }

    /// The other processes that share the store and live.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) fn others(&self) -> Result<Vec<NodeRow>, StoreError> {
        let now_ms = self.clock.now_ms();
        let live = self.store.read(|snapshot| {
            let since_ms = self.node().live_since(snapshot.now_ms(now_ms)?);
            snapshot.nodes_since(since_ms)
        });
        Ok(live?.into_iter().filter(|other| other.id != self.node().id()).collect())
    }

    /// Takes up work that one process does at a time, or goes on with it; none if another has it.
    ///
    /// # Errors
    /// The store fails.
    pub async fn take_lease(&self, node: &Node, name: &'static str) -> Result<Option<Lease>, StoreError> {
        let now_ms = self.clock.now_ms();
        let held = self.store.read(|snapshot| {
            let now_ms = snapshot.now_ms(now_ms)?;
            Ok(snapshot.lease(name)?.filter(|lease| lease.lasts(node, now_ms)))
        })?;
        if held.is_some() {
            return Ok(held);
        }
        let node = node.clone();
        let taken = self.store.write_in(Scope::Nothing, move |tx| {
            let now_ms = tx.now_ms(now_ms)?;
            Ok(Verdict::Keep(tx.take_lease(name, &node, now_ms)?))
        });
        taken.await
    }

    /// The service's own keys; none before the context was given to a service.
    pub(crate) fn keys(&self) -> Option<&Keys> {
        self.0.keys.get()
    }
}

/// A process that has said nothing for so long is forgotten, milliseconds.
const FORGOTTEN_MS: i64 = 24 * 3_600_000;

/// How many processes live, one at least.
fn living(tx: &Tx<'_>, node: &Node, now_ms: i64) -> Result<u32, StoreError> {
    let living = tx.nodes_since(node.live_since(now_ms))?.len();
    Ok(u32::try_from(living).unwrap_or(u32::MAX).max(1))
}

fn begin(tx: &Tx<'_>, node: &Node, settings: &str, now_ms: i64) -> Result<(), StoreError> {
    tx.begin_node(node, settings, now_ms, now_ms.saturating_sub(FORGOTTEN_MS))
}

impl Deref for Context {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0.shared
    }
}

/// A new resource id in a region at a moment, UNIX milliseconds. Where ids are drawn from a seed, that alone decides.
#[must_use]
pub fn new_id(prefix: &str, region: &Region, now_ms: i64) -> String {
    if seeded() {
        id::compose(prefix, region.infix, &for_id())
    } else {
        id::compose_at(prefix, region.infix, now_ms, &random())
    }
}

/// A new id of a request: a UUID in upper case.
#[must_use]
pub fn new_request_id() -> String {
    let mut buffer = uuid::Uuid::encode_buffer();
    uuid::Uuid::new_v4().hyphenated().encode_upper(&mut buffer).to_owned()
}

/// A new id of a certificate or of a request for one: a UUID in lower case.
#[must_use]
pub(crate) fn new_uuid() -> String {
    uuid::Builder::from_random_bytes(for_id()).into_uuid().hyphenated().to_string()
}

/// A new id of a RAM user, group or role: eighteen decimal digits, the first of them `kind` (2 for users, 3 for roles,
/// 4 for groups).
#[must_use]
pub fn new_principal_id(kind: u64) -> String {
    const SPAN: u64 = 100_000_000_000_000_000;
    (kind * SPAN + u64::from_le_bytes(for_id()) % SPAN).to_string()
}

/// A new id of a resource group.
#[must_use]
pub fn new_resource_group_id() -> String {
    resource_group_id(&for_id())
}

/// `YYYY-MM-DDThh:mm:ssZ` of a moment in UNIX milliseconds.
#[must_use]
pub fn iso8601(ms: i64) -> String {
    iso8601_seconds(ms.div_euclid(1000))
}

/// `YYYY-MM-DDThh:mm:ssZ` of a moment in UNIX seconds.
#[must_use]
pub fn iso8601_seconds(seconds: i64) -> String {
    // Not a timestamp of jiff's: its last one lies a day before the end of the year 9999, the moment that stands in
    // certificates for "no expiry" (RFC 5280, 4.1.2.5).
    const EPOCH: jiff::civil::DateTime = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
    let moment = EPOCH.checked_add(jiff::SignedDuration::from_secs(seconds));
    moment.map(written).unwrap_or_default()
}

/// A moment in the form of the API: every list writes many.
fn written(moment: jiff::civil::DateTime) -> String {
    let parts = [
        (i16::from(moment.month()), '-'),
        (i16::from(moment.day()), '-'),
        (i16::from(moment.hour()), 'T'),
        (i16::from(moment.minute()), ':'),
        (i16::from(moment.second()), ':'),
    ];
    let mut text = String::with_capacity("YYYY-MM-DDThh:mm:ssZ".len());
    let two = |text: &mut String, number: i16| {
        for digit in [number / 10, number % 10] {
            text.push(char::from(b'0' + digit.unsigned_abs() as u8));
        }
    };
    two(&mut text, moment.year() / 100);
    two(&mut text, moment.year() % 100);
    for (number, before) in parts {
        text.push(before);
        two(&mut text, number);
    }
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_documented() {
        assert_eq!(iso8601(1_609_234_229_999), "2020-12-29T09:30:29Z");
        assert_eq!(iso8601(-1), "1969-12-31T23:59:59Z");
        assert_eq!(iso8601_seconds(253_402_300_799), "9999-12-31T23:59:59Z");
        assert_eq!(iso8601_seconds(253_402_300_800), "");
    }
}
