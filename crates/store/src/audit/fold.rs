//! Refusals of callers who have proved nothing: the first of a minute are recorded one by one, and from then on
//! only counted, by source and code, so that a flood of them costs neither disk nor writer anything.
//!
//! What was counted becomes one record for each source and code once a minute, and when the store is closed. A
//! killed process loses the counts of its last minute, and nothing else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::{AuditRecord, Repeats};

/// How long is counted into one record.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// Sources together may be recorded so many times as often as one of them.
const SOURCES: u32 = 8;
/// Sources and codes that are counted apart.
const COUNTED: usize = 256;
/// Codes that are counted for all other sources together.
const POTS: usize = 32;
/// Represents the sources that are counted together.
const MANY: &str = "many";

/// Decides which of these refusals are recorded individually.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Recorded one by one of each source in a window.
    each: u32,
    begun: Option<Instant>,
    /// Recorded one by one in this window.
    singles: u32,
    /// By source.
    sources: HashMap<u128, u32>,
    counted: HashMap<(u128, Option<String>), AuditRecord>,
    /// Of all sources that are not counted apart.
    pots: HashMap<Option<String>, AuditRecord>,
}

impl Folder {
    pub(crate) fn new(each: u32) -> Self {
        Self {
            each,
            begun: None,
            singles: 0,
            sources: HashMap::new(),
            counted: HashMap::new(),
            pots: HashMap::new(),
        }
    }

    /// Gives the record back if it is to be recorded by itself, and counts it otherwise.
    pub(crate) fn take(&mut self, record: AuditRecord, now: Instant) -> Option<AuditRecord> {
        self.begun.get_or_insert(now);
        let source = source(&record.source);
        // As many sources as may be recorded one by one: the map cannot grow beyond that.
        if self.singles < self.each.saturating_mul(SOURCES) {
            let of_source = self.sources.entry(source).or_default();
            if *of_source < self.each {
                *of_source += 1;
                self.singles += 1;
                return Some(record);
            }
        }
        let key = (source, record.code.clone());
        let room = self.counted.len() < COUNTED;
        if room || self.counted.contains_key(&key) {
            add(self.counted.entry(key), record);
        } else {
            let code = if self.pots.len() < POTS { key.1 } else { None };
            add(self.pots.entry(code), AuditRecord { source: MANY.into(), ..record });
        }
        None
    }

    /// Whether the window is over.
    pub(crate) fn due(&self, now: Instant) -> bool {
        self.begun.is_some_and(|begun| now.duration_since(begun) >= WINDOW)
    }

    /// What was counted; begins the next window.
    pub(crate) fn end(&mut self) -> Vec<AuditRecord> {
        let mut records: Vec<_> = self.counted.drain().map(|(_, record)| record).collect();
        records.extend(self.pots.drain().map(|(_, record)| record));
        records.sort_by_key(|record| record.repeats.map(|repeats| repeats.since_ms));
        (self.begun, self.singles) = (None, 0);
        self.sources = HashMap::new();
        records
    }
}

/// Adds a call to what is counted: what the calls do not have in common is left out.
fn add<K>(entry: std::collections::hash_map::Entry<'_, K, AuditRecord>, record: AuditRecord) {
    fn common<T: PartialEq>(all: &mut Option<T>, one: Option<&T>) {
        if all.as_ref() != one {
            *all = None;
        }
    }
    let time_ms = record.time_ms;
    let all = entry.or_insert_with(|| AuditRecord {
        repeats: Some(Repeats { count: 0, since_ms: time_ms }),
        ..record.clone()
    });
    if let Some(repeats) = &mut all.repeats {
        repeats.count += 1;
        repeats.since_ms = repeats.since_ms.min(time_ms);
    }
    all.time_ms = all.time_ms.max(time_ms);
    common(&mut all.access_key, record.access_key.as_ref());
    common(&mut all.product, record.product.as_ref());
    common(&mut all.action, record.action.as_ref());
    common(&mut all.resource, record.resource.as_ref());
    common(&mut all.code, record.code.as_ref());
    if all.source != record.source {
        all.source = network(&record.source).unwrap_or_else(|| MANY.into());
    }
    all.request_id = record.request_id;
}

