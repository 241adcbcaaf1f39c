//! One step of a rolling update, taken apart once for lines and records alike.

use std::collections::BTreeSet;

use crate::roll::Step;
use crate::roll::decision::PodStep;
use crate::ui::finding::plural;

/// What a step is about. What it is not about is empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::ui) struct StepFacts<'a> {
    /// Which kind of step, in snake_case.
    pub(in crate::ui) step: &'static str,
    /// The group.
    pub(in crate::ui) group: Option<&'a str>,
    /// The node.
    pub(in crate::ui) node: Option<&'a str>,
    /// Machines, by instance id.
    pub(in crate::ui) machines: Vec<&'a str>,
    /// Pods, by namespace and name.
    pub(in crate::ui) pods: Vec<String>,
    /// What else there is to know: a version, a number, processes.
    pub(in crate::ui) detail: Option<String>,
}

impl StepFacts<'_> {
    /// A few words for a line: `set desired of general`.
    pub(in crate::ui) fn brief(&self, name: impl Fn(&str) -> String) -> String {
        let what = match (self.group, self.node, self.machines.as_slice()) {
            (Some(group), ..) => name(group),
            (None, Some(node), _) => node.to_owned(),
            (None, None, [machine]) => (*machine).to_owned(),
            (None, None, machines) => plural(machines.len(), "machine"),
        };
        format!("{} of {what}", self.step.replace('_', " "))
    }
}

fn named(step: &'static str) -> StepFacts<'static> {
    StepFacts { step, ..StepFacts::default() }
}

fn of_group<'a>(step: &'static str, group: &'a str) -> StepFacts<'a> {
    StepFacts { group: Some(group), ..named(step) }
}

fn of_node<'a>(step: &'static str, node: &'a str) -> StepFacts<'a> {
    StepFacts { node: Some(node), ..named(step) }
}

fn words(set: &BTreeSet<String>) -> Vec<&str> {
    set.iter().map(String::as_str).collect()
}

fn of_pods<'a>(step: &'static str, node: &'a str, pods: &[PodStep]) -> StepFacts<'a> {
    StepFacts { pods: pods.iter().map(|pod| pod.pod.to_string()).collect(), ..of_node(step, node) }
}

impl<'a> StepFacts<'a> {
    fn machines(self, machines: &'a BTreeSet<String>) -> Self {
        Self { machines: words(machines), ..self }
    }

    fn detail(self, detail: impl ToString) -> Self {
        Self { detail: Some(detail.to_string()), ..self }
    }

    fn detail_if(self, holds: bool, detail: &str) -> Self {
        if holds { self.detail(detail) } else { self }
    }
}

/// Takes a step apart.
pub(in crate::ui) fn facts(step: &Step) -> StepFacts<'_> {
    match step {
        Step::Mark { group, mark } => of_group("mark", group).detail(mark),
        Step::Unmark { group } => of_group("unmark", group),
        Step::Suspend { group, processes } => {
            of_group("suspend", group).detail(words(processes).join(" "))
        }
        Step::Resume { group, processes } => {
            of_group("resume", group).detail(words(processes).join(" "))
        }
        Step::Pin { group, version } => of_group("pin", group).detail(version),
        Step::MarkFailed { group, revision } => of_group("mark_failed", group).detail(revision),
        Step::ClearFailed { group } => of_group("clear_failed", group),
        Step::SetDesired { group, from, to } => {
            of_group("set_desired", group).detail(format!("{from} -> {to}"))
        }
        Step::LowerMinimum { group, to } => of_group("lower_minimum", group).detail(to),
        Step::MarkDetached { mark, machines } => {
            of_group("mark_detached", &mark.group).machines(machines)
        }
        Step::UnmarkDetached { machines } => named("unmark_detached").machines(machines),
        Step::Detach { group, machines } => of_group("detach", group).machines(machines),
        Step::Deregister { machine, target_group_arns } => {
            let step = named("deregister").detail(words(target_group_arns).join(" "));
            StepFacts { machines: vec![machine], ..step }
        }
        Step::Register { machine, target_group_arns } => {
            let step = named("register").detail(words(target_group_arns).join(" "));
            StepFacts { machines: vec![machine], ..step }
        }
        Step::Terminate { group, machines, shrink } => {
            of_group("terminate", group).machines(machines).detail_if(*shrink, "shrink")
        }
        Step::GiveUp { group, machines } => of_group("give_up", group).machines(machines),
        Step::TerminateDetached { machines } => named("terminate_detached").machines(machines),
        Step::Taint { nodes } => named("taint").detail(words(nodes).join(" ")),
        Step::Cordon { machine, node, .. } => {
            StepFacts { machines: vec![machine], ..of_node("cordon", node) }
        }
        Step::Release { node, uncordon } => {
            of_node("release", node).detail_if(*uncordon, "uncordon")
        }
        Step::Skip { machine, node, uncordon, .. } => StepFacts {
            machines: vec![machine],
            ..of_node("skip", node).detail_if(*uncordon, "uncordon")
        },
        Step::Protect { node } => of_node("protect", node),
        Step::Evict { node, pods } => of_pods("evict", node, pods),
        Step::DeletePods { node, pods } => of_pods("delete_pods", node, pods),
        Step::DeleteNode { node, .. } => of_node("delete_node", node),
    }
}
