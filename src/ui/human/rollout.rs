//! The pending rollout: machines that are not built from the wanted content, and why.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{PlanView, change};
use crate::plan::{GroupRollout, Plan};
use crate::ui::finding::{plural, wrap};

/// Machines of a group that are named; the others are counted.
const NAMED_MAX: usize = 6;

/// Writes the section, if any machine is to be replaced.
pub(super) fn section(text: &mut String, plan: &Plan, view: PlanView) {
    let count = plan.rollout.machine_count();
    if count == 0 {
        return;
    }
    let title = format!("Rollout pending: {}", plural(count, "machine"));
    let _ = writeln!(text, "{}", view.style.heading(&title));
    let remark =
        "apply makes the new version and sets the target; --roll replaces the machines, too";
    let _ = writeln!(text, "  {}\n", view.style.dim(&wrap(remark, view.width, 2, 2)));
    // Neighbours in rolling order that roll for the same reason share it.
    for groups in plan.rollout.groups.chunk_by(|left, right| left.causes == right.causes) {
        for group in groups {
            of_group(text, group, view);
        }
        causes(text, groups, view);
        text.push('\n');
    }
}

fn of_group(text: &mut String, group: &GroupRollout, view: PlanView) {
    let count = plural(group.machines.len(), "machine");
    let address = group.address.to_string();
    let beside = address.chars().count() + count.len() + 4 <= view.width;
    let gap = if beside { "  " } else { "\n      " };
    let _ = writeln!(text, "  {address}{gap}{count}");
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    let mut versions: BTreeMap<Option<u64>, Vec<&str>> = BTreeMap::new();
    for machine in &group.machines {
        *zones.entry(machine.availability_zone.as_str()).or_default() += 1;
        versions.entry(machine.version).or_default().push(&machine.instance_id);
    }
    let zones: Vec<String> =
        zones.iter().map(|(zone, count)| format!("{count} in {zone}")).collect();
    let mut line = zones.join(", ");
    for (version, machines) in versions {
        let shown = if view.verbose { machines.len() } else { NAMED_MAX };
        let names: Vec<&str> = machines.iter().take(shown).copied().collect();
        let rest = machines.len().saturating_sub(shown);
        let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        let origin = match version {
            Some(version) => format!("version {version}"),
            None => "attached by hand".to_owned(),
        };
        let _ = write!(line, "; {origin}: {}{rest}", names.join(", "));
    }
    let _ = writeln!(text, "      {}", view.style.dim(&wrap(&line, view.width, 6, 6)));
}

fn causes(text: &mut String, groups: &[GroupRollout], view: PlanView) {
    let causes = groups.first().map(|group| group.causes.as_slice()).unwrap_or_default();
    if causes.is_empty() {
        let mut machines = groups.iter().flat_map(|group| &group.machines);
        let by_hand = machines.all(|machine| machine.version.is_none());
        let why =
            if by_hand { "no version made them" } else { "their version is not the wanted one" };
        let _ = writeln!(text, "    because {why}");
        return;
    }
    let _ = writeln!(text, "    because");
    // That the machines roll is said already.
    change::fields(text, causes, |_| "", view);
}
