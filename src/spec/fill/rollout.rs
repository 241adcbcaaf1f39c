//! Defaults of how machines are replaced. kops' where kops has one
//! (`cmd/kops/rolling-update_cluster.go`, `pkg/instancegroups/settings.go`), else as the comment says.
//!
//! | Field | Default | Meaning |
//! |---|---|---|
//! | `maxSurge` | 1; 0 for etcd and control plane | machines that may be there too many; a percentage rounds up |
//! | `maxUnavailable` | 0; 1 without a surge | machines that may be missing; a percentage rounds down, at least 1 |
//! | `maxUnavailablePerZone` | no limit | machines of the group that may be missing at once in one zone |
//! | `drainAndTerminate` | true | whether old machines go; `false` only brings new ones |
//! | `drainTimeout` | 15m | how long a drain may take |
//! | `onDrainTimeout` | `Fail` | what happens then: `Fail` halts, `Skip` leaves the machine for a later roll and halts once the others are done, `Force` deletes what is left |
//! | `postDrainDelay` | 5s | between a drain and the end of the machine |
//! | `deregisterTimeout` | 6m | how long load balancers may take to let a machine go |
//! | `bootTimeout` | 15m | until a new machine's node is ready |
//! | `validateTimeout` | 15m | how long something may be worse than before until the roll halts |
//! | `soak` | 10s | how long a new machine stays ready before it counts |
//! | `canary` | 1 | new machines that are validated before the group goes on at full speed |
//! | `canarySoak` | 0s | how long those are watched |
//! | `deleteBarePods` | false | whether pods without a controller are evicted too; else they halt the roll |
//! | `maxNodeAge` | no limit | machines older than this are replaced |
//! | `overall.maxUnavailable` | no limit | workers that may be missing over all groups; of the cluster alone, as all below |
//! | `overall.maxUnavailablePerZone` | no limit | workers of one zone that may be away at once |
//! | `overall.failurePercent` | 20 | new machines of a group that may fail before it goes back to what it ran |
//! | `snapshotAgeMax` | 2h | how old etcd's newest verified snapshot may be when a member's machine goes |
//! | `oneMemberDowntime` | false | whether etcd may be down while its only member's machine is replaced |
//! | `repair.brokenFor` | 10m | how long a machine is broken until `kprod repair` replaces it |
//! | `repair.atOnce` | 1 | machines that a repair replaces at once, over all groups |
//! | `repair.haltAbovePercent` | 20 | share of broken machines above which a repair touches nothing |

use crate::spec::{
    ClusterRollingUpdateSpec, DrainTimeoutAction, InstanceGroupSpec, IntOrPercent,
    OverallRolloutSpec, RepairSpec, RollingUpdateSpec, Span,
};

const fn secs(secs: u64) -> Span {
    Span { secs }
}

/// kops' `--drain-timeout`.
const DRAIN_TIMEOUT: Span = secs(15 * 60);
/// kops' `--post-drain-delay`.
const POST_DRAIN_DELAY: Span = secs(5);
/// A target group's own delay is 300 s where nobody has set another (ELB user guide, "Deregistration
/// delay"), which it may take in full; kops waits for ever.
const DEREGISTER_TIMEOUT: Span = secs(6 * 60);
/// Cluster API gives a node 10 minutes (`MachineHealthCheck`, `nodeStartupTimeout`); images that set up
/// much at the first boot take longer.
const BOOT_TIMEOUT: Span = secs(15 * 60);
/// kops' `--validation-timeout`.
const VALIDATE_TIMEOUT: Span = secs(15 * 60);
/// kops validates twice, 10 s apart.
const SOAK: Span = secs(10);
/// kops does the first machine alone where none is new yet.
const CANARY: u32 = 1;
/// Of five machines one may fail, of more a fifth: then it is the new machines and no chance.
const FAILURE_PERCENT: u32 = 20;
/// Snapshots are hourly, so that one may fail.
const SNAPSHOT_AGE_MAX: Span = secs(2 * 3600);
/// As long as Cluster API waits for a node to come up.
const BROKEN_FOR: Span = secs(10 * 60);
/// Machines that a repair replaces at once.
const REPAIR_AT_ONCE: u32 = 1;
/// EKS repairs no node where more than a fifth is broken (EKS user guide, "Node health").
const HALT_ABOVE_PERCENT: u32 = 20;

