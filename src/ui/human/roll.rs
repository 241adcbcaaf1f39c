//! A rolling update before it begins, as an engineer reads it: which machines go, why, in which
//! order, how many at a time, and what would hold it up.

use std::fmt::Write;

use super::{PlanView, change, more, undo};
use crate::kube::drain::PreflightFinding;
use crate::roll::{MachineReason, Preview, PreviewGroup, PreviewMachine, RolloutRole};
use crate::ui::finding::{plural, wrap};
use crate::ui::roll::{by_reason, group_name, halt_reason, machine_reason};

/// Machines of a line that are named; the others are counted.
const NAMED_MAX: usize = 6;

/// Renders a roll's plan; ends with the summary line.
pub fn roll(preview: &Preview, view: PlanView) -> String {
    let mut text = String::new();
    let title = match preview.undo {
        Some(_) => format!("Abort of the roll of {}", preview.cluster),
        None => format!("Rolling update of {}", preview.cluster),
    };
    let _ = writeln!(text, "{}", view.style.heading(&title));
    let cloud = match preview.cloud.as_str() {
        "sim" => view.style.warning("SIMULATED"),
        other => other.to_uppercase(),
    };
    let _ = writeln!(text, "{cloud} account {} region {}", preview.account, preview.region);
    let _ = writeln!(text, "observed at {}\n", preview.observed_at);
    roll_body(&mut text, preview, view);
    let _ = writeln!(text, "{}", roll_summary(preview));
    text
}

/// What a roll would do and what would hold it up, without heading and summary: also the end of a
/// plan that is applied and rolled in one go.
pub(super) fn roll_body(text: &mut String, preview: &Preview, view: PlanView) {
    remarks(text, preview, view);
    match &preview.undo {
        Some(groups) => undo::section(text, preview, groups, view),
        None => machines(text, preview, view),
    }
    obstacles(text, preview, view);
}

/// `Roll: 27 of 41 machines in 12 groups, about 41m00s; 3 are left for later; 2 things would halt it`.
pub fn roll_summary(preview: &Preview) -> String {
    let obstacles = match preview.obstacle_count() {
        0 => String::new(),
        1 => "; 1 thing would halt it".to_owned(),
        count => format!("; {count} things would halt it"),
    };
    if let Some(groups) = &preview.undo {
        return format!("{}{obstacles}", undo::summary(preview, groups));
    }
    let left = match preview.left_count {
        0 => String::new(),
        1 => "; 1 is left for later".to_owned(),
        count => format!("; {count} are left for later"),
    };
    if preview.to_replace() == 0 {
        let as_wanted = preview.machine_count.saturating_sub(preview.left_count);
        let as_wanted = plural(as_wanted, "machine");
        return format!("Roll: nothing to do, {as_wanted} as wanted{left}");
    }
    let estimate = match preview.estimate {
        Some(estimate) => format!(", about {}", crate::ui::roll::duration(estimate)),
        None => String::new(),
    };
    format!(
        "Roll: {} of {} in {}{estimate}{left}{obstacles}",
        preview.to_replace(),
        plural(preview.machine_count, "machine"),
        plural(preview.groups.len(), "group"),
    )
}

/// What is worth knowing before the list.
fn remarks(text: &mut String, preview: &Preview, view: PlanView) {
    let mut lines = Vec::new();
    if preview.unapplied_count > 0 && preview.undo.is_none() {
        let changes = match preview.unapplied_count {
            1 => "1 change is".to_owned(),
            count => format!("{count} changes are"),
        };
        lines.push(format!(
            "{changes} not applied: this goes where the last apply said; `kprod apply {} --roll` \
             makes them first",
            preview.cluster
        ));
    }
    if let Some(roll) = &preview.unfinished {
        let this = if preview.undo.is_some() { "puts it back" } else { "goes on with it" };
        lines.push(format!("roll {roll} did not end; this {this}"));
    }
    if let Some(pause) = &preview.paused {
        let why = if pause.why.is_empty() { String::new() } else { format!(": {}", pause.why) };
        lines.push(format!(
            "paused by {} since {}{why}; nothing begins until `--resume`",
            pause.by, pause.at
        ));
    }
    if preview.cloudonly {
        let nodes = match preview.undo {
            Some(_) => "nodes keep their cordons, taints and marks",
            None => "no cordon, no drain, no look at nodes",
        };
        lines.push(format!("Kubernetes is left out: {nodes}"));
    }
    if let Some(most) = preview.machines_max.filter(|_| preview.left_count > 0) {
        lines.push(format!(
            "--max-machines {most}: begins with {} of {}, in the order below",
            preview.to_replace(),
            plural(preview.to_replace() + preview.left_count, "machine")
        ));
    }
    if lines.is_empty() {
        return;
    }
    for line in lines {
        let _ = writeln!(text, "{}", wrap(&line, view.width, 0, 2));
    }
    text.push('\n');
}

