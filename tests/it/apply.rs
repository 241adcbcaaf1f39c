//! Applying plans on the simulator: stories of runs, good and bad.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kprod::apply::{self, ApplyReport, ApplyRequest, StopSignal};
use kprod::boot::lock;
use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Call, Cloud, Query};
use kprod::desired;
use kprod::error::{ExitCode, Failure};
use kprod::event::Event;
use kprod::plan::{Plan, PlanOptions, make, merge_versions, versions_to_read};
use kprod::resource::{Kind, Rule};
use kprod::sim::{CallFault, CrashPlan, CrashSide, FaultRates, Shortage};
use kprod::source::{Limits, LoadLimits, load, render};
use kprod::spec::{Role, Spec, Strictness, read};

use super::crash::counts;

pub(crate) const STAGING: &str = "staging.k8s.example.com";
pub(crate) const PROD: &str = "prod.k8s.example.com";

/// A cluster of the repository's own fleet.
pub(crate) fn spec_of(cluster: &str) -> Spec {
    spec_with(cluster, &[])
}

/// The same with values set on the command line.
pub(crate) fn spec_with(cluster: &str, sets: &[&str]) -> Spec {
    let tree = load(Path::new(env!("CARGO_MANIFEST_DIR")), &LoadLimits::default());
    let sets: Vec<_> = sets.iter().map(|set| kprod::source::Set::parse(set).unwrap()).collect();
    let rendered = render(&tree, cluster, &sets, &Limits::default());
    let spec = read(rendered.documents, Strictness::Strict).spec.unwrap();
    let pinned = std::fs::read_to_string(super::env::root().join(lock::FILE)).unwrap();
    Spec { node_program: Some(lock::parse(&pinned).unwrap()), ..spec }
}

/// An empty account that holds the network which a spec names. Reads lag.
pub(crate) fn account_for(spec: &Spec, seed: u64) -> SimCloud {
    let sim = SimCloud::in_memory(seed);
    sim.adopt_network(&desired::adopted_network(spec)).unwrap();
    sim
}

/// What `kprod plan` does.
pub(crate) async fn plan(cloud: &SimCloud, spec: &Spec, options: &PlanOptions) -> (Plan, Query) {
    let query = desired::query(spec);
    let mut observation = cloud.observe(&query).await.unwrap();
    let wanted = desired::build(spec, &observation.facts);
    assert_eq!(wanted.findings, []);
    let versions = cloud.versions(&versions_to_read(&wanted.resources, &observation)).await;
    merge_versions(&mut observation, versions.unwrap());
    (make(&wanted.resources, &observation, options), query)
}

pub(crate) fn request<'a>(plan: &'a Plan, query: &'a Query, holder: &str) -> ApplyRequest<'a> {
    ApplyRequest {
        plan,
        query,
        holder: holder.to_owned(),
        lock_timeout: Duration::ZERO,
        wait_timeout: Duration::from_secs(1800),
    }
}

async fn apply_plan(cloud: &SimCloud, plan: &Plan, query: &Query) -> Result<ApplyReport, Failure> {
    let stop = StopSignal::new();
    apply::run(cloud, &request(plan, query, "ann@laptop (process 1)"), &stop, &|_| ()).await
}

