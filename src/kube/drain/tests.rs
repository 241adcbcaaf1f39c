//! Each rule of a drain on a pod of its own, then laws over arbitrary pods and budgets.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::{
    BlockReason, DRAIN_ANNOTATION, Drain, DrainPolicy, IgnoreReason, drain, next_attempt, preflight,
};
use crate::kube::{
    Budget, KubeView, LabelSelector, Node, Owner, Pod, PodId, PodPhase, Requirement,
    SelectorOperator,
};

const POLITE: DrainPolicy = DrainPolicy { delete_bare_pods: false, force: false };
const FORCED: DrainPolicy = DrainPolicy { delete_bare_pods: false, force: true };

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

/// A healthy pod of a ReplicaSet, with its name as label `app`.
fn pod(name: &str) -> Pod {
    Pod {
        id: PodId::new("default", name),
        uid: format!("uid-{name}"),
        node: Some("n".to_owned()),
        created_at: at(0),
        phase: PodPhase::Running,
        is_ready: true,
        deleted_until: None,
        grace_secs: 30,
        owner: Some(owner("ReplicaSet")),
        is_mirror: false,
        has_empty_dir: false,
        priority_class: String::new(),
        labels: [("app".to_owned(), name.to_owned())].into(),
        tolerates_all: false,
    }
}

fn owner(kind: &str) -> Owner {
    Owner { kind: kind.to_owned(), name: "o".to_owned() }
}

/// A budget over pods whose label `app` is one of these.
fn budget(name: &str, apps: &[&str], allowed: u32, current: u32, desired: u32) -> Budget {
    let requirement = Requirement {
        key: "app".to_owned(),
        operator: SelectorOperator::In,
        values: apps.iter().map(|app| (*app).to_owned()).collect(),
    };
    Budget {
        id: PodId::new("default", name),
        selector: Some(LabelSelector {
            match_expressions: vec![requirement],
            ..LabelSelector::default()
        }),
        disruptions_allowed: allowed,
        current_healthy: current,
        desired_healthy: desired,
        expected_pods: 3,
        is_observed: true,
    }
}

fn view(pods: Vec<Pod>, budgets: Vec<Budget>) -> KubeView {
    let node = Node {
        name: "n".to_owned(),
        uid: "u".to_owned(),
        instance_id: None,
        unschedulable: true,
        taints: BTreeSet::new(),
        annotations: [(DRAIN_ANNOTATION.to_owned(), at(100).to_string())].into(),
        labels: [].into(),
        conditions: [].into(),
        created_at: at(0),
        kubelet_version: "v1.34.2".to_owned(),
    };
    KubeView {
        generation: 1,
        seen_at: at(200),
        server_version: "v1.34.2".to_owned(),
        nodes: [("n".to_owned(), node)].into(),
        pods: [("n".to_owned(), pods.into_iter().map(|pod| (pod.id.clone(), pod)).collect())]
            .into(),
        budgets: budgets.into_iter().map(|budget| (budget.id.clone(), budget)).collect(),
    }
}

/// One pod under some budgets, drained.
fn alone(pod: Pod, budgets: Vec<Budget>, policy: DrainPolicy) -> Drain {
    drain(&view(vec![pod], budgets), "n", &policy)
}

fn is_evicted(drain: &Drain) -> bool {
    drain.evict.len() == 1 && drain.left() == 1 && drain.ignored.is_empty()
}

fn ignored(drain: &Drain) -> Option<IgnoreReason> {
    let [(_, reason)] = drain.ignored.as_slice() else { return None };
    drain.is_drained().then_some(*reason)
}

fn blocked(drain: &Drain) -> Option<&BlockReason> {
    let [one] = drain.blocked.as_slice() else { return None };
    (drain.left() == 1).then_some(&one.why)
}

#[test]
fn what_a_controller_makes_again_is_evicted_with_its_data() {
    for kind in ["ReplicaSet", "StatefulSet", "Job", "ReplicationController", "MyOwnKind"] {
        let pod = Pod { owner: Some(owner(kind)), has_empty_dir: true, ..pod("a") };
        let drained = alone(pod, vec![], POLITE);
        assert!(is_evicted(&drained), "{kind}");
        assert_eq!(drained.evict[0].uid, "uid-a");
    }
}

#[test]
fn pods_of_daemon_sets_and_of_files_stay_and_finished_daemons_go() {
    let daemon = Pod { owner: Some(owner("DaemonSet")), ..pod("a") };
    let mirror = Pod { is_mirror: true, owner: Some(owner("Node")), ..pod("a") };
    for policy in [POLITE, FORCED] {
        assert_eq!(ignored(&alone(daemon.clone(), vec![], policy)), Some(IgnoreReason::DaemonSet));
        assert_eq!(ignored(&alone(mirror.clone(), vec![], policy)), Some(IgnoreReason::Mirror));
    }
    let leaving = Pod { deleted_until: Some(at(300)), ..daemon.clone() };
    assert_eq!(ignored(&alone(leaving, vec![], POLITE)), Some(IgnoreReason::DaemonSet));
    for phase in [PodPhase::Succeeded, PodPhase::Failed] {
        assert!(is_evicted(&alone(Pod { phase, ..daemon.clone() }, vec![], POLITE)));
    }
}

