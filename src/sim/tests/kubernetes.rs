//! The simulated cluster: it follows the account's machines, and answers as a real API server does,
//! row by row of what was measured on one (v1.36).

use std::collections::BTreeSet;

use super::super::kubernetes::{
    Amount, ApiTrouble, BudgetRule, Delay, Host, Kubernetes, PodStop, Refusal, Settings, Workload,
    WorkloadKind,
};
use super::super::{CallFault, Time};
use super::*;
use crate::kube::{KubeCall, KubeErrorKind, NodePatch, Pod, PodId, PodPhase};
use crate::resource::GroupTag;

pub(super) const CLUSTER: &str = "c.example.com";

/// A group whose machines join the cluster.
fn node_group(name: &str, role: &str, size: i32, zones: &str) -> AutoScalingGroup {
    let tags = [
        (OWNER_TAG.to_owned(), CLUSTER),
        (format!("k8s.io/role/{role}"), "1"),
        ("k8s.io/cluster-autoscaler/node-template/label/pool".to_owned(), name),
    ];
    let tag = |value: &str| GroupTag { value: value.to_owned(), propagate_at_launch: true };
    let tags = tags.into_iter().map(|(key, value)| (key, tag(value))).collect();
    AutoScalingGroup { tags, ..group(name, size, size.max(1) * 2, zones) }
}

/// An account with a cluster of three control-plane machines and so many workers, at rest.
fn small_cluster(seed: u64, workers: i32) -> World {
    let mut world = account(seed);
    running_group(&mut world, node_group("control-plane", "control-plane", 3, "abc"));
    running_group(&mut world, node_group("workers", "node", workers, "abc"));
    world
}

fn cluster(world: &World) -> &Kubernetes {
    &world.clusters[CLUSTER]
}

pub(super) fn host(name: &str, is_control_plane: bool, zone: &str) -> Host {
    Host {
        instance_id: format!("i-{name}"),
        group: "group".to_owned(),
        image_id: "ami-1".to_owned(),
        availability_zone: format!("eu-west-3{zone}"),
        instance_type: "m6i.large".to_owned(),
        is_control_plane,
        kubelet_version: "v1.34.2".to_owned(),
        labels: BTreeMap::new(),
        taints: BTreeSet::new(),
    }
}

/// A cluster of its own with a control-plane machine and so many workers, without any workload.
pub(super) fn lone_cluster(seed: u64, workers: usize) -> Kubernetes {
    let settings = Settings { furnish: false, ..Settings::default() };
    let mut cluster = Kubernetes::new("lone", seed, Time::START, settings);
    cluster.host_boots(host("control", true, "a"));
    for (number, zone) in (0..workers).zip(["a", "b", "c"].into_iter().cycle()) {
        cluster.host_boots(host(&format!("worker{number}"), false, zone));
    }
    pass(&mut cluster, 120);
    cluster
}

pub(super) fn pass(cluster: &mut Kubernetes, secs: u64) {
    cluster.advance(cluster.now().plus_secs(secs));
}

/// The same with a deployment `app/web` of four and a budget that wants so many of them.
fn with_web(min_available: u32) -> Kubernetes {
    let mut cluster = lone_cluster(1, 3);
    cluster.install(Workload::new(WorkloadKind::Deployment, "app", "web", 4));
    let rule = BudgetRule::MinAvailable(Amount::Count(min_available));
    cluster.guard("app", "web", rule);
    pass(&mut cluster, 60);
    cluster
}

pub(super) fn pods_of(cluster: &Kubernetes, app: &str) -> Vec<Pod> {
    let is_of = |pod: &&Pod| pod.labels.get("app").is_some_and(|of| of == app);
    cluster.pods().map(|stored| &stored.pod).filter(is_of).cloned().collect()
}

fn evict(cluster: &mut Kubernetes, pod: &Pod) -> Result<(), Refusal> {
    cluster.evict(&pod.id, Some(&pod.uid), None, false)
}

fn allowed(cluster: &Kubernetes, id: &str) -> u32 {
    cluster.budgets()[&PodId::new("app", id)].budget.disruptions_allowed
}

