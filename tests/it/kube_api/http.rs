//! As much of HTTP/1.1 as a client of an API server uses.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::net::TcpStream;

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    raw_query: String,
    headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// A header by its lower-case name.
    pub(super) fn header(&self, name: &str) -> Option<&String> {
        self.headers.get(name)
    }

    /// A word of the query.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let pairs = self.raw_query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.into_iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| decoded(value))
    }

    /// Path and query as they came.
    pub(super) fn target(&self) -> String {
        match self.raw_query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }
}

/// Reads a request; none when the connection has ended, or what came is none.
pub(super) fn read(reader: &mut impl BufRead) -> Option<Request> {
    let first = line(reader)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers = BTreeMap::new();
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path: decoded(path), raw_query: query.to_owned(), headers, body })
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let length = reader.read_line(&mut line).ok()?;
    (length > 0).then(|| line.trim_end().to_owned())
}

/// Percent-decoded.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let hex = others.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        (rest, bytes) = match (first, byte) {
            (b'%', Some(byte)) => (&others[2..], [bytes, vec![byte]].concat()),
            (b'+', _) => (others, [bytes, vec![b' ']].concat()),
            (other, _) => (others, [bytes, vec![*other]].concat()),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    content: &'static str,
    pub(super) retry_after: Option<u32>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        let body = body.to_string().into_bytes();
        Self { status, content: "application/json", retry_after: None, body }
    }

    pub(super) fn text(status: u16, body: &str) -> Self {
        Self { status, content: "text/plain", retry_after: None, body: body.into() }
    }

    pub(super) fn write(&self, mut stream: &TcpStream) -> io::Result<()> {
        let retry = self.retry_after.map(|secs| format!("Retry-After: {secs}\r\n"));
        let head = format!(
            "HTTP/1.1 {} Simulated\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}\r\n",
            self.status,
            self.content,
            self.body.len(),
            retry.unwrap_or_default(),
        );
        let whole = [head.as_bytes(), &self.body].concat();
        stream.write_all(&whole)
    }
}

/// Begins an answer whose end is not known.
pub(super) fn begin_chunks(mut stream: &TcpStream) -> io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
}

/// Writes one chunk; an empty one ends the answer.
pub(super) fn chunk(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let size = format!("{:x}\r\n", bytes.len());
    let whole = [size.as_bytes(), bytes, b"\r\n"].concat();
    stream.write_all(&whole)
}
