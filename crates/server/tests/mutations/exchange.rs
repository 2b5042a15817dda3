//! One message to the server, and what comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// For an answer that must come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Statuses that the HTTP library answers by itself, without a body: a request that is none, a target that
/// is too long, a head that is too large.
const OF_THE_LIBRARY: [u16; 3] = [400, 414, 431];

/// A connection that is used for as long as it is open.
pub(crate) struct Client {
    address: String,
    open: Option<TcpStream>,
    /// Body of the last answer.
    pub last_body: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// Status and error code of each answer.
    Answered(Vec<String>),
    /// The connection ended without an answer, as the request was not complete when its sender hung up.
    NeverComplete,
}

/// How much of a message is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// One request and nothing after it.
    One,
    /// One request, and more that may be another.
    More,
    /// The beginning of a request.
    Part,
    /// Head there, length of the body beyond doubt wrong or ambiguous: an error must be answered.
    Wrong,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), open: None, last_body: Vec::new() }
    }

    /// Sends a message and checks what comes back. With `done` it says at once, by ending its half of the
    /// connection, that nothing will follow.
    pub(crate) fn exchange(&mut self, message: &[u8], done: bool) -> Outcome {
        let reused = self.open.is_some();
        let stream = self.open.take().unwrap_or_else(|| self.connect());
        let answers = match self.once(stream, message, done) {
            // The server may have ended the connection meanwhile, as HTTP allows.
            answers if answers.is_empty() && reused => {
                let stream = self.connect();
                self.once(stream, message, done)
            }
            answers => answers,
        };
        if answers.is_empty() {
            let extent = extent(message);
            assert_eq!(extent, Extent::Part, "no answer to {:?}", String::from_utf8_lossy(message));
            return Outcome::NeverComplete;
        }
        let shown = answers.iter().map(|answer| check(answer, message)).collect();
        self.last_body = answers.into_iter().next_back().map(|answer| answer.body).unwrap_or_default();
        Outcome::Answered(shown)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the server accepts connections");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The answers to a message on this connection, which is kept if it is still in step.
    fn once(&mut self, mut stream: TcpStream, message: &[u8], done: bool) -> Vec<Answer> {
        // A server that has seen enough may hang up while the rest is being sent: its answer is there.
        let sent = stream.write_all(message).is_ok();
        let extent = extent(message);
        if extent == Extent::Part || !sent || done {
            // It may have ended already.
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut received = Vec::new();
        let mut answers = Vec::new();
        let mut ended = false;
        while !ended && (answers.is_empty() || extent != Extent::One) {
            ended = !receive(&mut stream, &mut received, message);
            while let Some(answer) = take_answer(&mut received, ended, message) {
                answers.push(answer);
            }
            if !answers.is_empty() && extent != Extent::One {
                let _ = stream.shutdown(Shutdown::Write);
            }
        }
        assert!(received.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(&received));
        let stays = |answer: &Answer| !answer.head.to_ascii_lowercase().contains("\r\nconnection: close");
        if sent && !done && !ended && extent == Extent::One && answers.iter().all(stays) {
            self.open = Some(stream);
        }
        answers
    }
}

/// Reads what is there; false at the end.
fn receive(stream: &mut TcpStream, received: &mut Vec<u8>, message: &[u8]) -> bool {
    let mut buffer = [0; 16 * 1024];
    match stream.read(&mut buffer) {
        Ok(0) => false,
        Ok(count) => {
            received.extend_from_slice(&buffer[..count]);
            true
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("no answer in time to {:?}", String::from_utf8_lossy(message))
        }
        Err(_) => false,
    }
}

/// The first whole answer of what was received.
fn take_answer(received: &mut Vec<u8>, ended: bool, message: &[u8]) -> Option<Answer> {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(received[..end].to_vec()).expect("a head is text");
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|n| n.parse().ok());
    let status: u16 = status.unwrap_or_else(|| panic!("no status line: {head}"));
    if status == 100 {
        received.drain(..end);
        return take_answer(received, ended, message);
    }
    let length = head.to_ascii_lowercase().split_once("\r\ncontent-length: ").map(|(_, rest)| {
        rest.split("\r\n").next().unwrap_or_default().parse::<usize>().expect("a length is a number")
    });
    let rest = &received[end..];
    // An answer to HEAD names the length of a body that is not sent.
    let to_head = message.trim_ascii_start().starts_with(b"HEAD ");
    let perhaps = ended && message.windows(5).any(|five| five == b"HEAD ");
    let unsent = rest.starts_with(b"HTTP/1.") || (rest.is_empty() && (to_head || perhaps));
    let length = if unsent { 0 } else { length.unwrap_or(0) };
    if rest.len() < length {
        return None;
    }
    let body = rest[..length].to_vec();
    received.drain(..end + length);
    Some(Answer { status, head, body })
}

