//! A roll that is to replace every machine (`--force`): since when, by group, as an object of the state
//! bucket.
//!
//! No machine tells by itself whether it is to go, or has come in the place of one that went: both are
//! as wanted. A moment tells them apart, and it has to outlive the run, and the notes on groups, which go
//! with each group that is done. So it is written down before the first machine goes, and taken away
//! when none is left that is older, or by `--abort`; whoever goes on meanwhile goes by it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::note::Note;
use super::{Machine, Observation};
use crate::apply::lease::CLOCK_MARGIN;
use crate::cloud::Cloud;
use crate::error::Failure;

/// A roll that is to replace every machine, and that no run has brought to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    /// Version of this form.
    pub format_version: u32,
    /// The roll's id: that of the run that began it.
    pub roll: String,
    /// By ASG name: machines that were launched before then are replaced.
    pub groups: BTreeMap<String, Timestamp>,
}

const FORMAT_VERSION: u32 = 1;

/// The object that says it of a cluster.
pub fn key(cluster: &str) -> String {
    format!("roll/{cluster}/forced")
}

fn note(cluster: &str) -> Note<'_> {
    Note { cluster, key: key(cluster) }
}

/// Before which moment machines were launched that a run replaces by force: that of the roll that it goes
/// on with, else its own beginning. AWS says when a machine was launched, by another clock than ours: one
/// that this very run brings has to be younger whatever both say.
fn since(noted: Option<&Forced>, group: &str, run_started_at: Timestamp) -> Timestamp {
    let known = noted.and_then(|noted| noted.groups.get(group)).copied();
    known.unwrap_or_else(|| earliest(run_started_at))
}

fn earliest(run_started_at: Timestamp) -> Timestamp {
    let margin = SignedDuration::try_from(CLOCK_MARGIN).unwrap_or_default();
    run_started_at.checked_sub(margin).unwrap_or(run_started_at)
}

/// Whether a machine was there before the roll that is to replace every machine.
pub(super) fn is_due(o: &Observation, machine: &Machine) -> bool {
    let since = since(o.forced.as_deref(), &machine.group, o.run_started_at);
    machine.launched_at.is_none_or(|at| at < since)
}

impl Forced {
    /// What is written down of a run that replaces every machine of its groups: those of the roll that it
    /// goes on with keep their moment.
    pub fn of_run<'a>(
        noted: Option<&Self>,
        groups: impl Iterator<Item = &'a String>,
        roll: &str,
        run_started_at: Timestamp,
    ) -> Self {
        let own = groups.map(|name| (name.clone(), since(noted, name, run_started_at)));
        let mut groups = noted.map(|noted| noted.groups.clone()).unwrap_or_default();
        groups.extend(own);
        let roll = noted.map_or(roll, |noted| &noted.roll).to_owned();
        Self { format_version: FORMAT_VERSION, roll, groups }
    }
}

/// Reads which roll was to replace every machine, if one was. What cannot be read names none: a run that
/// forces begins anew, and writes over it.
///
/// # Errors
/// When the state bucket cannot be read (exit 1).
pub async fn read<C: Cloud>(cloud: &C, cluster: &str) -> Result<Option<Forced>, Failure> {
    let entry = note(cluster).read(cloud).await?;
    let unknown = || Forced {
        format_version: FORMAT_VERSION,
        roll: "unknown".to_owned(),
        groups: BTreeMap::new(),
    };
    Ok(entry.map(|entry| serde_json::from_slice(&entry.body).unwrap_or_else(|_| unknown())))
}

/// Writes it down; only the holder of the lease does.
///
/// # Errors
/// When the state bucket cannot be written (exit 1).
pub async fn write<C: Cloud>(cloud: &C, cluster: &str, forced: &Forced) -> Result<(), Failure> {
    note(cluster).write(cloud, forced).await
}

/// Takes it away: the roll has come to its end.
///
/// # Errors
/// When the state bucket cannot be written (exit 1).
pub async fn clear<C: Cloud>(cloud: &C, cluster: &str) -> Result<(), Failure> {
    note(cluster).clear(cloud).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::cloud::Condition;
    use crate::cloud::sim::SimCloud;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn forced(groups: &[(&str, i64)]) -> Forced {
        let groups = groups.iter().map(|(name, secs)| ((*name).to_owned(), at(*secs)));
        Forced { format_version: 1, roll: "first".to_owned(), groups: groups.collect() }
    }

    #[tokio::test]
    async fn it_is_read_as_it_was_written_until_it_is_over() {
        let cloud = SimCloud::in_memory(1);
        assert_eq!(read(&cloud, "c").await.unwrap(), None);
        clear(&cloud, "c").await.unwrap();
        for groups in [&[("a", 1)][..], &[("a", 1), ("b", 2)]] {
            write(&cloud, "c", &forced(groups)).await.unwrap();
            assert_eq!(read(&cloud, "c").await.unwrap(), Some(forced(groups)));
        }
        clear(&cloud, "c").await.unwrap();
        assert_eq!(read(&cloud, "c").await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_nobody_can_read_names_no_group() {
        let cloud = SimCloud::in_memory(1);
        cloud.put(&key("c"), b"all!".to_vec(), Condition::Any).await.unwrap();
        assert_eq!(read(&cloud, "c").await.unwrap().unwrap().groups, BTreeMap::new());
    }

    #[test]
    fn groups_of_an_unfinished_roll_keep_their_moment_and_others_get_the_runs() {
        let begun = forced(&[("a", 0), ("b", 0)]);
        let go_on = |noted: Option<&Forced>, groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|name| (*name).to_owned()).collect();
            Forced::of_run(noted, groups.iter(), "second", at(1000))
        };
        let all = ["a", "b", "c"];
        let new = forced(&[("a", 990), ("b", 990), ("c", 990)]);
        assert_eq!(go_on(None, &all), Forced { roll: "second".to_owned(), ..new });
        assert_eq!(go_on(Some(&begun), &all), forced(&[("a", 0), ("b", 0), ("c", 990)]));
        assert_eq!(go_on(Some(&begun), &["a"]), begun, "what is left out is still to be done");
    }
}
