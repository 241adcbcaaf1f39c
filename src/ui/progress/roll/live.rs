//! The live view of a roll: a line for the whole and one for each group that is worked on or waits,
//! redrawn in place; lines that tell what happened scroll by above.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::ledger::{GroupLedger, Ledger};
use crate::roll::Phase;
use crate::ui::finding::plural;
use crate::ui::roll::{between, duration, group_name, phase, wait_reason};

/// Groups that have a line; the others are counted in the first one.
const GROUPS_MAX: usize = 12;

/// What stands on the terminal.
pub(super) struct Live {
    all: MultiProgress,
    head: ProgressBar,
    groups: BTreeMap<String, ProgressBar>,
}

/// The view as text: what a test can read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) head: String,
    /// Name, machines replaced, machines to replace, what goes on.
    pub(super) groups: Vec<(String, usize, usize, String)>,
}

impl Live {
    pub(super) fn new() -> Self {
        let all = MultiProgress::new();
        let head = all.add(ProgressBar::new_spinner());
        style(&head, "{spinner} {wide_msg}");
        head.enable_steady_tick(Duration::from_millis(120));
        Self { all, head, groups: BTreeMap::new() }
    }

    /// Prints lines above, and shows how things stand.
    pub(super) fn show(&mut self, lines: &[String], view: View) {
        for line in lines {
            // A terminal that went away takes nothing from the roll.
            let _ = self.all.println(line);
        }
        self.head.set_message(view.head);
        let shown: Vec<&String> = view.groups.iter().map(|(name, ..)| name).collect();
        let gone: Vec<String> =
            self.groups.keys().filter(|name| !shown.contains(name)).cloned().collect();
        for bar in gone.iter().filter_map(|name| self.groups.remove(name)) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
        for (name, position, length, message) in view.groups {
            let bar = self.groups.entry(name).or_insert_with_key(|name| {
                let bar = self.all.add(ProgressBar::new(0));
                style(&bar, "  {prefix:24} {pos:>3}/{len:<3} {wide_msg}");
                bar.set_prefix(name.clone());
                bar
            });
            bar.set_length(length as u64);
            bar.set_position(position as u64);
            bar.set_message(message);
        }
    }

    /// Ends the view; what scrolled by stays.
    pub(super) fn clear(self) {
        // As above: nobody is left to tell.
        let _ = self.all.clear();
    }
}

fn style(bar: &ProgressBar, template: &str) {
    // The templates are constants; were one wrong, the default style would do.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

/// What a ledger looks like at a moment.
pub(super) fn view(ledger: &Ledger, now: Timestamp) -> View {
    let groups = &ledger.groups;
    let gone: usize = groups.iter().map(|group| group.gone).sum();
    let total: usize = groups.iter().map(GroupLedger::total).sum();
    let in_work: usize = groups.iter().map(|group| group.progress.in_work.len()).sum();
    let what = match ledger.aborts {
        true => "putting back".to_owned(),
        false => format!("{gone} of {total} machines replaced"),
    };
    let mut head = format!("{what}, {in_work} in work, {}", duration(ledger.elapsed()));
    let eta = ledger.eta.as_deref().and_then(|eta| eta.parse::<Timestamp>().ok());
    if let Some(eta) = eta {
        head.push_str(&format!(", about {} to go", duration(between(now, eta))));
    }
    let is_open = |group: &&GroupLedger| {
        !(group.progress.in_work.is_empty() && group.progress.outdated.is_empty())
    };
    // Those that are worked on come first where there is no room for all.
    let mut open: Vec<&GroupLedger> = groups.iter().filter(is_open).collect();
    open.sort_by_key(|group| group.progress.in_work.is_empty());
    if open.len() > GROUPS_MAX {
        head.push_str(&format!(", {} more", plural(open.len() - GROUPS_MAX, "group")));
    }
    let line = |group: &&GroupLedger| {
        let name = group_name(&group.progress.group, &ledger.cluster).to_owned();
        (name, group.gone, group.total(), standing(group, &ledger.cluster, now))
    };
    View { head, groups: open.iter().take(GROUPS_MAX).map(line).collect() }
}

/// What goes on in a group: machines by phase, the wait that ends first, and which machine it is. What
/// a narrow terminal cuts off comes last.
fn standing(group: &GroupLedger, cluster: &str, now: Timestamp) -> String {
    let in_work = &group.progress.in_work;
    let mut phases: BTreeMap<Phase, usize> = BTreeMap::new();
    for at in in_work.values() {
        *phases.entry(*at).or_default() += 1;
    }
    let mut parts: Vec<String> = phases
        .iter()
        .map(|(at, machines)| match (machines, in_work.len()) {
            (1, 1) => phase(*at).to_owned(),
            (1, _) => format!("1 {}", phase(*at)),
            (many, _) => format!("{many} {}", plural_phase(*at)),
        })
        .collect();
    let waits = group.progress.waiting.iter();
    let first = waits.min_by_key(|waiting| (waiting.deadline.is_none(), waiting.deadline));
    if let Some(waiting) = first {
        let reason = wait_reason(waiting, cluster);
        parts.push(match waiting.deadline {
            Some(deadline) => {
                format!("at most {} for {reason}", duration(between(now, deadline)))
            }
            None => format!("waits for {reason}"),
        });
    }
    let text = parts.join(", ");
    match in_work.keys().collect::<Vec<_>>().as_slice() {
        [machine] => format!("{text} ({machine})"),
        _ => text,
    }
}

fn plural_phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Detached => "wait outside",
        Phase::Draining => "drain",
        Phase::Leaving => "end",
        Phase::Booting => "boot",
        Phase::Soaking => "soak",
    }
}
