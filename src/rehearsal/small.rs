//! Small worlds, exhaustively: at most four machines, and one fault at every request in turn.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::dice::{LaidDown, Strike};
use super::fault::Faults;
use super::invariant::Violation;
use super::run::{Options, Outcome, simulate};
use super::scene::{Scene, Templates};
use super::shape::{Layout, Pool, Shape};
use super::swarm::{on_threads, runtime};
use super::weather::{Event, Happening};
use crate::roll::{DrainOutcome, Policy, RolloutRole};
use crate::spec::IntOrPercent;

/// No small world takes so many requests.
const ACTS_MAX: u64 = 1_000;

/// What strikes, at every request in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Something befalls the request itself.
    Strike(Strike),
    /// Something happens in the world right before it.
    Happening(Happening, u64),
}

/// Every blow.
pub fn blows() -> Vec<Blow> {
    let machines = (0..4).map(|pick| Blow::Happening(Happening::Reclaim, pick));
    let flaps = (0..4).map(|pick| Blow::Happening(Happening::Flap { secs: 120 }, pick));
    let hands = [
        Happening::HandUncordons,
        Happening::HandResumes,
        Happening::HandUnlocks,
        Happening::Autoscale { by: 1 },
    ];
    let hands = hands.into_iter().map(|what| Blow::Happening(what, 0));
    Strike::ALL.into_iter().map(Blow::Strike).chain(machines).chain(flaps).chain(hands).collect()
}

/// A world of four machines: three that host etcd and API servers, and one worker.
///
/// # Errors
/// When the scene cannot be built.
pub async fn scene(templates: &Templates, surge: u32) -> Result<Scene, String> {
    let shape =
        Shape { zones: 1, layout: Layout::Stacked, pools: vec![Pool::Spread], is_upgrade: true };
    let mut scene = Scene::of(0, &shape, templates, |_| Faults::none()).await?;
    scene.policy = policy(scene.policy, surge);
    let names: Vec<String> = scene.policy.groups.keys().cloned().collect();
    for name in names {
        // One is within every group's limits.
        let _ = scene.world.set_desired_capacity(&name, 1);
    }
    let lag = std::mem::replace(&mut scene.world.lag, crate::sim::Lag::none());
    scene.world.advance_secs(1200);
    scene.world.lag = lag;
    scene.other = None;
    Ok(scene)
}

fn policy(drawn: Policy, surge: u32) -> Policy {
    let secs = Duration::from_secs;
    let groups: BTreeMap<_, _> = drawn
        .groups
        .into_iter()
        .map(|(name, group)| {
            let surge = if group.role == RolloutRole::Node { surge } else { 0 };
            let group = crate::roll::GroupPolicy {
                max_surge: IntOrPercent::Int(surge),
                max_unavailable: IntOrPercent::Int(1),
                drain_timeout: secs(300),
                on_drain_timeout: DrainOutcome::Force,
                boot_timeout: secs(600),
                validate_timeout: secs(600),
                soak: secs(10),
                canary: 1,
                canary_soak: secs(30),
                ..group
            };
            (name, group)
        })
        .collect();
    Policy { groups, cloudonly: false, ..drawn }
}

/// Simulates one blow at one request.
pub async fn strike(scene: &Scene, blow: &Blow, act: u64) -> Outcome {
    let what = match blow {
        Blow::Strike(strike) => LaidDown::Strike(*strike),
        Blow::Happening(what, pick) => {
            LaidDown::Event(Event { at_ms: 0, pick: *pick, what: what.clone() })
        }
    };
    let laid_down = Some((act, what));
    simulate(scene.clone(), &Options { laid_down, ..Options::default() }).await
}

/// What every blow at every request came to.
#[derive(Clone, Debug, Default)]
pub struct Exhausted {
    /// Simulations.
    pub cases: u64,
    /// Those in which something was broken: the blow, the request, and what.
    pub failed: Vec<(Blow, u64, Violation)>,
}

/// Strikes every `stride`-th request of a small world with every blow in turn: with a stride of one,
/// all interleavings of one fault.
///
/// # Errors
/// When the scene cannot be built, or no thread can be started.
pub fn exhaust(blows: &[Blow], stride: u64, threads: usize) -> Result<Exhausted, String> {
    let templates = Templates::default();
    let mut all = Exhausted::default();
    for surge in [0, 1] {
        let scene = runtime()?.block_on(scene(&templates, surge))?;
        let next = AtomicUsize::new(0);
        let results = on_threads(threads, |runtime| {
            let mut found = Exhausted::default();
            while let Some(blow) = blows.get(next.fetch_add(1, Ordering::SeqCst)) {
                for act in (1..=ACTS_MAX).step_by(usize::try_from(stride.max(1)).unwrap_or(1)) {
                    let outcome = runtime.block_on(strike(&scene, blow, act));
                    found.cases += 1;
                    if let Some(violation) = outcome.violation {
                        found.failed.push((blow.clone(), act, violation));
                    }
                    if !outcome.struck {
                        break;
                    }
                }
            }
            Ok(found)
        })?;
        for found in results {
            all.cases += found.cases;
            all.failed.extend(found.failed);
        }
    }
    Ok(all)
}
