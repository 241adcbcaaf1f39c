//! What befalls the requests of one process: drawn from the seed, or laid down for one request.

use std::time::Duration;

use super::fault::{Fault, Faults, stream};
use super::weather::Event;

/// What befalls one changing request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strike {
    /// The process is killed before it is sent.
    CrashBefore,
    /// It takes effect, and the process is killed.
    CrashAfter,
    /// It takes effect, and the answer never comes.
    Lost,
    /// It arrives twice.
    Duplicate,
    /// It is refused: too many requests.
    Throttled,
    /// It is refused: the service is down.
    Unavailable,
}

impl Strike {
    /// Every one.
    pub const ALL: [Strike; 6] = [
        Strike::CrashBefore,
        Strike::CrashAfter,
        Strike::Lost,
        Strike::Duplicate,
        Strike::Throttled,
        Strike::Unavailable,
    ];
}

/// What is laid down for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaidDown {
    /// It is struck.
    Strike(Strike),
    /// Something happens in the world right before it.
    Event(Event),
}

/// What befalls the requests of one process.
#[derive(Clone, Debug)]
pub struct Dice {
    rng: fastrand::Rng,
    faults: Faults,
    /// The one request that is struck, counted from 1, where nothing is drawn.
    laid_down: Option<(u64, LaidDown)>,
    was_struck: bool,
    /// Changing requests so far.
    acts: u64,
    crashes_left: u32,
    /// After so many requests of any sort the credentials end.
    credentials_end: Option<u64>,
    requests: u64,
    /// The sleep during which the machine sleeps too, and for how long.
    doze: Option<(u64, Duration)>,
    sleeps: u64,
    skew_ms: i64,
}

impl Dice {
    /// Most crashes of one simulation.
    pub const CRASHES_MAX: u32 = 12;
    /// How far a clock is off, at most: what a lease allows for between two clocks is ten seconds.
    const SKEW_MS: i64 = 4_500;

    /// The dice of the so-many-th process of a seed.
    pub fn draw(seed: u64, process: u64, faults: &Faults, crashes_left: u32) -> Self {
        let mut rng = stream(seed, &format!("process {process}"));
        let mut meets = |fault| rng.u32(0..1000) < faults.permille(fault);
        let (loses_credentials, has_clock) = (meets(Fault::Credentials), meets(Fault::Clock));
        let credentials_end = loses_credentials.then(|| rng.u64(1..200));
        let doze = (rng.u64(0..60), Duration::from_secs(rng.u64(30..900)));
        let skew_ms = rng.i64(-Self::SKEW_MS..=Self::SKEW_MS);
        Self {
            credentials_end,
            doze: has_clock.then_some(doze),
            skew_ms: if has_clock { skew_ms } else { 0 },
            faults: faults.clone(),
            laid_down: None,
            was_struck: false,
            acts: 0,
            crashes_left,
            requests: 0,
            sleeps: 0,
            rng,
        }
    }

    /// Dice that strike nothing.
    pub fn calm() -> Self {
        Self::draw(0, 0, &Faults::none(), 0)
    }

    /// Dice that strike one request and no other.
    pub fn laid_down(act: u64, what: LaidDown) -> Self {
        Self { laid_down: Some((act, what)), ..Self::calm() }
    }

    /// What is laid down to happen in the world right before the next request.
    pub fn event(&mut self) -> Option<Event> {
        match &self.laid_down {
            Some((act, LaidDown::Event(event))) if *act == self.acts + 1 => {
                self.was_struck = true;
                Some(event.clone())
            }
            _ => None,
        }
    }

    /// Whether the request that was laid down has come.
    pub fn was_struck(&self) -> bool {
        self.was_struck
    }

    /// What befalls the next changing request.
    pub fn strike(&mut self) -> Option<Strike> {
        self.acts += 1;
        if let Some((act, what)) = &self.laid_down {
            let LaidDown::Strike(strike) = what else { return None };
            self.was_struck |= *act == self.acts;
            return (*act == self.acts).then_some(*strike);
        }
        let crash = if self.crashes_left > 0 { self.faults.permille(Fault::Crash) } else { 0 };
        // Half of the crashes strike before the request, half after it.
        let strikes = [
            (crash.div_ceil(2), Strike::CrashBefore),
            (crash.div_ceil(2), Strike::CrashAfter),
            (self.faults.permille(Fault::Lost), Strike::Lost),
            (self.faults.permille(Fault::Duplicate), Strike::Duplicate),
            (self.faults.permille(Fault::Throttle), Strike::Throttled),
            (self.faults.permille(Fault::Throttle) / 4, Strike::Unavailable),
        ];
        let mut drawn = self.rng.u32(0..1000);
        for (permille, strike) in strikes {
            match drawn.checked_sub(permille) {
                Some(rest) => drawn = rest,
                None => return Some(strike),
            }
        }
        None
    }

    /// Whether a read is struck by a fault of its unit.
    pub fn meets(&mut self, fault: Fault) -> bool {
        let permille = self.faults.permille(fault);
        permille > 0 && self.rng.u32(0..1000) < permille
    }

    /// Counts a request of any sort.
    pub fn count(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// Whether the credentials have ended by now.
    pub fn credentials_ended(&self) -> bool {
        self.credentials_end.is_some_and(|end| self.requests > end)
    }

    /// How much longer the next sleep takes, because the machine sleeps too.
    pub fn doze(&mut self) -> Duration {
        self.sleeps += 1;
        match self.doze {
            Some((sleep, duration)) if sleep == self.sleeps => duration,
            _ => Duration::ZERO,
        }
    }

    /// How far the process's clock is off, in milliseconds.
    pub fn skew_ms(&self) -> i64 {
        self.skew_ms
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::{Dice, LaidDown, Strike};
    use crate::rehearsal::fault::Faults;

    #[test]
    fn without_faults_nothing_strikes() {
        let mut dice = Dice::draw(7, 0, &Faults::none(), 9);
        assert!((0..1000).all(|_| dice.strike().is_none() && !dice.credentials_ended()));
        assert_eq!(dice.skew_ms(), 0);
    }

    #[test]
    fn what_is_laid_down_strikes_once() {
        let mut dice = Dice::laid_down(3, LaidDown::Strike(Strike::Lost));
        let strikes: Vec<_> = (0..5).map(|_| dice.strike()).collect();
        assert_eq!(strikes, [None, None, Some(Strike::Lost), None, None]);
    }

    #[test]
    fn every_strike_is_drawn_and_crashes_have_an_end() {
        let faults = Faults::parse("crash=0.2,lost=0.2,duplicate=0.2,throttle=0.2").unwrap();
        let drawn = |crashes| -> Vec<Strike> {
            let mut dice = Dice::draw(1, 0, &faults, crashes);
            (0..500).filter_map(|_| dice.strike()).collect()
        };
        let strikes = drawn(1);
        assert!(Strike::ALL.iter().all(|strike| strikes.contains(strike)));
        let crash = |strike: &Strike| matches!(strike, Strike::CrashBefore | Strike::CrashAfter);
        assert!(!drawn(0).iter().any(crash));
    }
}
