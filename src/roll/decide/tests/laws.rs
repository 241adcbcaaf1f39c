//! What holds of every decision, however the cluster stands.

use std::time::Duration;

use proptest::prelude::*;

use super::layout::{Layout, at};
use crate::roll::decide::scene::{Availability, MachineScene, Scene};
use crate::roll::decision::Verdict;
use crate::roll::mark::DRAIN_ANNOTATION;
use crate::roll::{RolloutRole, Stage, Step};
use crate::spec::IntOrPercent;

/// What may have become of a machine.
#[derive(Clone, Copy, Debug)]
enum State {
    Serves,
    IsNew,
    Soaks,
    Boots,
    IsUnready,
    IsCordoned,
    Drains,
    DrainsUncordoned,
    Leaves,
    IsOutside,
}

fn state() -> impl Strategy<Value = State> {
    use State::*;
    prop_oneof![
        4 => Just(Serves),
        3 => Just(IsNew),
        1 => Just(Soaks),
        1 => Just(Boots),
        1 => Just(IsUnready),
        1 => Just(IsCordoned),
        1 => Just(Drains),
        1 => Just(DrainsUncordoned),
        1 => Just(Leaves),
        1 => Just(IsOutside),
    ]
}

/// How a group stands: its machines, how many may be too many or missing, its surge, and, rarely, a
/// failure.
type Standing = (Vec<(State, bool)>, u32, u32, i32, bool);

fn standing() -> impl Strategy<Value = Standing> {
    (
        proptest::collection::vec((state(), any::<bool>()), 1..6),
        0..3_u32,
        0..3_u32,
        0..2,
        proptest::bool::weighted(0.1),
    )
}

