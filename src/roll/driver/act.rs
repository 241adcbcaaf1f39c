//! Acting: each step as the calls it takes, each call with the lease looked at first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::failure::kube_failure;
use super::turns::Run;
use crate::apply::failure::{cloud_failure, stopped};
use crate::apply::journal::JournalStep;
use crate::apply::lease::{LONGEST_CALL, later, sleep_or_stop};
use crate::apply::{lease_failure, millis, since};
use crate::cloud::{Call, Cloud, CloudError, CloudErrorKind};
use crate::error::Failure;
use crate::event::Event;
use crate::kube::{Kube, KubeCall, KubeError, KubeErrorKind, Node, NodePatch, Taint, TaintEffect};
use crate::resource::{DETACHED_TAG, FAILED_TAG, GroupTag, Key, Kind, ROLL_TAG};
use crate::roll::decision::PodStep;
use crate::roll::mark::{
    DRAIN_ANNOTATION, NEWCOMER_ANNOTATION, NO_BALANCER_LABEL, NO_SCALE_DOWN_ANNOTATION,
    OUTDATED_TAINT, WAS_CORDONED_ANNOTATION,
};
use crate::roll::{EvictionAnswer, EvictionAttempt, Observation, Step};

/// That the lease is still ours may have been seen so long ago when a call is made.
const LEASE_AGE_MAX: Duration = Duration::from_secs(1);
/// So long what the quorum guard has said counts, on top of the age of the reports that it went by.
const GUARD_AGE_MAX: Duration = Duration::from_secs(30);
/// The control plane's own label; its nodes are kept from load balancers by their spec.
const CONTROL_PLANE_LABEL: &str = "node-role.kubernetes.io/control-plane";

/// How a step ended.
pub(super) enum StepEnd {
    /// Every call was answered.
    Made,
    /// The world is not as it was seen: look again. Why.
    Moved(String),
    /// An answer was lost: look again once reads can be trusted.
    Unknown(String),
}

