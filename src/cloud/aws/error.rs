//! What AWS answers when it does not answer: SDK errors in kprod's kinds.

use std::error::Error;

use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{BuildError, ProvideErrorMetadata, SdkError};

use super::AwsCloud;
use crate::cloud::{CloudError, CloudErrorKind};

/// How many causes deep a message goes; chains are short, and a loop in one must not hang us.
const CAUSES: usize = 16;

impl AwsCloud {
    /// The error of an operation, with the endpoint where the endpoint matters.
    pub(super) fn failed<E>(
        &self,
        operation: &'static str,
        error: SdkError<E, HttpResponse>,
    ) -> CloudError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match &error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let code = answer.err().code().unwrap_or("Unknown");
                let message = answer.err().message().unwrap_or("no message").trim();
                let kind = late(code, message).unwrap_or_else(|| kind_of(code, status));
                CloudError::new(kind, operation, code, message)
            }
            SdkError::ResponseError(answer) => {
                let status = answer.raw().status().as_u16();
                let kind = if status >= 500 {
                    CloudErrorKind::Unavailable
                } else {
                    CloudErrorKind::AnswerLost
                };
                let message = format!("{}: {}", self.whereabouts(), causes(&error));
                CloudError::new(kind, operation, format!("Http{status}"), message)
            }
            SdkError::TimeoutError(_) => {
                let message = format!("no answer from {} in time", self.whereabouts());
                CloudError::new(CloudErrorKind::AnswerLost, operation, "Timeout", message)
            }
            _ => self.unsent(operation, &causes(&error)),
        }
    }

    /// A call that never reached AWS: no credentials, or no connection.
    fn unsent(&self, operation: &'static str, causes: &str) -> CloudError {
        let lower = causes.to_lowercase();
        if lower.contains("credential") || lower.contains("identity") || lower.contains("sso") {
            let message = format!(
                "no usable AWS credentials: {causes}; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, or run `aws sso login`"
            );
            return CloudError::new(CloudErrorKind::Denied, operation, "NoCredentials", message);
        }
        let message = format!("cannot reach {}: {causes}", self.whereabouts());
        CloudError::new(CloudErrorKind::Unavailable, operation, "Unreachable", message)
    }

    /// Where calls go, as a user would say it.
    fn whereabouts(&self) -> String {
        match &self.endpoint {
            Some(url) => format!("{url} (AWS_ENDPOINT_URL)"),
            None => format!("AWS in {}", self.region),
        }
    }
}

/// The error of a request that lacks what the SDK knows AWS to require; nothing was sent.
pub(super) fn unbuilt(operation: &'static str, error: &BuildError) -> CloudError {
    CloudError::new(CloudErrorKind::Invalid, operation, "IncompleteRequest", error.to_string())
}

/// An error's causes below the outermost one, which only says that there is one.
fn causes(error: &dyn Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = error.source();
    for _ in 0..CAUSES {
        let Some(cause) = next else { break };
        let text = cause.to_string();
        if parts.last() != Some(&text) {
            parts.push(text);
        }
        next = cause.source();
    }
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}

/// What a service says of an object that it does not know, or not yet, by a code that stands for
/// anything invalid: then only the message tells. EC2 and Auto Scaling learn of new profiles, roles
/// and target groups late (IAM User Guide, "Changes that I make are not always immediately
/// visible").
fn late(code: &str, message: &str) -> Option<CloudErrorKind> {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let is_late = match code {
        "InvalidParameterValue" => says(&["iaminstanceprofile", "iam instance profile"]),
        "ValidationError" => says(&[
            "not found",
            "no such",
            "does not exist",
            "no lifecycle hook found",
            "target groups may not be valid",
            "iam instance profile",
        ]),
        _ => false,
    };
    is_late.then_some(CloudErrorKind::NotFound)
}

