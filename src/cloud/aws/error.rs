//! What AWS answers when it does not answer: SDK errors in kprod's kinds.

use std::error::Error;
use std::sync::atomic::Ordering;

use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{BuildError, ProvideErrorMetadata, SdkError};

use super::AwsCloud;
use super::skew::Skew;
use crate::cloud::{CloudError, CloudErrorKind, Service};

/// How many causes deep a message goes; chains are short, and a loop in one must not hang us.
const CAUSES: usize = 16;

impl AwsCloud {
    /// The error of an operation. What AWS said stays as it is; what AWS did not say names service,
    /// endpoint and cause.
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
                self.has_answered.store(true, Ordering::Relaxed);
                let status = answer.raw().status().as_u16();
                let code = answer.err().code().map_or(format!("Http{status}"), str::to_owned);
                let message = match answer.err().message().map(str::trim) {
                    Some(message) if !message.is_empty() => message.to_owned(),
                    _ => format!("{} answered {status} and no reason", self.place(operation)),
                };
                self.refused(operation, &code, &message, answer.raw())
            }
            SdkError::ResponseError(answer) => {
                self.has_answered.store(true, Ordering::Relaxed);
                let status = answer.raw().status().as_u16();
                let kind = match kind_of("", status) {
                    // An answer that nobody understands may be one of success.
                    CloudErrorKind::Invalid => CloudErrorKind::AnswerLost,
                    kind => kind,
                };
                let message =
                    format!("{} gave no answer of AWS: {}", self.place(operation), causes(&error));
                CloudError::new(kind, operation, format!("Http{status}"), message)
            }
            SdkError::TimeoutError(_) => {
                let message = format!("no answer from {} in time", self.place(operation));
                CloudError::new(CloudErrorKind::AnswerLost, operation, "Timeout", message)
            }
            _ => self
                .identity
                .trouble(&error)
                .unwrap_or_else(|| self.unsent(operation, &causes(&error))),
        }
    }

    /// What AWS answered when it said no.
    fn refused(
        &self,
        operation: &'static str,
        code: &str,
        message: &str,
        answer: &HttpResponse,
    ) -> CloudError {
        let date = answer.headers().get("date");
        let skew = date.and_then(|date| Skew::between(jiff::Timestamp::now(), date));
        if let Some(skew) = skew.filter(|skew| skew.explains(code)) {
            let message = format!("{skew}, so AWS does not believe its signatures: {message}");
            return CloudError::new(CloudErrorKind::ClockSkewed, operation, code, message);
        }
        let status = answer.status().as_u16();
        let kind = late(code, message).unwrap_or_else(|| kind_of(code, status));
        let message = match kind {
            CloudErrorKind::CredentialsEnded => {
                format!("the credentials of {} have ended: {message}", self.identity)
            }
            CloudErrorKind::Unavailable | CloudErrorKind::AnswerLost => {
                format!("{} fails: {message}", self.place(operation))
            }
            _ => message.to_owned(),
        };
        CloudError::new(kind, operation, code, message)
    }

    /// A call without an answer: no connection, or one that broke.
    fn unsent(&self, operation: &'static str, causes: &str) -> CloudError {
        let place = self.place(operation);
        // Only what failed while connecting is known not to have been sent.
        let is_unsent = ["client error (Connect)", "connect timeout", "dns error", "proxy"]
            .iter()
            .any(|sign| causes.contains(sign));
        if !is_unsent {
            let message = format!("the connection to {place} broke: {causes}");
            return CloudError::new(CloudErrorKind::AnswerLost, operation, "Broken", message);
        }
        let kind = match self.has_answered.load(Ordering::Relaxed) {
            true => CloudErrorKind::Unavailable,
            false => CloudErrorKind::Unreachable,
        };
        let message = format!("cannot reach {place}: {causes}");
        CloudError::new(kind, operation, "Unreachable", message)
    }

    /// Where a call goes, as a user would say it.
    fn place(&self, operation: &str) -> String {
        let service = Service::of(operation).map_or("AWS", Service::name);
        match &self.endpoint {
            Some(url) => format!("{service} at {url} (AWS_ENDPOINT_URL)"),
            None => format!("{service} in {}", self.region),
        }
    }
}

/// An error and its causes.
pub(super) fn chain<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let source = |error: &&'e (dyn Error + 'static)| -> Option<&'e (dyn Error + 'static)> {
        let error: &'e (dyn Error + 'static) = *error;
        error.source()
    };
    std::iter::successors(Some(error), source).take(CAUSES)
}

