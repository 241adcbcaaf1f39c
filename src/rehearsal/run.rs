//! One simulation: a roll under faults, killed and started again, until faults stop and it must come to
//! its end.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::dice::{Dice, LaidDown};
use super::fault::{Fault, stream};
use super::halt::Halt;
use super::invariant::Violation;
use super::ledger::Ledger;
use super::process::Process;
use super::scene::Scene;
use super::shape;
use super::stage::{Stage, Trace};
use super::weather;
use crate::apply::StopSignal;
use crate::cloud::Cloud;
use crate::cloud::sim::SimCloud;
use crate::error::{ExitCode, Failure};
use crate::event::{Event, RollEvent};
use crate::kube::sim::SimKube;
use crate::roll::driver::{self, RollRequest};
use crate::roll::{Policy, WaitReason, Waiting};
use crate::sim::{Time, World};

/// Runs that are made while faults go on.
const RUNS_MAX: u32 = 24;
/// Runs in which the roll must come to its end once they have stopped.
const HEALED_RUNS_MAX: u32 = 8;
/// How long a run waits for another one's lease.
const LOCK_TIMEOUT: Duration = Duration::from_secs(900);

/// How one simulation ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What happened.
    pub trace: Trace,
    /// What was broken, if something was.
    pub violation: Option<Violation>,
    /// Runs of kprod.
    pub runs: u32,
    /// Whether the request that was laid down to be struck has come.
    pub struck: bool,
    /// Virtual time until the roll was done.
    pub elapsed: Duration,
    /// Why runs stopped before their end, in their order.
    pub halts: Vec<Halt>,
    /// What was announced, for a timeline.
    pub steps: Vec<(Time, RollEvent)>,
}

/// How a simulation is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether its trace is kept line by line, and what the world did.
    pub keeps_lines: bool,
    /// Whether announcements are kept for a timeline.
    pub keeps_steps: bool,
    /// Whether it is over as soon as a run has come to its end or halted, and is not healed.
    pub until_halt: bool,
    /// The one request that is struck, where nothing is drawn.
    pub laid_down: Option<(u64, LaidDown)>,
}

/// How one run ended.
enum End {
    Done,
    Killed,
    Stopped(Failure),
}

/// Simulates one scene.
pub async fn simulate(scene: Scene, options: &Options) -> Outcome {
    let play = Play::new(scene, options);
    let started = play.now();
    let calm = Cell::new(false);
    let storm = async {
        weather::blow(&play.cloud, &play.stage, &play.scene.events, started).await;
        calm.set(true);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = play.under_faults(&calm) => {}
        () = storm => {}
        () = play.second() => {}
    }
    if play.stage.violation().is_none() && !options.until_halt {
        play.after_faults().await;
    }
    play.outcome(started)
}

/// A simulation under way.
struct Play<'a> {
    scene: Scene,
    cloud: SimCloud,
    stage: Arc<Stage>,
    options: &'a Options,
    rng: RefCell<fastrand::Rng>,
    runs: Cell<u32>,
    struck: Cell<bool>,
    crashes: Cell<u32>,
    done_at: Cell<Option<Time>>,
    /// Whether every machine was replaced that was to be.
    forced: Cell<bool>,
    halts: RefCell<Vec<Halt>>,
    steps: Mutex<Vec<(Time, RollEvent)>>,
}

impl<'a> Play<'a> {
    fn new(mut scene: Scene, options: &'a Options) -> Self {
        let ledger = Ledger::open(&mut scene.world, &scene.cluster, &scene.policy);
        let stage = Stage::new(ledger, scene.seed, &scene.faults, options.keeps_lines);
        // From now on the world is the cloud's.
        let none = World::new(SimCloud::ACCOUNT, SimCloud::REGION, scene.seed);
        let world = std::mem::replace(&mut scene.world, none);
        Self {
            cloud: SimCloud::from_world(world),
            stage: Arc::new(stage),
            options,
            rng: RefCell::new(stream(scene.seed, "people")),
            runs: Cell::new(0),
            struck: Cell::new(false),
            crashes: Cell::new(0),
            done_at: Cell::new(None),
            forced: Cell::new(false),
            halts: RefCell::default(),
            steps: Mutex::default(),
            scene,
        }
    }

    /// What limits the next run. Whoever has every machine replaced asks for it until that is done: then it
    /// would be another roll.
    fn policy(&self) -> Policy {
        let force = self.scene.policy.force && !self.forced.get();
        Policy { force, ..self.scene.policy.clone() }
    }

    fn now(&self) -> Time {
        Time(self.cloud.now().as_millisecond())
    }

