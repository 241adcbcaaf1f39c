//! Every wait ends, whatever else comes and goes meanwhile; what never came up holds nobody for ever.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::layout::{Layout, NEW, OLD, at};
use crate::roll::decide::lacking_key;
use crate::roll::decision::Verdict;
use crate::roll::mark::NEWCOMER_ANNOTATION;
use crate::roll::{HaltReason, RolloutRole, Spell, Stage, Step, WaitReason};

const CP: [&str; 3] = ["cp-1", "cp-2", "cp-3"];

/// A control plane of three groups and a pool, all as wanted, in a roll that began two hours ago.
fn settled() -> Layout {
    let cp = CP.map(|name| (name, RolloutRole::ControlPlane, 1));
    let mut layout = Layout::new(&[cp[0], cp[1], cp[2], ("pool", RolloutRole::Node, 2)]);
    layout.ids().iter().for_each(|id| layout.renew(id));
    layout.observation.run_started_at = at(-7200);
    for group in Arc::make_mut(&mut layout.observation.groups).values_mut() {
        let mark = group.mark.as_mut().unwrap();
        (mark.began_at, mark.from) = (at(-7200), None);
    }
    layout
}

/// A run, looked at every 30 seconds for a while. New machines come up 90 s after their launch.
struct Run {
    layout: Layout,
    /// When it looks again before steps are made, in seconds.
    looks: &'static [i64],
    /// Whether etcd's members go on to report.
    is_reported: bool,
    /// Machines that were ended, those of one step together.
    ended: Vec<BTreeSet<String>>,
    /// Revisions that were called failed.
    failed: Vec<String>,
}

impl Run {
    fn of(layout: Layout) -> Self {
        Self { layout, looks: &[1], is_reported: true, ended: Vec::new(), failed: Vec::new() }
    }

    /// Runs for four hours at most: how it ended, and none if it did not.
    fn end(&mut self) -> Option<Result<(), Vec<HaltReason>>> {
        for _ in 0..480 {
            let mut verdict = self.look(30);
            if matches!(verdict, Verdict::Act(_)) {
                // The picture is too old to act on, or what was asked for is refused.
                self.looks.iter().for_each(|secs| verdict = self.look(*secs));
            }
            match verdict {
                Verdict::Act(steps) => steps.iter().for_each(|step| self.make(step)),
                Verdict::Wait(_) => {}
                Verdict::Halted(halts) => return Some(Err(halts)),
                Verdict::Done => return Some(Ok(())),
            }
        }
        None
    }

    fn look(&mut self, after_secs: i64) -> Verdict {
        let o = &mut self.layout.observation;
        o.now = o.now.checked_add(SignedDuration::from_secs(after_secs)).unwrap();
        o.cloud_seen_at = o.now;
        let before = |secs: i64| o.now.checked_sub(SignedDuration::from_secs(secs)).unwrap();
        if self.is_reported {
            for fact in Arc::make_mut(&mut o.members).values_mut().flat_map(|m| m.values_mut()) {
                fact.written_at = before(5);
                fact.before.as_mut().unwrap().written_at = before(15);
            }
        }
        let up = before(90);
        let booting =
            Arc::make_mut(&mut o.machines).values_mut().filter(|m| m.stage == Stage::Booting);
        for machine in booting.filter(|m| m.launched_at < Some(up)) {
            machine.stage = Stage::Serving;
        }
        let decision = self.layout.decide();
        let now = self.layout.observation.now;
        self.layout.observation.memory.learn(&decision, now);
        decision.verdict
    }

    fn make(&mut self, step: &Step) {
        let now = self.layout.observation.now;
        self.layout.observation.memory.made(step, now);
        match step {
            Step::Mark { group, mark } => self.layout.group(group).mark = Some(mark.clone()),
            Step::Unmark { group } => self.layout.group(group).mark = None,
            Step::Resume { group, .. } => self.layout.group(group).suspended.clear(),
            Step::Suspend { group, processes } => {
                self.layout.group(group).suspended.clone_from(processes);
            }
            Step::Pin { group, version } => self.layout.group(group).pin = Some(*version),
            Step::MarkFailed { revision, .. } => self.failed.push(revision.clone()),
            Step::GiveUp { group, machines } | Step::Terminate { group, machines, .. } => {
                self.replace(group, machines);
            }
            Step::Taint { nodes } => nodes.iter().for_each(|node| self.layout.taint(node)),
            Step::Protect { node } => {
                let newcomer = (NEWCOMER_ANNOTATION.to_owned(), String::new());
                self.layout.node(node).annotations.extend([newcomer]);
            }
            Step::Release { node, .. } => {
                let node = self.layout.node(node);
                node.annotations.clear();
                node.taints.clear();
            }
            other => panic!("{other:?}"),
        }
    }