/// An error's causes below the outermost one, which only says that there is one.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    /// What the SDK says of where an error comes from, not of what it is.
    const EMPTY_WORDS: [&str; 2] = ["io error", "other"];
    let mut parts: Vec<String> = Vec::new();
    for text in chain(error).skip(1).map(ToString::to_string) {
        if parts.last() != Some(&text) && !EMPTY_WORDS.contains(&text.as_str()) {
            parts.push(text);
        }
    }
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}

/// The error of a request that lacks what the SDK knows AWS to require; nothing was sent.
pub(super) fn unbuilt(operation: &'static str, error: &BuildError) -> CloudError {
    CloudError::new(CloudErrorKind::Invalid, operation, "IncompleteRequest", error.to_string())
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
            "could not find",
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
        // Another change of the same parameter (Systems Manager).
        | "TooManyUpdates"
        | "PriorRequestNotComplete"
        | "ConcurrentModification"
        | "EntityTemporarilyUnmodifiable"
        // Two calls for the tags of one resource (EC2) or for one group (Auto Scaling).
        | "ConcurrentTagAccess"
        | "ResourceContention" => CloudErrorKind::Throttled,
        "AccessDenied"
        | "UnauthorizedOperation"
        | "AuthFailure"
        | "AuthFailure.ServiceLinkedRoleCreationNotPermitted"
        | "InvalidClientTokenId"
        | "UnrecognizedClient"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "OptInRequired" => CloudErrorKind::Denied,
        // EC2's word for an expired session is `RequestExpired`; with a clock that is far off it
        // means the request (see [`Skew::explains`]).
        "ExpiredToken" | "RequestExpired" | "TokenRefreshRequired" => {
            CloudErrorKind::CredentialsEnded
        }
        "RequestTimeTooSkewed" | "RequestInTheFuture" => CloudErrorKind::ClockSkewed,
        // AWS waited in vain for the rest of the request.
        "RequestTimeout" => CloudErrorKind::Unavailable,
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
        // There is no capacity now; an error that says so came before anything was made.
        _ if code.starts_with("Insufficient") && status >= 500 => CloudErrorKind::Unavailable,
        _ if status == 503 => CloudErrorKind::Unavailable,
        // Whether an error inside came before or after the call took effect is unknown.
        _ if status >= 500 => CloudErrorKind::AnswerLost,
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
            ("TooManyUpdates", 400, CloudErrorKind::Throttled),
            ("ParameterAlreadyExists", 400, CloudErrorKind::AlreadyExists),
            ("ParameterNotFound", 400, CloudErrorKind::NotFound),
            ("ParameterLimitExceeded", 400, CloudErrorKind::QuotaReached),
            ("UnauthorizedOperation", 403, CloudErrorKind::Denied),
            ("ExpiredTokenException", 400, CloudErrorKind::CredentialsEnded),
            ("ExpiredToken", 403, CloudErrorKind::CredentialsEnded),
            ("RequestExpired", 400, CloudErrorKind::CredentialsEnded),
            ("RequestTimeTooSkewed", 403, CloudErrorKind::ClockSkewed),
            ("InvalidClientTokenId", 403, CloudErrorKind::Denied),
            ("ServiceUnavailable", 503, CloudErrorKind::Unavailable),
            ("Http502", 502, CloudErrorKind::AnswerLost),
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
            ("InvalidInstanceID.NotFound", 400, CloudErrorKind::NotFound),
            ("InvalidTarget", 400, CloudErrorKind::Invalid),
            ("TargetGroupNotFound", 400, CloudErrorKind::NotFound),
            ("VcpuLimitExceeded", 400, CloudErrorKind::QuotaReached),
            ("InternalError", 500, CloudErrorKind::AnswerLost),
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
            (
                "ValidationError",
                "Could not find the specified version 9 for the launch template",
                true,
            ),
            (
                "ValidationError",
                "Instance Id not found - No managed instance found for instance ID: i-1",
                true,
            ),
            ("ValidationError", "The instance i-1 is not part of Auto Scaling group a.", false),
            ("ValidationError", "The instance i-1 is not in InService or Standby.", false),
            ("ValidationError", "New SetDesiredCapacity value 4 is above max value 3", false),
            ("ValidationError", "Max bound, 1, must be greater than min bound, 2", false),
            ("InvalidAMIID.Malformed", "does not exist", false),
        ] {
            let kind = is_late.then_some(CloudErrorKind::NotFound);
            assert_eq!(late(code, message), kind, "{message}");
        }
    }
}
