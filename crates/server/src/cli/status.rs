//! `tongguan status`: what an operator wants to see first, read directly from the database, whether the service
//! runs or not.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use tongguan_service::context::{Clock as _, SystemClock, iso8601};
use tongguan_store::{
    AuditHead, DATABASE_FILE, DatabaseState, EXPIRY_DAYS, Fault, Intent, LaneState, NodeRow, Overview, Store,
    serving,
};

use super::paint::Style;
use super::place::PlaceArgs;
use super::terminal::{self, Screen, harmless};

/// Changes under way, and faults, that are shown.
const SHOWN: u32 = 20;

/// Show changes in progress, failures with their reasons, and what expires soon
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

struct Seen {
    now_ms: i64,
    at: At,
    overview: Overview,
    intents: Vec<Intent>,
    faults: Vec<Fault>,
    heads: Vec<AuditHead>,
}

/// What there is to say of where the store is.
enum At {
    Directory { process: Option<Option<u32>>, database_bytes: u64, log_bytes: u64 },
    Shared { state: DatabaseState, nodes: Vec<(NodeRow, u64)>, lanes: Vec<LaneState> },
}

/// Carries out `tongguan status`.
pub(crate) fn run(args: &StatusArgs) -> Result<ExitCode> {
    let archive = args.place.look_at_rows()?;
    let now_ms = archive.read(|snapshot| snapshot.database_ms())?.unwrap_or_else(|| SystemClock.now_ms());
    let (overview, intents, faults) = archive.read(|snapshot| {
        Ok((snapshot.overview(now_ms)?, snapshot.intents(SHOWN)?, snapshot.faults(SHOWN)?))
    })?;
    let at = match args.place.shared()? {
        None => {
            let size = |name: &str| {
                std::fs::metadata(args.place.data_dir.join(name)).map_or(0, |metadata| metadata.len())
            };
            At::Directory {
                process: serving(&args.place.data_dir),
                database_bytes: size(DATABASE_FILE),
                log_bytes: size(&format!("{DATABASE_FILE}-wal")),
            }
        }
        Some(shared) => {
            let (nodes, lanes) =
                archive.read(|snapshot| Ok((snapshot.living_nodes()?, snapshot.lanes()?)))?;
            At::Shared { state: Store::look(shared.hosts()?)?, nodes, lanes }
        }
    };
    let seen = Seen { now_ms, at, overview, intents, faults, heads: archive.audit_heads()? };
    let mut out = terminal::out();
    if args.json {
        out.json(&as_json(&seen))?
    } else {
        tell(&mut out, &seen)?
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(seen: &Seen) -> Value {
    let (gateways, certificates) = (&seen.overview.gateways, &seen.overview.certificates);
    let expiring: serde_json::Map<String, Value> = EXPIRY_DAYS
        .iter()
        .zip(certificates.within)
        .map(|(days, count)| (format!("{days}d"), count.into()))
        .chain([
            ("expired".to_owned(), certificates.expired.into()),
            ("later".to_owned(), certificates.later.into()),
        ])
        .collect();
    let intents = seen.intents.iter().map(|intent| {
        json!({
            "resource": intent.resource,
            "change": intent.change,
            "since": iso8601(intent.since_ms),
            "failedAttempts": intent.attempts,
            "lastError": intent.last_error,
        })
    });
    let faults = seen.faults.iter().map(|fault| {
        json!({
            "resource": fault.resource,
            "change": fault.change,
            "reason": fault.reason,
            "failedAttempts": fault.attempts,
            "since": iso8601(fault.since_ms),
            "givenUp": iso8601(fault.failed_ms),
            "outcome": fault.outcome.as_str(),
        })
    });
    let mut report = json!({
        "gateways": {
            "init": gateways.init,
            "provisioning": gateways.provisioning,
            "active": gateways.active,
            "updating": gateways.updating,
            "deleting": gateways.deleting,
        },
        "underWay": seen.overview.intents,
        "underWayFailing": seen.overview.intents_failing,
        "oldestUnderWaySeconds": seen.overview.oldest_intent_ms / 1000,
        "changes": intents.collect::<Vec<_>>(),
        "faults": faults.collect::<Vec<_>>(),
        "certificatesExpiring": expiring,
    });
    let at = match &seen.at {
        At::Directory { process, database_bytes, log_bytes } => json!({
            "running": process.is_some(),
            "process": process.flatten(),
            "auditHead": seen.heads.first().map(ToString::to_string),
            "databaseBytes": database_bytes,
            "logBytes": log_bytes,
        }),
        At::Shared { state, nodes, lanes } => {
            let nodes = nodes.iter().map(|(node, claims)| {
                json!({"node": node.id, "started": iso8601(node.started_ms), "changes": claims})
            });
            let lanes = lanes.iter().map(|lane| {
                let head = seen.heads.iter().find(|head| head.lane == Some(lane.number));
                json!({"lane": lane.number, "taken": lane.taken, "batches": lane.batches,
                    "auditHead": head.map(|head| head.link.to_string())})
            });
            json!({
                "running": nodes.len() > 0,
                "primary": state.host,
                "timeline": state.timeline,
                "nodes": nodes.collect::<Vec<_>>(),
                "lanes": lanes.collect::<Vec<_>>(),
            })
        }
    };
    if let (Value::Object(report), Value::Object(at)) = (&mut report, at) {
        report.extend(at);
    }
    report
}

/// Who serves the store, and where its audit record ends.
fn tell_where(out: &mut Screen, seen: &Seen) -> Result<()> {
    let paint = out.paint();
    let not_running = paint.paint(Style::Bad, "not running");
    match &seen.at {
        At::Directory { process, database_bytes, log_bytes } => {
            let process = match process {
                None => not_running,
                Some(None) => "running".into(),
                Some(Some(process)) => format!("running, process {process}"),
            };
            writeln!(out, "service       {process}")?;
            writeln!(out, "database      {database_bytes} bytes, write-ahead log {log_bytes} bytes")?;
        }
        At::Shared { state, nodes, lanes } => {
            let running = match nodes.len() {
                0 => not_running,
                1 => "running, 1 node".to_owned(),
                many => format!("running, {many} nodes"),
            };
            writeln!(out, "service       {running}")?;
            for (node, claims) in nodes {
                let started = iso8601(node.started_ms);
                writeln!(out, "  {} since {started}, works on {claims} changes", harmless(&node.id))?;
            }
            writeln!(out, "database      {} (timeline {})", harmless(&state.host), state.timeline)?;
            let taken = lanes.iter().filter(|lane| lane.taken).map(|lane| lane.number.to_string());
            let taken: Vec<_> = taken.collect();
            let which = if taken.is_empty() { String::new() } else { format!(": {}", taken.join(", ")) };
            writeln!(out, "lanes         {} of {} taken{which}", taken.len(), lanes.len())?;
        }
    }
    for head in &seen.heads {
        writeln!(out, "audit head    {head}")?;
    }
    Ok(())
}

fn tell(out: &mut Screen, seen: &Seen) -> Result<()> {
    let paint = out.paint();
    let (gateways, certificates) = (&seen.overview.gateways, &seen.overview.certificates);
    tell_where(out, seen)?;
    writeln!(
        out,
        "gateways      {} active, {} updating, {} provisioning, {} deleting, {} init",
        gateways.active, gateways.updating, gateways.provisioning, gateways.deleting, gateways.init
    )?;
    write!(out, "certificates  {} expired", certificates.expired)?;
    for (days, count) in EXPIRY_DAYS.iter().zip(certificates.within) {
        write!(out, ", {count} within {days} d")?;
    }
    writeln!(out, ", {} later", certificates.later)?;
    writeln!(
        out,
        "under way     {} changes, {} of them failing, the oldest for {} s",
        seen.overview.intents,
        seen.overview.intents_failing,
        seen.overview.oldest_intent_ms / 1000
    )?;
    for intent in &seen.intents {
        let age = seen.now_ms.saturating_sub(intent.since_ms).max(0) / 1000;
        write!(out, "  {} {} for {age} s", intent.resource, intent.change)?;
        match &intent.last_error {
            Some(error) if intent.attempts == 0 => write!(out, ", waits: {}", harmless(error))?,
            Some(error) => write!(out, ", failed {} times: {}", intent.attempts, harmless(error))?,
            None => {}
        }
        writeln!(out)?;
    }
    if seen.faults.is_empty() {
        writeln!(out, "given up      nothing")?;
    } else {
        writeln!(out, "{}", paint.paint(Style::Bad, "given up"))?;
    }
    for fault in &seen.faults {
        writeln!(
            out,
            "  {} {} at {}: {} ({} after {} tries)",
            fault.resource,
            fault.change,
            iso8601(fault.failed_ms),
            harmless(&fault.reason),
            fault.outcome.as_str(),
            fault.attempts
        )?;
    }
    Ok(())
}