    /// The newest machine of a group is gone, and another one boots.
    fn newcomer_ends(&mut self, group: &str, next: &str) {
        let machines = self.layout.observation.machines.values();
        let newest = machines.filter(|m| m.group == group).max_by_key(|m| m.launched_at).unwrap();
        let (old, zone) = (newest.instance_id.clone(), newest.zone.clone());
        Arc::make_mut(&mut self.layout.observation.machines).remove(&old);
        self.layout.add(group, next, &zone);
        self.layout.renew(next);
        self.layout.never_joins(next, self.layout.observation.now);
        self.layout.machine(next).stage = Stage::Booting;
    }

    fn replace(&mut self, group: &str, machines: &BTreeSet<String>) {
        self.ended.push(machines.clone());
        for old in machines {
            let id = format!("{old}-new");
            self.layout.add(group, &id, &self.layout.observation.machines[old].zone.clone());
            self.layout.renew(&id);
            let now: Timestamp = self.layout.observation.now;
            let machine = self.layout.machine(&id);
            (machine.launched_at, machine.stage) = (Some(now), Stage::Booting);
            Arc::make_mut(&mut self.layout.observation.machines).remove(old);
        }
    }
}

fn only(id: &str) -> BTreeSet<String> {
    [id.to_owned()].into()
}

#[test]
fn waits_whose_time_is_up_do_not_begin_anew_while_others_have_theirs() {
    let mut layout = settled();
    layout.never_joins("cp-1-0", at(-3600));
    layout.observation.members = Arc::default();
    layout.machine("pool-1").stage = Stage::Leaving;
    let mut run = Run::of(layout);
    run.looks = &[60, 60, 60];
    let Some(Err(halts)) = run.end() else { panic!("it did not halt") };
    let told: Vec<&str> = halts.iter().map(|halt| halt.object.as_str()).collect();
    assert_eq!(told, ["pool", "quorum guard", "pool-1"]);
    // An hour and ten minutes are what a machine may take to end.
    assert!(run.layout.observation.now < at(4_500), "{}", run.layout.observation.now);
    assert!(run.ended.is_empty(), "{:?}", run.ended);
}

#[test]
fn a_regression_and_the_guard_that_take_turns_end_a_run() {
    let mut layout = settled();
    layout.make_old("cp-1-0");
    layout.observation.members = Arc::default();
    let mut run = Run::of(layout);
    for turn in 0..480 {
        run.layout.observation.api_unready = (turn % 2 == 0).then(|| "etcd is slow".to_owned());
        run.look(30);
    }
    assert!(!run.layout.observation.memory.halts.is_empty());
}

#[test]
fn machines_that_never_came_up_do_not_hold_each_other() {
    for launched_at in [at(-3600), at(-10_000)] {
        let mut layout = settled();
        for id in ["cp-1-0", "cp-3-0"] {
            layout.never_joins(id, launched_at);
        }
        let mut run = Run::of(layout);
        assert_eq!(run.end(), Some(Ok(())), "launched at {launched_at}");
        assert_eq!(run.ended, [only("cp-1-0"), only("cp-3-0")], "one at a time");
    }
}

#[test]
fn a_machine_whose_node_this_run_has_known_is_not_one_that_never_came_up() {
    let mut layout = settled();
    for id in ["cp-1-0", "cp-3-0"] {
        layout.never_joins(id, at(-10_000));
    }
    layout.observation.memory.joined.insert("cp-1-0".to_owned());
    let mut run = Run::of(layout);
    assert!(matches!(run.end(), Some(Err(_))), "work may run on cp-1-0 still");
    assert!(run.ended.is_empty(), "{:?}", run.ended);
}

#[test]
fn machines_of_one_group_that_never_came_up_go_one_at_a_time() {
    let mut layout = settled();
    for at in 1..3 {
        layout.add("cp-1", &format!("cp-1-{at}"), "a");
        layout.renew(&format!("cp-1-{at}"));
    }
    layout.group("cp-1").desired = 3;
    for id in ["cp-1-0", "cp-1-1"] {
        layout.never_joins(id, at(-3600));
    }
    let mut run = Run::of(layout);
    assert!(matches!(run.end(), Some(Err(_))), "the second failure is one too many");
    assert_eq!(run.ended, [only("cp-1-0")]);
}

