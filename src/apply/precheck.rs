//! The look before anything is made: a plan that does not fit does no half of itself.

use std::time::Duration;

use super::engine::Engine;
use super::failure::{foreign, joined, stale};
use super::gate;
use crate::cloud::{Cloud, Observation};
use crate::error::{ExitCode, Failure};
use crate::plan::Change;

impl<C: Cloud> Engine<'_, C> {
    /// Looks at everything before anything is made: a plan that does not fit does no half of itself.
    pub(super) async fn check_all(&self) -> Result<(), Failure> {
        let mut wait = Duration::from_secs(2);
        // A read that lags behind the plan's own is no reason to give up; three looks tell.
        for look in 1..=3 {
            let observation = self.look(self.cloud.now()).await?;
            self.check_account(&observation)?;
            let problems: Vec<Failure> = self
                .plan
                .changes
                .iter()
                .filter_map(|change| self.check_one(change, &observation))
                .collect();
            let is_foreign = problems.iter().any(|failure| failure.code == ExitCode::Refused);
            if problems.is_empty() {
                return Ok(());
            }
            if look == 3 || is_foreign {
                return Err(joined(problems));
            }
            self.pause(wait).await?;
            wait *= 2;
        }
        Ok(())
    }

    fn check_account(&self, observation: &Observation) -> Result<(), Failure> {
        let facts = &observation.facts;
        if (&facts.account, &facts.region) == (&self.plan.account, &self.plan.region) {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "the plan is for account {} in {}, the credentials are for {} in {}",
            self.plan.account, self.plan.region, facts.account, facts.region
        )))
    }

    fn check_one(&self, change: &Change, observation: &Observation) -> Option<Failure> {
        let observed = observation.resources.get(&change.address);
        let (after, is_expected) = {
            let world = self.world();
            let after = world.resolve(change, observation).ok().flatten();
            (after, world.parent_is_new(change))
        };
        match gate::ask(change, observed, after.as_ref(), is_expected) {
            gate::Gate::Open => None,
            gate::Gate::Moved(moves) => Some(stale(change, moves)),
            gate::Gate::Foreign(_) => Some(foreign(&change.address)),
        }
    }
}
