//! Certificates of authorities that end soon, or have ended.

use jiff::Timestamp;

use crate::cloud::{Observation, authority};
use crate::finding::Finding;
use crate::pki::{State, state_of_authority};
use crate::resource::{Attribute, Key, Kind};

/// What to do about an authority, for every place that tells of it: nobody replaces one by himself.
pub const AUTHORITY_WAY_OUT: &str = "make a cluster beside this one and move to it in time; what an \
                                     authority signed is refused the moment another takes its place";

/// Each observed authority that does not stand well, by its address.
pub fn ending(observation: &Observation) -> Vec<(Key, State)> {
    let Ok(now) = observation.taken_at.parse::<Timestamp>() else { return Vec::new() };
    let owned = observation.resources.iter().filter(|(_, found)| found.ownership.is_owned());
    owned
        .filter(|(key, _)| key.kind == Kind::Authority)
        .filter_map(|(key, found)| {
            let known = authority::of_key(key, &observation.cluster)?;
            let public = found.attributes.get(&Attribute::Certificate)?;
            let (state, _) = state_of_authority(&known, &observation.cluster, Some(public), now);
            (!state.is_well()).then(|| (key.clone(), state))
        })
        .collect()
}

/// A remark for each of them.
pub(super) fn findings(observation: &Observation) -> Vec<Finding> {
    let remark = |(key, state): (Key, State)| {
        Finding::warning(state.to_string()).hint(AUTHORITY_WAY_OUT).field(key.to_string())
    };
    ending(observation).into_iter().map(remark).collect()
}
