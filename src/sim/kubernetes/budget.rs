//! Disruption budgets, and the controller that counts for them, always a little late.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Event, Kubernetes, StoredPod, WorkloadKind};
use crate::kube::{Budget, LabelSelector, PodId};
use crate::sim::Time;

/// A number of pods, or so many of a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Amount {
    /// So many.
    Count(u32),
    /// So many of a hundred; rounded up.
    Percent(u32),
}

/// What a budget asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BudgetRule {
    /// So many pods have to be healthy.
    MinAvailable(Amount),
    /// So many pods may be missing.
    MaxUnavailable(Amount),
}

/// A budget with what the port does not say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBudget {
    /// The object; `is_observed` tells whether its controller has seen its newest form.
    pub budget: Budget,
    /// Tells it from an earlier budget of the same name.
    pub uid: String,
    /// The object's resource version.
    pub version: u64,
    /// When it was made.
    pub created_at: Time,
    /// What it asks for.
    pub rule: BudgetRule,
    /// Counts its forms, and the newest that its controller has seen; 0 for none.
    pub generations: (u64, u64),
    /// Evictions that were let through and that the controller has not seen, by the pod's name.
    pub disrupted: BTreeMap<String, Time>,
    /// When its controller looks next.
    pub(super) sync_at: Option<Time>,
}

impl Kubernetes {
    /// How long an eviction is waited for before it counts as having come to nothing.
    /// Source: Kubernetes, `pkg/controller/disruption`, `DeletionTimeout`.
    const DELETION_TIMEOUT_MS: u64 = 120_000;

    /// The budgets by namespace and name.
    pub fn budgets(&self) -> &BTreeMap<PodId, StoredBudget> {
        &self.budgets
    }

    /// Makes a budget, or changes what it asks for; its controller sees it a little later.
    pub fn set_budget(&mut self, id: &PodId, selector: Option<LabelSelector>, rule: BudgetRule) {
        let generation = self.budgets.get(id).map_or(1, |known| known.generations.0 + 1);
        let number = self.number();
        let (uid, created_at) = (self.uid(number), self.now);
        let known = self.budgets.entry(id.clone()).or_insert_with(|| StoredBudget {
            budget: Budget {
                id: id.clone(),
                selector: None,
                disruptions_allowed: 0,
                current_healthy: 0,
                desired_healthy: 0,
                expected_pods: 0,
                is_observed: false,
            },
            uid,
            version: 0,
            created_at,
            rule,
            generations: (generation, 0),
            disrupted: BTreeMap::new(),
            sync_at: None,
        });
        known.budget.selector = selector;
        known.budget.is_observed = false;
        known.rule = rule;
        known.generations.0 = generation;
        self.touch_budget(id);
        self.select_all_budgets();
        self.wake_budget(id);
    }

    /// Removes a budget.
    pub fn remove_budget(&mut self, id: &PodId) {
        if let Some(stored) = self.budgets.remove(id) {
            self.forget_budget(stored);
            self.select_all_budgets();
        }
    }

    fn select_all_budgets(&mut self) {
        for number in self.workloads.keys().copied().collect::<Vec<_>>() {
            self.select_budgets(number);
        }
    }

    /// Notes which budgets select a workload's pods.
    pub(super) fn select_budgets(&mut self, number: u64) {
        let Some(known) = self.workloads.get(&number) else { return };
        let selects = |stored: &StoredBudget| {
            let selector = stored.budget.selector.as_ref();
            stored.budget.id.namespace == known.workload.namespace
                && selector.is_some_and(|selector| selector.selects(&known.workload.labels))
        };
        let budgets = self.budgets.iter().filter(|(_, stored)| selects(stored));
        let budgets: Vec<PodId> = budgets.map(|(id, _)| id.clone()).collect();
        if let Some(known) = self.workloads.get_mut(&number) {
            known.budgets.clone_from(&budgets);
        }
        for budget in budgets {
            self.wake_budget(&budget);
        }
    }

    /// Has the disruption controller look at a budget soon.
    pub(super) fn wake_budget(&mut self, id: &PodId) {
        let Some(known) = self.budgets.get_mut(id) else { return };
        if known.sync_at.is_none() {
            known.sync_at = Some(self.now);
            self.after(self.settings.pace.budget_sync, Event::SyncBudget { budget: id.clone() });
        }
    }

