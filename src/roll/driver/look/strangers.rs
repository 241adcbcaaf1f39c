//! Nodes of machines that no picture of the cloud has shown yet: something was launched.

use std::time::Duration;

use jiff::Timestamp;

use super::super::edits::TRUST_AFTER;
use super::Look;
use super::assemble::stage_of;
use crate::apply::lease::later;
use crate::cloud::Instance;
use crate::kube::{KubeView, Node};
use crate::roll::Stage;

/// Nodes that come one after the other are looked at together.
const GATHER: Duration = Duration::from_secs(5);
/// A node whose machine nobody knows is looked up after so long, ready or not.
const STRANGE_MAX: Duration = Duration::from_secs(60);

impl Look<'_> {
    /// When to look at the cloud for nodes whose machine is in no picture of it; none where there is
    /// no such node. Machines that were launched together are looked at together, once all of them
    /// could count: a look at each would cost a call each.
    pub(in crate::roll::driver) fn strangers_due(&self, view: &KubeView) -> Option<Timestamp> {
        let is_known = |id: &String| {
            self.tagged.contains_key(id)
                || self.members.values().flatten().any(|m| m.instance_id == *id)
        };
        // A picture shows whatever was launched well before it: what joined earlier is none of ours.
        let is_new = |node: &Node| later(node.created_at, TRUST_AFTER) > self.seen_at;
        let is_stranger = |node: &&Node| {
            is_new(node) && node.instance_id.as_ref().is_some_and(|id| !is_known(id))
        };
        let strangers: Vec<&Node> = view.nodes.values().filter(is_stranger).collect();
        let joined = strangers.iter().map(|node| node.created_at).min()?;
        let soak = self.policy.groups.values().map(|group| group.soak).max().unwrap_or_default();
        let ready = strangers.iter().filter_map(|node| node.ready_since());
        let mut counts: Vec<Timestamp> = ready.map(|at| later(at, soak)).collect();
        counts.sort();
        let all = counts.get(self.lacking().saturating_sub(1)).copied();
        let some = counts.first().map(|at| later(*at, GATHER));
        [all, some].into_iter().flatten().chain([later(joined, STRANGE_MAX)]).min()
    }

    /// Machines that groups are to get, by the last picture and what was done since.
    fn lacking(&self) -> usize {
        let rolled = self.groups.values().filter(|group| group.mark.is_some());
        let lacks = rolled.map(|group| {
            let members = self.members.get(&group.name).into_iter().flatten();
            let stays = |m: &&Instance| {
                stage_of(&m.lifecycle_state) != Stage::Leaving && !self.edits.ends(&m.instance_id)
            };
            let count = members.filter(stays).count();
            usize::try_from(group.desired).unwrap_or(0).saturating_sub(count)
        });
        lacks.sum()
    }
}
