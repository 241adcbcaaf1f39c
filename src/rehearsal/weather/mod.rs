//! What the world does by itself, or others do to it, while a roll is under way: drawn from the seed
//! before it begins, so that nothing the roll does moves it.

mod strike;

use std::time::Duration;

use super::fault::{Fault, Faults, stream};
use super::stage::Stage;
use crate::cloud::Cloud;
use crate::cloud::sim::SimCloud;
use crate::sim::{MemberFault, Time, World};

pub use strike::{heal, make_again};

/// Something that happens at its time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// So long after the beginning, in milliseconds.
    pub at_ms: u64,
    /// Which one of those there are it is about.
    pub pick: u64,
    /// What happens.
    pub what: Happening,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happening {
    /// A machine ends.
    Reclaim,
    /// A node is not ready for a while.
    Flap { secs: u64 },
    /// A zone has no machines to give.
    Shortage { zone: String, secs: u64 },
    /// A zone is gone.
    Outage { zone: String, secs: u64 },
    /// The autoscaler changes a desired capacity.
    Autoscale { by: i32 },
    /// Somebody ends a machine.
    HandTerminates,
    /// Somebody cordons a node, and uncordons it later.
    HandCordons { secs: u64 },
    /// Somebody uncordons a node.
    HandUncordons,
    /// Somebody takes a roll's note off a group.
    HandUnmarks,
    /// Somebody resumes what a roll has suspended.
    HandResumes,
    /// Somebody deletes a group of workers with all its machines.
    HandDeletes,
    /// Somebody breaks the lease.
    HandUnlocks,
    /// A budget allows nothing for a while.
    NoBudget { secs: u64 },
    /// Pods of a workload do not end.
    StuckPods { secs: u64 },
    /// A member of etcd is not well for a while.
    Member { fault: MemberFault, secs: u64 },
    /// A member of etcd loses its volume, with its machine.
    LoseVolume,
    /// A machine that hosts members of etcd sleeps.
    Sleep { secs: u64 },
    /// The API server is away.
    Api { secs: u64 },
    /// What an earlier event did is undone.
    Over(Box<Happening>),
}

/// How many of what there are, for shares of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Machines.
    pub machines: u32,
    /// Groups.
    pub groups: u32,
    /// Disruption budgets.
    pub budgets: u32,
    /// Workloads.
    pub workloads: u32,
    /// Members of etcd.
    pub members: u32,
}

/// Draws what happens within a time, by shares of what there is.
pub fn draw(seed: u64, faults: &Faults, counts: Counts, horizon: Duration) -> Vec<Event> {
    let horizon_ms = u64::try_from(horizon.as_millis()).unwrap_or(u64::MAX).max(1);
    let mut events = Vec::new();
    for (fault, _) in faults.iter() {
        let mut rng = stream(seed, &format!("weather {fault}"));
        let times = match fault {
            Fault::Spot | Fault::Flap => hits(&mut rng, counts.machines, faults.permille(fault)),
            Fault::Autoscaler | Fault::Human => {
                hits(&mut rng, counts.groups, faults.permille(fault))
            }
            Fault::Budget => hits(&mut rng, counts.budgets, faults.permille(fault)),
            Fault::StuckPods => hits(&mut rng, counts.workloads, faults.permille(fault) * 4),
            Fault::Etcd | Fault::Sleep => {
                hits(&mut rng, counts.members, faults.permille(fault) / 3)
            }
            // Two at a time would be a cluster that only a snapshot brings back.
            Fault::Volume => hits(&mut rng, counts.members, faults.permille(fault)).min(1),
            Fault::Api => hits(&mut rng, 1, faults.permille(fault)),
            Fault::Capacity | Fault::AzOutage => 1,
            _ => 0,
        };
        for _ in 0..times {
            let Some(what) = happening(fault, faults, &mut rng) else { continue };
            let (at_ms, pick) = (rng.u64(0..horizon_ms), rng.u64(..));
            let over = what.lasts().map(|secs| Event {
                at_ms: at_ms + secs * 1000,
                pick,
                what: Happening::Over(Box::new(what.clone())),
            });
            events.push(Event { at_ms, pick, what });
            events.extend(over);
        }
    }
    events.sort();
    events
}

/// How many of so many are hit.
fn hits(rng: &mut fastrand::Rng, of: u32, permille: u32) -> usize {
    (0..of).filter(|_| rng.u32(0..1000) < permille).count()
}

fn happening(fault: Fault, faults: &Faults, rng: &mut fastrand::Rng) -> Option<Happening> {
    let zone = || faults.zone(fault).map(str::to_owned);
    Some(match fault {
        Fault::Spot => Happening::Reclaim,
        Fault::Flap => Happening::Flap { secs: rng.u64(5..400) },
        Fault::Capacity => Happening::Shortage { zone: zone()?, secs: rng.u64(300..3600) },
        Fault::AzOutage => Happening::Outage { zone: zone()?, secs: rng.u64(300..2400) },
        Fault::Autoscaler => Happening::Autoscale { by: rng.i32(-2..=2) },
        Fault::Human => match rng.u32(0..8) {
            0 | 1 => Happening::HandTerminates,
            2 => Happening::HandCordons { secs: rng.u64(60..3600) },
            3 => Happening::HandUncordons,
            4 => Happening::HandUnmarks,
            5 => Happening::HandResumes,
            6 => Happening::HandDeletes,
            _ => Happening::HandUnlocks,
        },
        Fault::Budget => Happening::NoBudget { secs: rng.u64(60..3600) },
        Fault::StuckPods => Happening::StuckPods { secs: rng.u64(60..3600) },
        Fault::Etcd => {
            let fault = match rng.u32(0..4) {
                0 => MemberFault::Slow { lag: rng.u64(100..20_000) },
                1 => MemberFault::Sick,
                2 => MemberFault::Silent,
                _ => MemberFault::Alarm { name: "NOSPACE".to_owned() },
            };
            Happening::Member { fault, secs: rng.u64(30..1800) }
        }
        Fault::Volume => Happening::LoseVolume,
        Fault::Sleep => Happening::Sleep { secs: rng.u64(30..1800) },
        Fault::Api => Happening::Api { secs: rng.u64(30..900) },
        _ => return None,
    })
}

impl Happening {
    /// How long it lasts, where somebody has to undo it.
    fn lasts(&self) -> Option<u64> {
        match self {
            Happening::Shortage { secs, .. }
            | Happening::Outage { secs, .. }
            | Happening::HandCordons { secs }
            | Happening::NoBudget { secs }
            | Happening::StuckPods { secs }
            | Happening::Member { secs, .. }
            | Happening::Sleep { secs } => Some(*secs),
            _ => None,
        }
    }
}

/// Lets it all happen, each at its time.
pub async fn blow(cloud: &SimCloud, stage: &Stage, events: &[Event], started: Time) {
    for event in events {
        let at = started.plus_ms(event.at_ms);
        let now = Time(cloud.now().as_millisecond());
        cloud.sleep(Duration::from_millis(at.since_ms(now))).await;
        // A world in memory never fails to be read.
        let _ = cloud.with_world(|world| happen(world, stage, event));
    }
}

/// Lets one thing happen now.
pub fn happen(world: &mut World, stage: &Stage, event: &Event) {
    stage.look(world);
    if let Some(told) = strike::strike(world, stage, event) {
        stage.note(world.now.timestamp(), "world", &told);
    }
    stage.look(world);
}

#[cfg(test)]
mod tests;