#[test]
fn bare_pods_block_unless_given_up_or_finished() {
    let bare = Pod { owner: None, ..pod("a") };
    assert_eq!(blocked(&alone(bare.clone(), vec![], POLITE)), Some(&BlockReason::Bare));
    let given_up = DrainPolicy { delete_bare_pods: true, ..POLITE };
    assert!(is_evicted(&alone(bare.clone(), vec![], given_up)));
    for phase in [PodPhase::Succeeded, PodPhase::Failed] {
        assert!(is_evicted(&alone(Pod { phase, ..bare.clone() }, vec![], POLITE)));
    }
    // Given up or not, its budget counts.
    let never = budget("b", &["a"], 0, 3, 3);
    assert!(matches!(
        blocked(&alone(bare, vec![never], given_up)),
        Some(BlockReason::Budget { .. })
    ));
}

#[test]
fn a_pod_on_its_way_out_is_waited_for_also_by_force_until_its_grace_is_long_over() {
    let leaving = |until| Pod { deleted_until: Some(at(until)), owner: None, ..pod("a") };
    for (until, policy, waited_for) in [
        (500, POLITE, true),
        (100, POLITE, true),
        (500, FORCED, true),
        (170, FORCED, true),
        (169, FORCED, false),
    ] {
        let drained = alone(leaving(until), vec![], policy);
        assert_eq!(drained.leaving.len(), usize::from(waited_for), "{until} {policy:?}");
        assert_eq!(drained.is_drained(), !waited_for);
        assert_eq!(ignored(&drained) == Some(IgnoreReason::Overdue), !waited_for);
    }
}

#[test]
fn what_tolerates_the_cordon_is_evicted_once() {
    let tolerant = |created| Pod { tolerates_all: true, created_at: at(created), ..pod("a") };
    assert!(is_evicted(&alone(tolerant(100), vec![], POLITE)));
    assert_eq!(ignored(&alone(tolerant(101), vec![], POLITE)), Some(IgnoreReason::CameAfter));
    // Bound to the node by hand, or raced with the cordon: it has to go and does not come back.
    assert!(is_evicted(&alone(Pod { created_at: at(101), ..pod("a") }, vec![], POLITE)));
    let mut view = view(vec![tolerant(101)], vec![]);
    view.nodes.clear();
    assert!(is_evicted(&drain(&view, "n", &POLITE)), "nobody has cordoned it");
}

#[test]
fn a_budget_that_allows_none_is_told_with_its_numbers_and_one_that_never_will_blocks() {
    let open = alone(pod("a"), vec![budget("b", &["a"], 1, 3, 2)], POLITE);
    assert!(is_evicted(&open) && open.first_held().is_none());
    let shut = alone(pod("a"), vec![budget("b", &["a"], 0, 2, 2)], POLITE);
    assert_eq!(
        shut.first_held().unwrap().1,
        "budget default/b allows none now: 2 pods are healthy, 2 have to be"
    );
    let never = budget("b", &["a"], 0, 3, 3);
    let drained = alone(pod("a"), vec![never.clone()], POLITE);
    let why = blocked(&drained).unwrap();
    assert_eq!(
        why.to_string(),
        "budget default/b never allows an eviction: 3 of its 3 pods have to be healthy"
    );
    // Its controller has not read what somebody has just changed.
    let unseen = Budget { is_observed: false, ..never.clone() };
    assert!(alone(pod("a"), vec![unseen], POLITE).first_held().is_some());
    // A pod that is not ready: the server may let it go.
    let sick = Pod { is_ready: false, ..pod("a") };
    assert!(alone(sick.clone(), vec![budget("b", &["a"], 0, 2, 3)], POLITE).first_held().is_some());
    assert!(alone(sick, vec![budget("b", &["a"], 0, 2, 2)], POLITE).first_held().is_none());
}

#[test]
fn two_budgets_block_what_they_are_asked_about() {
    let two = || vec![budget("b", &["a"], 3, 3, 0), budget("c", &["a", "x"], 3, 3, 0)];
    let drained = alone(pod("a"), two(), POLITE);
    assert_eq!(
        blocked(&drained).unwrap().to_string(),
        "budgets default/b and default/c select it both, so no eviction succeeds"
    );
    for phase in [PodPhase::Pending, PodPhase::Succeeded, PodPhase::Failed] {
        assert!(is_evicted(&alone(Pod { phase, ..pod("a") }, two(), POLITE)), "{phase:?}");
    }
    let elsewhere = Budget { id: PodId::new("other", "b"), ..budget("b", &["a"], 0, 3, 3) };
    assert!(is_evicted(&alone(pod("a"), vec![elsewhere], POLITE)));
}

