//! `tongguan status`: what an operator wants to see first, read directly from the database, whether the service
//! runs or not.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tongguan_service::context::{Clock as _, SystemClock, iso8601};
use tongguan_store::{Archive, AuditLink, DATABASE_FILE, EXPIRY_DAYS, Fault, Intent, Overview, serving};

use super::paint::Style;
use super::terminal::{self, Screen, harmless};

/// Changes under way, and faults, that are shown.
const SHOWN: u32 = 20;

/// Show changes in progress, failures with their reasons, and what expires soon
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Directory that holds the database
    #[arg(long, env = "TONGGUAN_DATA_DIR", value_name = "DIR", default_value = super::data_directory())]
    data_dir: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

struct Seen {
    now_ms: i64,
    process: Option<Option<u32>>,
    overview: Overview,
    intents: Vec<Intent>,
    faults: Vec<Fault>,
    audit_head: AuditLink,
    database_bytes: u64,
    log_bytes: u64,
}

/// Carries out `tongguan status`.
pub(crate) fn run(args: &StatusArgs) -> Result<ExitCode> {
    let archive = Archive::open(&args.data_dir)?;
    if !archive.current() {
        bail!("the database is of schema {}: a start of the service brings it up", archive.schema());
    }
    let now_ms = SystemClock.now_ms();
    let (overview, intents, faults, audit_head) = archive.read(|snapshot| {
        let head = snapshot.audit_chain()?.head;
        Ok((snapshot.overview(now_ms)?, snapshot.intents(SHOWN)?, snapshot.faults(SHOWN)?, head))
    })?;
    let size =
        |name: String| std::fs::metadata(args.data_dir.join(name)).map_or(0, |metadata| metadata.len());
    let seen = Seen {
        now_ms,
        process: serving(&args.data_dir),
        overview,
        intents,
        faults,
        audit_head,
        database_bytes: size(DATABASE_FILE.into()),
        log_bytes: size(format!("{DATABASE_FILE}-wal")),
    };
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
    json!({
        "running": seen.process.is_some(),
        "process": seen.process.flatten(),
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
        "auditHead": seen.audit_head.to_string(),
        "databaseBytes": seen.database_bytes,
        "logBytes": seen.log_bytes,
    })
}

fn tell(out: &mut Screen, seen: &Seen) -> Result<()> {
    let paint = out.paint();
    let (gateways, certificates) = (&seen.overview.gateways, &seen.overview.certificates);
    let process = match seen.process {
        None => paint.paint(Style::Bad, "not running"),
        Some(None) => "running".into(),
        Some(Some(process)) => format!("running, process {process}"),
    };
    writeln!(out, "service       {process}")?;
    writeln!(out, "database      {} bytes, write-ahead log {} bytes", seen.database_bytes, seen.log_bytes)?;
    writeln!(out, "audit head    {}", seen.audit_head)?;
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
