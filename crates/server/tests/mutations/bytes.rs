//! Requests that are changed after they were signed: single bytes, lines, framing, the target.

use crate::parameters;
use crate::random::Random;
use crate::recorded::Recorded;

/// A change: what is counted under its name, and the change itself.
type Change = (&'static str, fn(&mut Vec<u8>, &[Recorded], &mut Random));

const CHANGES: [Change; 18] = [
    ("bit", |bytes, _, random| {
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
    }),
    ("byte", |bytes, _, random| {
        let at = random.below(bytes.len());
        bytes[at] = *random.pick(b"\0\n\r\t %&=+:;,/?#\x7f\x80\xff\"\\<");
    }),
    ("byte inserted", |bytes, _, random| {
        let at = random.below(bytes.len());
        bytes.insert(at, *random.pick(b"\0\n\r\t %&=+:;,/?#\x7f\x80\xff\"\\<"));
    }),
    ("range dropped", |bytes, _, random| {
        let (start, end) = range(bytes, random);
        bytes.drain(start..end);
    }),
    ("range doubled", |bytes, _, random| {
        let (start, end) = range(bytes, random);
        let copy = bytes[start..end].to_vec();
        bytes.splice(start..start, copy);
    }),
    ("spliced", |bytes, recorded, random| {
        let other = &random.pick(recorded).bytes;
        bytes.truncate(random.below(bytes.len()));
        bytes.extend_from_slice(&other[random.below(other.len())..]);
    }),
    ("cut off", |bytes, _, random| bytes.truncate(random.below(bytes.len()))),
    ("line doubled", |bytes, _, random| {
        let (start, end) = header(bytes, random);
        let copy = bytes[start..end].to_vec();
        bytes.splice(start..start, copy);
    }),
    ("line dropped", |bytes, _, random| {
        let (start, end) = header(bytes, random);
        bytes.drain(start..end);
    }),
    ("bare LF", |bytes, _, random| {
        let all = random.once_in(2);
        let mut first = true;
        bytes.retain(|byte| {
            let goes = *byte == b'\r' && (all || std::mem::take(&mut first));
            !goes
        });
    }),
    ("content length", |bytes, _, random| {
        let lengths =
            ["-1", "99999999999999999999", "0", "+5", "5, 5", "5, 6", "0x10", "", "1e3", "\0", "７", "12345"];
        let line = format!("Content-Length: {}\r\n", random.pick(&lengths));
        if random.once_in(2) {
            without(bytes, b"content-length:");
        }
        insert_line(bytes, line.as_bytes());
    }),
    ("chunked", chunked),
    ("version", |bytes, _, random| {
        let versions =
            ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "http/1.1", "HTTP/1.1 ", "", "HTTP/11"];
        replace(bytes, b"HTTP/1.1", random.pick(&versions).as_bytes());
    }),
    ("method", |bytes, _, random| {
        let methods = [
            "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get", "G\0T", "", "X", "POST ",
        ];
        let end = bytes.iter().position(|byte| *byte == b' ').unwrap_or(0);
        bytes.splice(..end, random.pick(&methods).bytes());
    }),
    ("target", target),
    ("percent", |bytes, _, random| {
        let texts = ["%", "%zz", "%00", "%ff", "%u1234", "%25%30%30", "+", "%C3", "%e9%80%9a", "%0d%0a"];
        let end = bytes.iter().position(|byte| *byte == b'\r').unwrap_or(bytes.len());
        let at = bytes[..end].iter().position(|byte| *byte == b'?').map_or(end, |at| at + 1);
        let at = at + random.below(end - at);
        bytes.splice(at..at, random.pick(&texts).bytes());
    }),
    ("header", headers),
    ("body", body),
];

/// A recorded request, as it was or signed now, with one to three changes; and the kind of the last one.
pub(crate) fn mutated(recorded: &[Recorded], random: &mut Random) -> (&'static str, Vec<u8>) {
    let call = random.pick(recorded);
    let mut bytes =
        if random.once_in(2) { call.bytes.clone() } else { parameters::as_recorded(call, random) };
    let mut name = "unchanged";
    for _ in 0..1 + random.below(3) {
        let (kind, change) = *random.pick(&CHANGES);
        if !bytes.is_empty() {
            change(&mut bytes, recorded, random);
            name = kind;
        }
    }
    if random.once_in(50) {
        bytes.extend_from_slice(&random.pick(recorded).bytes);
        name = "two at once";
    }
    (name, bytes)
}

fn range(bytes: &[u8], random: &mut Random) -> (usize, usize) {
    let start = random.below(bytes.len());
    (start, (start + 1 + random.below(40)).min(bytes.len()))
}

/// A line of the head, its end included.
fn header(bytes: &[u8], random: &mut Random) -> (usize, usize) {
    let ends: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').map(|at| at + 1).collect();
    match random.below(ends.len()) {
        at if at + 1 < ends.len() => (ends[at], ends[at + 1]),
        _ => (0, 0),
    }
}

/// Puts a line after the first one.
fn insert_line(bytes: &mut Vec<u8>, line: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    bytes.splice(at..at, line.iter().copied());
}

/// Leaves out the lines that begin so, in any case.
fn without(bytes: &mut Vec<u8>, name: &[u8]) {
    let kept: Vec<&[u8]> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| !line.to_ascii_lowercase().starts_with(name))
        .collect();
    *bytes = kept.concat();
}

fn replace(bytes: &mut Vec<u8>, old: &[u8], new: &[u8]) {
    if let Some(at) = bytes.windows(old.len()).position(|window| window == old) {
        bytes.splice(at..at + old.len(), new.iter().copied());
    }
}