#[test]
fn nodes_follow_machines_and_go_with_them() {
    let mut world = small_cluster(1, 3);
    let nodes = cluster(&world).nodes();
    assert_eq!(nodes.len(), 6);
    let of_machines: BTreeSet<&String> = world.machines.keys().collect();
    let of_nodes: BTreeSet<&String> =
        nodes.values().map(|stored| stored.node.instance_id.as_ref().unwrap()).collect();
    assert_eq!(of_nodes, of_machines);
    assert!(nodes.values().all(|stored| stored.node.is_ready()));
    let workers = nodes.values().filter(|stored| stored.node.labels["pool"] == "workers");
    assert!(workers.clone().all(|stored| stored.node.taints.is_empty()));

    let gone = workers.clone().next().unwrap().instance_id.clone();
    let name = cluster(&world).node_name(&gone);
    world.terminate_instance(&gone).unwrap();
    world.advance_secs(20);
    assert!(cluster(&world).nodes()[&name].node.is_ready(), "nobody has noticed yet");
    world.advance_secs(45);
    let known = cluster(&world).nodes().get(&name);
    assert!(known.is_none_or(|stored| !stored.node.is_ready()));
    world.advance_secs(400);
    assert!(!cluster(&world).nodes().contains_key(&name));
    assert_eq!(cluster(&world).nodes().len(), 6, "another machine has joined");
    assert!(cluster(&world).pods().all(|stored| stored.pod.node.as_ref() != Some(&name)));
    assert_eq!(cluster(&world).active_pods("demo", "web"), 4);
}

/// A machine whose system fails is silent, and comes back as the same node.
#[test]
fn an_impaired_machine_is_lost_and_found_again() {
    let mut world = small_cluster(2, 3);
    let is_worker = |machine: &&super::super::Machine| machine.group.as_deref() == Some("workers");
    let id = world.machines.values().find(is_worker).unwrap().instance_id.clone();
    let name = cluster(&world).node_name(&id);
    let uid = cluster(&world).nodes()[&name].node.uid.clone();
    world.impair(&id);
    world.advance_secs(60);
    let conditions = &cluster(&world).nodes()[&name].node.conditions;
    assert_eq!(conditions["Ready"].status, "Unknown");
    world.repair(&id);
    world.advance_secs(60);
    let node = &cluster(&world).nodes()[&name].node;
    assert!(node.is_ready() && node.uid == uid && node.taints.is_empty(), "{node:?}");
}

/// Its first word is no transition; what comes after it is, however soon.
#[test]
fn a_node_that_was_ready_for_a_moment_is_told_from_one_that_never_was() {
    let settings = Settings { furnish: false, ..Settings::default() };
    let mut cluster = Kubernetes::new("lone", 1, Time::START, settings);
    cluster.host_boots(host("control", true, "a"));
    let name = "i-control.eu-west-3.compute.internal";
    let node = |cluster: &Kubernetes| cluster.nodes().get(name).map(|stored| stored.node.clone());
    while !node(&cluster).is_some_and(|node| node.is_ready()) {
        assert!(!node(&cluster).is_some_and(|node| node.was_ready()));
        let next = cluster.next_event().unwrap();
        cluster.advance(next);
    }
    cluster.flap_node(name, 600);
    let is_young = |node: &crate::kube::Node| {
        node.conditions["Ready"].since.duration_since(node.created_at).as_secs() < 20
    };
    assert!(node(&cluster).is_some_and(|node| node.was_ready() && is_young(&node)));
    pass(&mut cluster, 601);
    assert!(node(&cluster).is_some_and(|node| node.is_ready()));
}

#[test]
fn a_joining_node_is_tainted_until_it_is_ready_and_named_by_its_instance_a_little_later() {
    let settings = Settings { furnish: false, ..Settings::default() };
    let mut cluster = Kubernetes::new("lone", 1, Time::START, settings);
    cluster.host_boots(host("control", true, "a"));
    while cluster.nodes().is_empty() {
        let next = cluster.next_event().unwrap();
        cluster.advance(next);
    }
    let name = "i-control.eu-west-3.compute.internal";
    let node = cluster.nodes()[name].node.clone();
    assert!(node.taints.iter().any(|taint| taint.key == "node.kubernetes.io/not-ready"));
    assert_eq!((node.instance_id.as_deref(), node.is_ready()), (None, false));
    pass(&mut cluster, 60);
    let node = &cluster.nodes()[name].node;
    assert_eq!((node.instance_id.as_deref(), node.is_ready()), (Some("i-control"), true));
    let taints: Vec<&str> = node.taints.iter().map(|taint| taint.key.as_str()).collect();
    assert_eq!(taints, ["node-role.kubernetes.io/control-plane"]);
    let mirrors = cluster.pods().filter(|stored| stored.pod.is_mirror && stored.pod.is_ready);
    assert_eq!(mirrors.count(), 3);
}