    fn is_broken(&self) -> bool {
        self.stage.violation().is_some()
    }

    /// Runs again and again while faults go on, as people and pipelines do.
    async fn under_faults(&self, calm: &Cell<bool>) {
        for _ in 0..RUNS_MAX {
            let name = self.next_name();
            let dice = self.dice();
            let end = self.run(&name, &self.policy(), dice).await;
            if self.is_broken() {
                return;
            }
            let wait = match end {
                End::Done if calm.get() || self.options.until_halt => return,
                End::Done => 300..301,
                End::Killed => 1..300,
                End::Stopped(failure) => {
                    self.note_halt(&failure);
                    if self.options.until_halt {
                        return;
                    }
                    30..900
                }
            };
            let secs = self.rng.borrow_mut().u64(wait);
            self.cloud.sleep(Duration::from_secs(secs)).await;
        }
    }

    /// Faults stop: now it has to come to its end, leave nothing behind, and find nothing to do.
    async fn after_faults(&self) {
        // A world in memory never fails to be read.
        let _ = self.cloud.with_world(|world| weather::heal(world, &self.stage));
        self.stage.note(self.cloud.now(), "world", "faults stop");
        // Whoever is asked by now has looked, and has mended what made machines fail.
        let mut last = None;
        for _ in 0..HEALED_RUNS_MAX {
            self.make_again();
            self.cloud.sleep(Duration::from_secs(600)).await;
            let policy = Policy { retry: true, ..self.policy() };
            match self.run(&self.next_name(), &policy, Dice::calm()).await {
                End::Done => {
                    self.done_at.set(Some(self.done_at.get().unwrap_or(self.now())));
                    return self.check_end(&Policy { force: false, ..policy }).await;
                }
                End::Stopped(failure) => {
                    self.note_halt(&failure);
                    last = Some(failure);
                }
                End::Killed => return,
            }
        }
        let why = last.map(|failure| format!("{failure} {:?}", failure.details));
        let how = format!("no end after {HEALED_RUNS_MAX} runs without faults: {why:?}");
        self.stage.accuse("I14", how);
    }

    /// Whoever is asked follows the way out: a group that is gone is applied again.
    fn make_again(&self) {
        let made = self.cloud.with_world(|world| weather::make_again(world, &self.stage));
        for group in made.unwrap_or_default() {
            self.stage.note(self.cloud.now(), "world", &format!("{group} is made again"));
        }
    }

    async fn check_end(&self, policy: &Policy) {
        self.cloud.sleep(Duration::from_secs(900)).await;
        let _ = self.cloud.with_world(|world| self.stage.check_end(world));
        if self.is_broken() {
            return;
        }
        let before = self.stage.trace().changes;
        let end = self.run(&self.next_name(), policy, Dice::calm()).await;
        let changes = self.stage.trace().changes - before;
        if !matches!(end, End::Done) || changes > 0 {
            self.stage.accuse("I14", format!("one more run made {changes} changes"));
        }
    }

    /// One process, from its start to its end.
    async fn run(&self, name: &str, policy: &Policy, dice: Dice) -> End {
        self.runs.set(self.runs.get() + 1);
        let process = Process::start(name, self.cloud.clone(), self.stage.clone(), dice);
        let kube = process.kube(SimKube::new(self.cloud.clone(), &self.scene.cluster));
        let kube = (!policy.cloudonly).then_some(&kube);
        let request = RollRequest {
            policy,
            query: &self.scene.query,
            holder: name.to_owned(),
            lock_timeout: LOCK_TIMEOUT,
        };
        let stop = StopSignal::new();
        let ear = Ear {
            process: &process,
            cloud: &self.cloud,
            steps: self.options.keeps_steps.then_some(&self.steps),
        };
        let hear = |event: Event| ear.hear(event);
        self.stage.note(self.cloud.now(), name, "starts");
        let end = tokio::select! {
            biased;
            () = process.crashed() => End::Killed,
            ended = driver::run(&process, kube, &request, &stop, &hear) => match ended {
                Ok(report) => report.failure.map_or(End::Done, End::Stopped),
                Err(failure) => End::Stopped(failure),
            },
        };
        self.struck.set(self.struck.get() || process.was_struck());
        match &end {
            End::Done => {
                self.done_at.set(Some(self.done_at.get().unwrap_or(self.now())));
                self.forced.set(self.forced.get() || policy.force);
                self.stage.note(self.cloud.now(), name, "is done");
            }
            End::Killed => {
                self.stage.killed(name);
                self.crashes.set(self.crashes.get() + 1);
            }
            End::Stopped(failure) => {
                self.done_at.set(None);
                let told = format!("stops: {failure} {:?}", failure.details);
                self.stage.note(self.cloud.now(), name, &told);
            }
        }
        end
    }

