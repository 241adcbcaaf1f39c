//! What goes wrong with a cluster, on request.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Kubernetes;
use crate::kube::{KubeError, KubeErrorKind};
use crate::sim::Time;

/// What goes wrong, and when. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KubernetesFaults {
    /// When its API server cannot be used, and how.
    pub outages: Vec<Outage>,
    /// Machines whose kubelet never joins: instances, groups or images.
    pub never_join: BTreeSet<String>,
    /// Machines whose node joins and is never ready: instances, groups or images.
    pub never_ready: BTreeSet<String>,
    /// How late a watch tells of a change, at most, in milliseconds, where that is more than the
    /// world's own lag.
    pub watch_lag_ms_max: u64,
}

/// A time in which the API server cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// How.
    pub trouble: ApiTrouble,
    /// From then on.
    pub from: Time,
    /// Until then; for ever if none.
    pub until: Option<Time>,
}

/// How an API server cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiTrouble {
    /// It does not run: nothing in the cluster changes either.
    Down,
    /// It runs, and cannot be reached from here.
    Unreachable,
    /// It does not know the credentials any more.
    Unauthorized,
    /// It forbids every request.
    Forbidden,
    /// Its certificate is not valid.
    Certificate,
    /// It fails every request.
    Failing,
    /// It has too many requests.
    Throttled,
}

impl KubernetesFaults {
    fn now(&self, now: Time) -> Option<&Outage> {
        let is_now =
            |outage: &&Outage| outage.from <= now && outage.until.is_none_or(|until| now < until);
        self.outages.iter().find(is_now)
    }

    pub(super) fn is_down(&self, now: Time) -> bool {
        self.now(now).is_some_and(|outage| outage.trouble == ApiTrouble::Down)
    }

    /// When an outage begins or ends next.
    pub(super) fn next_edge(&self, now: Time) -> Option<Time> {
        let edges = self.outages.iter().flat_map(|outage| [Some(outage.from), outage.until]);
        edges.flatten().filter(|at| *at > now).min()
    }
}

impl Kubernetes {
    /// Has the API server be out of use from now on.
    pub fn break_api(&mut self, trouble: ApiTrouble, until: Option<Time>) {
        self.faults.outages.push(Outage { trouble, from: self.now, until });
    }

    /// Whether watches go on.
    pub(super) fn is_reachable(&self) -> bool {
        self.serves() && self.faults.now(self.now).is_none()
    }

    /// Since when nothing was heard of the API server; now while it can be used.
    pub(super) fn heard_of_at(&self) -> Time {
        let outage = self.faults.now(self.now).map(|outage| outage.from);
        let lost = self.api_lost_at.filter(|_| self.api_servers.is_empty());
        outage.into_iter().chain(lost).min().unwrap_or(self.now)
    }

    /// What stands in the way of a request now.
    ///
    /// # Errors
    /// The error that whoever asks gets.
    pub fn check_api(&self, operation: &str) -> Result<(), KubeError> {
        let trouble = self.faults.now(self.now).map(|outage| outage.trouble);
        let trouble = trouble.or((!self.serves()).then_some(ApiTrouble::Down));
        let Some(trouble) = trouble else { return Ok(()) };
        let name = &self.name;
        let (kind, message) = match trouble {
            ApiTrouble::Down | ApiTrouble::Unreachable => (
                KubeErrorKind::Unreachable,
                format!("the API server of {name} does not answer: connection refused"),
            ),
            ApiTrouble::Unauthorized => (
                KubeErrorKind::Unauthorized,
                format!("the API server of {name} does not take the credentials: Unauthorized"),
            ),
            ApiTrouble::Forbidden => (
                KubeErrorKind::Forbidden,
                format!("the API server of {name} forbids it: User \"kprod\" cannot do this"),
            ),
            ApiTrouble::Certificate => (
                KubeErrorKind::Certificate,
                format!("the API server of {name} has a certificate that has expired"),
            ),
            ApiTrouble::Failing => (
                KubeErrorKind::Server,
                format!("the API server of {name} fails: Internal error occurred"),
            ),
            ApiTrouble::Throttled => (
                KubeErrorKind::Throttled,
                format!("the API server of {name} has too many requests, please try again later"),
            ),
        };
        let wait = (trouble == ApiTrouble::Throttled).then_some(std::time::Duration::from_secs(1));
        Err(KubeError::new(kind, operation, message).retry_after(wait))
    }
}