fn machines(text: &mut String, preview: &Preview, view: PlanView) {
    let count = preview.to_replace();
    if count == 0 {
        return;
    }
    let title = format!("To replace, in this order ({})", plural(count, "machine"));
    let _ = writeln!(text, "{}\n", view.style.heading(&title));
    let mut place = 0;
    for groups in preview.groups.chunk_by(|left, right| turn(left.role) == turn(right.role)) {
        place += 1;
        let title = groups.first().map_or("", |group| turn(group.role));
        let _ = writeln!(text, "  {place}. {title}\n");
        for groups in groups.chunk_by(|left, right| left.causes == right.causes) {
            groups.iter().for_each(|group| of_group(text, group, preview, view));
            if let Some(causes) = groups.first().map(|group| &group.causes)
                && !causes.is_empty()
            {
                let _ = writeln!(text, "    because");
                change::fields(text, causes, |_| "", view);
            }
            text.push('\n');
        }
    }
}

/// Which groups go together, and how.
fn turn(role: RolloutRole) -> &'static str {
    match role {
        RolloutRole::Bastion => "bastions",
        RolloutRole::Etcd | RolloutRole::ControlPlane => {
            "etcd and the control plane, one machine at a time over all groups"
        }
        RolloutRole::Node => "workers, groups in parallel",
    }
}

fn of_group(text: &mut String, group: &PreviewGroup, preview: &Preview, view: PlanView) {
    let name = group_name(&group.group, &preview.cluster);
    let of = match group.machine_count == group.machines.len() {
        true => plural(group.machine_count, "machine"),
        false => format!("{} of {}", group.machines.len(), plural(group.machine_count, "machine")),
    };
    let speed = match group.role.is_quorum() {
        true => String::new(),
        false => format!(", {} at a time ({})", group.slots.total().max(1), slots(group)),
    };
    let line = format!("{name}  {of}{speed}");
    let _ = writeln!(text, "  {}", wrap(&line, view.width, 2, 6));
    // What holds for all groups of its turn stands in that one's title.
    for why in group.slots.why.iter().filter(|_| !group.role.is_quorum()) {
        let _ = writeln!(text, "      {}", view.style.dim(&wrap(why, view.width, 6, 8)));
    }
    for ((origin, reasons), machines) in alike(group) {
        let shown = if view.verbose { machines.len() } else { NAMED_MAX };
        let names: Vec<String> = machines.iter().take(shown).map(|m| named(m)).collect();
        let rest = machines.len().saturating_sub(shown);
        let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        let line = format!("{origin}: {}{rest}", names.join(", "));
        let _ = writeln!(text, "      {}", view.style.dim(&wrap(&line, view.width, 6, 8)));
        for reason in reasons {
            let _ = writeln!(text, "        {}", wrap(&reason, view.width, 8, 10));
        }
    }
}

/// What is told of a machine: where it is from, and its reasons.
type Told = (String, Vec<String>);

/// Machines of which the same is told, in the order in which they go.
fn alike(group: &PreviewGroup) -> Vec<(Told, Vec<&PreviewMachine>)> {
    let mut alike: Vec<(Told, Vec<&PreviewMachine>)> = Vec::new();
    for machine in &group.machines {
        let told = (origin(machine), reasons(machine, group));
        match alike.iter_mut().find(|(known, _)| *known == told) {
            Some((_, machines)) => machines.push(machine),
            None => alike.push((told, vec![machine])),
        }
    }
    alike
}

