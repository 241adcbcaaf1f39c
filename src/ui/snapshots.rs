//! Snapshots of etcd, and a restore from some of them, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jiff::Timestamp;

use super::Style;
use super::roll::{between, duration};
use crate::etcd::Epoch;
use crate::etcd::snapshot::{List, Moment, Record};
use crate::resource::Key;

/// Renders the lists of snapshots, the newest first.
pub fn text(
    cluster: &str,
    lists: &BTreeMap<String, List>,
    now: Timestamp,
    is_simulated: bool,
    style: Style,
) -> String {
    let mut text = String::new();
    let simulated =
        if is_simulated { format!("{} ", style.warning("SIMULATED")) } else { String::new() };
    let _ = writeln!(text, "{simulated}{} at {now}", style.heading(cluster));
    for (etcd, list) in lists {
        let count = match list.snapshots.len() {
            0 => "no verified snapshot".to_owned(),
            1 => "1 verified snapshot".to_owned(),
            count => format!("{count} verified snapshots"),
        };
        let _ = writeln!(text, "\n{}  {count}", style.heading(&format!("etcd {etcd}")));
        if list.snapshots.is_empty() {
            continue;
        }
        let names = list.snapshots.iter().map(|record| record.name.chars().count());
        let column = names.max().unwrap_or_default().max("NAME".len());
        let _ = writeln!(
            text,
            "  {:column$}  {:>8}  {:>9}  {:>12}  {:>5}  MEMBER",
            "NAME", "AGE", "SIZE", "REVISION", "EPOCH"
        );
        for record in list.snapshots.iter().rev() {
            let _ = writeln!(
                text,
                "  {:column$}  {:>8}  {:>9}  {:>12}  {:>5}  {}",
                record.name,
                duration(between(record.taken_at, now)),
                size(record.bytes),
                record.revision,
                record.epoch,
                record.member,
            );
        }
    }
    text
}

/// A member that is left.
#[derive(Clone, Debug)]
pub struct Survivor {
    /// Its name.
    pub member: String,
    /// When its machine reported last.
    pub heard_at: Option<Timestamp>,
}

/// What a restore is about to do.
#[derive(Clone, Debug)]
pub struct RestorePlan<'a> {
    /// The cluster.
    pub cluster: &'a str,
    /// The snapshots of those etcd clusters that do not begin with a member that is left.
    pub moment: &'a Moment,
    /// The members that are left, by etcd cluster: of each a snapshot is taken first.
    pub survivors: &'a BTreeMap<String, Survivor>,
    /// The epochs as they are.
    pub epochs: &'a BTreeMap<String, Epoch>,
    /// The volumes that are set aside, by id.
    pub volumes: &'a BTreeMap<String, Key>,
    /// The machines that are replaced, by group.
    pub machines: &'a BTreeMap<String, BTreeSet<String>>,
    /// Now.
    pub now: Timestamp,
    /// Whether nothing of it is real.
    pub is_simulated: bool,
}

/// Renders what a restore is about to do.
pub fn restore(plan: &RestorePlan<'_>, style: Style) -> String {
    let mut text = String::new();
    let simulated =
        if plan.is_simulated { format!("{} ", style.warning("SIMULATED")) } else { String::new() };
    let _ = writeln!(text, "{simulated}Restore of {}", style.heading(plan.cluster));
    for (etcd, epoch) in plan.epochs {
        let next = epoch.number.saturating_add(1);
        let _ = writeln!(
            text,
            "\n{}  epoch {} -> {next}",
            style.heading(&format!("etcd {etcd}")),
            epoch.number
        );
        match (plan.moment.get(etcd), plan.survivors.get(etcd)) {
            (Some(record), _) => from_record(&mut text, record, plan.now),
            (None, Some(survivor)) => from_survivor(&mut text, survivor, plan.now),
            (None, None) => {}
        }
    }
    tell_apart(&mut text, plan, style);
    let _ = writeln!(text, "\nSet aside, with all that is on them ({})", plan.volumes.len());
    for (id, key) in plan.volumes {
        let _ = writeln!(text, "  {id}  {}", key.name);
    }
    let count: usize = plan.machines.values().map(BTreeSet::len).sum();
    let _ = writeln!(text, "\nReplaced at once ({count})");
    for (group, machines) in plan.machines {
        let machines = machines.iter().cloned().collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "  {group}  {machines}");
    }
    let _ = writeln!(
        text,
        "\nUntil its members have formed, the cluster has no etcd: its API answers nothing."
    );
    text
}

fn from_record(text: &mut String, record: &Record, now: Timestamp) {
    let _ = writeln!(
        text,
        "  from {}: revision {}, {}, {} ago",
        record.name,
        record.revision,
        size(record.bytes),
        duration(between(record.taken_at, now)),
    );
    let _ = writeln!(text, "  what was written since {} is lost", record.taken_at);
}

fn from_survivor(text: &mut String, survivor: &Survivor, now: Timestamp) {
    let Survivor { member, heard_at } = survivor;
    let heard = heard_at.map_or_else(
        || "of which nothing was ever heard".to_owned(),
        |at| format!("heard of {} ago", duration(between(at, now))),
    );
    let _ = writeln!(text, "  from member {member}, {heard}: a snapshot of it is taken first");
    let _ = writeln!(text, "  what the others had agreed on and {member} has not learned is lost");
}

/// A snapshot is older than what a member has now.
fn tell_apart(text: &mut String, plan: &RestorePlan<'_>, style: Style) {
    if plan.moment.is_empty() || plan.survivors.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", style.warning("Not of one time"));
    for (etcd, record) in plan.moment {
        let age = duration(between(record.taken_at, plan.now));
        let _ = writeln!(text, "  etcd {etcd} begins with what it had {age} ago");
    }
    for (etcd, Survivor { member, .. }) in plan.survivors {
        let _ = writeln!(text, "  etcd {etcd} begins with what {member} has by now");
    }
}

/// A length, in the largest unit that leaves something before the point.
fn size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| bytes >> shift > 0) {
        Some((unit, shift)) => {
            let tenths = (bytes >> (shift - 4)) * 10 / 16;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::Timestamp;

    use super::{RestorePlan, restore, size};
    use crate::resource::{Key, Kind};
    use crate::ui::Style;

    #[test]
    fn a_size_is_told_in_one_unit() {
        let told = [0, 1023, 1024, 20_512, 3 << 20, 5_000_000_000].map(size);
        assert_eq!(told, ["0 B", "1023 B", "1.0 KiB", "20.0 KiB", "3.0 MiB", "4.6 GiB"]);
    }

    #[test]
    fn a_restore_tells_volumes_by_id_and_name() {
        let plan = RestorePlan {
            cluster: "c",
            moment: &BTreeMap::new(),
            survivors: &BTreeMap::new(),
            epochs: &BTreeMap::new(),
            volumes: &BTreeMap::from([(
                "vol-1".to_owned(),
                Key::new(Kind::Volume, "a.etcd-main.c"),
            )]),
            machines: &BTreeMap::from([("g".to_owned(), BTreeSet::from(["i-1".to_owned()]))]),
            now: Timestamp::UNIX_EPOCH,
            is_simulated: false,
        };
        let text = restore(&plan, Style::plain());
        assert!(text.contains("that is on them (1)\n  vol-1  a.etcd-main.c\n"), "{text}");
        assert!(text.contains("at once (1)\n  g  i-1\n"), "{text}");
    }
}
