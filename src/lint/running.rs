//! What only a look at the running cluster tells: snapshots of etcd that nobody takes, authorities that
//! end.
//!
//! Whoever has read something says so in [`Seen`]; a rule is silent about what was not read. None of it
//! refuses anything: what would mend it may be the very plan that was refused.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Lint, etcd};
use crate::finding::Finding;
use crate::pki::State;
use crate::spec::{EtcdBackupSpec, Spec};

/// An authority cannot be exchanged, so that whoever needs another one needs time. How much is
/// `pki::State`'s to say.
pub const AUTHORITIES: Lint = Lint {
    id: "L32",
    asks: "authorities whose certificates end in more than two years",
    seen_by: &["plan", "apply", "doctor"],
};

/// What was seen of a cluster that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Now, on the cloud's clock.
    pub now: Timestamp,
    /// What is known of each etcd cluster's snapshots, by its name.
    pub snapshots: BTreeMap<String, Snapshots>,
    /// How old the newest one may be, in seconds.
    pub snapshot_secs_max: u64,
    /// How authorities stand, by address.
    pub authorities: BTreeMap<String, State>,
}

/// What is known of an etcd cluster's snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshots {
    /// When the newest verified one was taken.
    Newest(Timestamp),
    /// There is none, and its members have formed it at this moment.
    NoneSince(Timestamp),
}

pub(super) fn lint(spec: &Spec, seen: &Seen) -> Vec<Finding> {
    let snapshots = seen.snapshots.iter();
    let snapshots =
        snapshots.filter_map(|(etcd, snapshots)| snapshot(spec, seen, etcd, *snapshots));
    let ending = seen.authorities.iter().filter(|(_, state)| state.ends());
    let ending = ending.map(|(address, state)| {
        let finding = Finding::warning(state.to_string()).lint(AUTHORITIES.id).field(address);
        finding.hint(state.authority_way_out())
    });
    snapshots.chain(ending).collect()
}

/// L25: how much of what etcd was told is in no snapshot.
fn snapshot(spec: &Spec, seen: &Seen, etcd: &str, snapshots: Snapshots) -> Option<Finding> {
    let (Snapshots::Newest(since) | Snapshots::NoneSince(since)) = snapshots;
    let age_secs = u64::try_from(seen.now.duration_since(since).as_secs()).unwrap_or(0);
    if age_secs <= seen.snapshot_secs_max {
        return None;
    }
    let (age, most) = (age_secs / 60, seen.snapshot_secs_max / 60);
    let message = match snapshots {
        Snapshots::Newest(_) => format!(
            "the newest verified snapshot of etcd {etcd} is {age} min old, at most {most} min count"
        ),
        Snapshots::NoneSince(_) => format!(
            "there is no verified snapshot of etcd {etcd}, whose members formed it {age} min ago: \
             nothing would bring it back"
        ),
    };
    let cluster = spec.name();
    let hint = match has_place(spec, etcd) {
        true => format!(
            "see what the members' machines say; `kprod etcd snapshot {cluster}` asks for one now"
        ),
        false => format!(
            "give it a place, `backups.backupStore`, of which its machines learn by \
             `kprod apply {cluster} --roll`"
        ),
    };
    Some(Finding::warning(message).lint(etcd::BACKUPS.id).hint(hint))
}

/// Whether the spec says where an etcd cluster's snapshots go.
fn has_place(spec: &Spec, etcd: &str) -> bool {
    let mut clusters = spec.cluster.spec.etcd_clusters.iter();
    let cluster = clusters.find(|cluster| cluster.name == etcd);
    let backups: Option<&EtcdBackupSpec> = cluster.and_then(|cluster| cluster.backups.as_ref());
    backups.is_some_and(|backups| backups.backup_store.is_some())
}
