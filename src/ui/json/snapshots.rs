//! Snapshots of etcd, as JSON (`etcd snapshots -o json`, `etcd snapshot -o json`).
//!
//! | Field | Meaning |
//! |---|---|
//! | `format_version` | version of the form, `"1.0"` |
//! | `cluster`, `simulated`, `observed_at` | whose they are, and when the lists were read |
//! | `etcds[]` | `etcd`: `main`, `events` |
//! | `etcds[].snapshots[]` | verified snapshots, oldest first: `name`, `object`, `member`, `epoch`, `etcd_version`, `revision`, `bytes`, `sha256`, `taken_at`, `verified_at` |

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::etcd::snapshot::{List, Record};
use crate::etcd::version::Version;

/// Version of the form.
const FORMAT_VERSION: &str = "1.0";

#[derive(Serialize)]
struct SnapshotsJson<'a> {
    format_version: &'static str,
    cluster: &'a str,
    simulated: bool,
    observed_at: Timestamp,
    etcds: Vec<EtcdJson<'a>>,
}

#[derive(Serialize)]
struct EtcdJson<'a> {
    etcd: &'a str,
    snapshots: Vec<SnapshotJson<'a>>,
}

#[derive(Serialize)]
struct SnapshotJson<'a> {
    name: &'a str,
    object: &'a str,
    member: &'a str,
    epoch: u64,
    etcd_version: Version,
    revision: u64,
    bytes: u64,
    sha256: &'a str,
    taken_at: Timestamp,
    verified_at: Timestamp,
}

/// Snapshots, in the form above.
pub fn snapshots(
    cluster: &str,
    lists: &BTreeMap<String, List>,
    now: Timestamp,
    is_simulated: bool,
) -> Value {
    let told = SnapshotsJson {
        format_version: FORMAT_VERSION,
        cluster,
        simulated: is_simulated,
        observed_at: now,
        etcds: lists.iter().map(|(etcd, list)| etcd_json(etcd, list)).collect(),
    };
    serde_json::to_value(told).unwrap_or_default()
}

fn etcd_json<'a>(etcd: &'a str, list: &'a List) -> EtcdJson<'a> {
    EtcdJson { etcd, snapshots: list.snapshots.iter().map(snapshot).collect() }
}

fn snapshot(record: &Record) -> SnapshotJson<'_> {
    SnapshotJson {
        name: &record.name,
        object: &record.object,
        member: &record.member,
        epoch: record.epoch,
        etcd_version: record.etcd_version,
        revision: record.revision,
        bytes: record.bytes,
        sha256: &record.sha256,
        taken_at: record.taken_at,
        verified_at: record.verified_at,
    }
}
