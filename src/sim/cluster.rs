//! Clusters in the account: they follow its machines, and answer requests under its fault plan.

use std::sync::Arc;

use super::fault::Verdict;
use super::kubernetes::{Host, Kubernetes, LoggedRequest, Settings};
use super::{CallFault, CrashSide, Machine, World};
use crate::kube::{KubeCall, KubeError, KubeErrorKind, KubeView};
use crate::resource::{OWNER_TAG, Tags};

impl World {
    /// Virtual time that a request to an API server takes, in milliseconds.
    const REQUEST_MS: u64 = 4;

    /// Has the account know a cluster; machines that are made for it from now on run this version,
    /// such as `1.34.2`.
    pub fn adopt_cluster(&mut self, name: &str, version: Option<&str>) {
        let cluster = self.cluster(name);
        if let Some(version) = version {
            cluster.settings.version = format!("v{}", version.trim_start_matches('v'));
        }
    }

    /// A cluster, made when it is not there.
    pub fn cluster(&mut self, name: &str) -> &mut Kubernetes {
        let (seed, now, region) = (self.seed, self.now, &self.region);
        self.clusters.entry(name.to_owned()).or_insert_with(|| {
            let seed = name
                .bytes()
                .fold(seed, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            let settings = Settings { region: region.clone(), ..Settings::default() };
            Kubernetes::new(name, seed, now, settings)
        })
    }

    /// Lets the clusters' time pass until now.
    pub(super) fn advance_clusters(&mut self) {
        let (now, lag_ms_max) = (self.now, self.lag.watch_ms_max());
        for cluster in self.clusters.values_mut() {
            cluster.lag_ms_max = lag_ms_max;
            cluster.advance(now);
        }
    }

    /// The version that new machines of a cluster run, by a resource's owner.
    pub(super) fn version_of_owner(&self, tags: &Tags) -> Option<String> {
        let cluster = self.clusters.get(tags.get(OWNER_TAG)?)?;
        Some(cluster.settings.version.clone())
    }

    /// Something about a machine changed: its cluster notices whether its kubelet runs.
    pub(super) fn cluster_follows(&mut self, instance_id: &str) {
        self.stir_members(instance_id);
        let Some(machine) = self.machines.get(instance_id) else { return };
        let Some(name) = machine.tags.get(OWNER_TAG).cloned() else { return };
        if !machine.is_up() {
            if let Some(cluster) = self.clusters.get_mut(&name) {
                cluster.host_stops(instance_id);
            }
        } else if let Some(host) = self.host_of(machine) {
            self.cluster(&name).host_boots(host);
        }
    }

    /// A machine is gone. With the last one of a cluster that is being removed, the cluster is.
    pub(super) fn cluster_loses(&mut self, machine: &Machine) {
        let Some(name) = machine.tags.get(OWNER_TAG) else { return };
        if let Some(cluster) = self.clusters.get_mut(name) {
            cluster.host_is_gone(&machine.instance_id);
        }
        let is_its = |tags: &Tags| tags.get(OWNER_TAG) == Some(name);
        let has_machines = self.machines.values().any(|machine| is_its(&machine.tags));
        let has_groups = self.groups.values().any(|stored| {
            let owner = stored.group.tags.get(OWNER_TAG).map(|tag| &tag.value);
            owner == Some(name) && !stored.is_pending_delete
        });
        if !has_machines && !has_groups {
            self.clusters.remove(name);
        }
    }

    /// A machine as its cluster sees it; none for one without a kubelet, such as a bastion.
    fn host_of(&self, machine: &Machine) -> Option<Host> {
        let host = Host::by_tags(&machine.instance_id, &machine.tags)?;
        let template = self.templates.get(&machine.launch_template_name);
        let version = template.and_then(|template| template.versions.get(&machine.version));
        let own = version.and_then(|version| version.kubernetes_version.clone());
        let kubelet_version = own.or_else(|| self.version_of_owner(&machine.tags));
        Some(Host {
            group: machine.group.clone().unwrap_or_default(),
            image_id: machine.image_id.clone(),
            availability_zone: machine.availability_zone.clone(),
            instance_type: machine.instance_type.clone(),
            kubelet_version: kubelet_version.unwrap_or_else(|| Settings::default().version),
            ..host
        })
    }

    /// Makes one request to a cluster's API server: time passes, the fault plan has its say, then the
    /// server. None when the process was killed around it.
    pub fn answer_kube(&mut self, cluster: &str, call: &KubeCall) -> Option<Result<(), KubeError>> {
        self.advance(self.now.plus_ms(Self::REQUEST_MS));
        let operation = call.operation();
        let verdict = self.mutation_verdict();
        let result = match verdict {
            Verdict::Crash(CrashSide::Before) => {
                self.record_request(cluster, call, "Crashed");
                return None;
            }
            Verdict::Fault(fault @ (CallFault::Throttled | CallFault::Unavailable)) => {
                Err(refused(fault, operation))
            }
            _ => self.request(cluster, call),
        };
        let result = match (verdict, result) {
            (Verdict::Crash(_), _) => {
                self.record_request(cluster, call, "Crashed");
                return None;
            }
            (Verdict::Fault(fault @ CallFault::AnswerLost), Ok(())) => {
                self.record_request(cluster, call, "AnswerLost");
                return Some(Err(refused(fault, operation)));
            }
            (_, result) => result,
        };
        let outcome =
            result.as_ref().map_or_else(|error| format!("{:?}", error.kind), |()| "ok".into());
        self.record_request(cluster, call, &outcome);
        Some(result)
    }

    fn request(&mut self, cluster: &str, call: &KubeCall) -> Result<(), KubeError> {
        let known = self.known_cluster(cluster, call.operation())?;
        known.check_api(call.operation())?;
        known.request(call).map_err(|refusal| refusal.into_error(call.operation()))
    }

    fn record_request(&mut self, cluster: &str, call: &KubeCall, outcome: &str) {
        let at = self.now;
        if let Some(known) = self.clusters.get_mut(cluster) {
            known.record(LoggedRequest {
                operation: call.operation().to_owned(),
                subject: call.subject(),
                at,
                outcome: outcome.to_owned(),
            });
        }
    }

    /// The picture that a client's watches of a cluster have.
    ///
    /// # Errors
    /// As [`Kubernetes::view`], and when the account runs no such cluster.
    pub fn kube_view(&mut self, cluster: &str) -> Result<Arc<KubeView>, KubeError> {
        self.known_cluster(cluster, "Watch")?.view()
    }

    /// Whether a cluster's API server says that it is ready.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn kube_ready(&mut self, cluster: &str) -> Result<(), KubeError> {
        self.advance(self.now.plus_ms(Self::REQUEST_MS));
        self.known_cluster(cluster, "GetReadyz")?.check_api("GetReadyz")
    }

    fn known_cluster(&mut self, name: &str, operation: &str) -> Result<&mut Kubernetes, KubeError> {
        let region = &self.region;
        self.clusters.get_mut(name).ok_or_else(|| {
            let message = format!("no cluster {name} runs in the simulated account in {region}");
            KubeError::new(KubeErrorKind::Unreachable, operation, message)
        })
    }
}

/// What a planned fault looks like to whoever asked an API server.
fn refused(fault: CallFault, operation: &str) -> KubeError {
    let (kind, message) = match fault {
        CallFault::Throttled => {
            (KubeErrorKind::Throttled, "too many requests, please try again later")
        }
        CallFault::Unavailable => {
            (KubeErrorKind::Server, "the server is currently unable to handle the request")
        }
        CallFault::AnswerLost => {
            (KubeErrorKind::Unreachable, "the connection broke before the answer came")
        }
    };
    let wait = (fault == CallFault::Throttled).then_some(std::time::Duration::from_secs(1));
    KubeError::new(kind, operation, message).retry_after(wait)
}
