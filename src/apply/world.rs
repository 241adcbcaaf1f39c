//! What a run knows: its newest observation, and over it what its own replies told. Reads lag behind
//! writes, replies do not.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::steps::Own;
use crate::cloud::Observation;
use crate::plan::{Action, Change};
use crate::resource::{Attribute, Key, Ref, Resource};

/// A change that this run has made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// What was done.
    pub(super) action: Action,
    /// Ids and so on, from replies.
    pub(super) own: Own,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct World {
    observation: Option<(Timestamp, std::sync::Arc<Observation>)>,
    made: BTreeMap<Key, Made>,
}

impl World {
    /// The observation, unless it is older than `oldest`.
    pub(super) fn seen_since(&self, oldest: Timestamp) -> Option<std::sync::Arc<Observation>> {
        let (at, observation) = self.observation.as_ref()?;
        (*at >= oldest).then(|| observation.clone())
    }

    /// Takes over a new observation, asked for at `at`.
    pub(super) fn see(&mut self, at: Timestamp, observation: std::sync::Arc<Observation>) {
        self.observation = Some((at, observation));
    }

    /// Remembers a change that is made.
    pub(super) fn remember(&mut self, key: &Key, made: Made) {
        self.made.insert(key.clone(), made);
    }

    /// Whether this run made the resource anew.
    pub(super) fn is_new(&self, key: &Key) -> bool {
        let anew = [Action::Create, Action::Replace];
        self.made.get(key).is_some_and(|made| anew.contains(&made.action))
    }

    /// An attribute of any resource: as a reply told it, else as observed.
    pub(super) fn attribute(
        &self,
        observation: &Observation,
        key: &Key,
        attribute: Attribute,
    ) -> Option<String> {
        if let Some(made) = self.made.get(key) {
            return made.own.attributes.get(&attribute).cloned();
        }
        let observed = observation.resources.get(key)?;
        match (attribute, &observed.template) {
            (Attribute::Target, Some(template)) => {
                let (version, revision, _) = template.wanted.as_ref()?;
                Some(format!("{version}:{revision}"))
            }
            _ => observed.attributes.get(&attribute).cloned(),
        }
    }

    /// The wanted resource with every reference replaced that is known by now.
    pub(super) fn resolve(
        &self,
        change: &Change,
        observation: &Observation,
    ) -> Result<Option<Resource>, serde_json::Error> {
        let lookup = |key: &Key, attribute| self.attribute(observation, key, attribute);
        change.after.as_ref().map(|after| after.resolve(&lookup)).transpose()
    }

    /// Whether this run made what this change's resource is part of: a group for its rules, a
    /// balancer for its listener, a zone for its names.
    pub(super) fn parent_is_new(&self, change: &Change) -> bool {
        let parent = match &change.after {
            Some(Resource::SecurityGroupRules(rules)) => &rules.group_id,
            Some(Resource::Listener(listener)) => &listener.load_balancer_arn,
            Some(Resource::DnsName(name)) => &name.hosted_zone_id,
            _ => return false,
        };
        matches!(parent, Ref::Of(key, _) if self.is_new(key))
    }
}
