//! The least HTTP/1.1 that will do: raw bytes out, an answer with `Content-Length` in.
//!
//! Requests must go out byte for byte as they were signed, and a connection must be seen to break the moment the server
//! dies: an HTTP library would repeat, and hide just that. It also costs less than what it measures.

use anyhow::{Context as _, Result, bail};
use http::Method;
use serde_json::Value;
use tongguan_rpc::OutgoingRequest;

#[cfg(feature = "program")]
pub use connection::{Answer, Connection, read_reply};

/// Start line and headers of a request; `more` are further header lines. The length of the body, and what ends the
/// head, are the caller's to add.
pub fn head(request: &OutgoingRequest, more: &str) -> String {
    let mut head = format!("{} {} HTTP/1.1\r\n{more}", request.method, request.path_and_query);
    for (name, value) in &request.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head
}

/// A request as HTTP/1.1 has it, with further header lines.
pub fn bytes(request: &OutgoingRequest, more: &str) -> Vec<u8> {
    let mut head = head(request, more);
    if request.method == Method::POST {
        head.push_str(&format!("content-length: {}\r\n", request.body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&request.body);
    bytes
}

/// Where an answer's body begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// HTTP status.
    pub status: u16,
    /// First byte of the body, after the empty line.
    pub body: usize,
    /// First byte after the body.
    pub end: usize,
}

/// Reads the head of an answer; none while it is not whole. An answer of 1xx has no body.
///
/// # Errors
/// It is no answer, or one without `Content-Length`.
pub fn frame(bytes: &[u8]) -> Result<Option<Frame>> {
    let Some(length) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..length]).context("the head is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let Some(status) = status else { bail!("no HTTP answer: {head}") };
    let body = length + 4;
    if (100..200).contains(&status) {
        return Ok(Some(Frame { status, body, end: body }));
    }
    let content_length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    let Some(content_length) = content_length else { bail!("an answer without Content-Length: {head}") };
    Ok(Some(Frame { status, body, end: body + content_length }))
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body for people.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, which it must be.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of a refusal; `OK` for a success.
    pub fn code(&self) -> String {
        self.json()["Code"].as_str().unwrap_or("OK").to_owned()
    }
}

/// What needs a runtime.
#[cfg(feature = "program")]
mod connection {
    use std::net::SocketAddr;

    use anyhow::{Context as _, Result, ensure};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::{Frame, Reply, frame};
    use crate::PATIENCE;

    /// Longest answer read; a page of 50 gateways has less than a tenth of it.
    const ANSWER_BYTES: usize = 4 << 20;
    const FIRST_BUFFER: usize = 16 << 10;

    /// A keep-alive connection with at most one request under way.
    #[derive(Debug)]
    pub struct Connection {
        stream: TcpStream,
        buffer: Vec<u8>,
    }

    /// An answer, valid until the next request.
    #[derive(Debug, Clone, Copy)]
    pub struct Answer<'a> {
        /// HTTP status.
        pub status: u16,
        /// Body.
        pub body: &'a [u8],
    }

    impl Connection {
        /// Connects.
        ///
        /// # Errors
        /// Nobody listens.
        pub async fn open(address: SocketAddr) -> Result<Self> {
            let stream =
                TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
            stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
            Ok(Self { stream, buffer: vec![0; FIRST_BUFFER] })
        }

        /// Sends a whole request and waits for the whole answer.
        ///
        /// # Errors
        /// The connection breaks, or the answer is not one this client reads.
        pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>> {
            self.stream.write_all(request).await.context("cannot send")?;
            let mut filled = 0;
            let mut found = None;
            loop {
                if filled == self.buffer.len() {
                    ensure!(filled < ANSWER_BYTES, "an answer has more than {ANSWER_BYTES} bytes");
                    self.buffer.resize(2 * filled, 0);
                }
                let read = self.stream.read(&mut self.buffer[filled..]).await.context("cannot receive")?;
                ensure!(read > 0, "the server closed the connection");
                filled += read;
                if found.is_none() {
                    found = frame(&self.buffer[..filled])?;
                }
                if let Some(Frame { status, body, end }) = found {
                    ensure!(filled <= end, "more came than was asked for");
                    if filled == end {
                        return Ok(Answer { status, body: &self.buffer[body..end] });
                    }
                }
            }
        }
    }

    impl Answer<'_> {
        /// The body for people.
        pub fn text(&self) -> String {
            String::from_utf8_lossy(self.body).into_owned()
        }
    }

    /// Reads one answer; none if the connection ended before.
    pub async fn read_reply(stream: &mut TcpStream) -> Option<Reply> {
        tokio::time::timeout(PATIENCE, read_reply_patiently(stream)).await.expect("an answer in time")
    }

    async fn read_reply_patiently(stream: &mut TcpStream) -> Option<Reply> {
        let mut bytes = Vec::new();
        loop {
            if let Some(Frame { status, body, end }) = frame(&bytes).unwrap()
                && bytes.len() >= end
            {
                let head = String::from_utf8(bytes[..body - 4].to_vec()).unwrap().to_ascii_lowercase();
                let body = if status < 200 { Vec::new() } else { bytes[body..].to_vec() };
                return Some(Reply { status, head, body });
            }
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let text = b"HTTP/1.1 404 Not Found\r\ncontent-LENGTH: 5\r\n\r\nhel";
        assert!(frame(&text[..30]).unwrap().is_none());
        assert_eq!(frame(text).unwrap(), Some(Frame { status: 404, body: 45, end: 50 }));
        assert!(frame(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(frame(go_on).unwrap(), Some(Frame { status: 100, body: 25, end: 25 }));
    }
}