impl<C: Cloud, K: Kube> Run<'_, C, K> {
    /// Makes one step.
    ///
    /// # Errors
    /// What ends the run: the lease is lost, the credentials ended, somebody asked to stop.
    pub(super) async fn act(&mut self, step: &Step, o: &Observation) -> Result<StepEnd, Failure> {
        for call in cloud_calls(step, o) {
            match self.cloud_call(&call, step, o.now).await? {
                StepEnd::Made => {}
                end => return Ok(end),
            }
        }
        for call in kube_calls(step, o) {
            match self.kube_call(&call, step).await? {
                StepEnd::Made => {}
                end => return Ok(end),
            }
        }
        Ok(StepEnd::Made)
    }

    /// One call to AWS, tried again while the service is at fault.
    async fn cloud_call(
        &mut self,
        call: &Call,
        step: &Step,
        decided_at: Timestamp,
    ) -> Result<StepEnd, Failure> {
        let operation = call.operation();
        let started = self.cloud.now();
        let mut attempts = 1;
        loop {
            self.ready_to_call().await?;
            if self.is_overtaken(step, decided_at) {
                return Ok(StepEnd::Moved("what the quorum guard said is too old".to_owned()));
            }
            self.has_begun = true;
            let answer = tokio::time::timeout(LONGEST_CALL, self.cloud.call(call)).await;
            let error = match answer {
                Ok(Ok(reply)) => {
                    self.look.memory.places_kept.extend(reply.places_kept);
                    self.note(step, JournalStep::Call { operation }).await;
                    return Ok(StepEnd::Made);
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    let why = format!("no answer within {} s", LONGEST_CALL.as_secs());
                    CloudError::new(CloudErrorKind::AnswerLost, &operation, "RequestTimeout", why)
                }
            };
            match error.kind {
                CloudErrorKind::AnswerLost => return Ok(StepEnd::Unknown(error.to_string())),
                kind if kind.ends_the_run() => return Err(cloud_failure(&error, true)),
                CloudErrorKind::Denied => return Err(cloud_failure(&error, true)),
                CloudErrorKind::Throttled
                | CloudErrorKind::Unavailable
                | CloudErrorKind::Unreachable => {}
                // The object is gone, or busy, or a limit moved: a look tells.
                _ => return Ok(StepEnd::Moved(error.to_string())),
            }
            let limits = self.cloud.retry().limits(error.kind);
            let elapsed = since(self.cloud.now(), started);
            let wait = limits.and_then(|limits| limits.wait(attempts, elapsed, self.rng.f64()));
            let Some(wait) = wait else { return Err(cloud_failure(&error, true)) };
            (self.announce)(Event::Retrying {
                address: None,
                operation: operation.clone(),
                attempt: attempts,
                wait_ms: millis(wait),
                why: error.to_string(),
            });
            self.pause(wait).await?;
            attempts += 1;
        }
    }

    /// One request to the API server. What passes by itself is decided anew in the next turn.
    async fn kube_call(&mut self, call: &KubeCall, step: &Step) -> Result<StepEnd, Failure> {
        let Some(kube) = self.kube else { return Ok(StepEnd::Made) };
        self.ready_to_call().await?;
        self.has_begun = true;
        let answer = kube.call(call).await;
        if let KubeCall::EvictPod { uid, .. } | KubeCall::DeletePod { uid, .. } = call {
            let is_deletion = matches!(call, KubeCall::DeletePod { .. });
            return self.after_eviction(uid, is_deletion, answer);
        }
        let Err(error) = answer else { return Ok(StepEnd::Made) };
        if error.kind.is_doubtful() {
            self.look.memory.doubted(step);
        }
        match error.kind {
            // What is gone needs no mark, and no removal.
            KubeErrorKind::NotFound => Ok(StepEnd::Made),
            kind if kind.is_passing() => Ok(StepEnd::Moved(error.to_string())),
            _ => Err(self.worded(kube_failure(&error))),
        }
    }

    /// Remembers what the API server said to an eviction, or to a deletion.
    fn after_eviction(
        &mut self,
        uid: &str,
        is_deletion: bool,
        answer: Result<(), KubeError>,
    ) -> Result<StepEnd, Failure> {
        let answer = match answer {
            Ok(()) => {
                self.evictions += 1;
                EvictionAnswer::Accepted
            }
            Err(error) => match error.kind {
                KubeErrorKind::NotFound | KubeErrorKind::Conflict => EvictionAnswer::Accepted,
                KubeErrorKind::Budget | KubeErrorKind::Throttled => EvictionAnswer::NotNow {
                    retry_after_secs: error.retry_after.map(|wait| wait.as_secs().max(1)),
                    message: error.message,
                },
                kind if kind.is_passing() => EvictionAnswer::Failed { message: error.message },
                _ => return Err(self.worded(kube_failure(&error))),
            },
        };
        let at = self.cloud.now();
        let known = self.look.memory.evictions.get(uid);
        let count = known.map_or(0, |attempt| attempt.count).saturating_add(1);
        let since = known.and_then(|attempt| attempt.deleting_since).unwrap_or(at);
        let deleting_since = is_deletion.then_some(since);
        let attempt = EvictionAttempt { at, count, deleting_since, answer };
        self.look.memory.evictions.insert(uid.to_owned(), attempt);
        Ok(StepEnd::Made)
    }

    /// Whether so much time has gone by since a machine that the guard watches was let go that members
    /// may have reported otherwise: it is asked again then.
    fn is_overtaken(&self, step: &Step, decided_at: Timestamp) -> bool {
        let (Step::Terminate { group, .. } | Step::GiveUp { group, .. }) = step else {
            return false;
        };
        let is_guarded = self.policy.groups.get(group).is_some_and(|p| p.role.is_quorum());
        is_guarded && self.cloud.now() >= later(decided_at, GUARD_AGE_MAX)
    }

    /// Nobody asked to stop, and the lease is ours for one more call.
    pub(super) async fn ready_to_call(&mut self) -> Result<(), Failure> {
        if self.stop.is_requested() {
            (self.announce)(Event::Stopping);
            return Err(stopped());
        }
        let ensured = self.lease.ensure(self.cloud, LEASE_AGE_MAX).await;
        ensured.map_err(|error| lease_failure(&error, &self.cluster))
    }

    /// Waits, and keeps the lease.
    pub(super) async fn pause(&mut self, wait: Duration) -> Result<(), Failure> {
        if sleep_or_stop(self.cloud, wait, self.stop).await {
            (self.announce)(Event::Stopping);
            return Err(stopped());
        }
        let kept = self.lease.keep(self.cloud).await;
        kept.map_err(|error| lease_failure(&error, &self.cluster))
    }

    async fn note(&mut self, step: &Step, what: JournalStep) {
        let group = step.group().unwrap_or(&self.cluster);
        let address = Key::new(Kind::AutoScalingGroup, group);
        let now = self.cloud.now();
        self.journal.add(now, &address, what);
        if self.journal.is_due(now) {
            self.journal.flush(self.cloud).await;
        }
    }
}

