//! What all processes of one simulation share: the checkers with what they remember, the dice of the
//! machines that come, and the trace.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::act::Act;
use super::fault::{Fault, Faults, stream};
use super::invariant::{self, Look, Moment, Violation};
use super::ledger::Ledger;
use super::truth;
use crate::kube::KubeCall;
use crate::sim::{Time, World};

/// Who does what no process of kprod does.
const WORLD: &str = "world";

/// What all processes of one simulation share.
pub struct Stage {
    state: Mutex<State>,
    /// Whether lines are kept, and not only counted into the hash.
    keeps_lines: bool,
}

struct State {
    ledger: Ledger,
    violation: Option<Violation>,
    seed: u64,
    faults: Faults,
    newcomers: u64,
    /// The moment that the world was last taken in at, unless it was meddled with since.
    looked_at: Option<Time>,
    trace: Trace,
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// FNV-1a over every line: two simulations of one seed have the same.
    pub hash: u64,
    /// Changing requests.
    pub acts: u64,
    /// Those of them that went to AWS or the API server, and not to the state bucket.
    pub changes: u64,
    /// Kills.
    pub crashes: u64,
    /// Machines that kprod ended.
    pub replaced: u64,
    /// The lines, where they are kept.
    pub lines: Vec<String>,
    /// What happened to the roll, and when, where lines are kept: the world's doing, and kills.
    pub blows: Vec<(Time, String)>,
}

impl Stage {
    /// A stage around a ledger; the faults are those of machines that come.
    pub fn new(ledger: Ledger, seed: u64, faults: &Faults, keeps_lines: bool) -> Self {
        let (violation, newcomers, trace) = (None, 0, Trace::default());
        let faults = faults.clone();
        let looked_at = None;
        let state = State { ledger, violation, seed, faults, newcomers, looked_at, trace };
        Self { state: Mutex::new(state), keeps_lines }
    }

    /// What happened so far.
    pub fn trace(&self) -> Trace {
        self.lock().trace.clone()
    }

    /// What was broken, if something was.
    pub fn violation(&self) -> Option<Violation> {
        self.lock().violation.clone()
    }

    /// From now on machines come up as they should.
    pub fn heal(&self) {
        self.lock().faults = Faults::none();
    }

    /// Notes something else that is broken: what no checker of a moment can see.
    pub fn accuse(&self, invariant: &'static str, how: String) {
        self.lock().violation.get_or_insert(Violation { invariant, how });
    }

    /// Works on what is remembered, such as when somebody else meddles.
    pub fn remember<R>(&self, remember: impl FnOnce(&mut Ledger) -> R) -> R {
        let mut state = self.lock();
        state.ledger.look_anew();
        remember(&mut state.ledger)
    }

    /// Takes in the world as it is now, for processes: what they do to it takes time, so that one look
    /// at each moment is enough.
    pub fn look_once(&self, world: &mut World) {
        if self.lock().looked_at != Some(world.now) {
            self.look(world);
        }
    }

    /// Takes in the world as it is now, and lets faults have their say about machines that came.
    pub fn look(&self, world: &mut World) {
        let mut state = self.lock();
        let state = &mut *state;
        let new = state.ledger.look(world);
        state.looked_at = new.is_empty().then_some(world.now);
        for id in new {
            state.newcomers += 1;
            let mut rng = stream(state.seed, &format!("newcomer {}", state.newcomers));
            let mut meets = |fault| rng.u32(0..1000) < state.faults.permille(fault);
            let (no_boot, no_join) = (meets(Fault::BootFail), meets(Fault::JoinFail));
            let cluster = state.ledger.cluster.clone();
            if no_boot {
                // It may be gone already.
                let _ = world.terminate_instance(&id);
                state.trace.line(self.keeps_lines, world.now, WORLD, &format!("{id} never boots"));
            } else if no_join {
                world.cluster(&cluster).faults.never_join.insert(id.clone());
                state.trace.line(self.keeps_lines, world.now, WORLD, &format!("{id} never joins"));
            }
        }
    }

