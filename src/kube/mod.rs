//! The Kubernetes port: what kprod needs from a cluster's API server, in kprod's words.
//!
//! [`Kube::view`] is a watched picture of nodes, pods and disruption budgets that costs no request;
//! [`Kube::call`] makes one request. `client` is a real API server, `sim` the simulated one; both pass
//! one contract suite. [`drain`] decides, purely, which pods of a node are evicted.

pub mod access;
pub mod any;
pub mod belonging;
pub mod call;
#[cfg(feature = "aws")]
pub mod client;
pub mod drain;
pub mod error;
pub mod rbac;
pub mod sim;
pub mod view;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use access::{KubeAccess, KubeSource};
pub use belonging::{WrongCluster, check_belonging};
pub use call::{KubeCall, NodePatch, TaintEffect};
pub use drain::{
    BlockReason, Blocked, DRAIN_ANNOTATION, Drain, DrainPod, DrainPolicy, IgnoreReason,
    PreflightFinding, drain, next_attempt, preflight,
};
pub use error::{KubeError, KubeErrorKind};
pub use view::{
    Budget, Condition, KubeView, LabelSelector, Node, Owner, Pod, PodId, PodPhase, Requirement,
    SelectorOperator, Taint,
};

/// One cluster's API server, real or simulated.
pub trait Kube: Send + Sync {
    /// The picture as the watches have it. The first one waits until every list was read.
    ///
    /// # Errors
    /// When the API server has not answered for longer than the port's patience, or refuses the
    /// credentials. A picture is never older than [`KubeView::STALE_AFTER`].
    fn view(&self) -> impl Future<Output = Result<Arc<KubeView>, KubeError>> + Send;

    /// Waits until the picture is another one than `seen` ([`KubeView::generation`]), at most so long.
    fn changed(&self, seen: u64, at_most: Duration) -> impl Future<Output = ()> + Send;

    /// Makes one request. The port does not try again: what an answer means depends on who asked.
    ///
    /// # Errors
    /// Whatever the API server answers; the kind says what may help.
    fn call(&self, call: &KubeCall) -> impl Future<Output = Result<(), KubeError>> + Send;

    /// Whether the API server says that it is ready (`/readyz`).
    ///
    /// # Errors
    /// When it does not answer, or says no: the message names the checks that fail.
    fn ready(&self) -> impl Future<Output = Result<(), KubeError>> + Send;
}