/// What holds over all groups. The rest stays as it is written: it is for groups to take over.
pub(super) fn fill_cluster(rollout: &mut ClusterRollingUpdateSpec) {
    let overall = rollout.overall.get_or_insert_default();
    let OverallRolloutSpec { max_unavailable: _, max_unavailable_per_zone: _, failure_percent } =
        overall;
    failure_percent.get_or_insert(FAILURE_PERCENT);
    rollout.snapshot_age_max.get_or_insert(SNAPSHOT_AGE_MAX);
    rollout.one_member_downtime.get_or_insert(false);
    let RepairSpec { broken_for, at_once, halt_above_percent } =
        rollout.repair.get_or_insert_default();
    broken_for.get_or_insert(BROKEN_FOR);
    at_once.get_or_insert(REPAIR_AT_ONCE);
    halt_above_percent.get_or_insert(HALT_ABOVE_PERCENT);
}

/// The group's word, then the cluster's, then the defaults.
pub(super) fn fill_group(
    group: &mut InstanceGroupSpec,
    cluster: Option<&ClusterRollingUpdateSpec>,
    no_surge: bool,
) {
    let usual = ClusterRollingUpdateSpec::default();
    let cluster = cluster.unwrap_or(&usual);
    let rollout = group.rolling_update.get_or_insert_default();
    fill_slots(rollout, cluster, no_surge);
    let RollingUpdateSpec {
        drain_and_terminate,
        max_unavailable: _,
        max_surge: _,
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
    } = rollout;
    drain_and_terminate.get_or_insert(cluster.drain_and_terminate.unwrap_or(true));
    *max_unavailable_per_zone = max_unavailable_per_zone.or(cluster.max_unavailable_per_zone);
    drain_timeout.get_or_insert(cluster.drain_timeout.unwrap_or(DRAIN_TIMEOUT));
    let fail = DrainTimeoutAction::Fail;
    on_drain_timeout.get_or_insert(cluster.on_drain_timeout.unwrap_or(fail));
    post_drain_delay.get_or_insert(cluster.post_drain_delay.unwrap_or(POST_DRAIN_DELAY));
    deregister_timeout.get_or_insert(cluster.deregister_timeout.unwrap_or(DEREGISTER_TIMEOUT));
    boot_timeout.get_or_insert(cluster.boot_timeout.unwrap_or(BOOT_TIMEOUT));
    validate_timeout.get_or_insert(cluster.validate_timeout.unwrap_or(VALIDATE_TIMEOUT));
    soak.get_or_insert(cluster.soak.unwrap_or(SOAK));
    // A group that has no canary takes no time to watch one either.
    let own_canary = *canary;
    let canary = *canary.get_or_insert(cluster.canary.unwrap_or(CANARY));
    let watched = cluster.canary_soak.filter(|_| own_canary.is_none() || canary > 0);
    canary_soak.get_or_insert(watched.unwrap_or(secs(0)));
    delete_bare_pods.get_or_insert(cluster.delete_bare_pods.unwrap_or(false));
    *max_node_age = max_node_age.or(cluster.max_node_age);
}

/// How many at a time. A group that may not surge takes neither a surge nor a zero of the cluster's,
/// which were meant for the others.
fn fill_slots(rollout: &mut RollingUpdateSpec, cluster: &ClusterRollingUpdateSpec, no_surge: bool) {
    let surge = cluster.max_surge.filter(|_| !no_surge);
    let usual = IntOrPercent::Int(if no_surge { 0 } else { 1 });
    let surge = *rollout.max_surge.get_or_insert(surge.unwrap_or(usual));
    let missing = cluster.max_unavailable.filter(|value| !(no_surge && value.is_zero()));
    let usual = IntOrPercent::Int(if surge.is_zero() { 1 } else { 0 });
    rollout.max_unavailable.get_or_insert(missing.unwrap_or(usual));
}