/// A number for a source: the address, or the network of 64 bits that whoever has an address of version 6 has.
fn source(text: &str) -> u128 {
    match text.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.to_ipv6_mapped().to_bits(),
        Ok(IpAddr::V6(address)) => address.to_bits() & !u128::from(u64::MAX),
        Err(_) => 0,
    }
}

/// The network that [`source`] stands for, if it is one.
fn network(text: &str) -> Option<String> {
    match text.parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => {
            let network = std::net::Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
            Some(format!("{network}/64"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(source: &str, code: &str, number: i64) -> AuditRecord {
        AuditRecord {
            time_ms: number,
            request_id: format!("R{number}"),
            access_key: Some(format!("K{number}")),
            source: source.into(),
            action: Some("DescribeVpcs".into()),
            status: 404,
            code: Some(code.into()),
            ..AuditRecord::default()
        }
    }

    #[test]
    fn a_flood_becomes_one_record_for_each_source_and_code() {
        let mut folder = Folder::new(3);
        let now = Instant::now();
        let singles = (0..1_000).filter_map(|number| folder.take(refusal("192.0.2.1", "A", number), now));
        assert_eq!(singles.count(), 3);
        assert!(folder.take(refusal("192.0.2.1", "B", 5), now).is_none(), "another code is no way round it");
        assert!(folder.take(refusal("192.0.2.2", "A", 5), now).is_some(), "another source has its own");
        assert!(!folder.due(now) && folder.due(now + WINDOW));
        let records = folder.end();
        assert_eq!(records.len(), 2);
        let of_a = records.iter().find(|record| record.code.as_deref() == Some("A")).unwrap();
        assert_eq!(of_a.repeats, Some(Repeats { count: 997, since_ms: 3 }));
        assert_eq!((of_a.time_ms, of_a.source.as_str(), of_a.status), (999, "192.0.2.1", 404));
        assert_eq!((of_a.access_key.as_deref(), of_a.action.as_deref()), (None, Some("DescribeVpcs")));
        assert_eq!((folder.end().len(), folder.due(now + WINDOW)), (0, false));
        assert!(folder.take(refusal("192.0.2.1", "A", 6), now).is_some(), "a new minute");
    }

    /// However many sources there are, what is kept of them is bounded, and nothing is lost of the count.
    #[test]
    fn more_sources_than_are_counted_share_a_pot() {
        let mut folder = Folder::new(2);
        let (now, sources) = (Instant::now(), 100_000_u32);
        let mut singles = 0;
        for number in 0..sources {
            let source = std::net::Ipv4Addr::from_bits(number).to_string();
            let code = format!("C{}", number % 100);
            singles += u64::from(folder.take(refusal(&source, &code, 1), now).is_some());
        }
        assert!(folder.sources.len() <= (2 * SOURCES) as usize && singles == u64::from(2 * SOURCES));
        let records = folder.end();
        assert!(records.len() <= COUNTED + POTS + 1, "{}", records.len());
        let counted: u64 =
            records.iter().filter_map(|record| record.repeats).map(|repeats| repeats.count).sum();
        assert_eq!(counted + singles, u64::from(sources));
        assert!(records.iter().any(|record| record.source == MANY && record.code.is_none()));
    }

    #[test]
    fn who_has_a_network_is_one_source() {
        let mut folder = Folder::new(1);
        let now = Instant::now();
        assert!(folder.take(refusal("2001:db8::1", "A", 1), now).is_some());
        assert!(folder.take(refusal("2001:db8::2", "A", 1), now).is_none());
        assert!(folder.take(refusal("2001:db8::3", "A", 1), now).is_none());
        assert!(folder.take(refusal("2001:db8:0:1::3", "A", 1), now).is_some());
        assert_eq!(folder.end()[0].source, "2001:db8::/64");
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    }
}