#[tokio::test]
async fn an_empty_account_becomes_the_cluster_and_the_next_plan_is_empty() {
    for cluster in [STAGING, PROD] {
        let spec = spec_of(cluster);
        let cloud = account_for(&spec, 1);
        let (first, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
        let report = apply_plan(&cloud, &first, &query).await.unwrap();
        assert_eq!(report.exit_code(), ExitCode::Done, "{}", told(&report));
        assert_eq!(report.done.len(), first.changes.len());
        let (second, _) = plan(&cloud, &spec, &PlanOptions::default()).await;
        assert!(!second.has_changes(), "{:#?}", second.changes);
    }
}

/// What went wrong in a run, short enough to read.
pub(crate) fn told(report: &ApplyReport) -> String {
    let failure = report.failure.as_ref().map(|f| (&f.message, &f.details));
    let (failed, skipped) = (&report.failed, report.skipped.len());
    format!("{failure:#?}, failed {failed:#?}, skipped {skipped}, done {}", report.done.len())
}

/// Plans and applies in one go.
async fn plan_and_apply(
    cloud: &SimCloud,
    spec: &Spec,
    holder: &str,
) -> Result<ApplyReport, Failure> {
    let (plan, query) = plan(cloud, spec, &PlanOptions::default()).await;
    let stop = StopSignal::new();
    apply::run(cloud, &request(&plan, &query, holder), &stop, &|_| ()).await
}

async fn assert_converged(cloud: &SimCloud, spec: &Spec) {
    let (plan, _) = plan(cloud, spec, &PlanOptions::default()).await;
    assert!(!plan.has_changes(), "{:#?}", plan.changes);
}

/// Faults on every mutation from the first to the `count`-th.
fn fault_each(cloud: &SimCloud, count: u64, fault: CallFault) {
    let faults = (1..=count).map(|mutation| (mutation, fault)).collect();
    cloud.with_world(|world| world.faults.on_mutation = faults).unwrap();
}

#[tokio::test]
async fn every_answer_may_be_lost_and_nothing_is_made_twice() {
    let spec = spec_of(STAGING);
    let peaceful = account_for(&spec, 1);
    plan_and_apply(&peaceful, &spec, "ann").await.unwrap();
    let wanted = peaceful.with_world(|world| counts(world)).unwrap();
    for mutation in 1..=80 {
        let cloud = account_for(&spec, 1);
        let lost = std::collections::BTreeMap::from([(mutation, CallFault::AnswerLost)]);
        cloud.with_world(|world| world.faults.on_mutation = lost).unwrap();
        let report = plan_and_apply(&cloud, &spec, "ann").await.unwrap();
        assert_eq!(report.exit_code(), ExitCode::Done, "mutation {mutation}: {}", told(&report));
        assert_converged(&cloud, &spec).await;
        let made = cloud.with_world(|world| counts(world)).unwrap();
        assert_eq!(made, wanted, "mutation {mutation}");
    }
}

#[tokio::test]
async fn answers_throttling_and_outages_at_random_are_outlived() {
    let spec = spec_of(STAGING);
    for seed in 0..10 {
        let cloud = account_for(&spec, seed);
        let (plan, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
        let rates = FaultRates {
            throttled_permille: 200,
            unavailable_permille: 100,
            answer_lost_permille: 100,
        };
        cloud.with_world(|world| world.faults.rates = rates).unwrap();
        let report = apply_plan(&cloud, &plan, &query).await.unwrap();
        assert_eq!(report.exit_code(), ExitCode::Done, "seed {seed}: {}", told(&report));
        cloud.with_world(|world| world.faults.rates = FaultRates::default()).unwrap();
        assert_converged(&cloud, &spec).await;
    }
}

#[tokio::test]
async fn a_storm_of_throttling_is_outlived() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    fault_each(&cloud, 100, CallFault::Throttled);
    let report = plan_and_apply(&cloud, &spec, "ann").await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Done, "{}", told(&report));
    assert!(report.elapsed > Duration::from_secs(60));
    assert_converged(&cloud, &spec).await;
}

/// One denied call fails its change; what depends on it is skipped, the rest goes on.
#[tokio::test]
async fn a_denial_stops_what_depends_on_it_and_nothing_else() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    let denied = std::collections::BTreeSet::from(["CreateRole".to_owned()]);
    cloud.with_world(|world| world.faults.denied_operations = denied).unwrap();
    let report = plan_and_apply(&cloud, &spec, "ann").await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Error, "{}", told(&report));
    assert!(report.failed.iter().all(|(key, _)| key.kind == Kind::Role), "{}", told(&report));
    assert!(report.skipped.iter().any(|(key, _)| key.kind == Kind::AutoScalingGroup));
    let done = |kind| report.done.iter().any(|key| key.kind == kind);
    assert!(done(Kind::SecurityGroup) && done(Kind::Volume) && !done(Kind::AutoScalingGroup));
    // Several roles want it; the call is told once.
    let [denial] = report.denied.as_slice() else { panic!("{:?}", report.denied) };
    assert_eq!(denial.operation, "CreateRole");
    assert!(report.failed.len() > 1 && denial.can_be_granted());

    cloud.with_world(|world| world.faults.denied_operations.clear()).unwrap();
    let report = plan_and_apply(&cloud, &spec, "ann").await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Done, "{}", told(&report));
    assert_converged(&cloud, &spec).await;
}