#[test]
fn preflight_names_each_object_once_with_its_nodes() {
    let pods = vec![pod("a"), Pod { owner: None, ..pod("bare") }, pod("c"), pod("d"), pod("two")];
    let budgets = vec![
        budget("shut", &["a"], 0, 2, 2),
        budget("never", &["c", "d"], 0, 3, 3),
        budget("open", &["two"], 1, 3, 2),
        budget("open-too", &["two"], 1, 3, 2),
    ];
    let nodes = BTreeSet::from(["n".to_owned(), "gone".to_owned()]);
    let found = preflight(&view(pods, budgets), &nodes);
    let told: Vec<(&str, bool)> = found.iter().map(|f| (f.object.as_str(), f.halts)).collect();
    assert_eq!(
        told,
        [
            ("budget/default/never", true),
            ("pod/default/bare", true),
            ("pod/default/two", true),
            ("budget/default/shut", false),
        ]
    );
    assert!(found.iter().all(|f| f.nodes == BTreeSet::from(["n".to_owned()])));
    assert!(found.iter().all(|f| !f.way_out.is_empty()));
}

#[test]
fn evictions_are_asked_for_as_kubectl_does_then_more_slowly_and_never_before_the_servers_wish() {
    let wait = |count, after: Option<u64>| {
        let next = next_attempt(at(0), count, after.map(Duration::from_secs));
        next.duration_since(at(0)).as_secs()
    };
    assert_eq!(
        [0, 1, 6, 7, 8, 9, 99, u32::MAX].map(|n| wait(n, None)),
        [5, 5, 5, 10, 20, 30, 30, 30]
    );
    assert_eq!([1, 10, 60, 100_000].map(|after| wait(1, Some(after))), [5, 10, 60, 300]);
    assert_eq!(next_attempt(Timestamp::MAX, 1, None), Timestamp::MAX);
}

fn any_pod() -> impl Strategy<Value = Pod> {
    let phases = prop_oneof![
        Just(PodPhase::Pending),
        Just(PodPhase::Running),
        Just(PodPhase::Succeeded),
        Just(PodPhase::Failed),
        Just(PodPhase::Unknown),
    ];
    let kinds = prop_oneof![Just(None), Just(Some("DaemonSet")), Just(Some("ReplicaSet"))];
    let life = (phases, proptest::option::of(0_i64..400), 0_i64..200);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    ("[a-d]", life, kinds, flags).prop_map(
        |(name, (phase, deleted, created), kind, (is_ready, is_mirror, tolerates_all))| Pod {
            phase,
            deleted_until: deleted.map(at),
            created_at: at(created),
            owner: kind.map(owner),
            is_ready,
            is_mirror,
            tolerates_all,
            ..pod(&name)
        },
    )
}

fn any_budget() -> impl Strategy<Value = Budget> {
    let apps = proptest::sample::subsequence(vec!["a", "b", "c", "d"], 0..=4);
    ("[x-z]", apps, 0_u32..2, 0_u32..5, 0_u32..5, any::<bool>()).prop_map(
        |(name, apps, allowed, current, desired, is_observed)| Budget {
            is_observed,
            ..budget(&name, &apps, allowed, current, desired)
        },
    )
}

proptest! {
    #[test]
    fn every_pod_has_one_fate_and_only_force_deletes(
        pods in proptest::collection::vec(any_pod(), 0..5),
        budgets in proptest::collection::vec(any_budget(), 0..4),
        delete_bare_pods in any::<bool>(),
        force in any::<bool>(),
    ) {
        let view = view(pods, budgets);
        let policy = DrainPolicy { delete_bare_pods, force };
        let drained = drain(&view, "n", &policy);
        let Drain { evict, delete, leaving, blocked, ignored } = &drained;
        let mut seen: Vec<&PodId> = evict.iter().chain(delete).map(|pod| &pod.pod).collect();
        seen.extend(leaving);
        seen.extend(blocked.iter().map(|blocked| &blocked.pod));
        seen.extend(ignored.iter().map(|(pod, _)| pod));
        seen.sort();
        let all: Vec<&PodId> = view.pods_on("n").map(|pod| &pod.id).collect();
        prop_assert_eq!(seen, all);
        if force {
            prop_assert!(evict.is_empty() && blocked.is_empty());
        } else {
            prop_assert!(delete.is_empty());
        }
        // What is asked for is not on its way out, and never a mirror or a daemon that runs.
        for entry in evict.iter().chain(delete) {
            let pod = &view.pods["n"][&entry.pod];
            prop_assert!(pod.deleted_until.is_none() && !pod.is_mirror);
        }
    }

    /// Once a pod is on its way out it stays so until it is gone: a drain never asks twice.
    #[test]
    fn a_pod_that_was_evicted_is_only_waited_for(pod in any_pod(), budgets in proptest::collection::vec(any_budget(), 0..3)) {
        let before = alone(pod.clone(), budgets.clone(), POLITE);
        let after = alone(Pod { deleted_until: Some(at(500)), ..pod }, budgets, POLITE);
        prop_assert!(after.evict.is_empty() && after.blocked.is_empty());
        prop_assert_eq!(&after.ignored, &before.ignored);
    }
}
