//! Everything of the service that is bounded: by what, who can fill it, who would suffer, and what share each has.
//!
//! A bound alone protects the service and nobody in it: who fills it first decides for all others. So each bound
//! here has shares, and the one who is over his share gives way. `tongguan limits` prints the table,
//! `docs/security.md` holds it (a test fails when that is stale), and `tests/bounds/` drives each entry to its bound
//! while another tenant is held to a latency, the success of its calls, and its records; it fails for an entry
//! without a case.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tongguan_model::limits::Quotas;
use tongguan_model::policy::Budget;
use tongguan_service::{authority, throttle, work};
use tongguan_store::{Options, QUEUE, QUEUE_SHARE};

use crate::{admin, connections, http};

/// Who can fill a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filler {
    /// Anybody on the network, without a key.
    Stranger,
    /// A user or session of an account, also one without any right.
    User,
    /// An account, by its own key.
    Tenant,
}

impl Filler {
    /// As the table says it.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Stranger => "nobody",
            Self::User => "user",
            Self::Tenant => "tenant",
        }
    }
}

/// Of what a bound is one, where several nodes share a database. With the embedded store there is one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A call.
    Call,
    /// A node: what it protects is the node's own.
    Node,
    /// A lane, over which a node writes, with a chain of audit records of its own.
    Lane,
    /// All nodes together.
    Nodes,
}

impl Reach {
    /// As the table says it.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "each call",
            Self::Node => "each node",
            Self::Lane => "each lane",
            Self::Nodes => "all nodes",
        }
    }
}

/// One bounded resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// Name, as tests and the table have it.
    pub name: &'static str,
    /// What is bounded.
    pub resource: &'static str,
    /// How much of it there is, with these quotas.
    pub most: fn(&Quotas) -> String,
    /// Of what it is one.
    pub reach: Reach,
    /// The least who can fill it.
    pub filler: Filler,
    /// Who would suffer if there were no shares.
    pub suffers: &'static str,
    /// The share of each.
    pub share: &'static str,
    /// What the one over his share gets.
    pub over: &'static str,
    /// The metric that shows it; empty: none is needed, and `over` says why.
    pub metric: &'static str,
}

