//! Closed-loop load: some keep-alive connections, one request under way on each, requests made beforehand.
//!
//! While it measures, the generator never sleeps. Waking a sleeping thread on another core costs the waker
//! microseconds, and a server slower than its ceiling would pay them more often than the ceiling does.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tongguan_testkit::http::Connection;

use crate::latency::Latencies;
use crate::machine::cpu_time;

/// Most requests of one window: they are made beforehand and kept in memory.
const REQUESTS: usize = 400_000;
/// Requests of the trial on each connection, by which the window's number is chosen.
const TRIAL: usize = 32;

/// Whom to load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) pid: u32,
}

/// How to load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Connections.
    pub(crate) connections: usize,
    /// About how long.
    pub(crate) length: Duration,
}

/// What was found in one window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// Per second.
    pub(crate) rate: f64,
    /// Median latency, milliseconds.
    pub(crate) p50: f64,
    /// 99th percentile, milliseconds.
    pub(crate) p99: f64,
    /// Processor time of the target for each request, microseconds.
    pub(crate) cpu_us: f64,
    /// Share of the window in which the target was on its core.
    pub(crate) busy: f64,
}

/// Clock and processor times at the start of a window.
pub(crate) struct Stopwatch {
    begun: Instant,
    target: Duration,
    pid: u32,
}

/// Requests in one piece of memory.
#[derive(Debug, Default)]
struct Requests {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// What the connections of a window share.
struct Shared {
    requests: Requests,
    next: Cell<usize>,
    wrong: Cell<usize>,
    first_wrong: RefCell<Option<String>>,
}

/// Makes requests, sends them all, and tells how that went. A trial finds how many fill the window.
///
/// # Errors
/// A connection breaks, or an answer is not 200.
pub(crate) async fn measure(target: Target, plan: Plan, make: &mut dyn FnMut() -> Vec<u8>) -> Result<Window> {
    let trial = blast(target, plan.connections, Requests::make(plan.connections * TRIAL, make)).await?;
    let count = (trial.rate * plan.length.as_secs_f64()).ceil() as usize;
    let count = count.clamp(plan.connections * TRIAL, REQUESTS);
    blast(target, plan.connections, Requests::make(count, make)).await
}

async fn blast(target: Target, connections: usize, requests: Requests) -> Result<Window> {
    let count = requests.ends.len();
    let shared = Rc::new(Shared {
        requests,
        next: Cell::new(0),
        wrong: Cell::new(0),
        first_wrong: RefCell::new(None),
    });
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(target.address).await?);
    }
    let mut lanes = JoinSet::new();
    let watch = Stopwatch::start(target.pid)?;
    for connection in open {
        lanes.spawn_local(lane(connection, Rc::clone(&shared)));
    }
    let awake = stay_awake();
    let mut latencies = Latencies::with_capacity(count);
    while let Some(lane) = lanes.join_next().await {
        latencies.append(lane.context("a lane panicked")??);
    }
    drop(awake);
    let wrong = shared.wrong.get();
    let first = shared.first_wrong.borrow();
    let first = first.as_deref().unwrap_or_default();
    ensure!(wrong == 0, "{wrong} of {count} answers were not 200; the first: {first}");
    watch.stop(latencies)
}

/// Keeps the runtime looking for events instead of sleeping, until dropped.
#[must_use]
pub(crate) fn stay_awake() -> impl Drop {
    struct Awake(tokio::task::JoinHandle<()>);
    impl Drop for Awake {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    Awake(tokio::task::spawn_local(async {
        loop {
            tokio::task::yield_now().await;
        }
    }))
}

async fn lane(mut connection: Connection, shared: Rc<Shared>) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    while let Some(request) = shared.requests.get(shared.next.replace(shared.next.get() + 1)) {
        let begun = Instant::now();
        let answer = connection.exchange(request).await?;
        latencies.add(begun.elapsed());
        if answer.status != 200 {
            shared.wrong.set(shared.wrong.get() + 1);
            shared
                .first_wrong
                .borrow_mut()
                .get_or_insert_with(|| format!("{} {}", answer.status, answer.text()));
        }
    }
    Ok(latencies)
}

impl Stopwatch {
    /// Starts.
    ///
    /// # Errors
    /// The processor time of `pid` cannot be read.
    pub(crate) fn start(pid: u32) -> Result<Self> {
        Ok(Self { target: cpu_time(pid)?, pid, begun: Instant::now() })
    }

    /// Stops: as many things were done as there are latencies.
    ///
    /// # Errors
    /// As [`Stopwatch::start`].
    pub(crate) fn stop(self, latencies: Latencies) -> Result<Window> {
        let elapsed = self.begun.elapsed().as_secs_f64();
        let target = cpu_time(self.pid)?.saturating_sub(self.target).as_secs_f64();
        let done = latencies.len() as f64;
        let [p50, p99] = latencies.milliseconds([50, 99]);
        Ok(Window { rate: done / elapsed, p50, p99, cpu_us: target * 1e6 / done, busy: target / elapsed })
    }
}

impl Requests {
    fn make(count: usize, make: &mut dyn FnMut() -> Vec<u8>) -> Self {
        let mut requests = Self::default();
        for _ in 0..count {
            requests.bytes.extend_from_slice(&make());
            requests.ends.push(requests.bytes.len());
        }
        requests
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let begin = index.checked_sub(1).map_or(0, |previous| self.ends[previous]);
        Some(&self.bytes[begin..end])
    }
}

/// Part of a core that a loaded server has if nothing else runs there.
const UNDISTURBED: f64 = 0.9;

impl Window {
    /// Whether the server, which had more to do than it could, was kept from its core.
    pub(crate) fn disturbed(&self) -> bool {
        self.busy < UNDISTURBED
    }
}

/// The windows in which the server had its core; all, if there is no such window.
pub(crate) fn undisturbed(windows: &[Window]) -> Vec<Window> {
    let kept: Vec<_> = windows.iter().copied().filter(|window| !window.disturbed()).collect();
    if kept.is_empty() { windows.to_vec() } else { kept }
}

/// The window whose rate is the median: all its figures belong together.
///
/// # Errors
/// There are no windows.
pub(crate) fn median(mut windows: Vec<Window>) -> Result<Window> {
    windows.sort_unstable_by(|one, other| one.rate.total_cmp(&other.rate));
    windows.get(windows.len() / 2).copied().context("nothing was measured")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disturbed_windows_count_only_if_there_are_no_others() {
        let window = |rate, busy| Window { rate, p50: 1.0, p99: 1.0, cpu_us: 1.0, busy };
        let windows = [window(1.0, 0.5), window(2.0, 0.99), window(3.0, 0.4)];
        assert_eq!(undisturbed(&windows).len(), 1);
        assert_eq!(undisturbed(&windows[..1]).len(), 1);
        assert_eq!(median(windows.to_vec()).unwrap().rate, 2.0);
    }

    #[test]
    fn requests_come_back_one_by_one() {
        let mut count = 0;
        let requests = Requests::make(3, &mut || {
            count += 1;
            vec![b'a'; count]
        });
        assert_eq!(requests.get(0), Some(&b"a"[..]));
        assert_eq!(requests.get(2), Some(&b"aaa"[..]));
        assert_eq!(requests.get(3), None);
    }
}
