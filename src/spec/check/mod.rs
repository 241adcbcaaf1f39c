//! What must hold in a filled spec, and between a spec and the facts.

use super::Spec;
use crate::facts::Facts;
use crate::finding::Finding;

/// Everything wrong in a filled spec.
pub fn check(_spec: &Spec) -> Vec<Finding> {
    Vec::new()
}

/// Everything in which a filled spec and the facts disagree.
pub fn check_facts(_spec: &Spec, _facts: &Facts) -> Vec<Finding> {
    Vec::new()
}
