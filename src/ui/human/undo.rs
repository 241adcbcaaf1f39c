//! What an abort would put back, as an engineer reads it before it is done.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::PlanView;
use crate::roll::{Preview, Undo};
use crate::ui::finding::{plural, wrap};
use crate::ui::roll::{duration, group_name, machine_reason};

/// Machines of a line that are named; the others are counted.
const NAMED_MAX: usize = 6;

/// Writes what is put back, group by group in rolling order.
pub(super) fn section(text: &mut String, preview: &Preview, undo: &[Undo], view: PlanView) {
    if undo.is_empty() {
        return;
    }
    let title = format!("To put back ({})", plural(undo.len(), "group"));
    let _ = writeln!(text, "{}\n", view.style.heading(&title));
    for group in undo {
        let _ = writeln!(text, "  {}", group_name(&group.group, &preview.cluster));
        for line in of_group(group, view.verbose) {
            let _ = writeln!(text, "      {}", wrap(&line, view.width, 6, 8));
        }
    }
    text.push('\n');
}

/// What is done, in about the order in which it is.
fn of_group(undo: &Undo, verbose: bool) -> Vec<String> {
    let Undo {
        group: _,
        version,
        uncordoned,
        unmarked,
        kept,
        ended,
        leaving,
        coming,
        processes,
        is_marked,
    } = undo;
    let list = |what: &str, machines: &[String]| {
        let named = named(machines, verbose);
        (!machines.is_empty()).then(|| format!("{what}: {named}"))
    };
    let mut lines = Vec::new();
    lines.extend(version.map(|version| format!("new machines boot version {version} again")));
    lines.extend(list("uncordoned and freed of the roll's marks", uncordoned));
    lines.extend(list("freed of the roll's taint and marks", unmarked));
    lines.extend(list("stays in the group", kept));
    lines.extend(list("comes, and is waited for", coming));
    let mut alike: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (machine, reasons) in ended {
        let why: Vec<String> = reasons.iter().map(machine_reason).collect();
        alike.entry(why.join(", ")).or_default().push(machine.clone());
    }
    let ended = alike
        .iter()
        .map(|(why, machines)| format!("drained and ended ({why}): {}", named(machines, verbose)));
    lines.extend(ended);
    lines.extend(list("ends already, and is waited for", leaving));
    if !processes.is_empty() {
        let processes: Vec<&str> = processes.iter().map(String::as_str).collect();
        lines.push(format!("resumed: {}", processes.join(", ")));
    }
    lines.extend(is_marked.then(|| "the roll's mark is removed".to_owned()));
    lines
}

fn named(machines: &[String], verbose: bool) -> String {
    let shown = if verbose { machines.len() } else { NAMED_MAX };
    let named: Vec<&str> = machines.iter().take(shown).map(String::as_str).collect();
    let rest = machines.len().saturating_sub(shown);
    let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{}{rest}", named.join(", "))
}

/// `Abort: 7 groups to put back, 1 node to uncordon, 2 machines to end, about 3m00s`.
pub(super) fn summary(preview: &Preview, undo: &[Undo]) -> String {
    if preview.is_idle {
        return "Abort: nothing to put back".to_owned();
    }
    let nodes: usize = undo.iter().map(|group| group.uncordoned.len()).sum();
    let machines: usize = undo.iter().map(|group| group.ended.len()).sum();
    let mut told = vec![format!("Abort: {} to put back", plural(undo.len(), "group"))];
    if nodes > 0 {
        told.push(format!("{} to uncordon", plural(nodes, "node")));
    }
    if machines > 0 {
        told.push(format!("{} to end", plural(machines, "machine")));
    }
    let waits = undo.iter().any(|group| {
        !(group.ended.is_empty() && group.leaving.is_empty() && group.coming.is_empty())
    });
    told.extend(preview.estimate.filter(|_| waits).map(|e| format!("about {}", duration(e))));
    told.join(", ")
}
