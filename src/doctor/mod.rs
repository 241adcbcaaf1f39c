//! The doctor: what stands in a cluster's way or was left behind, and the way out of each.
//!
//! Pure: an [`Examination`] holds all that was read. A plan says what an apply would do; this says
//! what is odd about the world before anything is done: things that nobody wants any more, things
//! that a killed run made by half, things of others, machines that do not serve, and what earlier
//! runs left in the state bucket.

mod resources;
mod rules;
mod runs;

use jiff::Timestamp;

use crate::apply::journal::JournalRecord;
use crate::apply::lease::LeaseRecord;
use crate::cloud::{Observation, TaggedInstance};
use crate::finding::Finding;
use crate::plan::Plan;

/// All that is known of a patient.
#[derive(Clone, Debug)]
pub struct Examination<'a> {
    /// What an apply would do, nothing left out.
    pub plan: &'a Plan,
    /// What was seen.
    pub observation: &'a Observation,
    /// Instances that carry the cluster's owner tag.
    pub instances: &'a [TaggedInstance],
    /// Who holds the lease.
    pub lease: Option<&'a LeaseRecord>,
    /// The newest run.
    pub journal: Option<&'a JournalRecord>,
    /// What the lints say of the cluster as it runs, without what is waived.
    pub findings: &'a [Finding],
    /// Since when a restore of etcd is under way.
    pub restore_since: Option<Timestamp>,
    /// Now, on the cloud's clock.
    pub now: Timestamp,
}

/// What sort of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The state bucket cannot be used.
    State,
    /// A run holds the lease, or one died with it.
    Lease,
    /// The newest run did not do all that it should.
    Journal,
    /// Members of etcd take no snapshots, or none any more.
    Snapshot,
    /// Somebody else's thing is where ours belongs.
    InTheWay,
    /// Something was begun and not finished.
    HalfMade,
    /// A group lacks machines.
    Machines,
    /// An authority's certificate ends or has ended, or its key is gone.
    Certificate,
    /// It carries the cluster's tag, and nobody wants it.
    Orphan,
}

impl Trouble {
    /// The word for it in output, machine-readable as well.
    pub fn as_str(self) -> &'static str {
        match self {
            Trouble::State => "state",
            Trouble::Lease => "lease",
            Trouble::Journal => "journal",
            Trouble::Snapshot => "snapshot",
            Trouble::InTheWay => "in_the_way",
            Trouble::HalfMade => "half_made",
            Trouble::Machines => "machines",
            Trouble::Certificate => "certificate",
            Trouble::Orphan => "orphan",
        }
    }
}

/// One trouble, with the way out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Symptom {
    /// What sort it is.
    pub trouble: Trouble,
    /// The resource's address, or an instance's id; none when it is about the cluster as a whole.
    pub address: Option<String>,
    /// What is the matter: a lowercase fragment without a stop.
    pub message: String,
    /// The way out.
    pub hint: String,
    /// The lint that says so, such as `L25`; none for what no spec could waive.
    pub lint: Option<&'static str>,
}

impl Symptom {
    /// A symptom of the cluster as a whole.
    pub fn new(trouble: Trouble, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { trouble, address: None, message: message.into(), hint: hint.into(), lint: None }
    }

    /// The same, of one thing.
    #[must_use]
    pub fn of(mut self, address: impl ToString) -> Self {
        self.address = Some(address.to_string());
        self
    }
}

/// Everything that is the matter, the gravest first; empty for a healthy cluster.
pub fn examine(examination: &Examination<'_>) -> Vec<Symptom> {
    let mut symptoms = Vec::new();
    symptoms.extend(runs::lease(examination));
    symptoms.extend(runs::journal(examination));
    symptoms.extend(runs::restore(examination));
    symptoms.extend(rules::broken(examination));
    symptoms.extend(resources::in_the_way(examination));
    symptoms.extend(resources::half_made(examination));
    symptoms.extend(resources::short_groups(examination));
    symptoms.extend(resources::authorities(examination));
    symptoms.extend(resources::orphans(examination));
    symptoms.extend(resources::instances_without_a_group(examination));
    symptoms.sort();
    symptoms
}