/// The table.
pub(crate) const BOUNDS: &[Bound] = &[
    Bound {
        name: "connections",
        resource: "connections of the API listener",
        most: |_| format!("{}", connections::PLACES),
        reach: Reach::Node,
        filler: Filler::Stranger,
        suffers: "all callers",
        share: "of the source with the most, an IPv4 address or an IPv6 /64, one is closed first",
        over: "its connection that has waited longest is closed",
        metric: "tongguan_connections_evicted_total",
    },
    Bound {
        name: "tls-handshakes",
        resource: "TLS handshakes in progress",
        most: |_| format!("{}, {} s each", connections::HANDSHAKES, http::HANDSHAKE_TIME.as_secs()),
        reach: Reach::Node,
        filler: Filler::Stranger,
        suffers: "all callers",
        share: "by source: the total divided by the number of sources, at most half; stalled ones are closed first",
        over: "closed",
        metric: "tongguan_handshakes",
    },
    Bound {
        name: "heads",
        resource: "memory for long heads",
        most: |_| format!("{} MiB", connections::HEADS_BYTES / 1024 / 1024),
        reach: Reach::Node,
        filler: Filler::Stranger,
        suffers: "callers with long heads",
        share: "by bytes received, and by source like handshakes; stalled ones are closed first",
        over: "its connection is closed",
        metric: "tongguan_long_bytes",
    },
    Bound {
        name: "bodies",
        resource: "memory for long bodies",
        most: |_| format!("{} MiB", connections::BODIES_BYTES / 1024 / 1024),
        reach: Reach::Node,
        filler: Filler::Stranger,
        suffers: "callers with long bodies",
        share: "by bytes received, and by source like handshakes; strangers and stalled ones are closed first",
        over: "its connection is closed",
        metric: "tongguan_long_bytes",
    },
    Bound {
        name: "answers",
        resource: "memory for answers that clients have not read",
        most: |_| format!("{} MiB", connections::ANSWERS_BYTES / 1024 / 1024),
        reach: Reach::Node,
        filler: Filler::User,
        suffers: "all callers",
        share: "by source: of the one that has most, the slowest reader is closed first",
        over: "its connection is closed",
        metric: "tongguan_long_bytes",
    },
    Bound {
        name: "admin-places",
        resource: "connections of the admin listener",
        most: |_| format!("{}", admin::CONNECTIONS),
        reach: Reach::Node,
        filler: Filler::Stranger,
        suffers: "probes and scrapes",
        share: "the one that has waited longest is closed first",
        over: "closed",
        metric: "",
    },
    Bound {
        name: "worker-threads",
        resource: "threads that answer calls",
        most: |_| "one per core".to_owned(),
        reach: Reach::Node,
        filler: Filler::Tenant,
        suffers: "all callers, probes, shutdown",
        share: "no call occupies one for long; probes, signals and shutdown have a thread of their own",
        over: "longer work goes to the pool of `long-work`",
        metric: "tongguan_workers_silent_seconds",
    },
    Bound {
        name: "long-work",
        resource: "work of milliseconds: generating keys, verifying certificate chains",
        most: |_| format!("one thread fewer than cores; {} queued, {} per account", work::ALL, work::ACCOUNT),
        reach: Reach::Node,
        filler: Filler::User,
        suffers: "all callers",
        share: "a queue per account, served in turn; a user has half of it, the root key an eighth; the quota of keys is checked first",
        over: "400 `Throttling.User`",
        metric: "tongguan_long_work_refused_total",
    },
    Bound {
        name: "request-rate",
        resource: "calls",
        most: |_| "`--rate-limit` per second and account".to_owned(),
        reach: Reach::Nodes,
        filler: Filler::User,
        suffers: "the account",
        share: "users have 7/8 of the account's rate, a single one 3/4; a call that no policy allows counts ten times against its caller; each node has an equal part",
        over: "400 `Throttling.User`",
        metric: "tongguan_throttled_total",
    },
    Bound {
        name: "failed-signatures",
        resource: "work for requests without a valid signature",
        most: |_| {
            let (rate, burst) = (throttle::FAILURES_PER_SECOND, throttle::FAILURES_BURST);
            format!("{rate} per second and source, bursts of {burst}, {} sources", throttle::SOURCES)
        },
        reach: Reach::Node,
        filler: Filler::Stranger,
        suffers: "all callers",
        share: "by source address, and by source and key id; correctly signed requests from there are still served",
        over: "400 `Throttling`, without details",
        metric: "tongguan_unproven_cut_short_total",
    },
    Bound {
        name: "nonces",
        resource: "signature nonces remembered",
        most: |quotas| format!("{} (quota `nonces`)", quotas.nonces),
        reach: Reach::Nodes,
        filler: Filler::User,
        suffers: "all accounts",
        share: "a quarter is reserved as floors; of the rest each account may hold 4 times what is free, its users likewise; several nodes count together, two seconds late",
        over: "400 `Throttling.User`",
        metric: "tongguan_nonces",
    },
    Bound {
        name: "nonce-log",
        resource: "nonces on disk",
        most: |_| "40 bytes for each of `nonces`; a row on a shared database".to_owned(),
        reach: Reach::Nodes,
        filler: Filler::User,
        suffers: "all accounts",
        share: "as nonces",
        over: "400 `Throttling.User`",
        metric: "tongguan_nonces",
    },
    Bound {
        name: "rights-decision",
        resource: "steps of an authorisation decision",
        most: |_| format!("{} per call", Budget::STEPS),
        reach: Reach::Call,
        filler: Filler::User,
        suffers: "all callers",
        share: "each call has a budget; what is the same for all its resources is decided once",
        over: "403 `Forbidden.PolicyTooComplex`",
        metric: "tongguan_requests_total",
    },
    Bound {
        name: "authority-cache",
        resource: "keys, sessions and policies cached in memory",
        most: |_| format!("{} MiB", authority::KEPT_BYTES / 1024 / 1024),
        reach: Reach::Node,
        filler: Filler::Tenant,
        suffers: "all accounts: their calls query the database",
        share: "an eighth per account",
        over: "its own oldest entries are evicted",
        metric: "",
    },
    Bound {
        name: "client-tokens",
        resource: "ClientTokens remembered",
        most: |quotas| {
            format!("{} per account (quota `client_tokens_per_account`)", quotas.client_tokens_per_account)
        },
        reach: Reach::Nodes,
        filler: Filler::User,
        suffers: "the account",
        share: "a user may hold 4 times what is left to others; an eighth is reserved for the root key",
        over: "400 `Throttling.User`",
        metric: "",
    },
    Bound {
        name: "writer-queue",
        resource: "changes that wait for the writer",
        most: |_| format!("{QUEUE}, {QUEUE_SHARE} per account"),
        reach: Reach::Node,
        filler: Filler::Tenant,
        suffers: "all accounts",
        share: "by account: its share, or what is left to others if that is less",
        over: "400 `Throttling.User`",
        metric: "tongguan_store_changes_total",
    },
    Bound {
        name: "audit-strangers",
        resource: "audit records of calls without a valid signature",
        most: |quotas| format!("{} (quota `audit_strangers`)", quotas.audit_strangers),
        reach: Reach::Lane,
        filler: Filler::Stranger,
        suffers: "whoever reads the record",
        share: "a ring of their own",
        over: "its own oldest are purged",
        metric: "tongguan_audit_removed_total",
    },
    Bound {
        name: "audit-accounts",
        resource: "audit records of an account",
        most: |quotas| {
            let (calls, changes) = (quotas.audit_records, quotas.audit_changes);
            format!(
                "{calls} reads and refusals (quota `audit_records`), {changes} changes and as many issued keys (`audit_changes`)"
            )
        },
        reach: Reach::Lane,
        filler: Filler::User,
        suffers: "whoever reads the record",
        share: "by account; separate for changes, for issued keys, and for reads and refusals",
        over: "its own oldest are purged; a warning if they are young",
        metric: "tongguan_audit_removed_young_total",
    },
    Bound {
        name: "audit-journal",
        resource: "audit records on their way into the database, in memory and on disk",
        most: |_| format!("{} records and a file of 4 MiB", Options::default().audit_backlog),
        reach: Reach::Node,
        filler: Filler::User,
        suffers: "all callers",
        share: "strangers' are folded before they are written; the others are bounded by the rate of their account",
        over: "the call waits until the writer has taken its record",
        metric: "tongguan_store_audit_records_total",
    },
    Bound {
        name: "audit-folding",
        resource: "refusals without a valid signature that are recorded one by one",
        most: |quotas| {
            let each = quotas.audit_strangers_per_minute;
            format!(
                "{each} per minute and source (quota `audit_strangers_per_minute`), {} in total",
                each.saturating_mul(8)
            )
        },
        reach: Reach::Node,
        filler: Filler::Stranger,
        suffers: "the disk, and callers that change something",
        share: "by source: 256 pairs of source and code apart, the rest together for each code",
        over: "counted: one record per minute, source and code",
        metric: "tongguan_audit_folded_total",
    },
    Bound {
        name: "resources",
        resource: "gateways, customer gateways, connections, routes, networks, certificates and requests for them, users, keys, roles, policies, tags",
        most: |_| "the quotas under `[quota]`".to_owned(),
        reach: Reach::Nodes,
        filler: Filler::User,
        suffers: "the account",
        share: "by account",
        over: "400 `QuotaExceeded` or as documented",
        metric: "tongguan_gateways",
    },
    Bound {
        name: "engine",
        resource: "changes being applied",
        most: |quotas| format!("{} s and {} tries each", quotas.apply_seconds, quotas.apply_attempts),
        reach: Reach::Nodes,
        filler: Filler::Tenant,
        suffers: "gateways of all accounts",
        share: "one change per gateway; each has a lease, failed tries back off",
        over: "withdrawn",
        metric: "tongguan_intents",
    },
];

