//! Faults on request, and the log of calls that tests count.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::clock::Time;
use super::member::MemberFault;
use super::{Refused, World};
use crate::cloud::{CloudError, CloudErrorKind};

/// What goes wrong, and when. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// Mutating calls by their number, counted from 1 over the world's life: what befalls them.
    pub on_mutation: BTreeMap<u64, CallFault>,
    /// Reads by their number, counted from 1: throttled or unavailable.
    pub on_read: BTreeMap<u64, CallFault>,
    /// How often, in thousandths, a call meets each fault by chance.
    pub rates: FaultRates,
    /// How often, in thousandths, a launch meets each fault by chance.
    pub launch_rates: LaunchRates,
    /// Operations that the credentials may not call.
    pub denied_operations: BTreeSet<String>,
    /// Operations that meet a quota of the account.
    pub exhausted_operations: BTreeSet<String>,
    /// So many machines the account's vCPU quota allows; any number if none.
    pub machines_max: Option<usize>,
    /// Where machines cannot be had.
    pub shortages: BTreeSet<Shortage>,
    /// Images that do not exist; well-formed ids exist otherwise.
    pub missing_images: BTreeSet<String>,
    /// Images whose machines end shortly after they start.
    pub unbootable_images: BTreeSet<String>,
    /// Groups whose machines never complete their launch hook.
    pub silent_hooks: BTreeSet<String>,
    /// What is wrong with machines of an image.
    pub bad_images: BTreeMap<String, LaunchFault>,
    /// Launches by their number, counted from 1 over the world's life: what is wrong with the machine.
    pub on_launch: BTreeMap<u64, LaunchFault>,
    /// Zones that are out: their machines do not work, and none are launched there.
    pub zones_out: BTreeSet<String>,
    /// etcd members that something ails, by `<cluster>/<etcd>/<member>`.
    pub members: BTreeMap<String, BTreeSet<MemberFault>>,
    /// Clusters whose etcd snapshots fail.
    pub failing_snapshots: BTreeSet<String>,
    /// Where the process is killed, counted in mutating calls.
    pub crash: Option<CrashPlan>,
    /// Writes to the state bucket by their number, counted from 1 over the world's life.
    pub on_store_write: BTreeMap<u64, CallFault>,
    /// Where the process is killed, counted in writes to the state bucket.
    pub store_crash: Option<CrashPlan>,
}

/// Chances of a fault in thousandths of all calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FaultRates {
    /// [`CallFault::Throttled`].
    pub throttled_permille: u64,
    /// [`CallFault::Unavailable`].
    pub unavailable_permille: u64,
    /// [`CallFault::AnswerLost`]; mutating calls only.
    pub answer_lost_permille: u64,
}

/// Chances of a fault in thousandths of all launches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LaunchRates {
    /// [`LaunchFault::Ends`].
    pub ends_permille: u64,
    /// [`LaunchFault::Impaired`].
    pub impaired_permille: u64,
    /// [`LaunchFault::Silent`].
    pub silent_permille: u64,
}

/// What is wrong with a machine from its launch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchFault {
    /// It ends shortly after it starts.
    Ends,
    /// Its system does not come up: EC2's status checks fail.
    Impaired,
    /// Its system comes up and its own software does nothing: no hook is completed, no node joins.
    Silent,
}

/// What befalls one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallFault {
    /// Refused before anything happened: too many calls.
    Throttled,
    /// Refused before anything happened: the service is down.
    Unavailable,
    /// It took effect, and the answer never came.
    AnswerLost,
}

/// Machines that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shortage {
    /// The zone.
    pub availability_zone: String,
    /// The type; every type if none.
    pub instance_type: Option<String>,
}

/// Where the process is killed: around the k-th mutating call, or write to the state bucket, from
/// the moment the plan is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashPlan {
    /// Which call, counted from 1.
    pub mutation: u64,
    /// Whether the call took effect.
    pub side: CrashSide,
}

/// Before or after the call takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrashSide {
    /// The call did nothing.
    Before,
    /// The call took effect.
    After,
}

/// One call as the account's trail would show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedCall {
    /// The operation.
    pub operation: String,
    /// Whether it could have changed anything.
    pub is_mutation: bool,
    /// When.
    pub at: Time,
    /// `ok`, or the error code; `AnswerLost` when it took effect and nobody was told.
    pub outcome: String,
}

/// What the fault plan says about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Fault(CallFault),
    Crash(CrashSide),
}

impl World {
    /// Most calls that the log keeps; the oldest go first.
    const LOG_MAX: usize = 5_000;
    /// So many chance faults may follow each other, so that retries always get through.
    const CHANCE_FAULTS_MAX: u64 = 2;

