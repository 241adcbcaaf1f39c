//! The emulator's log of calls.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One call, as the emulator answered it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Call {
    /// Counts the calls of all accounts, in the order in which they took effect.
    pub(super) sequence: u64,
    /// Milliseconds since the emulator's start.
    pub(super) at_ms: u64,
    pub(super) account: String,
    /// The access key that signed it.
    pub(super) caller: String,
    /// As in the signature: `ec2`, `autoscaling`, `iam`, `elasticloadbalancing`, `route53`, `s3`.
    pub(super) service: String,
    pub(super) action: String,
    /// What the call says, long values cut; of S3 and Route53 what the path and the headers say, with the
    /// body where it is text.
    pub(super) params: BTreeMap<String, String>,
    /// The status of the answer; 0 for one that was lost or never given.
    pub(super) status: u16,
    /// The error code; empty for a success.
    pub(super) code: String,
    /// What befell it: the mode of a rule that the test set, or nothing.
    pub(super) fault: Option<String>,
    /// Where the emulator itself broke.
    pub(super) trace: Option<String>,
}

impl Call {
    /// Operations that change nothing begin with these words.
    pub(super) fn is_read(&self) -> bool {
        let is_dry = self.params.get("DryRun").is_some_and(|value| value == "true");
        let reads = ["Describe", "List", "Get", "Head"];
        is_dry || reads.iter().any(|read| self.action.starts_with(read))
    }

    /// Whether it changed a resource. What is in a bucket is none.
    pub(super) fn is_change(&self) -> bool {
        let was_made = (200..300).contains(&self.status) || self.fault.as_deref() == Some("lost");
        was_made && self.service != "s3" && !self.is_read()
    }
}

/// Calls in their order.
pub(super) type Calls = Vec<Call>;

/// Reads a log. An answer of 5xx that no test asked for is a gap of the emulator, and every test
/// that meets one fails.
pub(super) fn read(log: Value) -> Calls {
    let calls: Calls = serde_json::from_value(log).unwrap();
    let mut broken = calls.iter().filter(|call| call.status >= 500 && call.fault.is_none());
    if let Some(call) = broken.next() {
        let trace = call.trace.as_deref().unwrap_or_default();
        panic!("the emulator has a gap: {call:#?}\n{trace}");
    }
    calls
}

/// How often each operation was called, as `service:Action`.
pub(super) fn counted(calls: &[Call]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(format!("{}:{}", call.service, call.action)).or_default() += 1;
    }
    counts
}