#[test]
fn a_cordon_is_followed_by_its_taint_and_keeps_pods_away() {
    let mut cluster = with_web(2);
    let nodes: Vec<String> = cluster.nodes().keys().cloned().collect();
    let cordon = |on: bool| NodePatch { unschedulable: Some(on), ..NodePatch::default() };
    for node in &nodes {
        let call = KubeCall::PatchNode { node: node.clone(), patch: cordon(true) };
        cluster.request(&call).unwrap();
    }
    let has_taint = |cluster: &Kubernetes| {
        let taints = &cluster.nodes()[&nodes[1]].node.taints;
        taints.iter().any(|taint| taint.key == "node.kubernetes.io/unschedulable")
    };
    assert!(!has_taint(&cluster), "the controller has not seen it yet");
    pass(&mut cluster, 1);
    assert!(has_taint(&cluster));
    let pod = pods_of(&cluster, "web").remove(0);
    evict(&mut cluster, &pod).unwrap();
    pass(&mut cluster, 60);
    let waiting = |pod: &&Pod| pod.node.is_none();
    assert_eq!(pods_of(&cluster, "web").iter().filter(waiting).count(), 1);
    for node in &nodes {
        let call = KubeCall::PatchNode { node: node.clone(), patch: cordon(false) };
        cluster.request(&call).unwrap();
    }
    pass(&mut cluster, 60);
    assert!(pods_of(&cluster, "web").iter().all(|pod| pod.is_ready));
    assert!(!has_taint(&cluster));
}

#[test]
fn a_budget_that_was_never_counted_asks_to_come_back_in_ten_seconds() {
    let mut cluster = lone_cluster(1, 3);
    cluster.install(Workload::new(WorkloadKind::Deployment, "app", "web", 4));
    pass(&mut cluster, 60);
    cluster.guard("app", "web", BudgetRule::MinAvailable(Amount::Count(1)));
    let pod = pods_of(&cluster, "web").remove(0);
    let refusal = evict(&mut cluster, &pod).unwrap_err();
    assert_eq!((refusal.code, refusal.retry_after_secs), (429, Some(10)));
    let cause = "The disruption budget web is still being processed by the server.";
    assert_eq!(refusal.cause.as_deref(), Some(cause));
    let error = refusal.into_error("EvictPod");
    assert_eq!(error.kind, KubeErrorKind::Budget);
    assert_eq!(error.retry_after.map(|wait| wait.as_secs()), Some(10));
}

#[test]
fn a_budget_without_room_says_how_many_it_needs_and_not_when_to_come_back() {
    let mut cluster = with_web(4);
    let pod = pods_of(&cluster, "web").remove(0);
    let refusal = evict(&mut cluster, &pod).unwrap_err();
    assert_eq!((refusal.code, refusal.retry_after_secs), (429, None));
    let cause = "The disruption budget web needs 4 healthy pods and has 4 currently";
    assert_eq!(refusal.cause.as_deref(), Some(cause));
    let held = "Cannot evict pod as it would violate the pod's disruption budget.";
    assert_eq!(refusal.message, held);
}

