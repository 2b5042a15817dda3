//! `tongguan check`: whether a database, or a backup, is consistent.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use tongguan_service::audit;
use tongguan_service::check::{self, Verdict};
use tongguan_store::{AUDIT_RULE, Archive, AuditHead, HeadFate, NoLink};

use super::paint::Style;
use super::place::PlaceArgs;
use super::terminal::{self, Screen, harmless};
use crate::exit;
use crate::secrets::{self, KeyArgs};

/// Check a database: structure, relations, values, keys. The service may be running
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Check this file, such as a backup, instead
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    /// Check that the audit record still contains this record, as `tongguan audit --head` printed it; several lines of
    /// it are several records
    #[arg(long, value_name = "NUMBER:HASH")]
    audit_head: Vec<Heads>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Heads, one on each line.
#[derive(Debug, Clone)]
struct Heads(Vec<AuditHead>);

impl FromStr for Heads {
    type Err = NoLink;

    fn from_str(text: &str) -> Result<Self, NoLink> {
        text.trim().lines().map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// Checks and tells; the exit code is 0 if all is well and 65 if not.
pub(crate) fn run(args: &CheckArgs) -> Result<ExitCode> {
    let archive = match (&args.file, args.place.database.database.is_some()) {
        (Some(_), true) => bail!("give one of --file and --database"),
        (Some(file), false) => Archive::open_file(file)?,
        (None, _) => args.place.look()?,
    };
    let vault = secrets::look(&args.place.data_dir, &args.keys, args.file.is_some(), &archive)?;
    let kept: Vec<AuditHead> = args.audit_head.iter().flat_map(|Heads(heads)| heads).copied().collect();
    if let Some(strange) = kept.iter().find(|head| !archive.has_chain(head)) {
        let is = if archive.is_shared() {
            "a shared database has one for each lane"
        } else {
            "there are no lanes here"
        };
        bail!("`{strange}` is no head of a chain of audit records: {is}");
    }
    let verdicts = check::everything_and(&archive, vault.as_ref(), &kept)?;
    // Of an older schema, or of a damaged database, nothing is known of heads.
    let heads = audit::heads(&archive, vault.as_ref(), &kept).unwrap_or_default();
    let notes: Vec<_> = heads.iter().filter_map(|(head, fate)| note(head, *fate)).collect();
    let sound = verdicts.iter().all(|verdict| verdict.findings.is_empty());
    // Of an older schema, or of a damaged database, there are none.
    let ends = archive.audit_heads().unwrap_or_default();
    let mut out = terminal::out();
    if args.json {
        let rules: Vec<_> = verdicts
            .iter()
            .map(|verdict| {
                let findings: Vec<_> = verdict.findings.iter().map(|finding| &finding.what).collect();
                json!({"rule": verdict.rule, "findings": findings})
            })
            .collect();
        let mut report = json!({"sound": sound, "schema": archive.schema(), "rules": rules, "notes": notes});
        if archive.is_shared() {
            let ends = ends.iter();
            let ends = ends.map(|head| json!({"lane": head.lane, "auditHead": head.link.to_string()}));
            report["lanes"] = ends.collect();
        } else {
            report["auditHead"] = json!(ends.first().map(ToString::to_string));
        }
        out.json(&report)?;
    } else {
        tell(&mut out, &archive, &verdicts, &ends)?;
        notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(exit::DATA) })
}

/// What is to be said of a head that is not there and was not replaced either.
fn note(head: &AuditHead, fate: HeadFate) -> Option<String> {
    let seq = match head.lane {
        Some(lane) => format!("{} of lane {lane}", head.link.seq),
        None => head.link.seq.to_string(),
    };
    match fate {
        HeadFate::There | HeadFate::Replaced | HeadFate::BeforeChain | HeadFate::Missing => None,
        HeadFate::Removed { compared: true } => {
            Some(format!("record {seq} was removed by retention; it was the one that was kept elsewhere"))
        }
        HeadFate::Removed { compared: false } => Some(format!(
            "record {seq} was removed by retention too long ago to compare its hash: keep a newer head"
        )),
    }
}

fn tell(out: &mut Screen, archive: &Archive, verdicts: &[Verdict], ends: &[AuditHead]) -> Result<()> {
    let paint = out.paint();
    writeln!(out, "schema {}", archive.schema())?;
    if !archive.current() {
        writeln!(out, "an older schema: only its structure is checked; a start of the service brings it up")?;
    }
    for Verdict { rule, findings } in verdicts {
        let mark = if findings.is_empty() {
            paint.paint(Style::Good, "ok   ")
        } else {
            paint.paint(Style::Bad, "FAULT")
        };
        writeln!(out, "{mark} {rule}")?;
        for finding in findings {
            writeln!(out, "      {}", harmless(&finding.what))?;
        }
    }
    for head in ends {
        writeln!(out, "audit head {head}")?;
    }
    let faults: usize = verdicts.iter().map(|verdict| verdict.findings.len()).sum();
    if faults == 0 {
        writeln!(out, "the database is sound")?;
    } else {
        // What the audit record says is in doubt, and nothing else: a backup would not mend that.
        let mut findings = verdicts.iter().flat_map(|verdict| &verdict.findings);
        let advice = if findings.all(|finding| finding.rule == AUDIT_RULE) {
            "keep a copy, find out who it was, then stop the service and `tongguan audit --begin-anew`"
        } else {
            "stop the service and restore a backup into a new data directory"
        };
        writeln!(out, "{faults} faults: {advice}")?;
    }
    Ok(())
}