const HEADINGS: [&str; 9] = [
    "name",
    "resource",
    "bound",
    "holds for",
    "who can fill it",
    "who would suffer",
    "share",
    "over the share",
    "metric",
];

/// The cells of an entry, in the order of [`HEADINGS`].
fn cells(bound: &Bound, quotas: &Quotas) -> [String; 9] {
    let text = |text: &str| text.to_owned();
    [
        text(bound.name),
        text(bound.resource),
        (bound.most)(quotas),
        text(bound.reach.as_str()),
        text(bound.filler.as_str()),
        text(bound.suffers),
        text(bound.share),
        text(bound.over),
        if bound.metric.is_empty() { text("–") } else { format!("`{}`", bound.metric) },
    ]
}

/// The table as a page shows it.
#[must_use]
pub(crate) fn markdown(quotas: &Quotas) -> String {
    let mut page = format!("| {} |\n|{}\n", HEADINGS.join(" | "), "---|".repeat(HEADINGS.len()));
    for bound in BOUNDS {
        let _ = writeln!(page, "| {} |", cells(bound, quotas).join(" | "));
    }
    page
}

/// The table as a terminal shows it: a paragraph for each entry.
#[must_use]
pub(crate) fn text(quotas: &Quotas) -> String {
    let mut text = String::new();
    for bound in BOUNDS {
        let [name, resource, most, reach, filler, suffers, share, over, metric] = cells(bound, quotas);
        let _ = writeln!(text, "{name}: {resource}");
        let lines = [
            ("bound", most),
            ("holds for", reach),
            ("filled by", filler),
            ("would suffer", suffers),
            ("share", share),
            ("over it", over),
            ("metric", metric),
        ];
        for (what, value) in lines {
            let _ = writeln!(text, "  {what:<12}  {value}");
        }
        text.push('\n');
    }
    text
}