/// The server lowers the number itself; the next eviction waits until the controller has counted.
#[test]
fn an_eviction_uses_up_what_a_budget_allows_until_it_is_counted_again() {
    let mut cluster = with_web(3);
    let pods = pods_of(&cluster, "web");
    assert_eq!(allowed(&cluster, "web"), 1);
    cluster.evict(&pods[0].id, None, None, true).unwrap();
    assert_eq!(allowed(&cluster, "web"), 1, "a dry run leaves it alone");
    evict(&mut cluster, &pods[0]).unwrap();
    assert_eq!(allowed(&cluster, "web"), 0);
    let budget = &cluster.budgets()[&PodId::new("app", "web")];
    assert!(budget.disrupted.contains_key(&pods[0].id.name));
    let refusal = evict(&mut cluster, &pods[1]).unwrap_err();
    let cause = "The disruption budget web does not allow evicting pods currently";
    assert_eq!((refusal.cause.as_deref(), refusal.retry_after_secs), (Some(cause), None));
    pass(&mut cluster, 2);
    let refusal = evict(&mut cluster, &pods[1]).unwrap_err();
    let cause = "The disruption budget web needs 3 healthy pods and has 3 currently";
    assert_eq!(refusal.cause.as_deref(), Some(cause));
    assert!(cluster.budgets()[&PodId::new("app", "web")].disrupted.is_empty());
    pass(&mut cluster, 60);
    evict(&mut cluster, &pods[1]).unwrap();
}

#[test]
fn two_budgets_of_one_pod_are_an_error_without_a_reason_for_ever() {
    let mut cluster = with_web(1);
    let id = PodId::new("app", "other");
    let selector = cluster.budgets()[&PodId::new("app", "web")].budget.selector.clone();
    cluster.set_budget(&id, selector, BudgetRule::MaxUnavailable(Amount::Count(4)));
    pass(&mut cluster, 60);
    let pod = pods_of(&cluster, "web").remove(0);
    let refusal = evict(&mut cluster, &pod).unwrap_err();
    assert_eq!((refusal.code, refusal.reason), (500, ""));
    cluster.remove_budget(&id);
    evict(&mut cluster, &pod).unwrap();
}

#[test]
fn what_is_gone_is_404_and_what_came_instead_409() {
    let mut cluster = with_web(1);
    let missing = PodId::new("app", "nobody");
    assert_eq!(cluster.evict(&missing, None, None, false).unwrap_err().code, 404);
    assert_eq!(cluster.delete(&missing, None, None).unwrap_err().code, 404);
    assert_eq!(cluster.delete_node("nobody", None).unwrap_err().code, 404);
    let pod = pods_of(&cluster, "web").remove(0);
    assert_eq!(cluster.evict(&pod.id, Some("another"), None, false).unwrap_err().code, 409);
    let node = cluster.nodes().keys().next().unwrap().clone();
    assert_eq!(cluster.delete_node(&node, Some("another")).unwrap_err().code, 409);
}

/// Pods that wait, have ended or are on their way out: no budget is asked.
#[test]
fn pods_that_do_not_run_are_evicted_whatever_their_budget_says() {
    let mut cluster = lone_cluster(1, 2);
    for (name, kind) in [("nowhere", WorkloadKind::Deployment), ("done", WorkloadKind::Job)] {
        cluster.install(Workload {
            run: (name == "done").then_some(Delay::exactly(5_000)),
            node_selector: match name {
                "nowhere" => [("no".to_owned(), "node".to_owned())].into(),
                _ => BTreeMap::new(),
            },
            ..Workload::new(kind, "app", name, 1)
        });
        cluster.guard("app", name, BudgetRule::MaxUnavailable(Amount::Count(0)));
    }
    cluster.install(Workload {
        stop: PodStop::WholeGrace,
        ..Workload::new(WorkloadKind::Deployment, "app", "leaving", 1)
    });
    cluster.guard("app", "leaving", BudgetRule::MaxUnavailable(Amount::Count(0)));
    pass(&mut cluster, 60);
    let phase = |cluster: &Kubernetes, app: &str| pods_of(cluster, app)[0].phase;
    assert_eq!(phase(&cluster, "nowhere"), PodPhase::Pending);
    assert_eq!(phase(&cluster, "done"), PodPhase::Succeeded);
    let leaving = pods_of(&cluster, "leaving").remove(0);
    assert_eq!(evict(&mut cluster, &leaving).unwrap_err().code, 429);
    cluster.delete(&leaving.id, None, None).unwrap();
    let all = ["nowhere", "done", "leaving"].map(|app| pods_of(&cluster, app).remove(0));
    for pod in all {
        evict(&mut cluster, &pod).unwrap();
    }
}

