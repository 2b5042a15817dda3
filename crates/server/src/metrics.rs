//! Metrics, and how they are exported to Prometheus. `docs/metrics.md` lists every metric.
//!
//! Counting a request takes a handful of relaxed additions to counters that were allocated beforehand: one for each
//! operation of the table and code of the catalogue. Nothing that a caller sends becomes a label.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tongguan_service::catalogue::{self, Code};
use tongguan_service::context::{Clock as _, SystemClock};
use tongguan_service::operation::{self, Operation};
use tongguan_service::{Response, Service};
use tongguan_store::{
    AuditClass, COMMIT_BOUNDS_US, ClaimCounts, EXPIRY_DAYS, Overview, SharedStats, WriterStats,
};

use crate::audit_log::Condition;
use crate::connections::{Connections, Held};
use crate::pulse::Pulse;

/// Upper bounds of the buckets of a request's time, nanoseconds.
const BOUNDS_NS: [u64; 15] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
];

/// What the listener counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// One for each operation of the table, and a last one for requests that name none of them.
    operations: Box<[Counts]>,
    /// UNIX milliseconds.
    started_ms: i64,
}

/// What is counted of one operation. On cache lines of its own, so that operations do not slow each other.
#[derive(Debug)]
#[repr(align(128))]
struct Counts {
    granted: AtomicU64,
    /// By place in the catalogue.
    refused: Box<[AtomicU64]>,
    buckets: [AtomicU64; BOUNDS_NS.len() + 1],
    sum_ns: AtomicU64,
}

/// Counts of a histogram: (upper bound in seconds, observations up to it and above the one before).
#[derive(Debug, Clone)]
pub(crate) struct Buckets {
    /// Sum of all observations, seconds.
    pub sum: f64,
    /// Each bucket by itself; the last bound is [`f64::INFINITY`].
    pub counts: Vec<(f64, u64)>,
}

impl Metrics {
    /// Everything at zero.
    #[must_use]
    pub(crate) fn new() -> Self {
        let zeros = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        let counts = || Counts {
            granted: AtomicU64::new(0),
            refused: zeros(catalogue::ALL.len()),
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_ns: AtomicU64::new(0),
        };
        let operations = (0..=operation::ALL.len()).map(|_| counts()).collect();
        Self { operations, started_ms: SystemClock.now_ms() }
    }

    /// Counts an answer that took this long to make.
    pub(crate) fn answered(&self, answer: &Response, took: Duration) {
        let place = answer.operation.and_then(place).unwrap_or(operation::ALL.len());
        let Some(counts) = self.operations.get(place) else { return };
        match answer
            .refusal
            .and_then(|code| catalogue::ALL.iter().position(|known| std::ptr::eq(*known, code)))
        {
            None => counts.granted.fetch_add(1, Ordering::Relaxed),
            Some(code) => counts.refused[code].fetch_add(1, Ordering::Relaxed),
        };
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NS.partition_point(|bound| *bound < took);
        counts.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        counts.sum_ns.fetch_add(took, Ordering::Relaxed);
    }

    fn series(&self) -> impl Iterator<Item = (Option<&'static Operation>, &Counts)> {
        let operations = operation::ALL.iter().copied().map(Some).chain([None]);
        operations.zip(&self.operations)
    }
}

fn place(operation: &'static Operation) -> Option<usize> {
    operation::ALL.iter().position(|known| std::ptr::eq(*known, operation))
}

impl Counts {
    /// Every answer with its code; codes that are in the catalogue twice are counted together.
    fn by_code(&self) -> Vec<(&'static str, u64)> {
        let mut counts: Vec<(&'static str, u64)> = vec![("OK", self.granted.load(Ordering::Relaxed))];
        for (code, count) in catalogue::ALL.iter().zip(&self.refused) {
            let Code { code, .. } = *code;
            let count = count.load(Ordering::Relaxed);
            match counts.iter_mut().find(|(known, _)| known == code) {
                Some((_, sum)) => *sum += count,
                None => counts.push((code, count)),
            }
        }
        counts.retain(|(_, count)| *count > 0);
        counts
    }

    fn times(&self) -> Buckets {
        let bounds =
            BOUNDS_NS.iter().map(|bound| Duration::from_nanos(*bound).as_secs_f64()).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let sum = Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed)).as_secs_f64();
        Buckets { sum, counts: bounds.zip(counts).collect() }
    }
}