    /// A second kprod: it rolls too, or applies another change.
    async fn second(&self) {
        let mut rng = stream(self.scene.seed, "second");
        if rng.u32(0..1000) >= self.scene.faults.permille(Fault::Second) {
            return std::future::pending().await;
        }
        self.cloud.sleep(Duration::from_secs(rng.u64(30..3600))).await;
        let name = "second@elsewhere";
        match self.scene.other.as_ref().filter(|_| rng.bool()) {
            Some(spec) => {
                let dice = Dice::calm();
                let process = Process::start(name, self.cloud.clone(), self.stage.clone(), dice);
                self.stage.note(self.cloud.now(), name, "applies another change");
                let told = match shape::bring(&process, spec, name, LOCK_TIMEOUT).await {
                    Ok(()) => "has applied it".to_owned(),
                    Err(why) => format!("stops: {why}"),
                };
                self.stage.note(self.cloud.now(), name, &told);
            }
            None => {
                let policy = Policy { force: false, ..self.scene.policy.clone() };
                self.run(name, &policy, Dice::calm()).await;
            }
        }
        std::future::pending().await
    }

    fn next_name(&self) -> String {
        format!("run-{}", self.runs.get() + 1)
    }

    fn dice(&self) -> Dice {
        if let Some((act, what)) = &self.options.laid_down {
            // The process that was struck is the first one.
            return if self.runs.get() == 0 {
                Dice::laid_down(*act, what.clone())
            } else {
                Dice::calm()
            };
        }
        let left = Dice::CRASHES_MAX.saturating_sub(self.crashes.get());
        Dice::draw(self.scene.seed, u64::from(self.runs.get()), &self.scene.faults, left)
    }

    fn note_halt(&self, failure: &Failure) {
        if failure.code == ExitCode::Done {
            return;
        }
        self.halts.borrow_mut().push(Halt::of(failure));
    }

    fn outcome(self, started: Time) -> Outcome {
        let ended = self.done_at.get().unwrap_or(self.now());
        Outcome {
            seed: self.scene.seed,
            trace: self.stage.trace(),
            violation: self.stage.violation(),
            runs: self.runs.get(),
            struck: self.struck.get(),
            elapsed: Duration::from_millis(ended.since_ms(started)),
            halts: self.halts.into_inner(),
            steps: self.steps.into_inner().unwrap_or_default(),
        }
    }
}

/// Takes in what a run announces.
struct Ear<'a> {
    process: &'a Process,
    cloud: &'a SimCloud,
    steps: Option<&'a Mutex<Vec<(Time, RollEvent)>>>,
}

impl Ear<'_> {
    /// Each wait has to have an end, each halt a name and a way out.
    fn hear(&self, event: Event) {
        let Event::Roll(event) = event else { return };
        match &event {
            RollEvent::Progress { progress, .. } => {
                let waits = progress.groups.iter().flat_map(|group| &group.waiting);
                for waiting in waits.clone() {
                    self.process.note(&told(waiting));
                }
                for waiting in waits.filter(|waiting| waiting.deadline.is_none()) {
                    let is_others = matches!(
                        waiting.reason,
                        WaitReason::Limit { .. }
                            | WaitReason::Turn { .. }
                            | WaitReason::Paused { .. }
                    );
                    if !is_others {
                        self.process.accuse("I15", format!("a wait without an end: {waiting:?}"));
                    }
                }
            }
            RollEvent::Halted { reasons } => {
                let bare = reasons.iter().find(|r| r.object.is_empty() || r.way_out.is_empty());
                if let Some(bare) = bare {
                    self.process.accuse("I15", format!("a halt that names nothing: {bare:?}"));
                }
            }
            RollEvent::StepFailed { step, why } => {
                self.process.note(&format!("step fails: {step:?}: {why}"));
            }
            _ => {}
        }
        if let Some(steps) = self.steps {
            let at = Time(self.cloud.now().as_millisecond());
            steps.lock().unwrap_or_else(PoisonError::into_inner).push((at, event));
        }
    }
}

/// A wait in one line.
fn told(waiting: &Waiting) -> String {
    let Waiting { group, machine, reason, deadline } = waiting;
    let machine = machine.as_deref().unwrap_or("-");
    let deadline = deadline.map_or_else(|| "no end".to_owned(), |at| at.to_string());
    format!("waits: {group} {machine} {reason:?} until {deadline}")
}
