//! A change is sent at once, or not at all.
//!
//! Whoever makes one has seen a moment ago that the lease is theirs. Before the request leaves, this
//! process may be held up: stopped, asleep with its machine, or in line for its turn; and when it
//! goes on, somebody else may hold the lease. So the last step before the connection looks once more
//! at a clock that runs through sleep. What remains is the time of the connection itself, and AWS
//! takes no signature that is older than five minutes (IAM User Guide, "Elements of an AWS API request
//! signature").

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use super::clock::boot_ms;
use crate::cloud::{CloudError, CloudErrorKind};

/// From the decision to make a call until it is sent. Its turn may take some seconds.
const HELD_UP_MAX_MS: i64 = 10_000;

tokio::task_local! {
    /// The change that is being made; none for reads, which may be late.
    static CHANGE: Change;
}

/// A change on its way.
struct Change {
    decided_at_ms: i64,
    was_held_up: Arc<AtomicBool>,
}

/// Makes a call that changes something, unless it is held up before it is sent.
///
/// # Errors
/// The call's own; [`CloudErrorKind::Unavailable`] when nothing was sent.
pub(super) async fn guard<T>(
    operation: &str,
    call: impl Future<Output = Result<T, CloudError>>,
) -> Result<T, CloudError> {
    let was_held_up = Arc::new(AtomicBool::new(false));
    let change = Change { decided_at_ms: boot_ms(), was_held_up: was_held_up.clone() };
    let result = CHANGE.scope(change, call).await;
    if result.is_err() && was_held_up.load(Ordering::SeqCst) {
        let message = "this process was held up before it could send the call; nothing was sent";
        let kind = CloudErrorKind::Unavailable;
        return Err(CloudError::new(kind, operation, "HeldUp", message));
    }
    result
}

/// Whether a request may leave now.
fn may_leave(now_ms: i64) -> bool {
    let is_late = |change: &Change| {
        let is_late = now_ms.saturating_sub(change.decided_at_ms) > HELD_UP_MAX_MS;
        change.was_held_up.fetch_or(is_late, Ordering::SeqCst);
        is_late
    };
    !CHANGE.try_with(is_late).unwrap_or_default()
}

/// A client whose requests go through the fence.
#[derive(Debug)]
pub(super) struct FencedClient(pub(super) SharedHttpClient);

impl HttpClient for FencedClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Fence(self.0.http_connector(settings, components)))
    }
}

/// The last step before the connection.
#[derive(Debug)]
struct Fence(SharedHttpConnector);

impl HttpConnector for Fence {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if may_leave(boot_ms()) {
            return self.0.call(request);
        }
        let error = ConnectorError::other("held up before it was sent".into(), None);
        HttpConnectorFuture::ready(Err(error))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    /// What a call under guard comes to that gets to the fence so much later.
    async fn sent_after(ms: i64) -> Result<(), CloudError> {
        let call = async {
            let sent = may_leave(boot_ms() + ms);
            let error = CloudError::new(CloudErrorKind::Unavailable, "op", "Unreachable", "");
            if sent { Ok(()) } else { Err(error) }
        };
        guard("CreateVolume", call).await
    }

    #[tokio::test]
    async fn what_was_held_up_is_not_sent_and_says_so() {
        assert_eq!(sent_after(HELD_UP_MAX_MS - 1_000).await, Ok(()));
        let error = sent_after(HELD_UP_MAX_MS + 1_000).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.kind), ("HeldUp", CloudErrorKind::Unavailable));
        assert!(may_leave(boot_ms() + 10 * HELD_UP_MAX_MS), "a read may be late");
    }
}
