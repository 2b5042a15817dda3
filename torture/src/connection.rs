//! The least HTTP/1.1 client that will do: raw bytes out, one answer with `Content-Length` in.
//!
//! Requests must go out byte for byte as they were signed, and a connection must be seen to break the
//! moment the server dies; an HTTP library would repeat and hide just that.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ANSWER_BYTES: usize = 4 << 20;
const FIRST_BUFFER: usize = 8 << 10;

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

/// Where an answer's body begins and ends.
struct Frame {
    status: u16,
    body: usize,
    end: usize,
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
        let mut frame = None;
        loop {
            if filled == self.buffer.len() {
                ensure!(filled < ANSWER_BYTES, "an answer has more than {ANSWER_BYTES} bytes");
                self.buffer.resize(2 * filled, 0);
            }
            let read = self.stream.read(&mut self.buffer[filled..]).await.context("cannot receive")?;
            ensure!(read > 0, "the server closed the connection");
            filled += read;
            if frame.is_none() {
                frame = head(&self.buffer[..filled])?;
            }
            if let Some(Frame { status, body, end }) = frame {
                ensure!(filled <= end, "more came than was asked for");
                if filled == end {
                    return Ok(Answer { status, body: &self.buffer[body..end] });
                }
            }
        }
    }
}

/// Reads the head, if it is whole.
fn head(bytes: &[u8]) -> Result<Option<Frame>> {
    let Some(length) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..length]).context("the head is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let Some(status) = status else { bail!("no HTTP answer: {head}") };
    let content_length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    let Some(content_length) = content_length else { bail!("an answer without Content-Length: {head}") };
    let body = length + 4;
    Ok(Some(Frame { status, body, end: body + content_length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let text = b"HTTP/1.1 404 Not Found\r\ncontent-LENGTH: 5\r\n\r\nhel";
        assert!(head(&text[..30]).unwrap().is_none());
        let frame = head(text).unwrap().unwrap();
        assert_eq!((frame.status, frame.body, frame.end), (404, 45, 50));
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
