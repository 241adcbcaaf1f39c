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
    let remark = "apply replaces no machine: it makes the new version and sets the target";
    let _ = writeln!(text, "  {}\n", view.style.dim(&wrap(remark, view.width, 2, 2)));
    for group in &plan.rollout.groups {
        of_group(text, group, view);
    }
    text.push('\n');
}

fn of_group(text: &mut String, group: &GroupRollout, view: PlanView) {
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    for machine in &group.machines {
        *zones.entry(machine.availability_zone.as_str()).or_default() += 1;
    }
    let zones: Vec<String> =
        zones.iter().map(|(zone, count)| format!("{count} in {zone}")).collect();
    let line = format!(
        "{}  {}: {}",
        group.address,
        plural(group.machines.len(), "machine"),
        zones.join(", ")
    );
    let _ = writeln!(text, "  {}", wrap(&line, view.width, 2, 6));
    let shown = if view.verbose { group.machines.len() } else { NAMED_MAX };
    let names: Vec<String> = group
        .machines
        .iter()
        .take(shown)
        .map(|machine| match machine.version {
            Some(version) => format!("{} (version {version})", machine.instance_id),
            None => format!("{} (attached by hand)", machine.instance_id),
        })
        .collect();
    let rest = group.machines.len().saturating_sub(shown);
    let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    let line = format!("{}{rest}", names.join(", "));
    let _ = writeln!(text, "      {}", view.style.dim(&wrap(&line, view.width, 6, 6)));
    if group.causes.is_empty() {
        let by_hand = group.machines.iter().all(|machine| machine.version.is_none());
        let why =
            if by_hand { "no version made them" } else { "their version is not the wanted one" };
        let _ = writeln!(text, "      because {why}");
        return;
    }
    let _ = writeln!(text, "      because");
    // That the machines roll is said already.
    change::fields(text, &group.causes, |_| "", view);
}