/// The calls to AWS that a step takes.
fn cloud_calls(step: &Step, o: &Observation) -> Vec<Call> {
    match step {
        Step::Mark { group, mark } => vec![tag_group(group, ROLL_TAG, mark.to_string())],
        Step::Unmark { group } => vec![untag_group(group, ROLL_TAG)],
        Step::MarkFailed { group, revision } => {
            vec![tag_group(group, FAILED_TAG, revision.clone())]
        }
        Step::ClearFailed { group } => vec![untag_group(group, FAILED_TAG)],
        Step::Suspend { group, processes } => vec![Call::SuspendProcesses {
            auto_scaling_group_name: group.clone(),
            processes: processes.clone(),
        }],
        Step::Resume { group, processes } => vec![Call::ResumeProcesses {
            auto_scaling_group_name: group.clone(),
            processes: processes.clone(),
        }],
        Step::Pin { group, version } => pin(group, *version, o).into_iter().collect(),
        Step::SetDesired { group, to, .. } => vec![Call::SetDesiredCapacity {
            auto_scaling_group_name: group.clone(),
            desired_capacity: *to,
        }],
        Step::LowerMinimum { group, to } => {
            vec![Call::SetGroupMinimum { auto_scaling_group_name: group.clone(), min_size: *to }]
        }
        _ => machine_calls(step),
    }
}

fn machine_calls(step: &Step) -> Vec<Call> {
    match step {
        Step::MarkDetached { mark, machines } => vec![Call::CreateTags {
            resource_ids: machines.clone(),
            tags: [(DETACHED_TAG.to_owned(), mark.to_string())].into(),
        }],
        Step::UnmarkDetached { machines } => vec![Call::DeleteTags {
            resource_ids: machines.clone(),
            keys: [DETACHED_TAG.to_owned()].into(),
        }],
        Step::Detach { group, machines } => {
            in_parts(machines, Call::DETACHED_MAX, |part| Call::DetachInstances {
                auto_scaling_group_name: group.clone(),
                instance_ids: part,
                should_decrement_desired_capacity: false,
            })
        }
        Step::Deregister { machine, target_group_arns } => {
            let of = |arn: &String| Call::DeregisterTargets {
                target_group_arn: arn.clone(),
                instance_ids: [machine.clone()].into(),
            };
            target_group_arns.iter().map(of).collect()
        }
        Step::Register { machine, target_group_arns } => {
            let of = |arn: &String| Call::RegisterTargets {
                target_group_arn: arn.clone(),
                instance_ids: [machine.clone()].into(),
            };
            target_group_arns.iter().map(of).collect()
        }
        Step::Terminate { group, machines, shrink } => terminate(group, machines, *shrink),
        Step::GiveUp { group, machines } => terminate(group, machines, false),
        Step::TerminateDetached { machines } => in_parts(machines, Call::TERMINATED_MAX, |part| {
            Call::TerminateInstances { instance_ids: part }
        }),
        _ => Vec::new(),
    }
}

fn terminate(group: &str, machines: &BTreeSet<String>, shrink: bool) -> Vec<Call> {
    in_parts(machines, Call::TERMINATED_MAX, |part| Call::TerminateInstanceInAutoScalingGroup {
        auto_scaling_group_name: group.to_owned(),
        instance_ids: part,
        should_decrement_desired_capacity: shrink,
    })
}

fn in_parts(
    machines: &BTreeSet<String>,
    most: usize,
    call: impl Fn(BTreeSet<String>) -> Call,
) -> Vec<Call> {
    let machines: Vec<String> = machines.iter().cloned().collect();
    machines.chunks(most).map(|part| call(part.iter().cloned().collect())).collect()
}

fn tag_group(group: &str, key: &str, value: String) -> Call {
    let tag = GroupTag { value, propagate_at_launch: false };
    Call::CreateOrUpdateTags {
        auto_scaling_group_name: group.to_owned(),
        tags: [(key.to_owned(), tag)].into(),
    }
}

fn untag_group(group: &str, key: &str) -> Call {
    Call::DeleteGroupTags {
        auto_scaling_group_name: group.to_owned(),
        keys: [key.to_owned()].into(),
    }
}

fn pin(group: &str, version: u64, o: &Observation) -> Option<Call> {
    let known = o.groups.get(group)?;
    Some(Call::PinLaunchTemplateVersion {
        auto_scaling_group_name: group.to_owned(),
        launch_template_name: known.launch_template_name.clone(),
        version,
        mixed_instances_policy: known.mixed_instances_policy.clone(),
    })
}

