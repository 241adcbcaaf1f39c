//! How machines are replaced: limits that let nothing move, or that are no limits.

use super::super::field::Field;
use super::super::{
    ClusterRollingUpdateSpec, EtcdBackupSpec, InstanceGroup, IntOrPercent, OverallRolloutSpec,
    RepairSpec, RollingUpdateSpec, Span, Spec,
};
use super::Report;

/// The longest wait: two days. What takes longer is for people to look at.
const WAIT_SECS_MAX: u64 = 48 * 3600;
/// The least age at which machines are replaced, as of AWS's own maximum lifetime: a day.
const AGE_SECS_MIN: u64 = 86_400;

/// What the cluster says for its groups, and over all of them.
pub(super) fn check_cluster(spec: &Spec, report: &mut Report) {
    let Some(rollout) = &spec.cluster.spec.rolling_update else { return };
    let field = spec.cluster_field("spec.rollingUpdate");
    let ClusterRollingUpdateSpec {
        drain_and_terminate,
        max_unavailable,
        max_surge,
        max_unavailable_per_zone,
        drain_timeout,
        on_drain_timeout,
        post_drain_delay,
        deregister_timeout,
        boot_timeout,
        validate_timeout,
        soak,
        canary,
        canary_soak,
        delete_bare_pods,
        max_node_age,
        overall,
        snapshot_age_max,
        one_member_downtime: _,
        repair,
    } = rollout;
    let for_groups = RollingUpdateSpec {
        drain_and_terminate: *drain_and_terminate,
        max_unavailable: *max_unavailable,
        max_surge: *max_surge,
        max_unavailable_per_zone: *max_unavailable_per_zone,
        drain_timeout: *drain_timeout,
        on_drain_timeout: *on_drain_timeout,
        post_drain_delay: *post_drain_delay,
        deregister_timeout: *deregister_timeout,
        boot_timeout: *boot_timeout,
        validate_timeout: *validate_timeout,
        soak: *soak,
        canary: *canary,
        canary_soak: *canary_soak,
        delete_bare_pods: *delete_bare_pods,
        max_node_age: *max_node_age,
    };
    rules(report, &field, &for_groups);
    if let Some(overall) = overall {
        overall_rules(report, &field.clone().key("overall"), overall);
    }
    if let Some(repair) = repair {
        repair_rules(report, &field.clone().key("repair"), repair);
    }
    let least = snapshot_secs(spec);
    if snapshot_age_max.is_some_and(|span| !(least..=WAIT_SECS_MAX).contains(&span.secs)) {
        let least = Span { secs: least };
        report.error_hint(
            &field.key("snapshotAgeMax"),
            format!("snapshots are taken every {least}, and one that is days old is none"),
            format!("`{least}` to `48h`"),
        );
    }
}

/// How often snapshots are taken, where they are taken most seldom.
fn snapshot_secs(spec: &Spec) -> u64 {
    let intervals = spec.cluster.spec.etcd_clusters.iter().map(|etcd| {
        let interval = etcd.backups.as_ref().and_then(|backups| backups.interval);
        interval.unwrap_or(EtcdBackupSpec::INTERVAL).secs
    });
    intervals.max().unwrap_or(EtcdBackupSpec::INTERVAL.secs)
}

/// What a group says itself; what it took over has been spoken of at the cluster.
pub(super) fn check(spec: &Spec, group: &InstanceGroup, report: &mut Report) {
    let Some(rollout) = &group.spec.rolling_update else { return };
    let cluster = spec.cluster.spec.rolling_update.clone().unwrap_or_default();
    let own = RollingUpdateSpec {
        max_unavailable_per_zone: own(
            rollout.max_unavailable_per_zone,
            cluster.max_unavailable_per_zone,
        ),
        drain_timeout: own(rollout.drain_timeout, cluster.drain_timeout),
        post_drain_delay: own(rollout.post_drain_delay, cluster.post_drain_delay),
        deregister_timeout: own(rollout.deregister_timeout, cluster.deregister_timeout),
        boot_timeout: own(rollout.boot_timeout, cluster.boot_timeout),
        validate_timeout: own(rollout.validate_timeout, cluster.validate_timeout),
        soak: own(rollout.soak, cluster.soak),
        canary_soak: own(rollout.canary_soak, cluster.canary_soak),
        max_node_age: own(rollout.max_node_age, cluster.max_node_age),
        ..rollout.clone()
    };
    rules(report, &group.field("spec.rollingUpdate"), &own);
}