#[test]
fn what_never_came_up_goes_while_others_serve_and_no_other_one_does() {
    let mut layout = settled();
    layout.never_joins("cp-1-0", at(-10_000));
    layout.unready("cp-3-0");
    let mut run = Run::of(layout);
    assert!(matches!(run.end(), Some(Err(_))), "cp-3-0 may answer requests still");
    assert!(run.ended.is_empty(), "{:?}", run.ended);
}

#[test]
fn a_machine_that_serves_waits_for_one_that_never_came_up() {
    let mut layout = settled();
    layout.make_old("cp-1-0");
    layout.never_joins("cp-3-0", at(-3600));
    // Its group has waited for long enough, so that nothing is under way.
    let waited = Spell { since: at(-3600), seen_at: at(-30) };
    layout.observation.memory.lacking_since.insert(lacking_key("cp-3", 0), waited);
    let Verdict::Act(steps) = layout.decide().verdict else { panic!() };
    let gives_up =
        |step: &Step| matches!(step, Step::GiveUp { machines, .. } if *machines == only("cp-3-0"));
    assert!(steps.iter().any(gives_up), "{steps:?}");
    assert!(!steps.iter().any(|step| matches!(step, Step::Cordon { .. })), "{steps:?}");
}

#[test]
fn what_broke_before_the_roll_does_not_speak_against_the_version() {
    let mut layout = settled();
    for (id, launched_at) in [("cp-1-0", at(-10_000)), ("pool-0", at(-10_000))] {
        layout.never_joins(id, launched_at);
    }
    for group in Arc::make_mut(&mut layout.observation.groups).values_mut() {
        group.mark.as_mut().unwrap().from = Some(OLD);
    }
    layout.policy.retry = true;
    let mut run = Run::of(layout);
    assert_eq!(run.end(), Some(Ok(())));
    assert_eq!(run.ended, [only("cp-1-0"), only("pool-0")]);
    assert_eq!(run.failed, [""; 0]);
}

#[test]
fn what_the_roll_brought_and_never_came_up_speaks_against_the_version() {
    let mut layout = settled();
    layout.never_joins("pool-0", at(-3600));
    layout.never_joins("pool-1", at(-3600));
    layout.group("pool").mark.as_mut().unwrap().from = Some(OLD);
    let mut run = Run::of(layout);
    run.look(30);
    let Verdict::Act(steps) = run.look(1) else { panic!() };
    let told = |step: &Step| matches!(step, Step::MarkFailed { group, .. } if group == "pool");
    assert!(steps.iter().any(told), "{steps:?}");
}

/// A host of etcd whose machines come and go without ever completing their launch hook; when those of it
/// ended, in seconds from now.
fn hook_abandoned(ended: &[i64]) -> Layout {
    let mut layout = Layout::new(&[("etcd", RolloutRole::Etcd, 1), ("pool", RolloutRole::Node, 1)]);
    layout.host("a", "etcd");
    ["etcd-0", "pool-0"].iter().for_each(|id| layout.renew(id));
    for group in Arc::make_mut(&mut layout.observation.groups).values_mut() {
        group.mark.as_mut().unwrap().from = Some(OLD);
        group.abandoned_at = ended.iter().map(|secs| at(*secs)).collect();
        group.failed_activity = Some("Lifecycle Action was abandoned".to_owned());
        group.is_machines_fault = true;
    }
    for id in ["etcd-0", "pool-0"] {
        layout.never_joins(id, at(-20));
        layout.machine(id).stage = Stage::Booting;
    }
    layout
}

fn failed_of(layout: &Layout) -> Vec<String> {
    let Verdict::Act(steps) = layout.decide().verdict else { return Vec::new() };
    let failed = steps.iter().filter_map(|step| match step {
        Step::MarkFailed { group, .. } => Some(group.clone()),
        _ => None,
    });
    failed.collect()
}

#[test]
fn a_host_of_etcd_whose_launch_is_abandoned_twice_is_not_waited_for_any_more() {
    assert_eq!(failed_of(&hook_abandoned(&[-30])), [""; 0], "once is chance");
    let twice = hook_abandoned(&[-30, -340]);
    assert_eq!(failed_of(&twice), ["etcd"], "other groups have their whole time");
    let halts = twice.decide().halts;
    assert!(halts.iter().any(|halt| halt.message.contains("2 launches in a row")), "{halts:?}");
    let mut nowhere = twice.clone();
    nowhere.group("etcd").mark.as_mut().unwrap().from = None;
    assert_eq!(failed_of(&nowhere), [""; 0]);
    let halts = nowhere.decide().halts;
    assert!(halts.iter().any(|halt| halt.message.contains("0 of 1 machines")), "{halts:?}");
}

