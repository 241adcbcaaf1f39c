//! The API server's answers to requests that change something.
//!
//! Measured on a real server (v1.36): which code, which words, which cause, and when it says how long
//! to wait. Sources: Kubernetes, `pkg/registry/core/pod/storage/eviction.go`.

use super::{Kubernetes, StoredBudget};
use crate::kube::{KubeCall, KubeError, KubeErrorKind, PodId, PodPhase};

/// A request that is not granted, as a `Status` object tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status code.
    pub code: u16,
    /// `status.reason`; empty where the server gives none.
    pub reason: &'static str,
    /// `status.message`.
    pub message: String,
    /// The message of `status.details.causes[0]`, whose reason is `DisruptionBudget`.
    pub cause: Option<String>,
    /// `status.details.retryAfterSeconds`, and the header `Retry-After`.
    pub retry_after_secs: Option<u32>,
}

/// Says that a pod has to stay, before the cause.
const HELD: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

impl Refusal {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self { code, reason, message, cause: None, retry_after_secs: None }
    }

    pub(super) fn not_found(what: &str, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{what} \"{name}\" not found"))
    }

    pub(super) fn already_exists(what: &str, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{what} \"{name}\" already exists"))
    }

    /// 409: the object is not the one that was meant.
    pub(super) fn conflict(what: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {what} \"{name}\": {why}");
        Self::new(409, "Conflict", message)
    }

    fn held(cause: String, retry_after_secs: Option<u32>) -> Self {
        let held = Self::new(429, "TooManyRequests", HELD.to_owned());
        Self { cause: Some(cause), retry_after_secs, ..held }
    }

    /// The same as the port tells it: the cause follows the message.
    pub fn into_error(self, operation: &str) -> KubeError {
        let kind = match self.code {
            401 => KubeErrorKind::Unauthorized,
            403 => KubeErrorKind::Forbidden,
            404 => KubeErrorKind::NotFound,
            409 => KubeErrorKind::Conflict,
            429 if self.cause.is_some() => KubeErrorKind::Budget,
            429 => KubeErrorKind::Throttled,
            500.. => KubeErrorKind::Server,
            _ => KubeErrorKind::Invalid,
        };
        let message = match self.cause {
            Some(cause) => format!("{} {cause}", self.message),
            None => self.message,
        };
        let wait = self.retry_after_secs.map(|secs| std::time::Duration::from_secs(secs.into()));
        KubeError::new(kind, operation, message).retry_after(wait)
    }
}

impl Kubernetes {
    /// Makes a request as a healthy API server would: without faults, log or lag.
    ///
    /// # Errors
    /// What the API server refuses.
    pub fn request(&mut self, call: &KubeCall) -> Result<(), Refusal> {
        match call {
            KubeCall::PatchNode { node, patch } => self.patch_node(node, patch),
            KubeCall::EvictPod { pod, uid, grace_secs } => {
                self.evict(pod, Some(uid), *grace_secs, false)
            }
            KubeCall::DeletePod { pod, uid, grace_secs } => {
                self.delete(pod, Some(uid), *grace_secs)
            }
            KubeCall::DeleteNode { node, uid } => self.delete_node(node, Some(uid)),
        }
    }

    /// Deletes a node's object.
    ///
    /// # Errors
    /// 404, or 409 when another node has the name by now.
    pub fn delete_node(&mut self, name: &str, uid: Option<&str>) -> Result<(), Refusal> {
        let stored = self.nodes.get(name).ok_or_else(|| Refusal::not_found("nodes", name))?;
        check_uid("nodes", name, &stored.node.uid, uid)?;
        self.remove_node(name);
        Ok(())
    }

    /// Deletes a pod whatever its budgets say.
    ///
    /// # Errors
    /// 404, or 409 when another pod has the name by now.
    pub fn delete(
        &mut self,
        id: &PodId,
        uid: Option<&str>,
        grace_secs: Option<u32>,
    ) -> Result<(), Refusal> {
        let number = self.known_pod(id, uid)?;
        self.delete_pod(number, grace_secs);
        Ok(())
    }

