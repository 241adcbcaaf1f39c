//! Machines that a note says are about to take their place with them, and that end: whether it was the
//! call of that note that ends them.

use std::collections::BTreeMap;

use super::Look;
use super::assemble::stage_of;
use crate::apply::failure::cloud_failure;
use crate::cloud::Cloud;
use crate::error::Failure;
use crate::roll::mark::tail;
use crate::roll::{Stage, Step};

impl Look<'_> {
    /// Asks groups why machines end that their notes name, unless this run has ended them itself: a run
    /// that was killed, or whose call failed, may have noted them and no more, and then AWS, or somebody,
    /// has ended them since. Each is asked for once.
    pub(super) async fn read_endings<C: Cloud>(&mut self, cloud: &C) -> Result<(), Failure> {
        for (group, names) in self.ends_unexplained() {
            let kept = cloud.places_kept(&group).await;
            let kept = kept.map_err(|error| cloud_failure(&error, false))?;
            let named = kept.into_iter().filter(|id| names.iter().any(|name| name == tail(id)));
            self.memory.places_kept.extend(named);
            self.explained.entry(group).or_default().extend(names);
        }
        Ok(())
    }

    /// Notes machines that this run has ended together with their place: it knows why they end.
    pub(super) fn note_endings(&mut self, step: &Step) {
        if let Step::Terminate { group, machines, shrink: true } = step {
            let names = machines.iter().map(|id| tail(id).to_owned());
            self.explained.entry(group.clone()).or_default().extend(names);
        }
    }

    /// Machines that notes name, and that end for a reason that this run does not know, by group.
    pub(super) fn ends_unexplained(&self) -> BTreeMap<String, Vec<String>> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for group in self.groups.values() {
            let members = self.members.get(&group.name).map(Vec::as_slice).unwrap_or_default();
            let stays = |name: &str| {
                members.iter().any(|m| {
                    tail(&m.instance_id) == name && stage_of(&m.lifecycle_state) != Stage::Leaving
                })
            };
            let is_known = |name: &String| {
                self.explained.get(&group.name).is_some_and(|known| known.contains(name))
            };
            let named = group.mark.iter().flat_map(|mark| &mark.giving);
            for name in named.filter(|name| !stays(name) && !is_known(name)) {
                found.entry(group.name.clone()).or_default().push(name.clone());
            }
        }
        found
    }
}