/// What a scrape tells of one operation.
#[derive(Debug)]
struct Series {
    product: &'static str,
    operation: &'static str,
    codes: Vec<(&'static str, u64)>,
    times: Buckets,
}

/// Everything that a scrape tells, read at one moment.
#[derive(Debug)]
struct Scrape {
    requests: Vec<Series>,
    connections: u64,
    evicted: u64,
    held: Held,
    workers_silent: Duration,
    throttled: u64,
    unproven: u64,
    cut_short: u64,
    long_work: u64,
    long_work_refused: u64,
    nonces: u64,
    store: WriterStats,
    shared: Option<SharedStats>,
    nodes: u32,
    clock_difference_ms: Option<i64>,
    audit_log: Option<Arc<Condition>>,
    overview: Option<Overview>,
    process: Process,
    started: f64,
}

/// The text of `/metrics`. Without an overview, which the store did not give, its metrics are absent.
///
/// # Errors
/// Never in practice: a text can always be written to memory.
pub(crate) fn render(
    metrics: &Metrics,
    service: &Service,
    connections: &Connections,
    pulse: &Pulse,
    audit_log: Option<&Arc<Condition>>,
    overview: Option<Overview>,
) -> Result<String, Error> {
    let series = metrics.series().map(|(operation, counts)| {
        let (product, action) =
            operation.map_or(("unknown", "unknown"), |known| (known.product.as_str(), known.action));
        Series { product, operation: action, codes: counts.by_code(), times: counts.times() }
    });
    let scrape = Scrape {
        requests: series.filter(|series| !series.codes.is_empty()).collect(),
        connections: connections.open() as u64,
        evicted: connections.evicted(),
        held: connections.held(),
        workers_silent: pulse.silent_for(),
        throttled: service.throttle().refused(),
        unproven: service.failures().counted(),
        cut_short: service.failures().cut_short(),
        long_work: service.work().waiting() as u64,
        long_work_refused: service.work().refused(),
        nonces: service.admission().count() as u64,
        store: service.context().store.stats(),
        shared: service.context().store.shared_stats(),
        nodes: service.context().living().load(Ordering::Relaxed),
        clock_difference_ms: service.context().clock.difference_ms(),
        audit_log: audit_log.cloned(),
        overview,
        process: Process::read(),
        started: Duration::from_millis(u64::try_from(metrics.started_ms).unwrap_or_default()).as_secs_f64(),
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::with_capacity(16 * 1024);
    text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let mut to = Writer(encoder);
        self.encode_requests(&mut to)?;
        self.encode_connections(&mut to)?;
        self.encode_admission(&mut to)?;
        self.encode_store(&mut to)?;
        if let Some(shared) = &self.shared {
            self.encode_shared(&mut to, shared)?;
        }
        if let Some(audit_log) = &self.audit_log {
            encode_audit_log(&mut to, audit_log)?;
        }
        if let Some(overview) = &self.overview {
            encode_overview(&mut to, overview)?;
        }
        let version = [("version", env!("CARGO_PKG_VERSION")), ("target_os", std::env::consts::OS)];
        to.0.encode_descriptor("tongguan_build", "This program.", None, MetricType::Info)?
            .encode_info(&version)?;
        to.gauge("process_resident_memory_bytes", "Resident memory.", self.process.resident)?;
        to.gauge("process_open_fds", "Open file descriptors.", self.process.files)?;
        let mut started = to.0.encode_descriptor(
            "process_start_time_seconds",
            "Start of the process, UNIX time.",
            None,
            MetricType::Gauge,
        )?;
        started.encode_gauge(&self.started)
    }
}

impl Scrape {
    /// What the listener holds.
    fn encode_connections(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        to.gauge("tongguan_connections", "Connections open on the API listener.", self.connections)?;
        to.counter(
            "tongguan_connections_evicted",
            "Connections closed to make room: they waited for their client, and all places were taken.",
            self.evicted,
        )?;
        to.gauges(
            "tongguan_long_bytes",
            "Memory of long heads and bodies that are arriving, and of long answers that clients have not read.",
            "of",
            &[
                ("heads", self.held.heads as u64),
                ("bodies", self.held.bodies as u64),
                ("answers", self.held.answers as u64),
            ],
        )?;
        to.gauge("tongguan_handshakes", "TLS handshakes in progress.", self.held.handshakes as u64)?;
        let mut silent = to.0.encode_descriptor(
            "tongguan_workers_silent_seconds",
            "How long no worker of the API has been free.",
            None,
            MetricType::Gauge,
        )?;
        silent.encode_gauge(&self.workers_silent.as_secs_f64())
    }