    /// The disruption controller counts.
    /// Source: Kubernetes, `pkg/controller/disruption`, `trySync`.
    pub(super) fn sync_budget(&mut self, id: &PodId) {
        let Some(known) = self.budgets.get(id) else { return };
        let disrupted = self.still_disrupted(known);
        let is_healthy = |name: &&String| {
            let pod = self.pod(&PodId::new(id.namespace.clone(), (*name).clone()));
            pod.is_some_and(StoredPod::is_healthy)
        };
        let unconfirmed = disrupted.keys().filter(is_healthy).count();
        let unconfirmed = u32::try_from(unconfirmed).unwrap_or(u32::MAX);
        let (controlled, counted, healthy) = self.pods_of_budget(id);
        let current = healthy.saturating_sub(unconfirmed);
        let (expected, desired) = match known.rule {
            BudgetRule::MinAvailable(Amount::Count(count)) => (counted, count),
            BudgetRule::MinAvailable(share) => (controlled, share.of(controlled)),
            BudgetRule::MaxUnavailable(amount) => {
                (controlled, controlled.saturating_sub(amount.of(controlled)))
            }
        };
        let first_timeout =
            disrupted.values().min().map(|at| at.plus_ms(Self::DELETION_TIMEOUT_MS));
        let Some(known) = self.budgets.get_mut(id) else { return };
        let before = known.clone();
        known.sync_at = None;
        known.disrupted = disrupted;
        known.generations.1 = known.generations.0;
        known.budget.is_observed = true;
        known.budget.expected_pods = expected;
        known.budget.current_healthy = current;
        known.budget.desired_healthy = desired;
        known.budget.disruptions_allowed = match expected {
            0 => 0,
            _ => current.saturating_sub(desired),
        };
        let is_same = known.budget == before.budget && known.disrupted == before.disrupted;
        if !is_same {
            self.touch_budget(id);
        }
        if let Some(at) = first_timeout {
            self.at(at.max(self.now.plus_ms(1)), Event::SyncBudget { budget: id.clone() });
        }
    }

    /// Evictions that were let through and whose pods are there, not deleted yet, and not for too
    /// long.
    fn still_disrupted(&self, known: &StoredBudget) -> BTreeMap<String, Time> {
        let namespace = &known.budget.id.namespace;
        let is_waited_for = |name: &String, at: Time| {
            let pod = self.pod(&PodId::new(namespace.clone(), name.clone()));
            pod.is_some_and(|stored| stored.is_active())
                && self.now.since_ms(at) < Self::DELETION_TIMEOUT_MS
        };
        let disrupted = known.disrupted.iter().filter(|(name, at)| is_waited_for(name, **at));
        disrupted.map(|(name, at)| (name.clone(), *at)).collect()
    }

    /// Pods that the controllers of a budget's pods want, pods that are there, and healthy ones.
    fn pods_of_budget(&self, id: &PodId) -> (u32, u32, u32) {
        let selected = self.workloads.values().filter(|known| known.budgets.contains(id));
        let mut sums = (0u32, 0u32, 0u32);
        for known in selected {
            let owned = u32::try_from(known.owned.len()).unwrap_or(u32::MAX);
            let healthy = u32::try_from(known.healthy.len()).unwrap_or(u32::MAX);
            let wanted = match known.workload.kind {
                WorkloadKind::Deployment | WorkloadKind::StatefulSet => known.workload.replicas,
                _ => owned,
            };
            sums = (
                sums.0.saturating_add(wanted),
                sums.1.saturating_add(owned),
                sums.2.saturating_add(healthy),
            );
        }
        sums
    }
}

impl Amount {
    /// How many of so many.
    /// Source: Kubernetes, `pkg/controller/disruption`: percentages of both rules are rounded up.
    fn of(self, total: u32) -> u32 {
        match self {
            Amount::Count(count) => count,
            Amount::Percent(percent) => {
                let share = u64::from(total).saturating_mul(u64::from(percent)).div_ceil(100);
                u32::try_from(share).unwrap_or(u32::MAX)
            }
        }
    }
}
