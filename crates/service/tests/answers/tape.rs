//! A recording: calls and their answers, a line each, in a file that people can compare.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::exchange::Answer;
use crate::mask::Mask;

/// A longer answer is written once in a file; where it is given again stands its print.
const LONG: usize = 160;
/// One letter so often, or more, is written as a number and the letter.
const RUN: usize = 40;
/// Differences of one file that are shown.
const SHOWN: usize = 4;

/// Begins the line of a call.
pub(crate) const CALL: &str = "> ";

/// A recording that is being made.
pub(crate) struct Tape {
    /// Path of the file below `recorded/`.
    name: String,
    lines: Vec<String>,
    long: HashSet<String>,
    pub mask: Mask,
    pub calls: usize,
}

/// Whether recordings are to be written anew.
pub(crate) fn recording() -> bool {
    std::env::var_os("TONGGUAN_RECORD").is_some_and(|value| value == "1")
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/answers/recorded")
}

impl Tape {
    pub(crate) fn new(name: &str, mask: Mask) -> Self {
        Self { name: name.to_owned(), lines: Vec::new(), long: HashSet::new(), mask, calls: 0 }
    }

    /// A line between calls.
    pub(crate) fn say(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    /// A call, and how it was answered.
    pub(crate) fn note(&mut self, call: &str, answer: &Answer) {
        self.calls += 1;
        self.lines.push(format!("{CALL}{}", one_line(call)));
        let body = answer.body.replace(&answer.request_id, "<request>");
        let body = one_line(&self.mask.text(&body));
        let body = shortened(answer, &body).unwrap_or(body);
        let mut line = answer.status.to_string();
        let usual = ["application/json;charset=utf-8", "text/xml;charset=utf-8"];
        if usual[usize::from(body.starts_with("<?xml"))] != answer.content_type
            && body.starts_with(['<', '{'])
        {
            let _ = write!(line, " (content-type: {})", answer.content_type);
        }
        for warning in &answer.warnings {
            let _ = write!(line, " (x-tongguan-warning: {})", self.mask.text(warning));
        }
        if body.len() <= LONG {
            let _ = write!(line, " {body}");
        } else {
            let print = print(&body);
            let known = !self.long.insert(print.clone());
            let _ = if known { write!(line, " #{print}") } else { write!(line, " #{print} {body}") };
        }
        self.lines.push(line);
    }

    /// Writes the recording, or compares it with the one that is kept; answers what is different.
    pub(crate) fn end(self) -> Result<usize, String> {
        let path = folder().join(&self.name);
        let text = self.lines.join("\n") + "\n";
        if recording() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            return Ok(self.calls);
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        if kept == text { Ok(self.calls) } else { Err(self.differences(&kept)) }
    }

    fn differences(&self, kept: &str) -> String {
        let mut report = format!("recorded/{}:\n", self.name);
        if kept.is_empty() {
            report.push_str("  there is no recording\n");
            return report;
        }
        let (kept, lines) = (full_lines(kept), full_lines(&self.lines.join("\n")));
        let mut shown = 0;
        let mut call = "";
        for place in 0..kept.len().max(lines.len()) {
            let before = kept.get(place).map_or("(nothing)", String::as_str);
            let now = lines.get(place).map_or("(nothing)", String::as_str);
            if now.starts_with(CALL) {
                call = now;
            }
            if before == now {
                continue;
            }
            shown += 1;
            if shown > SHOWN {
                report.push_str("  and more\n");
                break;
            }
            let same = before.char_indices().zip(now.chars()).find(|((_, a), b)| a != b);
            let same = same.map_or(before.len().min(now.len()), |((place, _), _)| place);
            let _ = write!(
                report,
                "  line {}: {call}\n    recorded: {}\n    answered: {}\n",
                place + 1,
                around(before, same),
                around(now, same)
            );
            if before.starts_with(CALL) != now.starts_with(CALL) {
                report.push_str("  (other calls: what follows is not compared)\n");
                break;
            }
        }
        report
    }
}

/// The lines of a recording, with every long answer in full.
pub(crate) fn full_lines(text: &str) -> Vec<String> {
    let mut long = HashMap::new();
    let line = |line: &str| {
        let marked =
            line.split_once(" #").filter(|(status, _)| !line.starts_with('#') && status.len() < LONG);
        let Some((status, rest)) = marked else { return line.to_owned() };
        let (print, body) = rest.split_once(' ').unwrap_or((rest, ""));
        if print.len() != PRINT {
            return line.to_owned();
        }
        if !body.is_empty() {
            long.insert(print.to_owned(), body.to_owned());
        }
        format!("{status} {}", long.get(print).map_or("", String::as_str))
    };
    text.lines().map(line).collect()
}

/// Characters of a print.
const PRINT: usize = 8;

fn print(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    digest.as_ref()[..PRINT / 2].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text about the byte `place`.
fn around(text: &str, place: usize) -> String {
    const SIDE: usize = 300;
    if text.len() <= 2 * SIDE {
        return text.to_owned();
    }
    let (mut from, mut to) = (place.saturating_sub(SIDE), (place + SIDE).min(text.len()));
    while !text.is_char_boundary(from) {
        from -= 1;
    }
    while !text.is_char_boundary(to) {
        to += 1;
    }
    format!("…{}…", &text[from..to])
}

fn one_line(text: &str) -> String {
    let text = text.replace('\n', "␊").replace('\r', "␍");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(letter) = rest.chars().next() {
        let run = rest.len() - rest.trim_start_matches(letter).len();
        if run >= RUN * letter.len_utf8() {
            let _ = write!(out, "<{}*{letter}>", run / letter.len_utf8());
        } else {
            out.push_str(&rest[..run]);
        }
        rest = &rest[run..];
    }
    out
}

/// Code and message of an error whose body has the usual form to the last byte: what else stands in it follows from
/// them.
fn shortened(answer: &Answer, body: &str) -> Option<String> {
    let status = answer.status;
    let json = body.strip_prefix(r#"{"RequestId":"<request>","HostId":"vpc.test","Code":""#);
    if let Some(rest) = json {
        let (code, rest) = rest.split_once(r#"","Message":""#)?;
        let (message, rest) = rest.split_once(r#"","Recommend":""#)?;
        let (link, rest) = rest.split_once('"')?;
        let product = link_product(link, code, "&")?;
        let (detail, rest) = match rest.strip_prefix(r#","AccessDeniedDetail":"#) {
            Some(rest) => rest.split_once('}').map(|(detail, rest)| (format!(" {detail}}}"), rest))?,
            None => (String::new(), rest),
        };
        let kms = format!(r#","HttpStatus":{status}}}"#);
        let end = if product == "Kms" && rest != "}" { kms.as_str() } else { "}" };
        return (rest == end).then(|| short(product, kms == rest, code, message, &detail));
    }
    let rest = body.strip_prefix("<?xml version='1.0' encoding='UTF-8'?>")?;
    let kms = rest.starts_with("<KMS>");
    let root = if kms { "KMS" } else { "Error" };
    let head = format!("<{root}><RequestId><request></RequestId><HostId>vpc.test</HostId><Code>");
    let (code, rest) = rest.strip_prefix(head.as_str())?.split_once("</Code><Message>")?;
    let (message, rest) = rest.split_once("</Message><Recommend>")?;
    let (link, rest) = rest.split_once("</Recommend>")?;
    let product = link_product(link, code, "&amp;")?;
    let (detail, rest) = match rest.strip_prefix("<AccessDeniedDetail>") {
        Some(rest) => {
            rest.split_once("</AccessDeniedDetail>").map(|(detail, rest)| (format!(" {detail}"), rest))?
        }
        None => (String::new(), rest),
    };
    let end = if kms { format!("<HttpStatus>{status}</HttpStatus></KMS>") } else { "</Error>".to_owned() };
    (rest == end && (!kms || product == "Kms"))
        .then(|| format!("(xml) {}", short(product, kms, code, message, &detail)))
}

fn short(product: &str, repeats_status: bool, code: &str, message: &str, detail: &str) -> String {
    // Kms repeats the status in the body once the operation is known.
    let marked = if repeats_status { "Kms!" } else { product };
    format!("{marked} {code}: {message}{detail}")
}

/// The product in the link of an error's body, if the link is the usual one.
fn link_product<'a>(link: &'a str, code: &str, and: &str) -> Option<&'a str> {
    let code: String = code
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let rest = link.strip_prefix("https://api.aliyun.com/troubleshoot?q=")?.strip_prefix(code.as_str())?;
    let rest = rest.strip_suffix("requestId=<request>")?.strip_suffix(and)?;
    if rest.is_empty() {
        return Some("-");
    }
    rest.strip_prefix(and)?.strip_prefix("product=")
}