    /// What was let in, and what was turned away.
    fn encode_admission(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        to.counter(
            "tongguan_throttled",
            "Requests refused by the rate limit of their account or of their principal within it.",
            self.throttled,
        )?;
        to.counter(
            "tongguan_unproven",
            "Requests refused before the sender was known: unsigned, or wrongly signed.",
            self.unproven,
        )?;
        to.counter(
            "tongguan_unproven_cut_short",
            "Those of them that were answered without details, because their source had sent too many.",
            self.cut_short,
        )?;
        to.gauge("tongguan_long_work", "Queued tasks of long work.", self.long_work)?;
        to.counter(
            "tongguan_long_work_refused",
            "Calls refused because the queue for long work was full.",
            self.long_work_refused,
        )?;
        to.gauge("tongguan_nonces", "Signature nonces remembered.", self.nonces)
    }

    /// What the store has written and removed.
    fn encode_store(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        to.counter("tongguan_store_groups", "Batches of changes committed.", self.store.groups)?;
        to.counter(
            "tongguan_store_groups_again",
            "Batches run again because one of their changes had to be undone.",
            self.store.groups_again,
        )?;
        to.counter("tongguan_store_changes", "Changes committed.", self.store.changes)?;
        to.counter(
            "tongguan_store_audit_records",
            "Audit records of reads and refusals written.",
            self.store.audit_records,
        )?;
        to.counter(
            "tongguan_audit_folded",
            "Refusals of requests without a valid signature that were only counted in the audit record.",
            self.store.audit_folded,
        )?;
        to.counters(
            "tongguan_audit_removed",
            "Audit records purged by retention.",
            "class",
            &by_class(self.store.audit_removed),
        )?;
        to.counters(
            "tongguan_audit_removed_young",
            "Those of them that were younger than they should have been: their account had used up its share.",
            "class",
            &by_class(self.store.audit_removed_young),
        )?;
        to.gauges(
            "tongguan_audit_fullest_percent",
            "How much of its share of the audit record the account with the most records has used.",
            "class",
            &by_class(self.store.audit_fullest),
        )?;
        to.counter(
            "tongguan_store_forged",
            "How often a row that confers rights did not match its seal.",
            self.store.forged,
        )?;
        to.histogram(
            "tongguan_store_commit_seconds",
            "Duration of a batch, from the first statement to the end of the sync.",
            &commits(&self.store),
        )?;
        to.gauge("tongguan_store_log_pages", "Pages in the write-ahead log.", self.store.log_pages)
    }

    /// The database that several nodes share, as this one sees it.
    fn encode_shared(&self, to: &mut Writer<'_>, shared: &SharedStats) -> Result<(), Error> {
        to.gauge(
            "tongguan_nodes",
            "Nodes that share the database and live, this one among them.",
            u64::from(self.nodes),
        )?;
        let mut difference = to.0.encode_descriptor(
            "tongguan_clock_difference_seconds",
            "How far the clock of this machine is ahead of that of the database.",
            None,
            MetricType::Gauge,
        )?;
        let milliseconds = self.clock_difference_ms.unwrap_or_default();
        let difference_s = Duration::from_millis(milliseconds.unsigned_abs()).as_secs_f64();
        difference.encode_gauge(&if milliseconds < 0 { -difference_s } else { difference_s })?;
        to.gauge("tongguan_database_lanes", "Lanes that this node has taken.", shared.lanes)?;
        to.gauge("tongguan_database_lent", "Connections for reading that are in use.", shared.lent)?;
        to.counter(
            "tongguan_database_waited",
            "How often a read had to wait for a connection.",
            shared.waited,
        )?;
        to.counter(
            "tongguan_database_crowded",
            "How often no connection became free in time, and a call was refused.",
            shared.crowded,
        )?;
        to.counters(
            "tongguan_database_connects",
            "Connections opened to the primary, and how often none was found.",
            "outcome",
            &[("opened", shared.opened), ("no_primary", shared.unopened)],
        )?;
        to.counter(
            "tongguan_database_retries",
            "Batches and questions about nonces that were tried again.",
            shared.retries,
        )?;
        to.counters(
            "tongguan_database_unknown",
            "Batches whose commit was not answered, by what was found when they were looked up.",
            "outcome",
            &[
                ("committed", shared.committed),
                ("not_committed", shared.not_committed),
                ("untold", shared.untold),
            ],
        )?;
        to.gauge(
            "tongguan_database_timeline",
            "Highest timeline of the database that this node has seen: it rises with each failover.",
            u64::from(shared.timeline),
        )?;
        let host = [("host", shared.host.as_deref().unwrap_or_default())];
        let about = "The host that was the primary when a connection was last opened.";
        to.0.encode_descriptor("tongguan_database_primary", about, None, MetricType::Info)?.encode_info(&host)
    }

