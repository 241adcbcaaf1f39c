//! The fifteen invariants, checked on the truth: before every changing request that a process sends,
//! and when all is over.
//!
//! Each is a lesson from a cluster that was lost, or nearly. They bind kprod's own acts: what the world
//! does by itself breaks none, but from the moment kprod could have seen it, kprod may not make it worse
//! ([`Ledger::NOTICE_MS`]).

mod capacity;
mod order;
mod quorum;

use super::act::Act;
use super::ledger::Ledger;
use super::truth;
use crate::kube::KubeCall;
use crate::sim::World;

pub use capacity::{i08, i09, i10};
pub use order::{i06, i07, i11, i13, i14, i15};
pub use quorum::{i01, i02, i03, i04, i05, i12};

/// What a checker looks at.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// The truth, at this moment.
    pub world: &'a World,
    /// What is remembered of it.
    pub ledger: &'a Ledger,
    /// What happens.
    pub moment: Moment<'a>,
}

/// When a checker looks.
#[derive(Clone, Copy)]
pub enum Moment<'a> {
    /// A process is about to send a changing request.
    Before {
        /// Who: the holder of a lease.
        who: &'a str,
        /// What.
        act: Act<'a>,
    },
    /// Faults have stopped long ago and the roll has said that it is done.
    End,
}

/// An invariant: its number, what it says in a few words, and its checker.
pub struct Invariant {
    /// `I1` to `I15`.
    pub name: &'static str,
    /// What must hold.
    pub says: &'static str,
    /// Says how it is broken, if it is.
    pub check: fn(&Look<'_>) -> Result<(), String>,
}

const fn invariant(
    name: &'static str,
    says: &'static str,
    check: fn(&Look<'_>) -> Result<(), String>,
) -> Invariant {
    Invariant { name, says, check }
}

/// All of them.
pub const INVARIANTS: [Invariant; 15] = [
    invariant("I1", "one machine of control plane and etcd at a time", i01),
    invariant("I2", "a quorum stays, whatever the flags", i02),
    invariant("I3", "a young, verified snapshot before a member goes", i03),
    invariant("I4", "no member goes while another one is not a full member", i04),
    invariant("I5", "members and machines match before a member goes", i05),
    invariant("I6", "only owned things are touched, and what replaces comes first", i06),
    invariant("I7", "nothing is asked for that is not there", i07),
    invariant("I8", "enough machines of each group serve", i08),
    invariant("I9", "desired capacities are given back, and sink only by drained machines", i09),
    invariant("I10", "zone and cluster keep their share, suspended processes are resumed", i10),
    invariant("I11", "no kubelet runs ahead of an API server", i11),
    invariant("I12", "the API keeps a live target", i12),
    invariant("I13", "nothing is changed without the lease", i13),
    invariant("I14", "each machine is replaced once, and none is lost sight of", i14),
    invariant("I15", "nothing is forced that the policy does not say", i15),
];

/// What was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// How.
    pub how: String,
}

/// Checks all of them; the first that is broken, if one is.
pub fn check(look: &Look<'_>) -> Option<Violation> {
    INVARIANTS.iter().find_map(|invariant| {
        let how = (invariant.check)(look).err()?;
        Some(Violation { invariant: invariant.name, how })
    })
}

impl<'a> Look<'a> {
    /// The act that is about to be made.
    fn act(&self) -> Option<Act<'a>> {
        match self.moment {
            Moment::Before { act, .. } => Some(act),
            Moment::End => None,
        }
    }

    /// The machine that it cordons: its drain begins.
    fn drained(&self) -> Option<&'a str> {
        let Some(Act::Kube(KubeCall::PatchNode { node, patch })) = self.act() else { return None };
        let patched = truth::patched(self.world, &self.ledger.cluster, node, patch);
        patched.filter(|(_, unschedulable)| *unschedulable).map(|(id, _)| id)
    }

    /// Whether all is over.
    fn is_end(&self) -> bool {
        matches!(self.moment, Moment::End)
    }
}

#[cfg(test)]
mod tests;
