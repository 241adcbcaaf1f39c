//! How the authorities that were observed stand: those that somebody has to see to.

use jiff::Timestamp;

use crate::cloud::{Observation, Observed, authority};
use crate::finding::Finding;
use crate::pki::{self, State, state_of_authority};
use crate::resource::{Attribute, Key, Kind, Resource};

/// What to do about an authority that ends: nobody replaces one by himself.
const SUCCEED: &str = "make a cluster beside this one and move to it in time; what an authority \
                       signed is refused the moment another takes its place";

/// What to do about an authority whose key is gone.
pub(super) const PUT_KEY_BACK: &str = "put its secret parameter back as it was; what a new key \
                                       signs would be refused by all that trust its certificate";

/// What to do about an authority that does not stand well.
pub fn authority_way_out(state: &State) -> &'static str {
    match state {
        State::Missing => {
            "`kprod apply CLUSTER` makes it; if it was there before, put its parameters back instead"
        }
        State::Keyless => PUT_KEY_BACK,
        State::Wrong { .. } => {
            "somebody wrote over it: put back what was there, which the parameter's history has"
        }
        State::Early { .. } => "set the clock of whoever made it, and of who refuses it",
        State::Valid { .. } | State::Due { .. } | State::Ending { .. } | State::Ended { .. } => {
            SUCCEED
        }
    }
}

/// Each authority of ours that does not stand well, by its address. Whether a key is there only a deep
/// look tells.
pub fn authorities_in_need(observation: &Observation) -> Vec<(Key, State)> {
    let Ok(now) = observation.taken_at.parse::<Timestamp>() else { return Vec::new() };
    let owned = observation.resources.iter().filter(|(_, found)| found.ownership.is_owned());
    owned
        .filter(|(key, _)| key.kind == Kind::Authority)
        .filter_map(|(key, found)| {
            let known = authority::of_key(key, &observation.cluster)?;
            let state = state_of(&known, &observation.cluster, found, now)?;
            (!state.is_well()).then(|| (key.clone(), state))
        })
        .collect()
}

/// How one stands; none where nothing is public of it yet, which the next run finishes.
fn state_of(
    authority: &pki::Authority,
    cluster: &str,
    found: &Observed,
    now: Timestamp,
) -> Option<State> {
    let public = found.attributes.get(&Attribute::Certificate)?;
    match &found.resource {
        Resource::Authority(seen) if seen.key_spec.is_none() && found.unread.is_empty() => {
            Some(State::Keyless)
        }
        _ => Some(state_of_authority(authority, cluster, Some(public), now).0),
    }
}

/// A remark for each of them but those that the plan refuses, which says it already.
pub(super) fn findings(observation: &Observation) -> Vec<Finding> {
    let told = authorities_in_need(observation).into_iter();
    let told = told.filter(|(_, state)| *state != State::Keyless);
    let remark = |(key, state): (Key, State)| {
        Finding::warning(state.to_string()).hint(authority_way_out(&state)).field(key.to_string())
    };
    told.map(remark).collect()
}
