//! etcd volumes and network interfaces: what outlives a machine.

use super::{Step, StepContext, StepError, TagEdit, immutable, told};
use crate::cloud::{Call, Observed};
use crate::resource::{Attribute, NetworkInterface, Ref, Volume};

pub(super) fn create_volume(wanted: &Volume, context: &StepContext<'_>) -> Vec<Step> {
    let mut made = wanted.clone();
    made.tags = context.with_digest(&wanted.tags);
    vec![Step::ready(Call::CreateVolume {
        volume: Box::new(made),
        client_token: context.token(&context.digest),
    })]
}

pub(super) fn update_volume(
    now: &Volume,
    wanted: &Volume,
    observed: &Observed,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    immutable("availability_zone", &now.availability_zone, &wanted.availability_zone)?;
    immutable("encrypted", &now.encrypted, &wanted.encrypted)?;
    immutable("kms_key_id", &now.kms_key_id, &wanted.kms_key_id)?;
    if wanted.size < now.size {
        return Err(StepError::Immutable("size"));
    }
    let volume_id = told(observed, Attribute::Id)?;
    let shape = |v: &Volume| (v.size, v.volume_type.clone(), v.iops, v.throughput);
    let mut steps = Vec::new();
    if shape(now) != shape(wanted) {
        steps.push(Step::ready(Call::ModifyVolume {
            volume_id: volume_id.clone(),
            size: wanted.size,
            volume_type: wanted.volume_type.clone(),
            iops: wanted.iops,
            throughput: wanted.throughput,
        }));
    }
    let edit = TagEdit::between(&now.tags, &wanted.tags, observed, context);
    steps.extend(edit.ec2_steps(&volume_id));
    Ok(steps)
}

pub(super) fn delete_volume(observed: &Observed) -> Result<Vec<Step>, StepError> {
    Ok(vec![Step::ready(Call::DeleteVolume { volume_id: told(observed, Attribute::Id)? })])
}

pub(super) fn create_interface(wanted: &NetworkInterface, context: &StepContext<'_>) -> Vec<Step> {
    let mut made = wanted.clone();
    made.tags = context.with_digest(&wanted.tags);
    vec![Step::ready(Call::CreateNetworkInterface {
        interface: Box::new(made),
        client_token: context.token(&context.digest),
    })]
}

pub(super) fn update_interface(
    now: &NetworkInterface,
    wanted: &NetworkInterface,
    observed: &Observed,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    immutable("subnet_id", &now.subnet_id, &wanted.subnet_id)?;
    let id = told(observed, Attribute::Id)?;
    let mut steps = Vec::new();
    if now.groups != wanted.groups {
        steps.push(Step::ready(Call::ModifyNetworkInterfaceGroups {
            network_interface_id: id.clone(),
            groups: wanted.groups.iter().map(Ref::to_string).collect(),
        }));
    }
    if now.description != wanted.description {
        steps.push(Step::ready(Call::ModifyNetworkInterfaceDescription {
            network_interface_id: id.clone(),
            description: wanted.description.clone(),
        }));
    }
    let edit = TagEdit::between(&now.tags, &wanted.tags, observed, context);
    steps.extend(edit.ec2_steps(&id));
    Ok(steps)
}

pub(super) fn delete_interface(observed: &Observed) -> Result<Vec<Step>, StepError> {
    let network_interface_id = told(observed, Attribute::Id)?;
    Ok(vec![Step::ready(Call::DeleteNetworkInterface { network_interface_id })])
}
