//! What ends a roll from outside, in kprod's words.

use crate::error::{ExitCode, Failure};
use crate::kube::{KubeError, KubeErrorKind};

/// An API server that does not answer, or says no, as a failure: exit 6 where waiting may help, else
/// exit 1. A run that has begun something ends with 6 either way.
pub fn kube_failure(error: &KubeError) -> Failure {
    let again = "run the same command again: it goes on from where it was";
    let hint = match error.kind {
        KubeErrorKind::Unauthorized => {
            format!("the credentials of the kubeconfig are not taken: renew them, then {again}")
        }
        KubeErrorKind::Forbidden => {
            format!(
                "`kprod policy CLUSTER --for kubernetes` prints the ClusterRole that a roll needs; \
                 give it, then {again}"
            )
        }
        KubeErrorKind::Certificate => format!(
            "look at the certificates' dates, the kubeconfig's CA and this machine's clock, \
             then {again}"
        ),
        KubeErrorKind::Config => {
            format!(
                "name the kubeconfig and its context with --kubeconfig and --context, then {again}"
            )
        }
        _ => format!("see that the API server answers `kubectl get --raw /readyz`, then {again}"),
    };
    // Credentials and roles may be unknown for a moment to an API server that has just started.
    let may_pass = error.kind.is_passing()
        || matches!(error.kind, KubeErrorKind::Unauthorized | KubeErrorKind::Forbidden);
    let code = if may_pass { ExitCode::Halted } else { ExitCode::Error };
    Failure::new(code, error.to_string()).hint(hint)
}