#[tokio::test]
async fn of_two_runs_one_works_and_the_other_says_who_holds_the_lease() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    let (plan, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    let stop = StopSignal::new();
    let (ann, bob) = (request(&plan, &query, "ann"), request(&plan, &query, "bob"));
    let (first, second) = tokio::join!(
        apply::run(&cloud, &ann, &stop, &|_| ()),
        apply::run(&cloud, &bob, &stop, &|_| ()),
    );
    let (worked, locked) = match (first, second) {
        (Ok(report), Err(failure)) | (Err(failure), Ok(report)) => (report, failure),
        other => panic!("{other:#?}"),
    };
    assert_eq!(worked.exit_code(), ExitCode::Done, "{worked:#?}");
    assert_eq!(locked.code, ExitCode::Locked);
    assert!(locked.message.contains("locked by ann since"), "{}", locked.message);
    assert!(locked.hint.unwrap().contains("kprod unlock"));
    assert_converged(&cloud, &spec).await;
}

/// Somebody breaks the lease in the middle: the run stops before its next change.
#[tokio::test]
async fn a_run_whose_lease_is_broken_stops_at_once() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    let (plan, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    let stop = StopSignal::new();
    let thief = cloud.clone();
    let calls = AtomicUsize::new(0);
    let announce = |event: Event| {
        if matches!(event, Event::CallMade { .. }) && calls.fetch_add(1, Ordering::SeqCst) == 20 {
            thief
                .with_world(|world| world.objects.retain(|key, _| !key.starts_with("lease/")))
                .unwrap();
        }
    };
    let report = apply::run(&cloud, &request(&plan, &query, "ann"), &stop, &announce).await;
    let report = report.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Halted, "{}", told(&report));
    let why = report.failure.unwrap().message;
    assert!(why.contains("was lost"), "{why}");
    let others: Vec<_> = report.skipped.iter().filter(|(_, reason)| *reason != why).collect();
    assert!(others.len() <= 1, "one reason for all that was not begun: {others:?}");
    // What was in flight when the lease went may still have ended; nothing began after that.
    assert!(calls.load(Ordering::SeqCst) <= 30);
}

#[tokio::test]
async fn a_stopped_run_ends_clean_and_the_next_one_goes_on() {
    let spec = spec_of(STAGING);
    for stop_after in [0, 1, 7, 40, 60] {
        let cloud = account_for(&spec, 1);
        let (plan, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
        let stop = StopSignal::new();
        let calls = AtomicUsize::new(0);
        let announce = |event: Event| {
            if matches!(event, Event::CallMade { .. }) {
                calls.fetch_add(1, Ordering::SeqCst);
            }
            if calls.load(Ordering::SeqCst) >= stop_after {
                stop.stop();
            }
        };
        let report = apply::run(&cloud, &request(&plan, &query, "ann"), &stop, &announce).await;
        let report = report.unwrap();
        assert_eq!(report.exit_code(), ExitCode::Halted, "{}", told(&report));
        assert!(calls.load(Ordering::SeqCst) <= stop_after + 8, "calls in flight only");
        // No lock timeout: the lease was given back.
        let report = plan_and_apply(&cloud, &spec, "bob").await.unwrap();
        assert_eq!(report.exit_code(), ExitCode::Done, "{}", told(&report));
        assert_converged(&cloud, &spec).await;
    }
}

/// The world changes between plan and apply: nothing is made, and the difference is named.
#[tokio::test]
async fn a_plan_that_no_longer_fits_is_refused_with_the_difference() {
    let mut spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    plan_and_apply(&cloud, &spec, "ann").await.unwrap();
    let pool = spec.groups.iter_mut().find(|(_, group)| group.spec.role == Role::Node);
    pool.unwrap().1.spec.max_size = Some(77);
    let (plan, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    assert_eq!(plan.changes.len(), 1, "{:#?}", plan.changes);
    let name = plan.changes[0].address.name.clone();
    cloud
        .with_world(|world| {
            world.groups.edit(&name, |stored| stored.group.health_check_grace_period = 77);
        })
        .unwrap();
    let before = mutations(&cloud);
    let report = apply_plan(&cloud, &plan, &query).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Stale, "{}", told(&report));
    let details = report.failure.unwrap().details.join("\n");
    assert!(details.contains("health_check_grace_period"), "{details}");
    assert!(details.contains("77 now"), "{details}");
    assert_eq!(mutations(&cloud), before, "nothing was made");
}

/// A plan whose change somebody has made already is a success.
#[tokio::test]
async fn what_is_as_wanted_already_is_a_success() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    let (first, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    apply_plan(&cloud, &first, &query).await.unwrap();
    let before = mutations(&cloud);
    let report = apply_plan(&cloud, &first, &query).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Done, "{}", told(&report));
    assert_eq!(report.already_done.len(), first.changes.len(), "{}", told(&report));
    assert_eq!(mutations(&cloud), before);
}

