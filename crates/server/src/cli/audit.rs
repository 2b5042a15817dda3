//! `tongguan audit`: who called what, from where, and what became of it; read from the database itself, whether
//! the service runs or not.
//!
//! While it runs, records of reads and refusals are a tenth of a second behind. If it does not, those that it left
//! in its journal are shown too; they get their numbers with the next start. In a database that several nodes share
//! each lane has a chain of records: they are shown in the order of their times.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tongguan_model::policy::matches_wildcard;
use tongguan_service::audit;
use tongguan_service::context::{Clock as _, SystemClock, iso8601};
use tongguan_store::{Archive, AuditRecord, Repeats, Snapshot, StoreError, Vouched, serving};

use super::paint::{Paint, Style};
use super::place::PlaceArgs;
use super::terminal::{self, cells, harmless, harmless_json, padded};
use crate::secrets::KeyArgs;

/// How often `--follow` looks for new records.
const PAUSE: Duration = Duration::from_millis(200);
/// Records read at one time: nobody at the other end of a slow pipe holds the database's log up.
const AT_ONCE: usize = 1_000;

/// Show the audit record: every call, granted or refused. The service may be running
#[derive(Debug, Args)]
#[command(
    after_help = "Patterns know `*` and `?`, and letters of either case are the same. Times are UTC.\n\
    Exit codes: 0 done (also if nothing matches), 2 wrong usage, 65 the database is damaged or missing, \
    74 a file cannot be read, 75 (--begin-anew) a service is running."
)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Only calls of this account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Only calls of principals like this, such as `root`, `user/alice`, `assumed-role/*` or an ARN
    #[arg(long, value_name = "PATTERN")]
    principal: Option<String>,
    /// Only calls with this access key, and the call that created it
    #[arg(long, value_name = "ID")]
    access_key: Option<String>,
    /// Only operations like this, such as `CreateVpc` or `vpc:Dissociate*`
    #[arg(long, value_name = "PATTERN")]
    action: Option<String>,
    /// Only calls on resources like this
    #[arg(long, value_name = "PATTERN")]
    resource: Option<String>,
    /// Only calls from this address or network, such as `10.0.0.0/8`
    #[arg(long, value_name = "ADDRESS", value_parser = network)]
    source: Option<IpNet>,
    /// Only calls that were refused with a code like this
    #[arg(long, value_name = "PATTERN")]
    code: Option<String>,
    /// Only calls that were granted, or refused
    #[arg(long, value_enum)]
    outcome: Option<Outcome>,
    /// Only the call with this request id
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only calls since then: `15m`, `1h 30m`, `7d` ago, `2026-11-23` or `2026-11-23T08:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Only calls before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
    /// Number of newest records; 0 for all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Keep printing new calls until interrupted
    #[arg(long)]
    follow: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Print number and hash of the newest record instead, to be kept elsewhere for `check --audit-head`; of a shared
    /// database those of each lane's chain
    #[arg(long, conflicts_with_all = ["follow", "begin_anew"])]
    head: bool,
    /// Start a new chain of records, after `check` has found the old one broken: existing records stay, and
    /// are no longer checked. The service must be stopped
    #[arg(long, conflicts_with = "follow")]
    begin_anew: bool,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Outcome {
    Granted,
    Refused,
}

impl Outcome {
    fn of(record: &AuditRecord) -> Self {
        if record.code.is_none() && record.status < 400 { Self::Granted } else { Self::Refused }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for people
    Text,
    /// A JSON object a line
    Json,
}

/// A moment as it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// So many milliseconds ago.
    Ago(i64),
    /// UNIX milliseconds.
    At(i64),
}

impl Moment {
    fn unix_ms(self, now_ms: i64) -> i64 {
        match self {
            Self::Ago(ms) => now_ms.saturating_sub(ms),
            Self::At(ms) => ms,
        }
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    let wrong = || format!("`{text}` is neither like 90s, 1h 30m or 7d nor like 2026-11-23T08:00:00Z");
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Moment::At(at.as_millisecond()));
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| wrong())?;
        return Ok(Moment::At(midnight.timestamp().as_millisecond()));
    }
    let ago = tongguan_dataplane::duration(text).and_then(|ago| i64::try_from(ago.as_millis()).ok());
    ago.map(Moment::Ago).ok_or_else(wrong)
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address.or_else(|_| text.parse()).map_err(|_| format!("`{text}` is neither an address nor a network"))
}

/// Which records are wanted.
struct Wanted<'a> {
    args: &'a AuditArgs,
    since_ms: i64,
    until_ms: i64,
}

impl Wanted<'_> {
    fn has(&self, record: &AuditRecord) -> bool {
        let args = self.args;
        let same = |wanted: &Option<String>, there: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| there.is_some_and(|there| there.eq_ignore_ascii_case(wanted)))
        };
        let like = |wanted: &Option<String>, there: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| there.is_some_and(|there| matches_wildcard(wanted, there)))
        };
        (self.since_ms..self.until_ms).contains(&record.time_ms)
            && same(&args.account, record.account.as_deref())
            && (same(&args.access_key, record.access_key.as_deref())
                || same(&args.access_key, record.issued.as_deref()))
            && same(&args.request_id, Some(&record.request_id))
            && like(&args.resource, record.resource.as_deref())
            && like(&args.code, record.code.as_deref())
            && args.outcome.is_none_or(|outcome| outcome == Outcome::of(record))
            && args.source.is_none_or(|network| within(&network, &record.source))
            && (like(&args.action, record.action.as_deref()) || like(&args.action, Some(&operation(record))))
            && (like(&args.principal, record.principal.as_deref())
                || like(&args.principal, arn(record).as_deref()))
    }
}

/// Product and operation, as permissions are written.
fn operation(record: &AuditRecord) -> String {
    let action = record.action.as_deref().unwrap_or_default();
    match &record.product {
        Some(product) => format!("{}:{action}", product.to_lowercase()),
        None => action.to_owned(),
    }
}

fn arn(record: &AuditRecord) -> Option<String> {
    let (account, principal) = (record.account.as_ref()?, record.principal.as_ref()?);
    Some(format!("acs:ram::{account}:{principal}"))
}

fn within(network: &IpNet, source: &str) -> bool {
    // Calls that were counted may have come from a network.
    let counted = || source.parse::<IpNet>().is_ok_and(|counted| network.contains(&counted));
    let within = |address: IpAddr| network.contains(&address) || network.contains(&address.to_canonical());
    source.parse::<IpAddr>().map_or_else(|_| counted(), within)
}

/// Carries out `tongguan audit`.
pub(crate) async fn run(args: AuditArgs) -> Result<ExitCode> {
    if args.begin_anew {
        return tokio::task::block_in_place(|| begin_anew(&args));
    }
    match show(&args).await {
        // Whoever reads has seen enough.
        Err(error) if broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn begin_anew(args: &AuditArgs) -> Result<ExitCode> {
    // What cannot be read is told as what it is, before it is opened for a change.
    drop(args.place.look()?);
    let (store, vault, now_ms) = args.place.open_unsealed(&args.keys)?;
    let begun = audit::begin_anew(&store, &vault, now_ms)?;
    drop(store);
    let mut out = terminal::out();
    if begun.is_empty() {
        writeln!(out, "the chain of every lane is whole: none begins anew")?;
    }
    for head in args.place.look()?.audit_heads()? {
        if begun.contains(&head.lane) {
            writeln!(out, "the chain begins anew with {head}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(args: &AuditArgs) -> Result<()> {
    let archive = args.place.look_at_rows()?;
    if args.head {
        let mut out = terminal::out();
        let heads = archive.audit_heads()?;
        return heads.iter().try_for_each(|head| Ok(writeln!(out, "{head}")?));
    }
    let now_ms = SystemClock.now_ms();
    let wanted = Wanted {
        args,
        since_ms: args.since.map_or(i64::MIN, |moment| moment.unix_ms(now_ms)),
        until_ms: args.until.map_or(i64::MAX, |moment| moment.unix_ms(now_ms)),
    };
    let mut signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let printer = Printer { format: args.format, paint: terminal::out().paint() };
    let data_dir = &args.place.data_dir;
    let alone = !archive.is_shared() && serving(data_dir).is_none();
    let left = if alone { archive.journal_left(data_dir)? } else { Vec::new() };
    let mut left: Vec<_> = left.into_iter().filter(|record| wanted.has(record)).collect();
    if args.follow && !left.is_empty() {
        let what = left.len();
        terminal::tell(&format!("{what} more wait in the journal for the next start"));
        left.clear();
    }
    let mut reading = Reading { archive: &archive, wanted: &wanted, printer, chains: Vec::new() };
    if args.limit == 0 {
        reading.rest()?;
    } else {
        reading.newest(args.limit, &mut left)?;
    }
    printer.print(left.into_iter().map(|record| Shown { lane: None, seq: None, record, vouched: None }))?;
    if !args.follow {
        return Ok(());
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => reading.rest()?,
            _ = signals.0.recv() => return Ok(()),
            _ = signals.1.recv() => return Ok(()),
        }
    }
}

/// Reads the records of all chains, in the order of their times.
struct Reading<'a> {
    archive: &'a Archive,
    wanted: &'a Wanted<'a>,
    printer: Printer,
    chains: Vec<Chain>,
}

/// A chain of records, and how far it was read.
struct Chain {
    /// Of which lane; none of the embedded store's.
    lane: Option<i64>,
    /// Number of the last that was read.
    last: i64,
    /// Records that are wanted and were not printed yet.
    waiting: VecDeque<Shown>,
    /// There are no more at present.
    over: bool,
}

impl Reading<'_> {
    /// Looks which chains have records that were not read.
    fn look(&mut self) -> Result<()> {
        for (lane, last) in self.archive.last_records()? {
            match self.chains.iter_mut().find(|chain| chain.lane == lane) {
                Some(chain) => chain.over = last <= chain.last,
                None => {
                    self.chains.push(Chain { lane, last: i64::MIN, waiting: VecDeque::new(), over: false });
                }
            }
        }
        Ok(())
    }

    /// Prints the newest records that are wanted, as many as fit with those of the journal.
    fn newest(&mut self, limit: usize, left: &mut Vec<AuditRecord>) -> Result<()> {
        let mut more = left.len() > limit;
        left.drain(..left.len().saturating_sub(limit));
        let room = limit - left.len();
        self.look()?;
        for chain in &mut self.chains {
            more |= chain.newest(self.archive, room, self.wanted)?;
        }
        let mut found = VecDeque::new();
        while let Some(next) = self.next() {
            found.push_back(next);
            if found.len() > room {
                found.pop_front();
                more = true;
            }
        }
        if more {
            terminal::tell(&format!("the newest {limit}; --limit shows more"));
        }
        self.printer.print(found.into_iter())
    }

    /// Prints every record that is wanted and was not read yet.
    fn rest(&mut self) -> Result<()> {
        self.look()?;
        loop {
            for chain in self.chains.iter_mut().filter(|chain| chain.waiting.is_empty()) {
                chain.read_on(self.archive, self.wanted)?;
            }
            let mut found = Vec::new();
            // Until it must be known what else a chain has.
            while self.chains.iter().all(|chain| chain.over || !chain.waiting.is_empty())
                && let Some(next) = self.next()
            {
                found.push(next);
            }
            self.printer.print(found.into_iter())?;
            if self.chains.iter().all(|chain| chain.over && chain.waiting.is_empty()) {
                return Ok(());
            }
        }
    }

    /// Of the records that were read, the oldest.
    fn next(&mut self) -> Option<Shown> {
        let time = |chain: &Chain| chain.waiting.front().map(|next| (next.record.time_ms, chain.lane));
        let chain = self
            .chains
            .iter_mut()
            .filter(|chain| !chain.waiting.is_empty())
            .min_by_key(|chain| time(chain))?;
        chain.waiting.pop_front()
    }
}

impl Chain {
    /// Reads the newest records that are wanted, so many at most; answers whether there are more.
    fn newest(&mut self, archive: &Archive, limit: usize, wanted: &Wanted<'_>) -> Result<bool> {
        let (mut last, mut more, mut found) = (0, false, Vec::new());
        archive.read_now(self.lane, |snapshot| {
            snapshot.audit_newest(|seq, record| {
                last = last.max(seq);
                if wanted.has(&record) {
                    if found.len() >= limit {
                        more = true;
                        return ControlFlow::Break(());
                    }
                    found.push(Shown { lane: self.lane, seq: Some(seq), record, vouched: None });
                }
                ControlFlow::Continue(())
            })?;
            vouch(snapshot, &mut found)
        })?;
        // Without any record there is no number to go on from but the first.
        (self.last, self.over) = (last, true);
        self.waiting.extend(found.into_iter().rev());
        Ok(more)
    }

    /// Reads on until there is a record that is wanted, or none is left.
    fn read_on(&mut self, archive: &Archive, wanted: &Wanted<'_>) -> Result<()> {
        while self.waiting.is_empty() && !self.over {
            let (mut found, mut seen) = (Vec::new(), 0);
            archive.read_now(self.lane, |snapshot| {
                snapshot.audit_after(self.last, |seq, record| {
                    self.last = seq;
                    seen += 1;
                    if wanted.has(&record) {
                        found.push(Shown { lane: self.lane, seq: Some(seq), record, vouched: None });
                    }
                    if seen < AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
                vouch(snapshot, &mut found)
            })?;
            self.waiting.extend(found);
            self.over = seen < AT_ONCE;
        }
        Ok(())
    }
}

/// A record to be shown.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Of which lane's chain it is, in a database that several nodes share.
    pub lane: Option<i64>,
    /// Its number; it has none while it waits in the journal.
    pub seq: Option<i64>,
    /// The record.
    pub record: AuditRecord,
    /// Whether the chain vouches for it, once that was looked at.
    pub vouched: Option<Vouched>,
}

/// Looks whether the chain vouches for records, in the state that they were read from.
///
/// # Errors
/// A database error.
pub(crate) fn vouch(snapshot: &Snapshot<'_>, shown: &mut [Shown]) -> Result<(), StoreError> {
    let chain = snapshot.audit_chain()?;
    for Shown { seq, vouched, .. } in shown {
        *vouched = seq.map(|seq| snapshot.vouched(&chain, seq)).transpose()?;
    }
    Ok(())
}

/// What the chain says of a record, as tools read it.
fn word(vouched: Option<Vouched>) -> &'static str {
    match vouched {
        Some(Vouched::Chain) => "whole",
        Some(Vouched::Before) => "before",
        Some(Vouched::No) => "broken",
        None => "waiting",
    }
}

#[derive(Clone, Copy)]
struct Printer {
    format: Format,
    paint: Paint,
}

impl Printer {
    fn print(self, records: impl Iterator<Item = Shown>) -> Result<()> {
        let mut out = terminal::out().watched().buffered();
        if self.format == Format::Json {
            for shown in records {
                writeln!(out, "{}", as_json(&shown))?;
            }
            return Ok(out.flush()?);
        }
        for line in self.lines(records) {
            writeln!(out, "{line}")?;
        }
        Ok(out.flush()?)
    }

    /// Lines whose columns stand below each other.
    fn lines(self, records: impl Iterator<Item = Shown>) -> Vec<String> {
        let rows: Vec<_> = records.map(|shown| self.row(&shown)).collect();
        let mut widths = [0; 5];
        for row in &rows {
            for (width, (column, least)) in widths.iter_mut().zip(row.columns.iter().zip(LEAST)) {
                *width = cells(column).clamp(least, MOST).max(*width);
            }
        }
        let line = |row: &Row| {
            let columns = row.columns.iter().zip(widths).map(|(column, width)| padded(column, width) + "  ");
            format!("{}{}{}", row.before, columns.collect::<String>(), row.after)
        };
        rows.iter().map(line).collect()
    }

    fn row(self, shown: &Shown) -> Row {
        let record = &shown.record;
        let outcome = Outcome::of(record);
        let style = if outcome == Outcome::Granted { Style::Good } else { Style::Bad };
        let answer = match &record.code {
            Some(code) => format!("{} {}", record.status, harmless(code)),
            None => record.status.to_string(),
        };
        let who = match (&record.account, &record.principal, &record.access_key) {
            (Some(account), Some(principal), _) => format!("{account}/{principal}"),
            (_, _, Some(key)) => format!("key {key}"),
            _ => "-".to_owned(),
        };
        let operation = operation(record);
        let operation = if operation.is_empty() { "-" } else { &operation };
        let more = [("made", &record.issued), ("by", &record.origin), ("as", &record.source_identity)];
        let mut more: String = more
            .into_iter()
            .filter_map(|(what, text)| text.as_ref().map(|text| format!("  {what} {}", harmless(text))))
            .collect();
        if let Some(Repeats { count, since_ms }) = record.repeats {
            more += &format!("  {count} times since {}", iso8601(since_ms));
        }
        match shown.vouched {
            Some(Vouched::Chain) | None => {}
            Some(Vouched::Before) => more += "  (from before the chain: not checked)",
            Some(Vouched::No) => {
                more += &self.paint.paint(Style::Bad, "  (NOT OF THE CHAIN: run `tongguan check`)")
            }
        }
        Row {
            before: format!("{}  {}  ", iso8601(record.time_ms), self.paint.paint(style, outcome.as_str())),
            columns: [
                harmless(&who),
                harmless(&record.source),
                harmless(operation),
                harmless(record.resource.as_deref().unwrap_or("-")),
                harmless(&record.request_id),
            ],
            after: answer + &more,
        }
    }
}

/// Cells that a column has at least: account and principal, source, operation, resource, id of the request.
const LEAST: [usize; 5] = [21, 15, 24, 1, 36];
/// Cells up to which a column is widened; what is longer stands out by itself.
const MOST: usize = 64;

/// A record as it is shown: what always takes the same room, columns, the rest.
struct Row {
    before: String,
    columns: [String; 5],
    after: String,
}

/// A record as a line of JSON, as tools read it: of `audit --format json`, and of the audit log.
pub(crate) fn as_json(Shown { lane, seq, record, vouched }: &Shown) -> String {
    let time = |ms| jiff::Timestamp::from_millisecond(ms).map(|time| format!("{time:.3}")).ok();
    let mut object = json!({
        "seq": seq,
        "chain": word(*vouched),
        "time": time(record.time_ms),
        "requestId": record.request_id,
        "outcome": Outcome::of(record).as_str(),
        "account": record.account,
        "principal": record.principal,
        "accessKeyId": record.access_key,
        "source": record.source,
        "product": record.product,
        "action": record.action,
        "resource": record.resource,
        "status": record.status,
        "code": record.code,
        "issued": record.issued,
        "origin": record.origin,
        "sourceIdentity": record.source_identity,
        "changed": record.changed,
        "repeats": record.repeats.map(|repeats| repeats.count),
        "since": record.repeats.and_then(|repeats| time(repeats.since_ms)),
    });
    if let Some(lane) = lane {
        object["lane"] = json!(lane);
    }
    harmless_json(&object.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_the_whole_text() {
        for (pattern, text, expected) in [
            ("vpc:Dissociate*", "vpc:DissociateVpnGatewayWithCertificate", true),
            ("createvpc", "CreateVpc", true),
            ("Create", "CreateVpc", false),
            ("*Vpc", "CreateVpcVpc", true),
            ("*a*b*", "xxaxxbx", true),
            ("*a*b*", "xxbxxa", false),
            ("user/?", "user/é", true),
            ("", "", true),
            ("**", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches_wildcard(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn moments_and_networks() {
        assert_eq!(moment("15m"), Ok(Moment::Ago(900_000)));
        assert_eq!(moment("7d").map(|ago| ago.unix_ms(0)), Ok(-604_800_000));
        assert_eq!(moment("2026-11-23T08:00:00Z"), Ok(Moment::At(1_795_420_800_000)));
        assert_eq!(moment("2026-11-23T16:00:00.5+08:00"), Ok(Moment::At(1_795_420_800_500)));
        assert_eq!(moment("2026-11-23"), Ok(Moment::At(1_795_392_000_000)));
        assert_eq!(moment("1h 30m"), Ok(Moment::Ago(5_400_000)));
        assert_eq!(moment("2w"), Ok(Moment::Ago(1_209_600_000)));
        for wrong in ["", "m", "-5m", "5", "1mo", "99999999999999999999s", "yesterday", "5é"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
        let from = |wanted: &str, source: &str| within(&network(wanted).unwrap(), source);
        assert!(from("10.0.0.0/8", "10.1.2.3") && from("10.1.2.3", "::ffff:10.1.2.3"));
        assert!(!from("10.0.0.0/8", "11.1.2.3") && !from("10.1.2.3", "local"));
        assert!(from("fd00::/8", "fd00::1") && network("10.0.0.0/33").is_err());
    }

    #[test]
    fn what_a_caller_sends_does_not_reach_the_terminal() {
        let hostile = "\u{1b}]0;x\u{9b}2J\u{7f}\u{61c}\u{ad}\u{2060}\u{e0041}  b\nc";
        let of = |text: &'static str| AuditRecord {
            account: Some(text.into()),
            principal: Some(text.into()),
            access_key: Some(text.into()),
            source: text.into(),
            request_id: text.into(),
            product: Some(text.into()),
            action: Some(text.into()),
            resource: Some(text.into()),
            code: Some(text.into()),
            issued: Some(text.into()),
            origin: Some(text.into()),
            source_identity: Some(text.into()),
            ..AuditRecord::default()
        };
        let shown = |record: AuditRecord| Shown { lane: None, seq: None, record, vouched: None };
        let shown_hostile = shown(of(hostile));
        let (line, record) = (as_json(&shown_hostile), &shown_hostile.record);
        assert!(line.is_ascii() && !line.contains(char::is_control), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["action"].as_str(), record.action.as_deref());
        // Columns are two blanks apart: no caller makes one more.
        let printer = Printer { format: Format::Text, paint: Paint::Plain };
        let lines = printer.lines([shown_hostile, shown(of("plain"))].into_iter());
        let columns = |line: &str| line.split("  ").filter(|column| !column.trim().is_empty()).count();
        assert_eq!(columns(&lines[0]), columns(&lines[1]), "{lines:?}");
        assert!(lines[0].is_ascii() && !lines[0].contains(char::is_control), "{lines:?}");
    }

    #[test]
    fn columns_stand_below_each_other_whatever_the_names() {
        let of = |principal: &str, resource: &str| Shown {
            lane: None,
            seq: Some(1),
            record: AuditRecord {
                account: Some("1234567890123456".into()),
                principal: Some(principal.into()),
                resource: Some(resource.into()),
                source: "127.0.0.1".into(),
                request_id: "R".into(),
                status: 200,
                ..AuditRecord::default()
            },
            vouched: None,
        };
        let printer = Printer { format: Format::Text, paint: Paint::Plain };
        let shown = [
            of("root", "vpn-1"),
            of("user/somebody-with-a-long-name", "通关网关"),
            of("user/x", &"x".repeat(80)),
        ];
        let lines = printer.lines(shown.into_iter());
        let place = |line: &str, column: &str| cells(&line[..line.find(column).unwrap()]);
        for column in ["127.0.0.1", "R "] {
            assert_eq!(place(&lines[0], column), place(&lines[1], column), "{lines:#?}");
        }
        assert_eq!(place(&lines[0], "127.0.0.1"), place(&lines[2], "127.0.0.1"), "{lines:#?}");
    }
}
