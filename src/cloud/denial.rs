//! A denial in AWS's words, read for what it tells: the action, the resource, and who said no.
//!
//! Source: IAM user guide, "Troubleshoot access denied error messages". EC2 adds a message that only
//! `sts:DecodeAuthorizationMessage` can read (EC2 API reference, "Error codes",
//! `UnauthorizedOperation`); it is long and says nothing to people, so it is left out.

use std::fmt;

use super::{CloudError, CloudErrorKind};

/// A call that the caller may not make.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// The operation, such as `CreateVolume`.
    pub operation: String,
    /// The IAM action that is missing, such as `ec2:CreateTags`, where AWS names it; it may be
    /// another than the operation's own.
    pub action: Option<String>,
    /// The ARN of what it was meant for, where AWS names it.
    pub resource: Option<String>,
    /// Why, as far as AWS says.
    pub reason: DenialReason,
    /// Whether AWS sent an encoded message along.
    pub is_encoded: bool,
    /// AWS's error code.
    pub code: String,
}

/// Which sort of policy stands against a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DenialReason {
    /// AWS does not say; most likely nothing allows it.
    Unsaid,
    /// No policy of the caller allows it: a statement is missing.
    NotAllowed,
    /// Another sort of policy has to allow it too and does not, such as `permissions boundary`.
    NotAllowedBy(String),
    /// A policy of this sort denies it: no further permission helps.
    Denied(String),
}

/// What AWS calls the policies of a user, a role or a group.
const OWN_POLICIES: &str = "identity-based policy";

/// Sorts of policies whose leave is needed besides the caller's own.
const OTHER_POLICIES: [&str; 6] = [
    "permissions boundary",
    "service control policy",
    "resource control policy",
    "session policy",
    "VPC endpoint policy",
    "resource-based policy",
];

impl Denial {
    /// Reads an error; none when it is no matter of permissions. Credentials that AWS does not know,
    /// or that have expired, are none.
    pub fn of(error: &CloudError) -> Option<Self> {
        let is_about_permissions = error.code.contains("AccessDenied")
            || error.code == "UnauthorizedOperation"
            // A service may not make the role that it needs.
            || error.code.contains("ServiceLinkedRoleCreationNotPermitted");
        if error.kind != CloudErrorKind::Denied || !is_about_permissions {
            return None;
        }
        let message = &error.message;
        Some(Self {
            operation: error.operation.clone(),
            action: word_after(message, "not authorized to perform: ")
                .filter(|action| action.contains(':')),
            resource: word_after(message, "on resource: ").filter(|arn| arn.starts_with("arn:")),
            reason: reason(message),
            is_encoded: message.to_lowercase().contains("encoded authorization failure message"),
            code: error.code.clone(),
        })
    }

    /// Whether a further permission of the caller can help.
    pub fn can_be_granted(&self) -> bool {
        matches!(self.reason, DenialReason::Unsaid | DenialReason::NotAllowed)
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: AWS denies it", self.operation)?;
        match (&self.action, &self.resource) {
            (Some(action), Some(resource)) => write!(f, ", {action} on {resource}")?,
            (Some(action), None) => write!(f, ", {action}")?,
            (None, Some(resource)) => write!(f, " on {resource}")?,
            (None, None) => {}
        }
        match &self.reason {
            DenialReason::Unsaid => {}
            DenialReason::NotAllowed => write!(f, ", no {OWN_POLICIES} allows it")?,
            DenialReason::NotAllowedBy(sort) => write!(f, ", no {sort} allows it")?,
            DenialReason::Denied(sort) => write!(f, ", an explicit deny in a {sort}")?,
        }
        write!(f, " ({}", self.code)?;
        if self.is_encoded {
            f.write_str("; its encoded message is left out")?;
        }
        f.write_str(")")
    }
}