/// A budget that has enough lets go of pods that are not ready.
#[test]
fn a_pod_that_is_not_ready_asks_only_a_budget_that_is_short() {
    for (min_available, code) in [(3, None), (4, Some(429))] {
        let mut cluster = with_web(min_available);
        let pod = pods_of(&cluster, "web").remove(0);
        cluster.set_pod_ready(&pod.id, false);
        pass(&mut cluster, 2);
        assert_eq!(allowed(&cluster, "web"), 0);
        assert_eq!(evict(&mut cluster, &pod).err().map(|refusal| refusal.code), code);
    }
}

#[test]
fn a_pod_has_its_grace_period_and_only_a_kubelet_or_force_removes_it() {
    let mut cluster = lone_cluster(1, 1);
    for (name, stop) in
        [("heeds", PodStop::Prompt), ("ignores", PodStop::WholeGrace), ("stays", PodStop::Never)]
    {
        let workload = Workload::new(WorkloadKind::Bare, "app", name, 1);
        cluster.install(Workload { stop, ..workload });
    }
    pass(&mut cluster, 60);
    let pods = ["heeds", "ignores", "stays"].map(|app| pods_of(&cluster, app).remove(0));
    for pod in &pods {
        evict(&mut cluster, pod).unwrap();
        assert!(cluster.pod(&pod.id).unwrap().pod.deleted_until.is_some());
    }
    let left = |cluster: &Kubernetes| pods.iter().filter(|p| cluster.pod(&p.id).is_some()).count();
    pass(&mut cluster, 5);
    assert_eq!(left(&cluster), 2);
    pass(&mut cluster, 26);
    assert_eq!(left(&cluster), 1);
    pass(&mut cluster, 3600);
    assert_eq!(left(&cluster), 1);
    cluster.delete(&pods[2].id, None, Some(0)).unwrap();
    assert_eq!(left(&cluster), 0);

    cluster.install(Workload::new(WorkloadKind::Bare, "app", "left", 1));
    pass(&mut cluster, 60);
    cluster.host_stops("i-worker0");
    let pod = pods_of(&cluster, "left").remove(0);
    evict(&mut cluster, &pod).unwrap();
    pass(&mut cluster, 40);
    assert!(cluster.pod(&pod.id).is_some(), "nobody has killed it");
    cluster.host_is_gone("i-worker0");
    pass(&mut cluster, 200);
    assert!(cluster.pod(&pod.id).is_none(), "it went with its node");
}

#[test]
fn names_come_back_once_they_are_free_and_jobs_end() {
    let mut cluster = lone_cluster(3, 3);
    cluster.install(Workload::new(WorkloadKind::StatefulSet, "app", "store", 3));
    cluster.install(Workload {
        run: Some(Delay::exactly(30_000)),
        ..Workload::new(WorkloadKind::Job, "app", "job", 2)
    });
    pass(&mut cluster, 20);
    let job = pods_of(&cluster, "job").remove(0);
    cluster.delete(&job.id, None, None).unwrap();
    pass(&mut cluster, 120);
    let ended = pods_of(&cluster, "job");
    assert_eq!(ended.iter().filter(|pod| pod.phase == PodPhase::Succeeded).count(), 2);
    let one = PodId::new("app", "store-1");
    let uid = cluster.pod(&one).unwrap().pod.uid.clone();
    cluster.evict(&one, None, None, false).unwrap();
    pass(&mut cluster, 60);
    let again = &cluster.pod(&one).unwrap().pod;
    assert!(again.is_ready && again.uid != uid);
}

#[test]
fn an_outage_stops_watches_and_requests_and_ends() {
    let mut world = small_cluster(4, 2);
    let before = world.kube_view(CLUSTER).unwrap();
    let until = world.now.plus_secs(300);
    world.cluster(CLUSTER).break_api(ApiTrouble::Unreachable, Some(until));
    let node = before.nodes.keys().next().unwrap().clone();
    let patch = NodePatch { unschedulable: Some(true), ..NodePatch::default() };
    let call = KubeCall::PatchNode { node: node.clone(), patch };
    let kind = |world: &mut World| world.answer_kube(CLUSTER, &call).unwrap().map_err(|e| e.kind);
    assert_eq!(kind(&mut world), Err(KubeErrorKind::Unreachable));
    world.advance_secs(30);
    let kept = world.kube_view(CLUSTER).unwrap();
    assert_eq!((kept.seen_at, kept.generation), (before.seen_at, before.generation));
    world.advance_secs(60);
    assert_eq!(world.kube_view(CLUSTER).unwrap_err().kind, KubeErrorKind::Unreachable);
    world.advance(until);
    assert_eq!(kind(&mut world), Ok(()));
    assert!(world.kube_view(CLUSTER).unwrap().nodes[&node].unschedulable);
    for (trouble, wanted) in [
        (ApiTrouble::Unauthorized, KubeErrorKind::Unauthorized),
        (ApiTrouble::Certificate, KubeErrorKind::Certificate),
        (ApiTrouble::Forbidden, KubeErrorKind::Forbidden),
    ] {
        world.cluster(CLUSTER).faults.outages.clear();
        world.cluster(CLUSTER).break_api(trouble, None);
        assert_eq!(world.kube_view(CLUSTER).unwrap_err().kind, wanted);
        assert_eq!(kind(&mut world), Err(wanted));
    }
}

