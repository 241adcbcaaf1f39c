//! How the authorities that were observed stand: those that somebody has to see to.

use jiff::Timestamp;

use crate::cloud::{Observation, Observed, authority};
use crate::finding::Finding;
use crate::pki::{self, State, state_of_authority};
use crate::resource::{Attribute, Key, Kind, Resource};

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

/// A remark for each of them but those whose key is gone, which the plan refuses and so says already, and
/// those that end, of which a lint tells.
pub(super) fn findings(observation: &Observation) -> Vec<Finding> {
    let told = authorities_in_need(observation).into_iter();
    let told = told.filter(|(_, state)| *state != State::Keyless && !state.ends());
    let remark = |(key, state): (Key, State)| {
        let finding = Finding::warning(state.to_string()).field(key.to_string());
        finding.hint(state.authority_way_out())
    };
    told.map(remark).collect()
}
