//! The marks that a roll leaves on what it works on, so that whoever comes next can go on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// On an ASG: a roll works on it; the value is a [`RollMark`].
pub use crate::resource::ROLL_TAG;

/// What a plan reads of a roll as well.
pub use crate::resource::{Raised, RollMark, tail};

/// On an instance: it was taken out of its group to be replaced; the value is a [`DetachMark`]. Set
/// before the call that detaches, so that no crash leaves a machine that nobody knows of.
pub use crate::resource::DETACHED_TAG;

/// Taint of a node that will be replaced: evicted pods go elsewhere where they can.
pub const OUTDATED_TAINT: &str = "kprod.dev/outdated";

/// Annotation of a node that this roll cordoned: when. A cordon without it is somebody else's. What
/// tolerates the cordon and came after it is left alone.
pub use crate::kube::DRAIN_ANNOTATION;

/// Annotation of a node that somebody else had cordoned before a roll did: it stays cordoned.
pub const WAS_CORDONED_ANNOTATION: &str = "kprod.dev/was-cordoned";

/// Annotation of a node that came as a replacement and is not validated yet: the roll's id.
pub const NEWCOMER_ANNOTATION: &str = "kprod.dev/newcomer";

/// Annotation by which people ask for a node's replacement, whatever its value.
pub const REPLACE_ANNOTATION: &str = "kprod.dev/replace";

/// kops' annotation of the same meaning.
/// Source: kops, `docs/operations/rolling-update.md`.
pub const KOPS_REPLACE_ANNOTATION: &str = "kops.k8s.io/needs-update";

/// Annotation by which the cluster autoscaler leaves a node alone.
/// Source: cluster-autoscaler FAQ, "How can I prevent Cluster Autoscaler from scaling down a
/// particular node?".
pub const NO_SCALE_DOWN_ANNOTATION: &str = "cluster-autoscaler.kubernetes.io/scale-down-disabled";

/// Label by which service load balancers leave a node out.
/// Source: Kubernetes, "Well-known labels".
pub const NO_BALANCER_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// What a roll notes on an instance that it takes out of its group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetachMark {
    /// The group it belonged to.
    pub group: String,
    /// The roll's id.
    pub id: String,
}

impl fmt::Display for DetachMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.group, self.id)
    }
}

impl FromStr for DetachMark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once(' ');
        parts
            .map(|(group, id)| Self { group: group.to_owned(), id: id.to_owned() })
            .ok_or_else(|| format!("`{text}` is no mark of a detached machine"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::DetachMark;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let detached = DetachMark { group: "a group.of C".to_owned(), id: "i".to_owned() };
        assert_eq!(detached.to_string().parse::<DetachMark>().unwrap(), detached);
    }
}