/// The requests to the API server that a step takes.
fn kube_calls(step: &Step, o: &Observation) -> Vec<KubeCall> {
    let patch = |node: &String, patch: NodePatch| KubeCall::PatchNode { node: node.clone(), patch };
    match step {
        Step::Taint { nodes } => nodes.iter().map(|node| patch(node, taint(&o.id))).collect(),
        Step::Cordon { node, at, was_cordoned, if_away, .. } => {
            let cordon = cordon(node, &at.to_string(), *was_cordoned, o);
            vec![patch(node, NodePatch { if_away: *if_away, ..cordon })]
        }
        Step::Release { node, uncordon } | Step::Skip { node, uncordon, .. } => {
            vec![patch(node, release(node, *uncordon, o))]
        }
        Step::Protect { node } => vec![patch(node, protect(&o.id))],
        Step::Evict { pods, .. } => pods.iter().map(evict).collect(),
        Step::DeletePods { pods, .. } => pods.iter().map(delete).collect(),
        Step::DeleteNode { node, uid } => {
            vec![KubeCall::DeleteNode { node: node.clone(), uid: uid.clone() }]
        }
        _ => Vec::new(),
    }
}

fn evict(pod: &PodStep) -> KubeCall {
    KubeCall::EvictPod { pod: pod.pod.clone(), uid: pod.uid.clone(), grace_secs: None }
}

fn delete(pod: &PodStep) -> KubeCall {
    KubeCall::DeletePod { pod: pod.pod.clone(), uid: pod.uid.clone(), grace_secs: None }
}

fn taint(id: &str) -> NodePatch {
    let value: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let effect = TaintEffect::PreferNoSchedule;
    let taint = Taint { key: OUTDATED_TAINT.to_owned(), value, effect };
    NodePatch { add_taints: [taint].into(), ..NodePatch::default() }
}

fn cordon(name: &str, at: &str, was_cordoned: bool, o: &Observation) -> NodePatch {
    let mut annotations = BTreeMap::from([(DRAIN_ANNOTATION.to_owned(), Some(at.to_owned()))]);
    let is_noted = carries(seen(name, o), WAS_CORDONED_ANNOTATION);
    if was_cordoned || is_noted {
        let note = was_cordoned.then(|| "true".to_owned());
        annotations.insert(WAS_CORDONED_ANNOTATION.to_owned(), note);
    }
    let labels = [(NO_BALANCER_LABEL.to_owned(), Some("kprod".to_owned()))].into();
    NodePatch { unschedulable: Some(true), annotations, labels, ..NodePatch::default() }
}

/// Whether a node is seen to have an annotation.
fn carries(node: Option<&Node>, key: &str) -> bool {
    node.is_some_and(|node| node.annotations.contains_key(key))
}

fn seen<'o>(name: &str, o: &'o Observation) -> Option<&'o Node> {
    o.kube.as_ref()?.nodes.get(name)
}

fn protect(id: &str) -> NodePatch {
    let annotations = [
        (NEWCOMER_ANNOTATION.to_owned(), Some(id.to_owned())),
        (NO_SCALE_DOWN_ANNOTATION.to_owned(), Some("true".to_owned())),
    ];
    NodePatch { annotations: annotations.into(), ..NodePatch::default() }
}

/// Takes off what a roll has put on a node, and nothing that others did.
fn release(name: &str, uncordon: bool, o: &Observation) -> NodePatch {
    let node = seen(name, o);
    let mut patch = NodePatch { unschedulable: uncordon.then_some(false), ..NodePatch::default() };
    patch.remove_taints.insert(OUTDATED_TAINT.to_owned());
    // Whether a watch shows them yet or not: this run may have put them on a moment ago.
    for key in [DRAIN_ANNOTATION, WAS_CORDONED_ANNOTATION] {
        patch.annotations.insert(key.to_owned(), None);
    }
    if carries(node, NEWCOMER_ANNOTATION) {
        for key in [NEWCOMER_ANNOTATION, NO_SCALE_DOWN_ANNOTATION] {
            patch.annotations.insert(key.to_owned(), None);
        }
    }
    let label = node.and_then(|node| node.labels.get(NO_BALANCER_LABEL));
    let is_ours = label.is_some_and(|value| value == "kprod");
    let is_worker = node.is_some_and(|node| !node.labels.contains_key(CONTROL_PLANE_LABEL));
    if is_ours && is_worker {
        patch.labels.insert(NO_BALANCER_LABEL.to_owned(), None);
    }
    patch
}