/// AWS refuses to revoke several rules when one of them is gone already, and a read that lags does
/// not show that it is: the others go all the same.
#[tokio::test]
async fn a_rule_that_somebody_removed_does_not_keep_the_others() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    plan_and_apply(&cloud, &spec, "ann").await.unwrap();
    let group_id = cloud.with_world(|world| {
        let mut groups = world.security_groups.iter();
        let named = |name: &str| name == format!("nodes.{STAGING}");
        groups.find(|(_, group)| named(&group.group.group_name)).map(|(id, _)| id.clone()).unwrap()
    });
    let group_id = group_id.unwrap();
    let rule = |port: i32| Rule {
        is_egress: false,
        ip_protocol: "tcp".to_owned(),
        from_port: port,
        to_port: port,
        cidr_ipv4: Some("10.0.0.0/8".to_owned()),
        ..Rule::default_egress()
    };
    let call = Call::AuthorizeSecurityGroupIngress {
        group_id: group_id.clone(),
        rules: BTreeSet::from([rule(81), rule(82)]),
        description: format!("kprod.dev/cluster={STAGING}"),
    };
    cloud.call(&call).await.unwrap();
    cloud.sleep(Duration::from_secs(600)).await;
    let (plan, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    assert_eq!(plan.changes.len(), 1, "{:#?}", plan.changes);
    let rules = BTreeSet::from([rule(81)]);
    cloud.call(&Call::RevokeSecurityGroupIngress { group_id, rules }).await.unwrap();
    let report = apply_plan(&cloud, &plan, &query).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Done, "{}", told(&report));
    assert_converged(&cloud, &spec).await;
}

/// No capacity for a new group: exit 6, and the reason is named.
#[tokio::test]
async fn machines_that_cannot_be_had_are_named() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    let zones: Vec<String> =
        spec.cluster.spec.subnets.iter().map(|subnet| subnet.zone.clone()).collect();
    cloud
        .with_world(|world| {
            world.faults.shortages = zones
                .into_iter()
                .map(|availability_zone| Shortage { availability_zone, instance_type: None })
                .collect();
        })
        .unwrap();
    let report = plan_and_apply(&cloud, &spec, "ann").await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Halted, "{}", told(&report));
    let details = report.failure.unwrap().details.join("\n");
    assert!(details.contains("machines in service"), "{details}");
    assert!(details.contains("last failed activity"), "{details}");
}

/// A cluster that was destroyed is made again: old client tokens do not answer for what is gone.
#[tokio::test]
async fn destroyed_and_made_again() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    plan_and_apply(&cloud, &spec, "ann").await.unwrap();
    let options = PlanOptions { destroy: true, allow_delete: true, ..PlanOptions::default() };
    let (destroy, query) = plan(&cloud, &spec, &options).await;
    let report = apply_plan(&cloud, &destroy, &query).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Done, "{}", told(&report));
    let left = cloud.with_world(|world| world.groups.iter().count() + world.machines.len());
    assert_eq!(left.unwrap(), 0);
    let report = plan_and_apply(&cloud, &spec, "ann").await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Done, "{}", told(&report));
    assert_converged(&cloud, &spec).await;
}

/// The journal of a run that was killed says what it had begun.
#[tokio::test]
async fn the_next_run_says_that_the_last_was_killed() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    let crash = CrashPlan { mutation: 40, side: CrashSide::After };
    cloud.with_world(|world| world.faults.crash = Some(crash)).unwrap();
    tokio::select! {
        biased;
        () = cloud.crashed() => {}
        report = plan_and_apply(&cloud, &spec, "ann") => panic!("not killed: {report:?}"),
    }
    let cloud = SimCloud::from_world(cloud.with_world(|world| world.clone()).unwrap());
    let (plan, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    let notes = Mutex::new(Vec::new());
    let announce = |event: Event| {
        if let Event::PreviousRunUnfinished { holder, unfinished, .. } = event {
            assert!(!unfinished.is_empty(), "it was killed inside a wave");
            notes.lock().unwrap().push(holder);
        }
    };
    let request =
        ApplyRequest { lock_timeout: Duration::from_secs(600), ..request(&plan, &query, "bob") };
    apply::run(&cloud, &request, &StopSignal::new(), &announce).await.unwrap();
    assert_eq!(*notes.lock().unwrap(), ["ann"]);
}

fn mutations(cloud: &SimCloud) -> usize {
    let is_object = |operation: &str| operation.ends_with("Object");
    let calls = cloud.with_world(|world| {
        world.log.iter().filter(|call| call.is_mutation && !is_object(&call.operation)).count()
    });
    calls.unwrap()
}
