//! What an API server, or the way to it, may answer.

use std::time::Duration;

/// What an error means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KubeErrorKind {
    /// No connection, or no answer in time: it may pass.
    Unreachable,
    /// 401: the credentials are not known, or have ended.
    Unauthorized,
    /// 403: the credentials may not do this.
    Forbidden,
    /// 404: the object is gone.
    NotFound,
    /// 409: the object moved meanwhile, or is another one by now.
    Conflict,
    /// 429 of an eviction: a disruption budget says not now.
    Budget,
    /// 429 of the server itself (API priority and fairness): later.
    Throttled,
    /// 5xx: the server's own trouble. An eviction of a pod with two budgets is 500, for ever.
    Server,
    /// A certificate that is not trusted, or not valid at this time.
    Certificate,
    /// The kubeconfig cannot be used: no such file, context or user, a credential plugin that fails.
    Config,
    /// Anything else: asked again, the answer would be the same.
    Invalid,
}

impl KubeErrorKind {
    /// Whether the request may have been carried out all the same: the server's answer, if there was
    /// one, does not tell.
    pub fn is_doubtful(self) -> bool {
        matches!(self, KubeErrorKind::Unreachable | KubeErrorKind::Server)
    }

    /// Whether the same request may succeed later without anybody doing anything.
    pub fn is_passing(self) -> bool {
        matches!(
            self,
            KubeErrorKind::Unreachable
                | KubeErrorKind::Conflict
                | KubeErrorKind::Budget
                | KubeErrorKind::Throttled
                | KubeErrorKind::Server
        )
    }
}

/// An error of the Kubernetes port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct KubeError {
    /// What it means.
    pub kind: KubeErrorKind,
    /// The request.
    pub operation: String,
    /// What the server says, or what failed on the way there.
    pub message: String,
    /// How long the server asks to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl KubeError {
    /// An error without a wish about when to come back.
    pub fn new(
        kind: KubeErrorKind,
        operation: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, operation: operation.into(), message: message.into(), retry_after: None }
    }

    /// The same with the server's wish.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }
}