    fn encode_requests(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        let mut metric = to.0.encode_descriptor(
            "tongguan_requests",
            "Requests answered, by operation and code.",
            None,
            MetricType::Counter,
        )?;
        for Series { product, operation, codes, .. } in &self.requests {
            for (code, count) in codes {
                let labels = [("product", *product), ("operation", *operation), ("code", *code)];
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(count, None)?;
            }
        }
        let mut metric = to.0.encode_descriptor(
            "tongguan_request_duration_seconds",
            "From the head of a request to its answer.",
            None,
            MetricType::Histogram,
        )?;
        for Series { operation, times, .. } in &self.requests {
            encode_buckets(metric.encode_family(&[("operation", *operation)])?, times)?;
        }
        Ok(())
    }
}

fn by_class(counts: [u64; AuditClass::ALL.len()]) -> Vec<(&'static str, u64)> {
    AuditClass::ALL.iter().map(|class| class.as_str()).zip(counts).collect()
}

fn encode_overview(to: &mut Writer<'_>, overview: &Overview) -> Result<(), Error> {
    let gateways = &overview.gateways;
    to.gauges(
        "tongguan_gateways",
        "VPN gateways, by status.",
        "status",
        &[
            ("init", gateways.init),
            ("provisioning", gateways.provisioning),
            ("updating", gateways.updating),
            ("active", gateways.active),
            ("deleting", gateways.deleting),
        ],
    )?;
    to.gauge("tongguan_intents", "Changes accepted and not yet applied.", overview.intents)?;
    to.gauge(
        "tongguan_intents_failing",
        "Those of them that have failed at least once.",
        overview.intents_failing,
    )?;
    let faults = &overview.faults;
    to.gauges(
        "tongguan_faults",
        "Changes that could not be applied, by outcome; `tongguan status` names them.",
        "outcome",
        &[
            ("retrying", faults.retrying),
            ("withdrawing", faults.withdrawing),
            ("withdrawn", faults.withdrawn),
            ("diverged", faults.diverged),
        ],
    )?;
    let mut oldest = to.0.encode_descriptor(
        "tongguan_oldest_intent_age_seconds",
        "Age of the oldest change not yet applied; 0 if there is none.",
        None,
        MetricType::Gauge,
    )?;
    oldest.encode_gauge(&Duration::from_millis(overview.oldest_intent_ms).as_secs_f64())?;
    if let Some(ClaimCounts { intents, leases }) = overview.claims {
        to.gauge("tongguan_claims", "Changes that this node has claimed.", intents)?;
        let about = "Other work that one node does at a time and this one has a lease of.";
        to.gauge("tongguan_leases", about, leases)?;
    }
    let certificates = &overview.certificates;
    let days = EXPIRY_DAYS.map(|days| format!("{days}d"));
    let mut counts = vec![("expired", certificates.expired)];
    counts.extend(days.iter().map(String::as_str).zip(certificates.within));
    counts.push(("later", certificates.later));
    to.gauges(
        "tongguan_certificates_expiring",
        "Issued certificates by time to expiry; each is counted once, in the first class that fits.",
        "within",
        &counts,
    )
}

/// The store's commit times, as a histogram.
fn commits(stats: &WriterStats) -> Buckets {
    let seconds = |us: u64| Duration::from_micros(us).as_secs_f64();
    let bounds = COMMIT_BOUNDS_US.iter().map(|us| seconds(*us)).chain([f64::MAX]);
    Buckets { sum: seconds(stats.commit_us), counts: bounds.zip(stats.commits).collect() }
}

fn encode_buckets(mut encoder: MetricEncoder<'_>, buckets: &Buckets) -> Result<(), Error> {
    let count = buckets.counts.iter().map(|(_, count)| count).sum();
    encoder.encode_histogram::<NoLabelSet>(buckets.sum, count, &buckets.counts, None)
}

/// What the audit log has written.
fn encode_audit_log(to: &mut Writer<'_>, audit_log: &Condition) -> Result<(), Error> {
    to.counter(
        "tongguan_audit_log_records",
        "Audit records appended to the file of --audit-log.",
        audit_log.written(),
    )?;
    to.counter("tongguan_audit_log_failures", "How often that has failed.", audit_log.failures())?;
    let failing = u64::from(audit_log.trouble().is_some());
    to.gauge("tongguan_audit_log_failing", "1 while it cannot be written, else 0.", failing)?;
    to.gauge(
        "tongguan_audit_log_behind",
        "Audit records of the database that wait to be appended.",
        audit_log.behind(),
    )
}

/// Writes metrics that have no labels, or one.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (of, value) in values {
            metric.encode_family(&[(label, *of)])?.encode_counter::<NoLabelSet, _, u64>(value, None)?;
        }
        Ok(())
    }

    fn gauges(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (of, value) in values {
            metric.encode_family(&[(label, *of)])?.encode_gauge(value)?;
        }
        Ok(())
    }

    /// A histogram whose counts somebody else keeps.
    fn histogram(&mut self, name: &str, help: &str, buckets: &Buckets) -> Result<(), Error> {
        encode_buckets(self.0.encode_descriptor(name, help, None, MetricType::Histogram)?, buckets)
    }
}

