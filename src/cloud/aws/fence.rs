//! A change is sent at once, or not at all.
//!
//! Whoever makes one has seen a moment ago that the lease is theirs. Before the request leaves, this
//! process may be held up: stopped, asleep with its machine, or in line for its turn; and when it
//! goes on, somebody else may hold the lease. So a clock that runs through sleep is looked at twice
//! more: before the request goes in line for a connection, and when the connection that was found asks
//! for its body, which is right before the first byte is written. A request without a body (Route53's
//! and the bucket's deletions) has the first look only. What remains is the time on the wire, and AWS takes
//! no signature that is older than five minutes (IAM User Guide, "Elements of an AWS API request
//! signature").

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::{Error as BodyError, SdkBody};
use http_body::{Body, Frame, SizeHint};

use super::clock::boot_ms;
use crate::cloud::{CloudError, CloudErrorKind};

/// From the decision to make a call until it is sent. Its turn may take some seconds.
const HELD_UP_MAX_MS: i64 = 10_000;

/// What the SDK is told; the caller hears [`guard`]'s words.
const HELD_UP: &str = "held up before it was sent";

tokio::task_local! {
    /// The change that is being made; none for reads, which may be late.
    static CHANGE: Change;
}

/// A change on its way.
#[derive(Clone)]
struct Change {
    decided_at_ms: i64,
    was_held_up: Arc<AtomicBool>,
}

impl Change {
    /// Whether it may leave now.
    fn may_leave(&self, now_ms: i64) -> bool {
        let is_late = now_ms.saturating_sub(self.decided_at_ms) > HELD_UP_MAX_MS;
        self.was_held_up.fetch_or(is_late, Ordering::SeqCst);
        !is_late
    }
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

/// The last step before a connection is looked for.
#[derive(Debug)]
struct Fence(SharedHttpConnector);

impl HttpConnector for Fence {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Ok(change) = CHANGE.try_with(Change::clone) else {
            return self.0.call(request);
        };
        if !change.may_leave(boot_ms()) {
            let error = ConnectorError::other(HELD_UP.into(), None);
            return HttpConnectorFuture::ready(Err(error));
        }
        self.0.call(fenced(request, change))
    }
}

/// The request with a body that looks at the clock. A client writes nothing before it has asked for
/// the body, and nothing at all when that fails.
fn fenced(mut request: HttpRequest, change: Change) -> HttpRequest {
    let body = FencedBody { body: Box::pin(request.take_body()), change };
    *request.body_mut() = SdkBody::from_body_1_x(body);
    request
}

/// A body that is given only while its request may leave.
struct FencedBody {
    body: Pin<Box<SdkBody>>,
    change: Change,
}

impl Body for FencedBody {
    type Data = <SdkBody as Body>::Data;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if !self.change.may_leave(boot_ms()) {
            return Poll::Ready(Some(Err(HELD_UP.into())));
        }
        self.body.as_mut().poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use aws_smithy_types::byte_stream::ByteStream;

    use super::*;

    /// What a call under guard comes to that gets to the fence so much later.
    async fn sent_after(ms: i64) -> Result<(), CloudError> {
        let call = async {
            let sent = CHANGE.with(|change| change.may_leave(boot_ms() + ms));
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
    }

    /// What a client gets of the body of a request that waited so long for its connection.
    async fn body_after(ms: i64) -> (Result<Vec<u8>, String>, bool) {
        let was_held_up = Arc::new(AtomicBool::new(false));
        let change = Change { decided_at_ms: boot_ms() - ms, was_held_up: was_held_up.clone() };
        let mut request = HttpRequest::new(SdkBody::from("a=b"));
        request = fenced(request, change);
        assert_eq!(request.body().size_hint().exact(), Some(3), "its length is told as before");
        let body = ByteStream::new(request.take_body()).collect().await;
        let body = body.map(|bytes| bytes.to_vec()).map_err(|error| error.to_string());
        (body, was_held_up.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn nothing_is_written_when_the_connection_came_too_late() {
        assert_eq!(body_after(HELD_UP_MAX_MS - 1_000).await, (Ok(b"a=b".to_vec()), false));
        let (body, was_held_up) = body_after(HELD_UP_MAX_MS + 1_000).await;
        assert!(body.is_err() && was_held_up);
    }
}