/// The kind of an error code. Codes are those of "Common Errors" and of each service's API
/// reference; the words in them are regular enough to catch their kin.
fn kind_of(code: &str, status: u16) -> CloudErrorKind {
    // The codes of clients lack the suffix that the query protocol puts behind them.
    let code = code.strip_suffix("Exception").unwrap_or(code);
    match code {
        "Throttling"
        | "ThrottlingError"
        | "Throttled"
        | "RequestThrottled"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "SlowDown"
        | "PriorRequestNotComplete"
        | "ConcurrentModification"
        | "EntityTemporarilyUnmodifiable"
        // Two calls for the tags of one resource (EC2) or for one group (Auto Scaling).
        | "ConcurrentTagAccess"
        | "ResourceContention" => CloudErrorKind::Throttled,
        "AccessDenied"
        | "UnauthorizedOperation"
        | "AuthFailure"
        | "InvalidClientTokenId"
        | "UnrecognizedClient"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "ExpiredToken"
        | "RequestExpired"
        | "OptInRequired" => CloudErrorKind::Denied,
        "DependencyViolation"
        | "DeleteConflict"
        | "HostedZoneNotEmpty"
        // A volume on its way from one state to another, or still being modified (EC2).
        | "IncorrectState"
        | "IncorrectModificationState"
        // The group is being deleted or scales right now (Auto Scaling).
        | "ScalingActivityInProgress" => CloudErrorKind::InUse,
        // A zone is not made by waiting, nor is a volume type.
        "InvalidZone.NotFound" | "UnknownVolumeType" => CloudErrorKind::Invalid,
        // Nobody but the account's owner gets more of it, or it takes hours.
        "MaxSpotInstanceCountExceeded"
        | "InsufficientFreeAddressesInSubnet"
        | "VolumeModificationRateExceeded" => CloudErrorKind::QuotaReached,
        // A private zone of this name is visible in the VPC already (Route 53, CreateHostedZone).
        "ConflictingDomainExists" => CloudErrorKind::AlreadyExists,
        // ELBv2's word for a security group that it does not know, or not yet.
        "InvalidSecurityGroup" => CloudErrorKind::NotFound,
        _ if code.contains("AlreadyExists") || code.contains("Duplicate") => {
            CloudErrorKind::AlreadyExists
        }
        _ if code.contains("NotFound") || code.starts_with("NoSuch") => CloudErrorKind::NotFound,
        _ if code.contains("InUse") => CloudErrorKind::InUse,
        _ if code.contains("LimitExceeded") || code.contains("TooMany") => {
            CloudErrorKind::QuotaReached
        }
        _ if status == 403 => CloudErrorKind::Denied,
        _ if status == 429 => CloudErrorKind::Throttled,
        _ if status >= 500 => CloudErrorKind::Unavailable,
        _ => CloudErrorKind::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_kind_that_their_meaning_asks_for() {
        for (code, status, kind) in [
            ("RequestLimitExceeded", 503, CloudErrorKind::Throttled),
            ("ThrottlingException", 400, CloudErrorKind::Throttled),
            ("UnauthorizedOperation", 403, CloudErrorKind::Denied),
            ("ExpiredTokenException", 400, CloudErrorKind::Denied),
            ("InvalidGroup.Duplicate", 400, CloudErrorKind::AlreadyExists),
            ("ConflictingDomainExists", 400, CloudErrorKind::AlreadyExists),
            ("DuplicateLoadBalancerName", 400, CloudErrorKind::AlreadyExists),
            ("PriorRequestNotComplete", 400, CloudErrorKind::Throttled),
            ("ConcurrentModification", 409, CloudErrorKind::Throttled),
            ("InvalidChangeBatch", 400, CloudErrorKind::Invalid),
            ("InvalidSecurityGroup", 400, CloudErrorKind::NotFound),
            ("InvalidGroup.NotFound", 400, CloudErrorKind::NotFound),
            ("InvalidPermission.Duplicate", 400, CloudErrorKind::AlreadyExists),
            (
                "InvalidLaunchTemplateName.AlreadyExistsException",
                400,
                CloudErrorKind::AlreadyExists,
            ),
            ("InvalidZone.NotFound", 400, CloudErrorKind::Invalid),
            ("ResourceInUse", 400, CloudErrorKind::InUse),
            ("ScalingActivityInProgress", 400, CloudErrorKind::InUse),
            ("ResourceContention", 500, CloudErrorKind::Throttled),
            ("InsufficientFreeAddressesInSubnet", 400, CloudErrorKind::QuotaReached),
            ("InsufficientVolumeCapacity", 500, CloudErrorKind::Unavailable),
            ("NoSuchEntity", 404, CloudErrorKind::NotFound),
            ("InvalidGroup.InUse", 400, CloudErrorKind::InUse),
            ("VcpuLimitExceeded", 400, CloudErrorKind::QuotaReached),
            ("InternalError", 500, CloudErrorKind::Unavailable),
            ("InvalidParameterValue", 400, CloudErrorKind::Invalid),
        ] {
            assert_eq!(kind_of(code, status), kind, "{code}");
        }
    }

    #[test]
    fn messages_tell_what_is_late_where_the_code_does_not() {
        let profile = "Value (nodes) for parameter iamInstanceProfile.name is invalid. Invalid IAM \
                       Instance Profile name";
        for (code, message, is_late) in [
            ("InvalidParameterValue", profile, true),
            ("InvalidParameterValue", "Value (-1) for parameter size is invalid", false),
            ("ValidationError", "AutoScalingGroup name not found - no such group: nodes", true),
            ("ValidationError", "No Lifecycle Hook found with name: ready", true),
            ("ValidationError", "Provided Target Groups may not be valid", true),
            ("ValidationError", "Max bound, 1, must be greater than min bound, 2", false),
            ("InvalidAMIID.Malformed", "does not exist", false),
        ] {
            let kind = is_late.then_some(CloudErrorKind::NotFound);
            assert_eq!(late(code, message), kind, "{message}");
        }
    }
}
