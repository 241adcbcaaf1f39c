//! Making calls: one `Call`, one request to AWS.

use super::AwsCloud;
use crate::cloud::{Call, CloudError, CloudErrorKind, Reply};

/// Makes one call, once.
pub(super) async fn make(_cloud: &AwsCloud, call: &Call) -> Result<Reply, CloudError> {
    let kind = CloudErrorKind::Unsupported;
    let message = "this release does not make this call";
    Err(CloudError::new(kind, call.operation(), "Unsupported", message))
}
