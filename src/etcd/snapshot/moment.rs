//! Snapshots of all etcd clusters of one time: what is restored together.
//!
//! `events` holds what happened to objects of `main`; restored from different times, the two tell of
//! worlds that never were side by side.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{List, Record};

/// How far apart two snapshots of one time may be, in seconds: members of both are asked in the same
/// slot, and one may have to step in for another.
pub const TOGETHER_SECS_MAX: i64 = 1800;

/// One snapshot of each etcd cluster, by its name.
pub type Moment = BTreeMap<String, Record>;

/// Why there is no such moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MomentError {
    /// No snapshot at all.
    #[error("etcd {etcd} has no verified snapshot")]
    None {
        /// The etcd cluster.
        etcd: String,
    },
    /// The name is in no list.
    #[error("there is no verified snapshot `{name}`")]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// Nothing of the same time.
    #[error("etcd {etcd} has no verified snapshot within {} min of `{name}`", TOGETHER_SECS_MAX / 60)]
    Apart {
        /// The etcd cluster without one.
        etcd: String,
        /// The snapshot that has no partner.
        name: String,
    },
}

/// The snapshots of one time around the one of a name, in whichever list it is.
///
/// # Errors
/// When there is none of that name, or another etcd cluster has none of that time.
pub fn at_once(lists: &BTreeMap<String, List>, name: &str) -> Result<Moment, MomentError> {
    let found = lists.iter().find_map(|(etcd, list)| Some((etcd, list.find(name)?)));
    let (etcd, record) = found.ok_or_else(|| MomentError::Unknown { name: name.to_owned() })?;
    around(lists, etcd, record)
}

/// The newest snapshots of one time: the newest one that has a partner in every other etcd cluster.
///
/// # Errors
/// When an etcd cluster has none, or no two are of one time.
pub fn newest_together(lists: &BTreeMap<String, List>) -> Result<Moment, MomentError> {
    for (etcd, list) in lists {
        if list.snapshots.is_empty() {
            return Err(MomentError::None { etcd: etcd.clone() });
        }
    }
    let all = lists.iter().flat_map(|(etcd, list)| list.snapshots.iter().map(move |r| (etcd, r)));
    let mut all: Vec<(&String, &Record)> = all.collect();
    all.sort_by_key(|(_, record)| std::cmp::Reverse(record.taken_at));
    let mut first = None;
    for (etcd, record) in all {
        match around(lists, etcd, record) {
            Ok(moment) => return Ok(moment),
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    Err(first.unwrap_or_else(|| MomentError::Unknown { name: String::new() }))
}

fn around(
    lists: &BTreeMap<String, List>,
    etcd: &str,
    record: &Record,
) -> Result<Moment, MomentError> {
    let mut moment = Moment::from([(etcd.to_owned(), record.clone())]);
    for (other, list) in lists.iter().filter(|(other, _)| *other != etcd) {
        let nearest =
            list.snapshots.iter().min_by_key(|near| distance(near.taken_at, record.taken_at));
        let partner = nearest
            .filter(|near| distance(near.taken_at, record.taken_at) <= TOGETHER_SECS_MAX)
            .ok_or_else(|| MomentError::Apart { etcd: other.clone(), name: record.name.clone() })?;
        moment.insert(other.clone(), partner.clone());
    }
    Ok(moment)
}

fn distance(one: Timestamp, other: Timestamp) -> i64 {
    one.duration_since(other).as_secs().abs()
}
