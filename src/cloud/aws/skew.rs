//! How far this machine's clock and AWS's are apart. AWS takes a signature for five minutes, S3 for
//! fifteen (IAM user guide, "AWS Signature Version 4"), and every answer carries AWS's time.

use std::fmt;

use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};

/// From here on a clock may be what is wrong; a slow answer alone does not get so far.
const NOTICED: SignedDuration = SignedDuration::from_mins(4);

/// This machine's time less AWS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skew(SignedDuration);

impl Skew {
    /// From an answer's `Date` header; none when it has none that can be read.
    pub(super) fn between(here: Timestamp, date: &str) -> Option<Self> {
        let there = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
        Some(Self(here.duration_since(there)))
    }

    /// Whether a refusal with this code comes from the clock: services have many words for a
    /// signature that they do not believe.
    pub(super) fn explains(self, code: &str) -> bool {
        let is_about_signatures = matches!(
            code.strip_suffix("Exception").unwrap_or(code),
            "RequestTimeTooSkewed"
                | "RequestInTheFuture"
                | "RequestExpired"
                | "SignatureDoesNotMatch"
                | "InvalidSignature"
                | "AuthFailure"
        );
        is_about_signatures && self.0.abs() >= NOTICED
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0.abs().as_mins();
        let direction = if self.0.is_negative() { "behind" } else { "ahead of" };
        f.write_str("this machine's clock is ")?;
        match (minutes / 60, minutes % 60) {
            (0, minutes) => write!(f, "{minutes} min")?,
            (hours, 0) => write!(f, "{hours} h")?,
            (hours, minutes) => write!(f, "{hours} h {minutes} min")?,
        }
        write!(f, " {direction} AWS's")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn skew(here: &str) -> Skew {
        let here: Timestamp = here.parse().unwrap();
        Skew::between(here, "Sat, 21 Nov 2026 12:00:00 GMT").unwrap()
    }

    #[test]
    fn a_clock_that_is_far_off_is_told_by_how_much_and_in_which_direction() {
        let told = |here| skew(here).to_string();
        assert_eq!(
            told("2026-11-21T13:05:10Z"),
            "this machine's clock is 1 h 5 min ahead of AWS's"
        );
        assert_eq!(told("2026-11-21T11:48:00Z"), "this machine's clock is 12 min behind AWS's");
        assert_eq!(told("2026-11-21T10:00:00Z"), "this machine's clock is 2 h behind AWS's");
        assert_eq!(Skew::between(Timestamp::UNIX_EPOCH, "yesterday"), None);
    }

    #[test]
    fn only_a_clock_that_is_far_off_explains_a_signature() {
        let far = skew("2026-11-21T13:00:00Z");
        let near = skew("2026-11-21T12:01:00Z");
        for code in ["RequestExpired", "SignatureDoesNotMatch", "InvalidSignatureException"] {
            assert!(far.explains(code) && !near.explains(code), "{code}");
        }
        assert!(!far.explains("UnauthorizedOperation"));
    }
}
