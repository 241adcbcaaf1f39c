//! Single reads: paced, tried again one by one, and lists page by page.

use std::error::Error;

use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

use super::AwsCloud;
use crate::cloud::{Cloud, CloudError, CloudErrorKind, Service};

/// Pages that one list may have: a million groups, far beyond every quota.
const PAGES_MAX: usize = 10_000;

impl AwsCloud {
    /// Reads once, and again where that helps.
    ///
    /// # Errors
    /// When AWS says no, or trying again has lasted too long.
    pub(super) async fn read<T, E, F>(
        &self,
        operation: &'static str,
        send: impl Fn() -> F,
    ) -> Result<T, CloudError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let once = || async {
            self.pace(operation).await;
            send().await.map_err(|error| self.failed(operation, error))
        };
        self.reader.read(self, once).await
    }

    /// Reads a list, following its tokens: `send` takes the token of a page, `next` finds the token
    /// of the one after it.
    ///
    /// # Errors
    /// As [`AwsCloud::read`], and when the list does not end.
    pub(super) async fn pages<T, E, F>(
        &self,
        operation: &'static str,
        send: impl Fn(Option<String>) -> F,
        next: impl Fn(&T) -> Option<&str>,
    ) -> Result<Vec<T>, CloudError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let mut pages = Vec::new();
        let mut token: Option<String> = None;
        while pages.len() < PAGES_MAX {
            let page = self.read(operation, || send(token.clone())).await?;
            let following = next(&page).filter(|token| !token.is_empty()).map(str::to_owned);
            pages.push(page);
            if following.is_none() {
                return Ok(pages);
            }
            // A page that leads to itself would go on for ever.
            if following == token {
                break;
            }
            token = following;
        }
        let message = format!("the list does not end, after {} pages", pages.len());
        Err(CloudError::new(CloudErrorKind::Invalid, operation, "EndlessList", message))
    }

    /// Waits until a call may be made without hurting AWS's limits.
    pub(super) async fn pace(&self, operation: &str) {
        let Some(service) = Service::of(operation) else { return };
        let wait = {
            let mut buckets =
                self.buckets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            buckets.take(service, operation, self.started.elapsed())
        };
        if !wait.is_zero() {
            self.sleep(wait).await;
        }
    }
}
