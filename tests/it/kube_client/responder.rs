//! An HTTP server of a few lines: it answers as a test tells it, and keeps what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConnection;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::Value;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Request {
    pub(crate) fn is_watch(&self) -> bool {
        self.query.contains("watch=true")
    }

    /// A value of the query.
    pub(crate) fn asks(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// What is answered.
pub(crate) enum Answer {
    /// A code, further headers, a body.
    Whole(u16, Vec<(&'static str, String)>, String),
    /// Lines of a watch, and then nothing for as long as the other side stays.
    Watch(Vec<Value>),
    /// Lines of a watch, and then its end.
    ShortWatch(Vec<Value>),
    /// Nothing at all.
    Silence,
}

impl Answer {
    pub(crate) fn json(code: u16, body: &Value) -> Self {
        Answer::Whole(code, vec![("content-type", "application/json".to_owned())], body.to_string())
    }

    pub(crate) fn text(code: u16, text: &str) -> Self {
        Answer::Whole(code, Vec::new(), text.to_owned())
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Answer::Whole(_, headers, _) = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

type Handler = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// The server; its threads end with the test's process.
pub(crate) struct Responder {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Responder {
    pub(crate) fn start(
        tls: Option<Arc<rustls::ServerConfig>>,
        handler: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (handler, log): (Handler, _) = (Arc::new(handler), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, handler, log) = (stream.unwrap(), handler.clone(), log.clone());
                let tls = tls.clone();
                std::thread::spawn(move || {
                    let closing = stream.try_clone().unwrap();
                    match tls {
                        None => serve(stream, &handler, &log),
                        Some(config) => {
                            let connection = ServerConnection::new(config).unwrap();
                            serve(rustls::StreamOwned::new(connection, stream), &handler, &log);
                        }
                    }
                    close(closing);
                });
            }
        });
        Self { address, asked }
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

/// Answers requests on one connection until it ends.
fn serve(stream: impl Read + Write, handler: &Handler, log: &Mutex<Vec<Request>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream) {
        log.lock().unwrap().push(request.clone());
        let goes_on = match handler(&request) {
            Answer::Whole(code, headers, body) => {
                let mut head =
                    format!("HTTP/1.1 {code} said\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                write(&mut stream, &format!("{head}\r\n{body}"))
            }
            Answer::Watch(lines) => {
                watch(&mut stream, &lines);
                rest();
                false
            }
            Answer::ShortWatch(lines) => {
                watch(&mut stream, &lines) && write(&mut stream, "0\r\n\r\n")
            }
            Answer::Silence => {
                rest();
                false
            }
        };
        if !goes_on {
            return;
        }
    }
    // What was no HTTP, such as the first words of TLS, gets an answer as from any server.
    write(&mut stream, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
}

/// Ends a connection when the other side has read the last words, such as why TLS was refused: a
/// socket that is closed with something unread is reset, and they are lost.
fn close(mut stream: TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

/// Longer than any test.
fn rest() {
    std::thread::sleep(Duration::from_secs(600));
}

fn watch(stream: &mut BufReader<impl Read + Write>, lines: &[Value]) -> bool {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n";
    write(stream, head)
        && lines.iter().all(|line| {
            let line = format!("{line}\n");
            write(stream, &format!("{:x}\r\n{line}\r\n", line.len()))
        })
}

fn write(stream: &mut BufReader<impl Read + Write>, text: &str) -> bool {
    let stream = stream.get_mut();
    stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).is_ok()
}

fn read(stream: &mut BufReader<impl Read>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

/// TLS with one of the certificates of the fixtures; `asks` for one of the client's in turn.
pub(crate) fn tls(certificate: &[u8], asks: bool) -> Arc<rustls::ServerConfig> {
    let chain = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
    let key = include_bytes!("../../../src/kube/client/fixtures/server-key.pem");
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match asks {
        false => builder.with_no_client_auth(),
        true => {
            let mut roots = rustls::RootCertStore::empty();
            let authority = include_bytes!("../../../src/kube/client/fixtures/ca.pem");
            roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}