/// What the kernel knows of this process.
#[derive(Debug, Default)]
struct Process {
    resident: u64,
    files: u64,
}

impl Process {
    /// Zeros where there is no `/proc`.
    fn read() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = kib.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        // The directory itself was one of them.
        Self { resident: kib.unwrap_or(0) * 1024, files: (files as u64).saturating_sub(1) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn answer(operation: Option<&'static Operation>, refusal: Option<&'static Code>) -> Response {
        let code = refusal.map(|code| code.code.to_owned());
        let (status, body) = (200, Vec::new());
        Response {
            status,
            content_type: "",
            body,
            request_id: String::new(),
            code,
            refusal,
            operation,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn answers_are_counted_by_operation_and_code() {
        let metrics = Metrics::new();
        let last = operation::ALL.last().copied();
        for took in [0, 99_999, 100_000, 100_001, 3_000_000_000, u64::MAX] {
            metrics.answered(&answer(last, None), Duration::from_nanos(took));
        }
        // Two entries of the catalogue with one code.
        for code in [&catalogue::REQUEST_MALFORMED, &catalogue::CLIENT_TOKEN, &catalogue::MISSING] {
            metrics.answered(&answer(None, Some(code)), Duration::ZERO);
        }
        let series: Vec<_> = metrics.series().filter(|(_, counts)| !counts.by_code().is_empty()).collect();
        assert_eq!(series.len(), 2);
        assert_eq!(series[0].0.map(|known| known.action), last.map(|known| known.action));
        assert_eq!(series[0].1.by_code(), [("OK", 6)]);
        let buckets: Vec<u64> = series[0].1.times().counts.iter().map(|(_, count)| *count).collect();
        assert_eq!((buckets[0], buckets[1], buckets[14], buckets[15]), (3, 1, 1, 1));
        let mut codes = series[1].1.by_code();
        codes.sort_unstable();
        assert_eq!(codes, [("InvalidParameter", 2), ("Missing<Param>", 1)]);
    }

    #[test]
    fn counting_is_cheap() {
        const TIMES: u32 = 200_000;
        let metrics = Metrics::new();
        let granted = answer(operation::ALL.last().copied(), None);
        let refused = answer(None, catalogue::ALL.last().copied());
        for (what, answer) in [("granted", granted), ("refused", refused)] {
            let begun = Instant::now();
            for number in 0..TIMES {
                metrics
                    .answered(std::hint::black_box(&answer), Duration::from_nanos(u64::from(number) * 100));
            }
            let each = begun.elapsed() / TIMES;
            println!("counting an answer ({what}): {each:?}");
            assert!(each < Duration::from_micros(20), "{each:?}");
        }
    }
}