/// Names and roles of three groups.
type Groups = [(&'static str, RolloutRole); 3];

/// Two pools and a control plane.
const POOLS: Groups =
    [("cp", RolloutRole::ControlPlane), ("one", RolloutRole::Node), ("two", RolloutRole::Node)];

/// Nothing but what the guard watches.
const GUARDED: Groups = [
    ("cp-a", RolloutRole::ControlPlane),
    ("cp-b", RolloutRole::ControlPlane),
    ("etcd-a", RolloutRole::Etcd),
];

fn layout() -> impl Strategy<Value = Layout> {
    layout_of(POOLS)
}

fn layout_of(names: Groups) -> impl Strategy<Value = Layout> {
    let limit = || proptest::option::of((1..4_u32).prop_map(IntOrPercent::Int));
    let groups = [standing(), standing(), standing()];
    (groups, limit(), limit()).prop_map(move |(groups, all, per_zone)| {
        let sizes = groups.each_ref().map(|(machines, ..)| i32::try_from(machines.len()).unwrap());
        let laid: Vec<(&str, RolloutRole, i32)> =
            names.iter().zip(sizes).map(|((name, role), size)| (*name, *role, size)).collect();
        let mut layout = Layout::new(&laid);
        layout.policy.cluster.max_unavailable = all;
        layout.policy.cluster.max_unavailable_per_zone = per_zone;
        for ((name, role), (machines, surge, missing, raised, has_failed)) in
            names.into_iter().zip(groups)
        {
            layout.limits(name).max_surge = IntOrPercent::Int(surge);
            // What is drained ends at once.
            layout.limits(name).post_drain_delay = Duration::ZERO;
            layout.limits(name).max_unavailable = IntOrPercent::Int(missing);
            let is_worker = role == RolloutRole::Node;
            for (index, (state, is_old)) in machines.into_iter().enumerate() {
                become_so(&mut layout, &format!("{name}-{index}"), state, is_old, is_worker);
            }
            if is_worker && raised > 0 {
                layout.raise(name, raised);
            }
            if has_failed && is_worker {
                layout.fail(name);
            }
        }
        layout
    })
}

fn become_so(layout: &mut Layout, id: &str, state: State, is_old: bool, is_worker: bool) {
    if !is_old {
        layout.renew(id);
    }
    match state {
        State::Serves => {}
        State::IsNew => layout.renew(id),
        State::Soaks => layout.soaks(id),
        State::Boots => {
            let machine = layout.machine(id);
            (machine.stage, machine.launched_at) = (Stage::Booting, Some(at(-60)));
        }
        State::IsUnready => layout.unready(id),
        State::IsCordoned => layout.node(id).unschedulable = true,
        State::Drains | State::DrainsUncordoned => {
            let node = layout.node(id);
            node.unschedulable = matches!(state, State::Drains);
            node.annotations.insert(DRAIN_ANNOTATION.to_owned(), at(-60).to_string());
        }
        State::Leaves => layout.machine(id).stage = Stage::Leaving,
        State::IsOutside if is_worker => layout.detach(id),
        State::IsOutside => {}
    }
}

/// The machines that serve and that a decision begins to take away.
fn taken<'a>(scene: &'a Scene<'_>, steps: &'a [Step]) -> Vec<(&'a str, &'a str, &'a str)> {
    let takes = |id: &str| {
        steps.iter().any(|step| match step {
            Step::Cordon { machine, .. } => machine == id,
            Step::Terminate { machines, .. } | Step::TerminateDetached { machines } => {
                machines.contains(id)
            }
            _ => false,
        })
    };
    scene
        .machines()
        .filter(|(_, m)| m.availability == Availability::Available && takes(m.id()))
        .map(|(group, m)| (group.name(), m.machine.zone.as_str(), m.id()))
        .collect()
}

/// What a limit allows.
fn most(limit: IntOrPercent) -> usize {
    match limit {
        IntOrPercent::Int(count) => count as usize,
        IntOrPercent::Percent(_) => usize::MAX,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// I8 and I10: what a group may miss, what a zone and the whole cluster may.
    #[test]
    fn no_decision_takes_more_than_the_limits_allow(layout in layout()) {
        let decision = layout.decide();
        let Verdict::Act(steps) = &decision.verdict else { return Ok(()) };
        let scene = Scene::of(&layout.observation, &layout.policy);
        let taken = taken(&scene, steps);
        for group in scene.workers() {
            let limits = group.policy;
            let (surge, missing) = (most(limits.max_surge), most(limits.max_unavailable));
            let may_miss = if surge == 0 { missing.max(1) } else { missing };
            let less = taken.iter().filter(|(of, ..)| *of == group.name()).count();
            let serve = usize::try_from(group.available()).unwrap() - less;
            let floor = usize::try_from(group.wanted()).unwrap().saturating_sub(may_miss);
            prop_assert!(less == 0 || serve >= floor, "{}: {serve} of {floor}", group.name());
        }
        for zone in ["a", "b", "c"] {
            let Some(limit) = layout.policy.cluster.max_unavailable_per_zone else { continue };
            let workers = scene.workers().flat_map(|group| &group.machines);
            let is_new = |a: Availability| {
                use Availability::{Available, Coming, Soaking};
                matches!(a, Coming(_) | Soaking(_) | Available)
            };
            let away = workers
                .filter(|m| m.machine.zone == zone && !is_new(m.availability))
                .count();
            let less = taken.iter().filter(|(group, of, _)| *of == zone && *group != "cp").count();
            prop_assert!(less == 0 || away + less <= most(limit), "{zone}: {away} and {less}");
        }
        if let Some(limit) = layout.policy.cluster.max_unavailable {
            let missing = |without: &dyn Fn(&str) -> usize| -> usize {
                let of = |group: &crate::roll::decide::GroupScene<'_>| {
                    let serve = usize::try_from(group.available()).unwrap() - without(group.name());
                    usize::try_from(group.wanted()).unwrap().saturating_sub(serve)
                };
                scene.workers().map(of).sum()
            };
            let less = |group: &str| taken.iter().filter(|(of, ..)| *of == group).count();
            let (before, after) = (missing(&|_| 0), missing(&less));
            prop_assert!(after <= before || after <= most(limit), "{before} to {after}");
        }
    }

    /// I1: of the control plane one machine at a time.
    #[test]
    fn of_what_the_guard_watches_one_goes_when_all_others_serve(
        layout in prop_oneof![layout_of(POOLS), layout_of(GUARDED)],
    ) {
        let Verdict::Act(steps) = layout.decide().verdict else { return Ok(()) };
        let scene = Scene::of(&layout.observation, &layout.policy);
        let serves = |m: &MachineScene<'_>| m.availability == Availability::Available;
        let goes = |m: &MachineScene<'_>| {
            steps.iter().any(|step| match step {
                Step::Cordon { machine, .. } => machine == m.id() && serves(m),
                Step::Terminate { machines, .. } | Step::TerminateDetached { machines } => {
                    machines.contains(m.id())
                }
                _ => false,
            })
        };
        let guarded = || scene.quorum().flat_map(|group| &group.machines);
        let going: Vec<&str> = guarded().filter(|m| goes(m)).map(|m| m.id()).collect();
        prop_assert!(going.len() <= 1, "{going:?}");
        let Some(one) = guarded().find(|m| goes(m)) else { return Ok(()) };
        let other = guarded().find(|m| m.id() != one.id() && !serves(m));
        prop_assert!(one.never_served() || other.is_none(), "{going:?}: {}", other.unwrap().id());
    }

    /// I8: whoever takes a node keeps what says so: without it the cordon is nobody's, and stays.
    #[test]
    fn no_turn_takes_a_node_and_lets_it_go(layout in layout(), halts in any::<bool>()) {
        let mut layout = layout;
        if halts {
            layout.halt();
        }
        let Verdict::Act(steps) = layout.decide().verdict else { return Ok(()) };
        for step in &steps {
            let Step::Cordon { node: taken, .. } = step else { continue };
            let lets_go = |step: &&Step| matches!(step, Step::Release { node, .. } if node == taken);
            prop_assert!(!steps.iter().any(|step| lets_go(&step)), "{steps:?}");
        }
    }

    /// I9: what ends takes no work any more.
    #[test]
    fn no_machine_ends_whose_node_takes_work(layout in layout()) {
        let Verdict::Act(steps) = layout.decide().verdict else { return Ok(()) };
        let view = layout.observation.kube.as_ref().unwrap();
        for step in &steps {
            let (Step::Terminate { machines, .. } | Step::TerminateDetached { machines }) = step
            else {
                continue;
            };
            for node in machines.iter().filter_map(|id| view.nodes.get(id)) {
                prop_assert!(node.unschedulable || !node.is_ready(), "{} ends", node.name);
            }
        }
    }

    /// I14: what is as wanted and takes work gives back no surge that an old machine could.
    #[test]
    fn no_machine_as_wanted_is_too_many_beside_an_old_one(
        mut layout in layout(),
        is_halted in any::<bool>(),
    ) {
        if is_halted {
            layout.halt();
        }
        let scene = Scene::of(&layout.observation, &layout.policy);
        for group in scene.workers() {
            let members = || group.machines.iter().filter(|m| m.machine.is_member);
            let stays = |m: &&MachineScene<'_>| {
                !m.is_surplus && !m.is_begun() && !group.is_current(m.machine)
            };
            let needless = members().find(|m| m.is_surplus && m.works() && group.is_current(m.machine));
            let old = members().find(stays).filter(|_| needless.is_some());
            prop_assert!(old.is_none(), "{}, not {}", needless.unwrap().id(), old.unwrap().id());
        }
    }

    /// Done is said when nothing is to be replaced and no group carries a note, and not before.
    #[test]
    fn done_means_that_nothing_is_left(layout in layout()) {
        if layout.decide().verdict != Verdict::Done {
            return Ok(());
        }
        let scene = Scene::of(&layout.observation, &layout.policy);
        let left: Vec<&str> = scene.machines().filter(|(_, m)| m.is_outdated()).map(|(_, m)| m.id()).collect();
        prop_assert!(left.is_empty(), "{left:?}");
        prop_assert!(scene.groups.iter().all(|group| group.group.mark.is_none()));
    }
}