    /// Checks an act on the truth right before it is made. Whether it may be made.
    pub fn check(&self, world: &mut World, who: &str, act: &Act<'_>) -> bool {
        self.look(world);
        let mut state = self.lock();
        if !act.takes().is_empty() {
            state.ledger.look_at_members(world);
        }
        let look = Look {
            world: &*world,
            ledger: &state.ledger,
            moment: Moment::Before { who, act: *act },
        };
        if let Some(violation) = invariant::check(&look) {
            let told = format!("{} {}: BREAKS {violation:?}", act.operation(), act.subject());
            state.trace.line(self.keeps_lines, world.now, who, &told);
            state.violation.get_or_insert(violation);
            return false;
        }
        // Whatever becomes of the request: the process meant to.
        take_note(&mut state.ledger, world, who, act);
        true
    }

    /// Checks the end.
    pub fn check_end(&self, world: &mut World) {
        self.look(world);
        let mut state = self.lock();
        let look = Look { world: &*world, ledger: &state.ledger, moment: Moment::End };
        if let Some(violation) = invariant::check(&look) {
            state.violation.get_or_insert(violation);
        }
    }

    /// Notes what became of an act.
    pub fn done(&self, world: &World, who: &str, act: &Act<'_>, outcome: &str) {
        let mut state = self.lock();
        state.ledger.finish(who);
        state.trace.acts += 1;
        state.trace.changes += u64::from(matches!(act, Act::Cloud(_) | Act::Kube(_)));
        let is_killed = outcome.starts_with("killed");
        state.trace.crashes += u64::from(is_killed);
        if is_killed && self.keeps_lines {
            state.trace.blows.push((world.now, "kprod is killed".to_owned()));
        }
        if outcome == "ok" {
            state.trace.replaced += act.ends().len() as u64;
        }
        let line = format!("{} {}: {outcome}", act.operation(), act.subject());
        state.trace.line(self.keeps_lines, world.now, who, &line);
    }

    /// Notes how a desired capacity was changed by an act, which may have asked for a number.
    pub fn desired(&self, world: &World, group: &str, before: i32, asked: Option<i32>) {
        if let Some(stored) = world.groups.get(group) {
            self.lock().ledger.kprod_set_desired(world.now, before, stored, asked);
        }
    }

    /// Notes that a process was killed: whatever it had sent is done, or never will be.
    pub fn killed(&self, who: &str) {
        self.lock().ledger.finish(who);
    }

    /// Notes anything else.
    pub fn note(&self, at: Timestamp, who: &str, what: &str) {
        self.lock().trace.line(self.keeps_lines, Time(at.as_millisecond()), who, what);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trace {
    fn line(&mut self, keep: bool, at: Time, who: &str, what: &str) {
        if self.hash == 0 {
            self.hash = 0xcbf2_9ce4_8422_2325;
        }
        let ms = at.since_ms(Time::START);
        let bytes = ms.to_le_bytes().into_iter().chain(who.bytes()).chain(what.bytes());
        self.hash = bytes
            .fold(self.hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        if keep {
            let secs = ms / 1000;
            let (hours, minutes) = (secs / 3600, secs / 60 % 60);
            let line =
                format!("{hours:02}:{minutes:02}:{:02}.{:03} {who}: {what}", secs % 60, ms % 1000);
            self.lines.push(line);
            if who == WORLD {
                self.blows.push((at, what.to_owned()));
            }
        }
    }
}

/// What an act means for the ledger: machines that kprod takes on itself, or lets be.
fn take_note(ledger: &mut Ledger, world: &World, who: &str, act: &Act<'_>) {
    match act {
        Act::Kube(KubeCall::PatchNode { node, patch }) => {
            match truth::patched(world, &ledger.cluster, node, patch) {
                Some((id, true)) => ledger.begin(who, id),
                Some((id, false)) => ledger.let_be(id),
                None => {
                    let released = truth::released(world, &ledger.cluster, node, patch);
                    released.into_iter().for_each(|id| ledger.let_be(id));
                }
            }
        }
        act => act.ends().into_iter().for_each(|id| ledger.end(world.now, who, id)),
    }
}
