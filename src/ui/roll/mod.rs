//! The words of a rolling update: the same in a plan, while it runs, and in its status.

pub(super) mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::finding::plural;
use crate::etcd::{RefusalReason, Why};
use crate::roll::{HaltReason, MachineReason, Phase, WaitReason, Waiting};

/// A group as its users know it: without the cluster's name, and without what says its role.
pub(super) fn group_name<'a>(group: &'a str, cluster: &str) -> &'a str {
    let short = group.strip_suffix(cluster).and_then(|start| start.strip_suffix('.'));
    let Some(short) = short else { return group };
    let infixes = [".masters", ".etcd"];
    infixes.iter().find_map(|infix| short.strip_suffix(infix)).unwrap_or(short)
}

/// Why a machine is replaced.
pub(super) fn machine_reason(reason: &MachineReason) -> String {
    match reason {
        MachineReason::Revision { runs, target } => {
            format!("built from revision {runs}, wanted is {target}")
        }
        MachineReason::Unknown => {
            "attached by hand: nobody knows what it was built from".to_owned()
        }
        MachineReason::Retired { why } => why.clone(),
        MachineReason::Detached => "taken out of its group by a roll that did not end".to_owned(),
        MachineReason::Unhealthy { why } => format!("broken: {why}"),
        MachineReason::Age { hours, hours_max } => {
            format!("{hours} hours old, its group allows {hours_max}")
        }
        MachineReason::Forced => "asked for by --force".to_owned(),
        MachineReason::Annotated { annotation } => format!("asked for by annotation {annotation}"),
    }
}

/// What a machine does, as a verb.
pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Detached => "waits outside its group",
        Phase::Draining => "drains",
        Phase::Leaving => "ends",
        Phase::Booting => "boots",
        Phase::Soaking => "is ready and soaks",
    }
}

/// For what a roll waits, after "waits for"; groups are told without the cluster's name.
pub(super) fn wait_reason(waiting: &Waiting, cluster: &str) -> String {
    match &waiting.reason {
        WaitReason::Pods { left, held } => {
            let left = plural(*left, "pod");
            match held {
                None => format!("{left} to leave"),
                Some((pod, why)) => format!("{left} to leave; {pod} is held: {why}"),
            }
        }
        WaitReason::Deregistration => "load balancers to let it go".to_owned(),
        WaitReason::PostDrain => "the pause after its drain".to_owned(),
        WaitReason::Termination => "its end".to_owned(),
        WaitReason::Machines { have, want, failed_activity } => {
            let have = format!("machines, {have} of {want} there");
            match failed_activity {
                None => have,
                Some(why) => format!("{have}: {why}"),
            }
        }
        WaitReason::Node => "it to be ready".to_owned(),
        WaitReason::Soak if is_watch(waiting) => "its canaries to prove themselves".to_owned(),
        WaitReason::Soak => "it to stay ready".to_owned(),
        WaitReason::Regression { object, what } => format!("{object} to recover: {what}"),
        WaitReason::Quorum { why } => format!("etcd: {why}"),
        WaitReason::Limit { what } => format!("a free place: {what}"),
        WaitReason::Turn { of } => format!("its turn, after {}", group_name(of, cluster)),
        WaitReason::Paused { by, why } if why.is_empty() => format!("{by}, who paused the roll"),
        WaitReason::Paused { by, why } => format!("{by}, who paused the roll: {why}"),
    }
}

/// One word for the kind of a wait, for machines that read.
pub(super) fn wait_word(reason: &WaitReason) -> &'static str {
    match reason {
        WaitReason::Pods { .. } => "pods",
        WaitReason::Deregistration => "deregistration",
        WaitReason::PostDrain => "post_drain",
        WaitReason::Termination => "termination",
        WaitReason::Machines { .. } => "machines",
        WaitReason::Node => "node",
        WaitReason::Soak => "soak",
        WaitReason::Regression { .. } => "regression",
        WaitReason::Quorum { .. } => "quorum",
        WaitReason::Limit { .. } => "limit",
        WaitReason::Turn { .. } => "turn",
        WaitReason::Paused { .. } => "paused",
    }
}

/// Whether a wait tells something: limits and turns are the plan, and pauses of the roll's own are
/// short, but for the time that canaries are watched.
pub(super) fn is_telling(waiting: &Waiting) -> bool {
    match &waiting.reason {
        WaitReason::Limit { .. } | WaitReason::Turn { .. } | WaitReason::PostDrain => false,
        WaitReason::Soak => is_watch(waiting),
        _ => true,
    }
}

/// Whether somebody paused the roll: that is the same for all groups.
pub(super) fn is_pause(waiting: &Waiting) -> bool {
    matches!(waiting.reason, WaitReason::Paused { .. })
}

/// Whether a group's canaries are watched: each single machine's soak is its own.
pub(super) fn is_watch(waiting: &Waiting) -> bool {
    waiting.reason == WaitReason::Soak && waiting.machine.is_none()
}

/// How long a wait may last still: `, at most 4m10s`; nothing where others' limits end it.
pub(super) fn at_most(waiting: &Waiting, now: Timestamp) -> String {
    match waiting.deadline {
        Some(deadline) => format!(", at most {}", duration(between(now, deadline))),
        None => String::new(),
    }
}

/// Why a roll halts: the object and what is wrong with it.
pub(super) fn halt_reason(reason: &HaltReason, cluster: &str) -> String {
    match &reason.group {
        Some(group) if *group != reason.object => {
            format!("{}: {}: {}", group_name(group, cluster), reason.object, reason.message)
        }
        _ => format!("{}: {}", reason.object, reason.message),
    }
}

/// The quorum guard's reasons, each told once: etcd cluster, whose it is (`member a`, `members a, b`,
/// or nothing for the cluster's own), and the reason.
pub(super) fn by_reason<'a>(
    reasons: impl IntoIterator<Item = &'a RefusalReason>,
) -> Vec<(&'a str, String, &'a Why)> {
    let mut members: BTreeMap<(&str, &Why), BTreeSet<&str>> = BTreeMap::new();
    for reason in reasons {
        let known = members.entry((&reason.etcd, &reason.why)).or_default();
        known.extend(reason.member.as_deref());
    }
    let told = members.into_iter().map(|((etcd, why), members)| {
        let members: Vec<&str> = members.into_iter().collect();
        let whose = match members.as_slice() {
            [] => String::new(),
            [one] => format!("member {one}"),
            many => format!("members {}", many.join(", ")),
        };
        (etcd, whose, why)
    });
    told.collect()
}

/// The time between two moments; zero if they are the other way round.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// `850ms`, `12s`, `3m12s`, `1h05m`.
pub(super) fn duration(elapsed: Duration) -> String {
    let secs = elapsed.as_secs();
    match secs {
        0 => format!("{}ms", elapsed.as_millis()),
        1..=59 => format!("{secs}s"),
        60..=3599 => format!("{}m{:02}s", secs / 60, secs % 60),
        _ => format!("{}h{:02}m", secs / 3600, secs % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::group_name;

    #[test]
    fn a_group_is_told_by_its_users_name() {
        let cluster = "c.example.com";
        let told =
            ["etcd-a.masters.c.example.com", "pool.c.example.com", "strange", "c.example.com"]
                .map(|group| group_name(group, cluster));
        assert_eq!(told, ["etcd-a", "pool", "strange", "c.example.com"]);
    }
}
