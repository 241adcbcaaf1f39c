//! Assets: written once under a name that is their digest, and never changed. An object of another length
//! is not what its name says; it goes, and the asset is made again.

use super::{Step, StepError, immutable};
use crate::cloud::Call;
use crate::resource::Asset;

pub(super) fn create(wanted: &Asset) -> Vec<Step> {
    let Asset { cluster, sha256, size, .. } = wanted.clone();
    vec![Step::ready(Call::CreateAsset { cluster, sha256, size })]
}

pub(super) fn keep(now: &Asset, wanted: &Asset) -> Result<Vec<Step>, StepError> {
    immutable("asset", now, wanted).map(|()| Vec::new())
}

pub(super) fn delete(there: &Asset) -> Vec<Step> {
    vec![Step::ready(Call::DeleteObject { key: there.key.clone() })]
}
