//! AWS, told by the program itself against an emulated account.
//!
//! The emulator is moto behind `tests/moto/launcher.py`, in a Python environment that `tests/run`
//! makes. A [`Moto`] is one emulator process; it holds any number of accounts that know nothing of
//! each other, so tests may share one. An [`Account`] is what a test works in. An answer of 5xx that
//! no fault of the test asked for fails the test when its account goes.

mod account;
mod apply;
#[cfg(feature = "node")]
mod boot;
mod bound;
mod calls;
mod checked;
mod contract;
mod credentials;
mod emulator;
mod kills;
mod lease;
mod lost;
mod machines;
mod outages;
mod policy;
mod races;
mod read;
mod roll;
mod selfcheck;
mod state;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use account::{Account, account_of};
use calls::{Calls, counted};

/// The cluster of the fleet that has a resource of every kind.
const PROD: &str = "prod.k8s.example.com";

/// The small cluster of the fleet.
const STAGING: &str = "staging.k8s.example.com";

/// An emulator; it ends with its standard input, that is with this value or with the tests.
struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    /// An emulator of one's own: for what concerns all accounts, and for much work.
    fn start() -> Self {
        let launcher = folder().join("launcher.py");
        let mut child = Command::new(python())
            .arg(launcher)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("LISTENING ").expect("the emulator did not start");
        Moto { port: port.parse().unwrap(), child }
    }

    /// The emulator that tests share, each with accounts of its own.
    fn shared() -> &'static Moto {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(Moto::start)
    }

    /// An empty account that nobody else uses.
    fn account(&self) -> Account<'_> {
        static NUMBER: AtomicU64 = AtomicU64::new(500_000_000_001);
        self.account_numbered(&NUMBER.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// An account by its number; the same number is the same account, with other credentials.
    fn account_numbered(&self, number: &str) -> Account<'_> {
        let keys = self.control("POST", "/kprod/accounts", &json!({"account": number}));
        Account::new(self, number, &keys)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Talks to the launcher itself; `tests/moto/launcher.py` lists what it knows.
    fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        control(self.port, method, path, body)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Talks to the launcher that listens on a port.
fn control(port: u16, method: &str, path: &str, body: &Value) -> Value {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let body = body.to_string();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{method} {path}: {head}\n{body}");
    serde_json::from_str(body).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/moto")
}

/// What a run said, with single spaces: messages are wrapped where the line ends.
fn flat(run: &Output) -> String {
    account::said(run).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The Python that has the emulator.
fn python() -> PathBuf {
    let usual = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../moto/bin/python");
    let python = std::env::var_os("KPROD_MOTO_PYTHON").map_or(usual, PathBuf::from);
    let path = python.display();
    assert!(python.exists(), "no AWS emulator at {path}: run ./tests/run, which installs it");
    python
}