fn reason(message: &str) -> DenialReason {
    let lower = message.to_lowercase();
    if let Some((_, tail)) = lower.split_once("with an explicit deny in ") {
        let known = OTHER_POLICIES.into_iter().chain([OWN_POLICIES]);
        let sort = known.into_iter().find(|sort| tail.contains(&sort.to_lowercase()));
        return DenialReason::Denied(sort.unwrap_or("policy").to_owned());
    }
    let Some((_, tail)) = lower.split_once("because no ") else { return DenialReason::Unsaid };
    let sort = OTHER_POLICIES.into_iter().find(|sort| tail.starts_with(&sort.to_lowercase()));
    match sort {
        Some(sort) => DenialReason::NotAllowedBy(sort.to_owned()),
        None if tail.starts_with(OWN_POLICIES) => DenialReason::NotAllowed,
        None => DenialReason::Unsaid,
    }
}

/// The word that follows a phrase, without what sets it apart from the sentence.
fn word_after(message: &str, phrase: &str) -> Option<String> {
    let (_, tail) = message.split_once(phrase)?;
    let word = tail.split_whitespace().next()?;
    let word = word.trim_matches(|c| matches!(c, '"' | '\'' | ',' | '.' | ';'));
    (!word.is_empty()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn denial(code: &str, message: &str) -> Denial {
        Denial::of(&CloudError::new(CloudErrorKind::Denied, "CreateVolume", code, message)).unwrap()
    }

    #[test]
    fn ec2_names_action_and_resource_and_its_encoded_message_is_left_out() {
        let denial = denial(
            "UnauthorizedOperation",
            "You are not authorized to perform this operation. User: arn:aws:iam::1:user/u is not \
             authorized to perform: ec2:CreateTags on resource: \
             arn:aws:ec2:eu-west-3:1:volume/* because no identity-based policy allows the \
             ec2:CreateTags action. Encoded authorization failure message: AbC-123",
        );
        assert_eq!(denial.action.as_deref(), Some("ec2:CreateTags"));
        assert_eq!(denial.resource.as_deref(), Some("arn:aws:ec2:eu-west-3:1:volume/*"));
        assert_eq!(denial.reason, DenialReason::NotAllowed);
        let text = denial.to_string();
        assert!(text.starts_with("CreateVolume: AWS denies it, ec2:CreateTags on arn:"), "{text}");
        assert!(text.contains("encoded message is left out") && !text.contains("AbC"), "{text}");
    }

    #[test]
    fn the_terse_form_of_ec2_and_s3_says_no_more_than_it_does() {
        let terse = "You are not authorized to perform this operation. Encoded authorization \
                     failure message: AbC-123";
        for (code, message) in [("UnauthorizedOperation", terse), ("AccessDenied", "Access Denied")]
        {
            let denial = denial(code, message);
            assert_eq!((&denial.action, &denial.resource), (&None, &None));
            assert!(denial.can_be_granted());
            assert!(!denial.to_string().contains("AbC"));
        }
    }

    #[test]
    fn whoever_else_says_no_is_named() {
        let head = "User: arn:aws:iam::1:user/u is not authorized to perform: s3:GetObject on \
                    resource: \"arn:aws:s3:::b/k\"";
        for (tail, reason) in [
            (
                "with an explicit deny in a service control policy: arn:aws:organizations::1:p/x",
                DenialReason::Denied("service control policy".to_owned()),
            ),
            (
                "with an explicit deny in an identity-based policy",
                DenialReason::Denied(OWN_POLICIES.to_owned()),
            ),
            ("with an explicit deny in a new thing", DenialReason::Denied("policy".to_owned())),
            (
                "because no permissions boundary allows the s3:GetObject action",
                DenialReason::NotAllowedBy("permissions boundary".to_owned()),
            ),
            (
                "because no VPC endpoint policy allows the s3:GetObject action",
                DenialReason::NotAllowedBy("VPC endpoint policy".to_owned()),
            ),
        ] {
            let denial = denial("AccessDenied", &format!("{head} {tail}"));
            assert_eq!(denial.resource.as_deref(), Some("arn:aws:s3:::b/k"));
            assert_eq!(denial.reason, reason, "{tail}");
            assert!(!denial.can_be_granted());
        }
    }

    #[test]
    fn credentials_that_aws_does_not_take_are_no_matter_of_permissions() {
        for code in ["ExpiredToken", "AuthFailure", "InvalidClientTokenId", "NoCredentials"] {
            let error = CloudError::new(CloudErrorKind::Denied, "CreateVolume", code, "no");
            assert_eq!(Denial::of(&error), None, "{code}");
        }
    }
}
