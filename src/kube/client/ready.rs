//! Whether an API server says that it is ready, and what is not.

use http::Method;

use super::call::request;
use super::connection::Connection;
use crate::kube::{KubeError, KubeErrorKind};

/// The name of the request in messages.
const OPERATION: &str = "GetReadyz";

/// Asks `/readyz`.
///
/// # Errors
/// When it does not answer, or says no: the message names the checks that fail.
pub(super) async fn ask(connection: &Connection) -> Result<(), KubeError> {
    let request = request(OPERATION, Method::GET, "/readyz?verbose", None)?;
    connection.send(OPERATION, request).await.map(drop).map_err(named)
}

/// Names the checks that fail, where the answer is the list of checks.
/// Source: Kubernetes, "API health endpoints": a line a check, `[+]` or `[-]` before its name.
fn named(mut error: KubeError) -> KubeError {
    if error.kind != KubeErrorKind::Server {
        return error;
    }
    let failing: Vec<&str> = error
        .message
        .lines()
        .filter_map(|line| line.split_once("[-]")?.1.split_whitespace().next())
        .collect();
    if !failing.is_empty() {
        let s = if failing.len() == 1 { "" } else { "s" };
        error.message =
            format!("the API server is not ready: the check{s} {} failed", failing.join(", "));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::client::error::of_answer;

    #[test]
    fn checks_that_fail_are_named() {
        let body = "[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\n\
                    [-]poststarthook/rbac/bootstrap-roles failed: reason withheld\n\
                    readyz check failed\n";
        let error = named(of_answer(OPERATION, 500, None, body.as_bytes()));
        assert_eq!(error.kind, KubeErrorKind::Server);
        assert_eq!(
            error.message,
            "the API server is not ready: the checks etcd, poststarthook/rbac/bootstrap-roles failed"
        );
        let other = named(of_answer(OPERATION, 503, None, b"apiserver not ready"));
        assert_eq!(other.message, "HTTP 503: apiserver not ready");
    }
}