/// An answer is no 5xx, and says in the API's form what is wrong if the service itself gave it.
fn check(answer: &Answer, message: &[u8]) -> String {
    let Answer { status, head, body } = answer;
    let shown = || {
        let text = String::from_utf8_lossy(message);
        format!("{head}{}\nto {text:?}", String::from_utf8_lossy(body))
    };
    assert!((200..500).contains(status), "{}", shown());
    if !head.to_ascii_lowercase().contains("\r\nx-acs-request-id: ") {
        assert!(OF_THE_LIBRARY.contains(status) && body.is_empty(), "{}", shown());
        return format!("{status} of the HTTP library");
    }
    if body.is_empty() {
        return format!("{status} without its body");
    }
    let member = |name: &str| match serde_json::from_slice::<Value>(body) {
        Ok(json) => json[name].as_str().map(ToOwned::to_owned),
        Err(_) => {
            let text = std::str::from_utf8(body).ok()?;
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            rest.split_once(&format!("</{name}>")).map(|(value, _)| value.to_owned())
        }
    };
    assert!(member("RequestId").is_some_and(|id| id.len() == 36), "{}", shown());
    if *status == 200 {
        return "200".to_owned();
    }
    let code = member("Code");
    assert!(code.as_ref().is_some_and(|code| !code.is_empty()), "{}", shown());
    format!("{status} {}", code.unwrap_or_default())
}

/// How much of a request `message` is, by the framing rules of HTTP/1.1 (RFC 9112), line ends of one LF
/// included.
fn extent(message: &[u8]) -> Extent {
    let mut lines = Lines(message);
    let mut first = lines.next();
    while first.is_some_and(<[u8]>::is_empty) {
        first = lines.next();
    }
    if first.is_none() {
        return Extent::Part;
    }
    let (mut lengths, mut chunked, mut coded) = (Vec::new(), false, false);
    loop {
        let Some(line) = lines.next() else { return Extent::Part };
        if line.is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii());
        match &*name {
            b"content-length" => lengths.push(value.to_vec()),
            b"transfer-encoding" => {
                coded = true;
                chunked = value.to_ascii_lowercase().ends_with(b"chunked");
            }
            _ => {}
        }
    }
    let body = lines.0;
    if coded {
        return if chunked { chunks(body) } else { Extent::Wrong };
    }
    lengths.dedup();
    let length = match lengths.as_slice() {
        [] => Some(0),
        [one] if one.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(one).ok().and_then(|n| n.parse().ok())
        }
        _ => None,
    };
    match length.map(|length: usize| body.len().cmp(&length)) {
        None => Extent::Wrong,
        Some(std::cmp::Ordering::Less) => Extent::Part,
        Some(std::cmp::Ordering::Equal) => Extent::One,
        Some(std::cmp::Ordering::Greater) => Extent::More,
    }
}

fn chunks(mut body: &[u8]) -> Extent {
    loop {
        let mut lines = Lines(body);
        let Some(size) = lines.next() else { return Extent::Part };
        let size = size.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size else { return Extent::Wrong };
        if size == 0 {
            // Trailers, up to an empty line.
            loop {
                match lines.next() {
                    None => return Extent::Part,
                    Some([]) if lines.0.is_empty() => return Extent::One,
                    Some([]) => return Extent::More,
                    Some(_) => {}
                }
            }
        }
        let Some(rest) = lines.0.get(size..) else { return Extent::Part };
        body = match rest {
            [b'\r', b'\n', rest @ ..] => rest,
            [] | [b'\r'] => return Extent::Part,
            _ => return Extent::Wrong,
        };
    }
}

/// Lines that are ended, without their ends; what is not ended yet stays.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let line = &self.0[..end];
        self.0 = &self.0[end + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}