/// Without an API server nothing is written: what would have happened waits for the next one.
#[test]
fn a_cluster_stands_still_while_no_api_server_runs() {
    let mut cluster = with_web(1);
    cluster.host_stops("i-control");
    let pod = pods_of(&cluster, "web").remove(0);
    cluster.host_stops("i-worker0");
    pass(&mut cluster, 600);
    assert!(cluster.check_api("GetReadyz").is_err());
    assert!(cluster.nodes().values().all(|stored| stored.node.is_ready()));
    assert!(cluster.pod(&pod.id).is_some());
    cluster.host_boots(host("control2", true, "b"));
    pass(&mut cluster, 120);
    assert!(cluster.check_api("GetReadyz").is_ok());
    let unready = cluster.nodes().values().filter(|stored| !stored.node.is_ready());
    assert_eq!(unready.count(), 2, "the dead machines' nodes");
}

#[test]
fn requests_meet_the_fault_plan_of_the_account() {
    let mut world = small_cluster(5, 2);
    let node = cluster(&world).nodes().keys().next().unwrap().clone();
    let patch = |key: &str| {
        let annotations = [(key.to_owned(), Some("1".to_owned()))].into();
        NodePatch { annotations, ..NodePatch::default() }
    };
    let faults = [CallFault::Throttled, CallFault::Unavailable, CallFault::AnswerLost];
    let wanted = [KubeErrorKind::Throttled, KubeErrorKind::Server, KubeErrorKind::Unreachable];
    for (fault, wanted) in faults.into_iter().zip(wanted) {
        let key = format!("kprod.dev/{fault:?}");
        let next = world.mutation_count + 1;
        world.faults.on_mutation = [(next, fault)].into();
        let call = KubeCall::PatchNode { node: node.clone(), patch: patch(&key) };
        let answer = world.answer_kube(CLUSTER, &call).unwrap();
        assert_eq!(answer.unwrap_err().kind, wanted);
        let is_set = cluster(&world).nodes()[&node].node.annotations.contains_key(&key);
        assert_eq!(is_set, fault == CallFault::AnswerLost, "{fault:?}");
    }
    let outcomes: Vec<&str> =
        cluster(&world).log.iter().map(|request| request.outcome.as_str()).collect();
    assert_eq!(outcomes, ["Throttled", "Server", "AnswerLost"]);
}

#[test]
fn a_watch_tells_late_and_in_order_and_catches_up() {
    let mut cluster = with_web(1);
    cluster.faults.watch_lag_ms_max = 5_000;
    let first = cluster.view().unwrap();
    let node = first.nodes.keys().next().unwrap().clone();
    let patch = NodePatch { unschedulable: Some(true), ..NodePatch::default() };
    cluster.request(&KubeCall::PatchNode { node: node.clone(), patch }).unwrap();
    let mut generation = first.generation;
    let mut late = 0;
    while !cluster.view().unwrap().nodes[&node].unschedulable {
        late += 1;
        let next = cluster.next_event().unwrap();
        cluster.advance(next);
        let view = cluster.view().unwrap();
        assert!(view.generation >= generation);
        generation = view.generation;
    }
    assert!(late > 0);
    pass(&mut cluster, 60);
    let mut listed = cluster.list();
    let view = cluster.view().unwrap();
    listed.seen_at = view.seen_at;
    assert_eq!(*view, listed);
}