/// The body in chunks, most of them wrong, some with a length beside them.
fn chunked(bytes: &mut Vec<u8>, _: &[Recorded], random: &mut Random) {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return };
    let body = bytes.split_off(head + 4);
    let shown = String::from_utf8_lossy(&body).into_owned();
    let whole = format!("{:x}\r\n{shown}\r\n0\r\n\r\n", shown.len());
    let text = match random.below(12) {
        0 => whole,
        1 => whole.replace("0\r\n\r\n", "0\r\nx: y\r\n\r\n"),
        2 => "zz\r\nabc\r\n0\r\n\r\n".to_owned(),
        3 => "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n".to_owned(),
        4 => "-1\r\n\r\n0\r\n\r\n".to_owned(),
        5 => "5;ext=\"\"\r\nabcde\r\n0\r\n\r\n".to_owned(),
        6 => "5\nabcde\n0\n\n".to_owned(),
        7 => "5\r\nabcdefgh\r\n0\r\n\r\n".to_owned(),
        8 => "1\r\na".to_owned(),
        9 => format!("{whole}GET / HTTP/1.1\r\nHost: smuggled\r\n\r\n"),
        10 => "1\r\na\r\n".repeat(500) + "0\r\n\r\n",
        _ => format!("5;{}\r\nabcde\r\n0\r\n\r\n", "x".repeat(20_000)),
    };
    bytes.extend_from_slice(text.as_bytes());
    if !random.once_in(3) {
        without(bytes, b"content-length:");
    }
    let codings = [
        "chunked",
        "chunked",
        "chunked",
        "Chunked",
        "gzip, chunked",
        "identity",
        "chunked, gzip",
        "xchunked",
    ];
    insert_line(bytes, format!("Transfer-Encoding: {}\r\n", random.pick(&codings)).as_bytes());
    if random.once_in(6) {
        insert_line(bytes, b"Transfer-Encoding: identity\r\n");
    }
}

fn target(bytes: &mut Vec<u8>, _: &[Recorded], random: &mut Random) {
    let Some(start) = bytes.iter().position(|byte| *byte == b' ').map(|at| at + 1) else { return };
    let end = bytes[start..].iter().position(|byte| *byte == b' ').map_or(bytes.len(), |at| start + at);
    let old = String::from_utf8_lossy(&bytes[start..end]).into_owned();
    let new = match random.below(16) {
        0 => format!("http://vpc.test{old}"),
        1 => format!("https://user:word@vpc.test:99999{old}"),
        2 => "*".to_owned(),
        3 => "vpc.test:443".to_owned(),
        4 => format!("/..{old}"),
        5 => format!("/%2e%2e/x{old}"),
        6 => format!("//{old}"),
        7 => format!("{old}#fragment"),
        8 => format!("{old}?{old}"),
        9 => format!("/?x={}", "y".repeat(70 * 1024)),
        10 => format!("/?x={}", "y".repeat(60 * 1024)),
        11 => format!("/?{}", "a&".repeat(1_500)),
        12 => format!("/?{}=1", "n".repeat(300)),
        13 => format!("{old}&Action=x&Action=y"),
        14 => String::new(),
        _ => format!("{old} {old}"),
    };
    bytes.splice(start..end, new.bytes());
}

fn headers(bytes: &mut Vec<u8>, _: &[Recorded], random: &mut Random) {
    let line = match random.below(20) {
        0 => " folded: x\r\n".to_owned(),
        1 => "Host : x\r\n".to_owned(),
        2 => "x: a\0b\r\n".to_owned(),
        3 => "no colon\r\n".to_owned(),
        4 => "x: y\r\n".repeat(150),
        5 => format!("x: {}\r\n", "y".repeat(300 * 1024)),
        6 => "Host: other\r\n".to_owned(),
        7 => "Host: \r\n".to_owned(),
        8 => "Host: a b/\u{e4}\"<>\r\n".to_owned(),
        9 => "Expect: 100-continue\r\n".to_owned(),
        10 => "Connection: close\r\n".to_owned(),
        11 => {
            "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n".to_owned()
        }
        12 => "Content-Encoding: gzip\r\n".to_owned(),
        13 => "Accept: application/xml;q=, ,;,text/\u{0}\r\n".to_owned(),
        14 => "Authorization: ACS3-HMAC-SHA256 Credential=,,=,Signature\r\n".to_owned(),
        15 => format!("Authorization: ACS4-HMAC-SHA256 Credential={}\r\n", "/".repeat(5_000)),
        16 => "Content-Type: application/x-www-form-urlencoded\r\nContent-Type: text/plain\r\n".to_owned(),
        17 => "x-acs-date: 9999-99-99T99:99:99Z\r\n".to_owned(),
        18 => ": no name\r\n".to_owned(),
        _ => "Content-Type: application/x-www-form-urlencoded; charset=\u{ff}\r\n".to_owned(),
    };
    insert_line(bytes, line.as_bytes());
}

fn body(bytes: &mut Vec<u8>, _: &[Recorded], random: &mut Random) {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return };
    bytes.truncate(head + 4);
    let body: Vec<u8> = match random.below(8) {
        0 => b"x=\xff\xfe".to_vec(),
        1 => b"{\"Action\":\"x\"}".to_vec(),
        2 => b"GET / HTTP/1.1\r\nHost: smuggled\r\n\r\n".to_vec(),
        3 => b"&".repeat(5_000),
        4 => b"a=%".to_vec(),
        5 if random.once_in(8) => vec![b'x'; 1_200_000],
        6 if random.once_in(8) => vec![b'x'; 3_000_000],
        _ => (0..200).map(|_| random.byte()).collect(),
    };
    without(bytes, b"content-length:");
    insert_line(bytes, format!("Content-Length: {}\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(&body);
}