    pub(super) fn mutation_verdict(&mut self) -> Verdict {
        self.mutation_count += 1;
        if let Some(side) = strike(&mut self.faults.crash) {
            return Verdict::Crash(side);
        }
        match self.faults.on_mutation.get(&self.mutation_count) {
            Some(fault) => Verdict::Fault(*fault),
            None => self.chance(true),
        }
    }

    /// Lets the time of a read pass, and the fault plan have its say.
    pub(super) fn begin_read(&mut self, operation: &str) -> Result<(), CloudError> {
        self.pass_call_time();
        self.read_count += 1;
        let verdict = match self.faults.on_read.get(&self.read_count) {
            Some(fault) => Verdict::Fault(*fault),
            None => self.chance(false),
        };
        let Verdict::Fault(fault) = verdict else { return Ok(()) };
        let refused = fault.refused();
        self.record(operation, false, &refused.code);
        Err(refused.into_error(operation))
    }

    /// What befalls a write to the state bucket.
    pub(super) fn store_verdict(&mut self) -> Verdict {
        self.store_count += 1;
        if let Some(side) = strike(&mut self.faults.store_crash) {
            return Verdict::Crash(side);
        }
        let fault = self.faults.on_store_write.get(&self.store_count);
        fault.map_or(Verdict::Pass, |fault| Verdict::Fault(*fault))
    }

    fn chance(&mut self, is_mutation: bool) -> Verdict {
        let rates = &self.faults.rates;
        let throttled = rates.throttled_permille;
        let unavailable = throttled.saturating_add(rates.unavailable_permille);
        let lost = unavailable.saturating_add(rates.answer_lost_permille);
        if lost == 0 {
            return Verdict::Pass;
        }
        let drawn = self.draw(1000);
        let fault = match drawn {
            n if n < throttled => CallFault::Throttled,
            n if n < unavailable => CallFault::Unavailable,
            n if n < lost && is_mutation => CallFault::AnswerLost,
            _ => {
                self.chance_faults = 0;
                return Verdict::Pass;
            }
        };
        self.chance_faults += 1;
        if self.chance_faults > Self::CHANCE_FAULTS_MAX {
            self.chance_faults = 0;
            return Verdict::Pass;
        }
        Verdict::Fault(fault)
    }

    /// What is wrong with the machine that is launched now.
    pub(super) fn launch_verdict(&mut self, image_id: &str) -> Option<LaunchFault> {
        self.launch_count += 1;
        let told = self.faults.on_launch.get(&self.launch_count);
        if let Some(fault) = told.or_else(|| self.faults.bad_images.get(image_id)) {
            return Some(*fault);
        }
        if self.faults.unbootable_images.contains(image_id) {
            return Some(LaunchFault::Ends);
        }
        let rates = &self.faults.launch_rates;
        let ends = rates.ends_permille;
        let impaired = ends.saturating_add(rates.impaired_permille);
        let silent = impaired.saturating_add(rates.silent_permille);
        if silent == 0 {
            return None;
        }
        match self.draw(1000) {
            n if n < ends => Some(LaunchFault::Ends),
            n if n < impaired => Some(LaunchFault::Impaired),
            n if n < silent => Some(LaunchFault::Silent),
            _ => None,
        }
    }

    pub(super) fn record(&mut self, operation: &str, is_mutation: bool, outcome: &str) {
        if self.log.len() >= Self::LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(LoggedCall {
            operation: operation.to_owned(),
            is_mutation,
            at: self.now,
            outcome: outcome.to_owned(),
        });
    }
}

/// Counts a mutation towards a planned crash; the plan is used up when it strikes.
fn strike(crash: &mut Option<CrashPlan>) -> Option<CrashSide> {
    let plan = crash.as_mut()?;
    plan.mutation = plan.mutation.saturating_sub(1);
    if plan.mutation > 0 {
        return None;
    }
    crash.take().map(|plan| plan.side)
}

impl CallFault {
    /// The error that the caller gets.
    pub(super) fn refused(self) -> Refused {
        match self {
            CallFault::Throttled => Refused::new(
                CloudErrorKind::Throttled,
                "RequestLimitExceeded",
                "request limit exceeded",
            ),
            CallFault::Unavailable => Refused::new(
                CloudErrorKind::Unavailable,
                "ServiceUnavailable",
                "the service is unavailable, nothing was done",
            ),
            CallFault::AnswerLost => Refused::new(
                CloudErrorKind::AnswerLost,
                "AnswerLost",
                "the connection broke before the answer came",
            ),
        }
    }
}