/// `surge 1, unavailable 0`.
fn slots(group: &PreviewGroup) -> String {
    format!("surge {}, unavailable {}", group.slots.surge, group.slots.unavailable)
}

fn origin(machine: &PreviewMachine) -> String {
    match machine.version {
        Some(version) => format!("{}, version {version}", machine.zone),
        None => format!("{}, attached by hand", machine.zone),
    }
}

fn named(machine: &PreviewMachine) -> String {
    let members: Vec<String> =
        machine.members.iter().map(|(etcd, member)| format!("{etcd}/{member}")).collect();
    match members.as_slice() {
        [] => machine.instance_id.clone(),
        _ => format!("{} (etcd {})", machine.instance_id, members.join(", ")),
    }
}

/// A machine's reasons; the revision is told by the fields that differ, where they are known.
fn reasons(machine: &PreviewMachine, group: &PreviewGroup) -> Vec<String> {
    let is_told = |reason: &&MachineReason| {
        !group.causes.is_empty() && matches!(reason, MachineReason::Revision { .. })
    };
    machine.reasons.iter().filter(|reason| !is_told(reason)).map(machine_reason).collect()
}

fn obstacles(text: &mut String, preview: &Preview, view: PlanView) {
    let (halting, held): (Vec<&PreflightFinding>, Vec<&PreflightFinding>) =
        preview.preflight.iter().partition(|finding| finding.halts);
    section(text, "Would halt a drain", &halting, view);
    section(text, "Would make a drain wait", &held, view);
    guard(text, preview, view);
    if !preview.halts.is_empty() {
        let title = format!("Would halt at once ({})", preview.halts.len());
        let _ = writeln!(text, "{}\n", view.style.error(&title));
        for halt in &preview.halts {
            let line = halt_reason(halt, &preview.cluster);
            let _ = writeln!(text, "  {}", wrap(&line, view.width, 2, 4));
            hint(text, &halt.way_out, view);
        }
        text.push('\n');
    }
}

/// What the quorum guard says now: members' reasons are the same for many groups, and told once.
fn guard(text: &mut String, preview: &Preview, view: PlanView) {
    let told = by_reason(preview.guard.values().flatten());
    if told.is_empty() {
        return;
    }
    let title =
        format!("The quorum guard would wait now, for {}", plural(preview.guard.len(), "group"));
    let _ = writeln!(text, "{}\n", view.style.heading(&title));
    for (etcd, whose, why) in told {
        let line = match (etcd, whose.as_str()) {
            ("", _) => why.to_string(),
            (_, "") => format!("etcd {etcd}: {why}"),
            _ => format!("etcd {etcd}, {whose}: {why}"),
        };
        let _ = writeln!(text, "  {}", wrap(&line, view.width, 2, 4));
    }
    text.push('\n');
}

fn section(text: &mut String, title: &str, findings: &[&PreflightFinding], view: PlanView) {
    if findings.is_empty() {
        return;
    }
    let _ = writeln!(text, "{}\n", view.style.heading(&format!("{title} ({})", findings.len())));
    let shown = if view.verbose { findings.len() } else { super::LISTED_MAX };
    for finding in findings.iter().take(shown) {
        let line = format!("{}: {}", finding.object, finding.message);
        let _ = writeln!(text, "  {}", wrap(&line, view.width, 2, 4));
        let nodes: Vec<&str> = finding.nodes.iter().map(String::as_str).collect();
        let named = nodes.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
        let rest = match nodes.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            rest => format!(" and {rest} more"),
        };
        let line = view.style.dim(&wrap(&format!("on {named}{rest}"), view.width, 4, 6));
        let _ = writeln!(text, "    {line}");
        hint(text, &finding.way_out, view);
    }
    more(text, findings.len(), shown, 2);
    text.push('\n');
}

fn hint(text: &mut String, way_out: &str, view: PlanView) {
    let _ =
        writeln!(text, "    {} {}", view.style.hint("hint:"), wrap(way_out, view.width, 10, 10));
}

#[cfg(test)]
mod tests;