/// The table, an object for each entry.
#[must_use]
pub(crate) fn as_json(quotas: &Quotas) -> Value {
    let one = |bound: &Bound| {
        json!({
            "name": bound.name,
            "resource": bound.resource,
            "bound": (bound.most)(quotas),
            "holdsFor": bound.reach.as_str(),
            "filledBy": bound.filler.as_str(),
            "suffers": bound.suffers,
            "share": bound.share,
            "over": bound.over,
            "metric": Some(bound.metric).filter(|metric| !metric.is_empty()),
        })
    };
    BOUNDS.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Around the table in `docs/security.md`.
    const MARKS: [&str; 2] = [
        "<!-- Made by `tongguan limits --format markdown`; a test fails when it is stale. -->\n",
        "<!-- end -->",
    ];

    #[test]
    fn the_table_of_the_page_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/security.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (_, rest) = page.split_once(MARKS[0]).expect("the page has the table");
        let (kept, _) = rest.split_once(MARKS[1]).expect("the table ends");
        assert!(kept == markdown(&Quotas::default()), "docs/security.md is stale: run `make docs`");
    }

    #[test]
    fn entries_are_whole_and_named_once() {
        for (place, bound) in BOUNDS.iter().enumerate() {
            let most = (bound.most)(&Quotas::default());
            for text in [bound.name, bound.resource, &most, bound.suffers, bound.share, bound.over] {
                assert!(!text.is_empty() && !text.contains('|'), "{}: {text:?}", bound.name);
            }
            assert!(BOUNDS[..place].iter().all(|other| other.name != bound.name), "{} twice", bound.name);
        }
    }
}
