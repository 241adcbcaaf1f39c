//! What a call can fail with; whether to try again is a property of the error.

use super::Service;

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {message} ({code})")]
pub struct CloudError {
    /// What it means for the caller.
    pub kind: CloudErrorKind,
    /// The AWS operation, such as `CreateSecurityGroup`.
    pub operation: String,
    /// The AWS error code, such as `InvalidGroup.Duplicate`.
    pub code: String,
    /// The message that came with it.
    pub message: String,
}

/// What an error means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudErrorKind {
    /// Too many calls; the same call works later.
    Throttled,
    /// The service or the network failed; whether the call took effect is unknown.
    AnswerLost,
    /// The service failed before doing anything.
    Unavailable,
    /// Nothing has ever answered from there: a wrong name or no way there, more likely than an
    /// outage.
    Unreachable,
    /// The thing is there already.
    AlreadyExists,
    /// The thing is not there, or not there yet: a fresh id may be unknown to any later call.
    NotFound,
    /// Something else still uses it.
    InUse,
    /// A quota is reached.
    QuotaReached,
    /// The credentials lack a permission, or are none.
    Denied,
    /// The credentials were good and have ended: new ones are needed, and a re-run.
    CredentialsEnded,
    /// This machine's clock is too far off for AWS to believe its signatures.
    ClockSkewed,
    /// The credentials are for another account or region than the cluster's.
    WrongAccount,
    /// The call itself is wrong.
    Invalid,
}

impl CloudErrorKind {
    /// Every kind.
    pub const ALL: [CloudErrorKind; 13] = [
        CloudErrorKind::Throttled,
        CloudErrorKind::AnswerLost,
        CloudErrorKind::Unavailable,
        CloudErrorKind::Unreachable,
        CloudErrorKind::AlreadyExists,
        CloudErrorKind::NotFound,
        CloudErrorKind::InUse,
        CloudErrorKind::QuotaReached,
        CloudErrorKind::Denied,
        CloudErrorKind::CredentialsEnded,
        CloudErrorKind::ClockSkewed,
        CloudErrorKind::WrongAccount,
        CloudErrorKind::Invalid,
    ];

    /// Whether the same call may succeed later without anybody's help.
    pub fn is_retriable(self) -> bool {
        match self {
            CloudErrorKind::Throttled
            | CloudErrorKind::AnswerLost
            | CloudErrorKind::Unavailable
            | CloudErrorKind::Unreachable
            | CloudErrorKind::NotFound
            | CloudErrorKind::InUse => true,
            CloudErrorKind::AlreadyExists
            | CloudErrorKind::QuotaReached
            | CloudErrorKind::Denied
            | CloudErrorKind::CredentialsEnded
            | CloudErrorKind::ClockSkewed
            | CloudErrorKind::WrongAccount
            | CloudErrorKind::Invalid => false,
        }
    }

    /// Whether every other call would fail in the same way, so that nothing new should begin.
    pub fn ends_the_run(self) -> bool {
        matches!(
            self,
            CloudErrorKind::CredentialsEnded
                | CloudErrorKind::ClockSkewed
                | CloudErrorKind::WrongAccount
        )
    }
}

impl CloudError {
    /// An error of a kind.
    pub fn new(
        kind: CloudErrorKind,
        operation: impl Into<String>,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, operation: operation.into(), code: code.into(), message: message.into() }
    }

    /// The service that answered, or should have.
    pub fn service(&self) -> Option<Service> {
        Service::of(&self.operation)
    }
}
