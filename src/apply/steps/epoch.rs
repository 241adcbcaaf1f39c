//! Epochs of etcd: opened under the one condition that there is none, and never touched again. Members
//! close them; a restore follows them by another one.

use super::{Step, StepError, immutable};
use crate::cloud::{Call, epoch};
use crate::resource::Epoch;

pub(super) fn create(wanted: &Epoch) -> Vec<Step> {
    vec![Step::ready(Call::CreateEpoch {
        cluster: wanted.cluster.clone(),
        etcd: wanted.etcd.clone(),
        members: wanted.members.clone(),
    })]
}

pub(super) fn keep(now: &Epoch, wanted: &Epoch) -> Result<Vec<Step>, StepError> {
    immutable("epoch", now, wanted).map(|()| Vec::new())
}

/// With what members have said: whoever comes upon an epoch that is gone must not find that a cluster
/// was there.
pub(super) fn delete(there: &Epoch) -> Vec<Step> {
    let objects = epoch::objects(there).into_iter();
    objects.map(|key| Step::ready(Call::DeleteObject { key })).collect()
}
