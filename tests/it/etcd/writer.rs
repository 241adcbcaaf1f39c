//! A client that goes on writing: one number after the other, each until it is acknowledged, to
//! whichever member answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kprod::node::etcd::client::{Credentials, EtcdClient};
use serde_json::{Value, json};

/// How long a member may take before the next one is asked: what a client with a keep-alive of 2 s
/// takes to notice that its member is gone.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Writer {
    is_over: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<u64>>,
    longest_ms: Arc<AtomicU64>,
}

fn key(number: u64) -> String {
    STANDARD.encode(format!("writer/{number:08}"))
}

impl Writer {
    pub(crate) fn start(credentials: &Credentials, urls: Vec<String>) -> Self {
        let client = EtcdClient::new(credentials).unwrap();
        let (is_over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let longest_ms = Arc::new(AtomicU64::new(0));
        let (over, count, longest) = (is_over.clone(), written.clone(), longest_ms.clone());
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut at = 0;
                let mut number = 0;
                while !over.load(Ordering::SeqCst) {
                    let began = std::time::Instant::now();
                    let body = json!({ "key": key(number), "value": STANDARD.encode("x") });
                    let mut is_written = false;
                    while !is_written && !over.load(Ordering::SeqCst) {
                        let put = client.ask(&urls[at], "/v3/kv/put", &body);
                        is_written = matches!(tokio::time::timeout(PATIENCE, put).await, Ok(Ok(_)));
                        if !is_written {
                            at = (at + 1) % urls.len();
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                    }
                    if is_written {
                        number += 1;
                        count.store(number, Ordering::SeqCst);
                        let took = began.elapsed().as_millis() as u64;
                        longest.fetch_max(took, Ordering::SeqCst);
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                number
            })
        });
        Self { is_over, written, thread: Some(thread), longest_ms }
    }

    /// How many were acknowledged.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }

    /// Stops, and gives how many were acknowledged, and the longest that one took.
    pub(crate) fn stop(mut self) -> (u64, Duration) {
        self.is_over.store(true, Ordering::SeqCst);
        let written = self.thread.take().unwrap().join().unwrap();
        (written, Duration::from_millis(self.longest_ms.load(Ordering::SeqCst)))
    }
}

/// The numbers below `count` that are not there.
pub(crate) fn missing(credentials: &Credentials, url: &str, count: u64) -> BTreeSet<u64> {
    let body = json!({
        "key": STANDARD.encode("writer/"), "range_end": STANDARD.encode("writer0"), "keys_only": true,
    });
    let found: BTreeSet<String> =
        read(credentials, url, &body).iter().map(|kv| text(kv, "key")).collect();
    (0..count).filter(|number| !found.contains(&key(*number))).collect()
}

/// The member that says in etcd's data that it came to vote last.
pub(crate) fn last_voter(credentials: &Credentials, url: &str) -> String {
    let found = read(credentials, url, &json!({ "key": STANDARD.encode("kprod/voter") }));
    let member = found.first().map(|kv| text(kv, "value")).unwrap_or_default();
    String::from_utf8(STANDARD.decode(member).unwrap()).unwrap()
}

/// What is there under some keys.
fn read(credentials: &Credentials, url: &str, body: &Value) -> Vec<Value> {
    let client = EtcdClient::new(credentials).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let said = runtime.block_on(client.ask(url, "/v3/kv/range", body)).unwrap();
    said["kvs"].as_array().cloned().unwrap_or_default()
}

fn text(kv: &Value, field: &str) -> String {
    kv.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}