fn own<T: PartialEq>(value: Option<T>, inherited: Option<T>) -> Option<T> {
    if value == inherited { None } else { value }
}

fn rules(report: &mut Report, field: &Field, rollout: &RollingUpdateSpec) {
    let none = |value: Option<IntOrPercent>| value.is_some_and(IntOrPercent::is_zero);
    if none(rollout.max_surge) && none(rollout.max_unavailable) {
        report.error_hint(
            field,
            "`maxSurge` and `maxUnavailable` are both 0, so that no machine could be replaced",
            "let one of them be 1",
        );
    }
    at_least_one(
        report,
        &field.clone().key("maxUnavailablePerZone"),
        rollout.max_unavailable_per_zone,
    );
    for (key, value) in [
        ("drainTimeout", rollout.drain_timeout),
        ("deregisterTimeout", rollout.deregister_timeout),
        ("bootTimeout", rollout.boot_timeout),
        ("validateTimeout", rollout.validate_timeout),
    ] {
        wait(report, &field.clone().key(key), value, 1);
    }
    for (key, value) in [
        ("postDrainDelay", rollout.post_drain_delay),
        ("soak", rollout.soak),
        ("canarySoak", rollout.canary_soak),
    ] {
        wait(report, &field.clone().key(key), value, 0);
    }
    let is_watched = rollout.canary_soak.is_some_and(|span| span.secs > 0);
    if rollout.canary == Some(0) && is_watched {
        let message = "there is no canary to watch: `canary` is 0";
        report.error_hint(&field.clone().key("canarySoak"), message, "let `canary` be 1");
    }
    if rollout.max_node_age.is_some_and(|age| age.secs < AGE_SECS_MIN) {
        let message = "machines would be replaced all the time";
        report.error_hint(&field.clone().key("maxNodeAge"), message, "`24h` at least");
    }
}

/// A wait that begins at some seconds and ends within days.
fn wait(report: &mut Report, field: &Field, value: Option<Span>, least: u64) {
    let Some(span) = value else { return };
    if span.secs < least {
        report.error_hint(field, "nothing is done in no time", "`1s` at least");
    } else if span.secs > WAIT_SECS_MAX {
        report.error_hint(field, "nobody waits so long", "`48h` at most");
    }
}

/// A limit that is there lets at least one machine through.
fn at_least_one(report: &mut Report, field: &Field, value: Option<IntOrPercent>) {
    if value.is_some_and(IntOrPercent::is_zero) {
        let message = "with 0 no machine could be replaced";
        report.error_hint(field, message, "1 or more; leave it out for no such limit");
    }
}

fn overall_rules(report: &mut Report, field: &Field, overall: &OverallRolloutSpec) {
    let OverallRolloutSpec { max_unavailable, max_unavailable_per_zone, failure_percent } = overall;
    at_least_one(report, &field.clone().key("maxUnavailable"), *max_unavailable);
    at_least_one(report, &field.clone().key("maxUnavailablePerZone"), *max_unavailable_per_zone);
    percent(report, &field.clone().key("failurePercent"), *failure_percent);
}

fn repair_rules(report: &mut Report, field: &Field, repair: &RepairSpec) {
    let RepairSpec { broken_for, at_once, halt_above_percent } = repair;
    wait(report, &field.clone().key("brokenFor"), *broken_for, 1);
    if *at_once == Some(0) {
        let message = "with 0 no machine could be repaired";
        report.error_hint(&field.clone().key("atOnce"), message, "1 or more");
    }
    percent(report, &field.clone().key("haltAbovePercent"), *halt_above_percent);
}

fn percent(report: &mut Report, field: &Field, value: Option<u32>) {
    if let Some(value) = value.filter(|value| *value > 100) {
        report.error(field, format!("{value} is more than 100 percent"));
    }
}
