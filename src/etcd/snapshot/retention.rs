//! Which snapshots are kept: all of them for some days, then the last one of each day. And what goes out of
//! the archive: what has left the list, and nothing that may ever have been in it besides.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::slot::Slots;
use super::{List, Record, SNAPSHOT_PART, Schedule};

/// What lies in the archive without a snapshot is somebody's upload for as long as this, in seconds.
pub const UPLOAD_SECS_MAX: i64 = 86_400;

/// A list, sorted into what is kept and what goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sorted {
    /// The list without what goes.
    pub kept: List,
    /// What goes, oldest first.
    pub gone: Vec<Record>,
}

/// An object of the archive that lies where an etcd cluster's snapshots do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lying {
    /// The snapshot that it is of.
    pub name: String,
    /// Which part of it.
    pub part: String,
    /// When it was written, on the store's clock.
    pub written_at: Timestamp,
}

/// Sorts a cluster's list. The newest one is always kept, of every epoch, and so is each that is `held`: an
/// epoch is beginning with it.
///
/// A snapshot is of the day that its slot began in: of `main` and `events`, which are asked in the same slot,
/// the last ones of a day are of one time, on whichever side of midnight each was taken.
pub fn sort(
    list: &List,
    cluster: &str,
    schedule: &Schedule,
    now: Timestamp,
    held: &BTreeSet<String>,
) -> Sorted {
    let slots = Slots::of(cluster, schedule);
    let mut last_of_day: BTreeMap<Date, &Record> = BTreeMap::new();
    let mut newest: BTreeMap<&str, &Record> = BTreeMap::new();
    for record in &list.snapshots {
        let begun_at = slots.begin(slots.at(record.taken_at));
        let day = begun_at.to_zoned(TimeZone::UTC).date();
        keep_later(last_of_day.entry(day).or_insert(record), record);
        keep_later(newest.entry(record.token.as_str()).or_insert(record), record);
    }
    let is_kept = |record: &Record| {
        let age = now.duration_since(record.taken_at).as_secs();
        let within = |secs: u64| i64::try_from(secs).is_ok_and(|secs| age <= secs);
        let is = |other: &&Record| other.name == record.name;
        within(schedule.keep_all_secs)
            || (within(schedule.keep_daily_secs) && last_of_day.values().any(is))
            || newest.values().any(is)
            || held.contains(&record.name)
    };
    let (kept, gone) = list.snapshots.iter().cloned().partition(is_kept);
    Sorted { kept: List { snapshots: kept, ..list.clone() }, gone }
}

/// The names whose objects go out of the archive: those that were taken out of the list, and what is left of
/// uploads that broke off.
///
/// A snapshot without a record may have had one: the list may have been lost, or an earlier one put back. So
/// one that is there is left alone, and nothing goes that may be from before the list.
pub fn discarded(
    kept: &List,
    gone: &BTreeSet<String>,
    lying: &[Lying],
    now: Timestamp,
) -> BTreeSet<String> {
    let mut by_name: BTreeMap<&str, Vec<&Lying>> = BTreeMap::new();
    for one in lying {
        by_name.entry(one.name.as_str()).or_default().push(one);
    }
    let oldest = kept.snapshots.iter().map(|record| record.taken_at).min();
    let broke_off = |one: &&Lying| {
        one.part != SNAPSHOT_PART
            && oldest.is_some_and(|oldest| one.written_at > oldest)
            && now.duration_since(one.written_at).as_secs() > UPLOAD_SECS_MAX
    };
    let goes = |(name, parts): &(&str, Vec<&Lying>)| {
        kept.find(name).is_none() && (gone.contains(*name) || parts.iter().all(broke_off))
    };
    by_name.into_iter().filter(goes).map(|(name, _)| name.to_owned()).collect()
}

fn keep_later<'a>(known: &mut &'a Record, record: &'a Record) {
    if (record.taken_at, &record.name) > (known.taken_at, &known.name) {
        *known = record;
    }
}