    /// Evicts a pod, if its budgets allow; a dry run asks and leaves everything as it is.
    ///
    /// # Errors
    /// 404, 409, 429 of a budget, 500 for a pod with two of them.
    pub fn evict(
        &mut self,
        id: &PodId,
        uid: Option<&str>,
        grace_secs: Option<u32>,
        dry_run: bool,
    ) -> Result<(), Refusal> {
        let number = self.known_pod(id, uid)?;
        if let Some(budget) = self.budget_in_charge(number)? {
            self.take_disruption(&budget, &id.name, dry_run)?;
        }
        if !dry_run {
            self.delete_pod(number, grace_secs);
        }
        Ok(())
    }

    fn known_pod(&self, id: &PodId, uid: Option<&str>) -> Result<u64, Refusal> {
        let missing = || Refusal::not_found("pods", &id.name);
        let number = *self.pod_names.get(id).ok_or_else(missing)?;
        let stored = self.pods.get(&number).ok_or_else(missing)?;
        check_uid("pods", &id.name, &stored.pod.uid, uid)?;
        Ok(number)
    }

    /// The budget that an eviction of a pod has to ask, if any does. A pod that does not run, or is
    /// being deleted, asks none; one that is not ready asks only a budget that is short already.
    fn budget_in_charge(&self, number: u64) -> Result<Option<PodId>, Refusal> {
        let Some(stored) = self.pods.get(&number) else { return Ok(None) };
        let is_idle = !stored.is_active() || stored.pod.phase == PodPhase::Pending;
        let budgets = self.workloads.get(&stored.workload).map(|known| known.budgets.as_slice());
        let budget = match budgets.unwrap_or_default() {
            _ if is_idle => return Ok(None),
            [] => return Ok(None),
            [one] => one,
            _ => {
                let message = "This pod has more than one PodDisruptionBudget, which the eviction \
                               subresource does not support.";
                return Err(Refusal::new(500, "", message.to_owned()));
            }
        };
        let is_content = self.budgets.get(budget).is_some_and(|known| {
            let Budgeted { current, desired } = Budgeted::of(known);
            current >= desired && desired > 0
        });
        let asks = stored.pod.is_ready || !is_content;
        Ok(asks.then(|| budget.clone()))
    }

    /// Takes one of the disruptions that a budget allows; the server itself writes that down, and the
    /// next one waits for the controller.
    fn take_disruption(&mut self, id: &PodId, pod: &str, dry_run: bool) -> Result<(), Refusal> {
        let now = self.now;
        let Some(known) = self.budgets.get_mut(id) else { return Ok(()) };
        let name = &id.name;
        if known.generations.1 < known.generations.0 {
            let cause =
                format!("The disruption budget {name} is still being processed by the server.");
            return Err(Refusal::held(cause, Some(10)));
        }
        if known.budget.disruptions_allowed == 0 {
            let Budgeted { current, desired } = Budgeted::of(known);
            let cause = if current <= desired {
                format!(
                    "The disruption budget {name} needs {desired} healthy pods and has {current} \
                     currently"
                )
            } else {
                format!("The disruption budget {name} does not allow evicting pods currently")
            };
            return Err(Refusal::held(cause, None));
        }
        if dry_run {
            return Ok(());
        }
        known.budget.disruptions_allowed -= 1;
        known.disrupted.insert(pod.to_owned(), now);
        self.touch_budget(id);
        Ok(())
    }
}

/// What a budget's status says of its pods.
struct Budgeted {
    current: u32,
    desired: u32,
}

impl Budgeted {
    fn of(known: &StoredBudget) -> Self {
        Self { current: known.budget.current_healthy, desired: known.budget.desired_healthy }
    }
}

fn check_uid(what: &str, name: &str, has: &str, wanted: Option<&str>) -> Result<(), Refusal> {
    match wanted {
        Some(wanted) if wanted != has => {
            let why = format!(
                "Precondition failed: UID in precondition: {wanted}, UID in object meta: {has}"
            );
            Err(Refusal::conflict(what, name, &why))
        }
        _ => Ok(()),
    }
}