#[test]
fn launches_that_were_abandoned_before_count_for_nothing() {
    let before_this_run = hook_abandoned(&[-30, -700]);
    assert_eq!(failed_of(&before_this_run), [""; 0]);
    let mut before_the_group = hook_abandoned(&[-30, -340]);
    before_the_group.group("etcd").mark.as_mut().unwrap().began_at = at(-100);
    assert_eq!(failed_of(&before_the_group), [""; 0]);
    let mut back = hook_abandoned(&[-30, -340]);
    back.fail("etcd");
    assert!(back.decide().halts.len() <= 1, "what it went back to has its whole time");
}

#[test]
fn a_broken_machine_goes_before_those_that_serve_whatever_its_group() {
    let mut layout = settled();
    for id in ["cp-1-0", "cp-3-0"] {
        layout.make_old(id);
    }
    layout.never_joins("cp-3-0", at(-3600));
    let mut run = Run::of(layout);
    run.look(30);
    let Verdict::Act(steps) = run.look(1) else { panic!() };
    run.make(steps.iter().find(|step| matches!(step, Step::Terminate { .. })).unwrap());
    assert_eq!(run.ended, [only("cp-3-0")]);
}

#[test]
fn a_rollback_whose_first_answer_was_lost_moves_the_pin_all_the_same() {
    for retry in [false, true] {
        let mut layout = settled();
        layout.fail("pool");
        layout.policy.retry = retry;
        let group = layout.group("pool");
        group.mark.as_mut().unwrap().from = Some(OLD);
        (group.pin, group.pin_revision) = (Some(NEW), Some("new".to_owned()));
        let Verdict::Act(steps) = layout.decide().verdict else { panic!() };
        let pin = Step::Pin { group: "pool".to_owned(), version: OLD };
        assert_eq!(steps.first(), Some(&pin), "with a retry: {retry}");
    }
}

#[test]
fn a_guard_that_said_no_for_long_has_its_whole_time_for_the_next_machine() {
    let mut layout = settled();
    layout.limits("cp-1").validate_timeout = Duration::from_secs(120);
    for id in ["cp-1-0", "cp-2-0"] {
        layout.never_joins(id, at(-10_000));
    }
    let mut run = Run::of(layout);
    run.is_reported = false;
    // Reports are too old until just before its time is up.
    for _ in 0..4 {
        run.look(29);
    }
    run.is_reported = true;
    assert_eq!(run.end(), Some(Ok(())));
}

/// The newcomer of a member's group may serve before it has the volume, and what the machine before it
/// said last is young.
#[test]
fn a_member_whose_machine_ends_holds_the_next_machine_whatever_it_said_last() {
    let mut layout = settled();
    layout.make_old("cp-1-0");
    let begins = |layout: &Layout| {
        let Verdict::Act(steps) = layout.decide().verdict else { return false };
        let first =
            |step: &Step| matches!(step, Step::Cordon { machine, .. } if machine == "cp-1-0");
        steps.iter().any(first)
    };
    assert!(begins(&layout));
    layout.machine("host-b").stage = Stage::Leaving;
    assert!(!begins(&layout));
    let waits = layout.decide().progress.groups.into_iter().flat_map(|group| group.waiting);
    let held = waits.filter_map(|wait| match wait.reason {
        WaitReason::Quorum { why } => Some(why),
        _ => None,
    });
    let held: Vec<String> = held.collect();
    assert!(matches!(held.as_slice(), [why] if why.contains("member b") && why.contains("host-b")));
}

/// What they need to start is not there (a key, say): each ends before it joins, and another one is on its
/// way at any moment.
#[test]
fn a_group_whose_new_machines_end_one_after_the_other_is_not_waited_for_for_ever() {
    let mut layout = settled();
    layout.group("pool").failed_activity = Some("Client.InternalError".to_owned());
    let time = layout.limits("pool").boot_timeout + layout.limits("pool").soak;
    let mut run = Run::of(layout);
    for turn in 0..480 {
        run.newcomer_ends("pool", &format!("pool-1-{turn}"));
        let halts = match run.look(30) {
            Verdict::Act(steps) => {
                steps.iter().for_each(|step| run.make(step));
                continue;
            }
            Verdict::Halted(halts) => halts,
            _ => continue,
        };
        let [halt] = halts.as_slice() else { panic!("{halts:?}") };
        assert!(halt.message.contains("1 of 2 machines"), "{halt:?}");
        assert!(halt.message.contains("Client.InternalError"), "{halt:?}");
        let waited = run.layout.observation.now.duration_since(at(0)).unsigned_abs();
        assert!(waited >= time && waited < time * 3, "{waited:?}");
        return;
    }
    panic!("it waits for ever");
}
