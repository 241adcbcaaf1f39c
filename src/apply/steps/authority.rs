//! Authorities: the key first, under the one condition that there is none, then what others trust it by.
//!
//! The key is made by whoever carries out the call, and goes from there into the parameter: no step,
//! plan or journal ever holds it.

use super::{Step, StepContext};
use crate::cloud::{Call, Observed};
use crate::resource::{Attribute, Authority, KOPS_CLUSTER_TAG, OWNER_TAG, Tags};

pub(super) fn create(wanted: &Authority, context: &StepContext<'_>) -> Vec<Step> {
    let create = Call::CreateAuthority {
        cluster: wanted.cluster.clone(),
        authority: wanted.authority.clone(),
        parameter: wanted.secret_parameter.clone(),
        tags: tags(context),
    };
    vec![Step::ready(create), publish(wanted, context)]
}

/// What a killed run left half: the key is there, and tells its certificate.
pub(super) fn finish(
    wanted: &Authority,
    observed: &Observed,
    context: &StepContext<'_>,
) -> Vec<Step> {
    if observed.attributes.contains_key(&Attribute::Certificate) {
        return Vec::new();
    }
    let read = Call::ReadAuthority {
        cluster: wanted.cluster.clone(),
        authority: wanted.authority.clone(),
        parameter: wanted.secret_parameter.clone(),
    };
    vec![Step::ready(read), publish(wanted, context)]
}

/// Both parameters in one call: a name that is not there is no error.
pub(super) fn delete(there: &Authority) -> Vec<Step> {
    let parameters = [there.public_parameter.clone(), there.secret_parameter.clone()].into();
    vec![Step::ready(Call::DeleteAuthority { parameters })]
}

fn publish(wanted: &Authority, context: &StepContext<'_>) -> Step {
    let (parameter, tags) = (wanted.public_parameter.clone(), tags(context));
    Step::with_own(move |own| {
        Ok(Call::PublishAuthority {
            parameter: parameter.clone(),
            certificate: own.get(Attribute::Certificate)?,
            tags: tags.clone(),
        })
    })
}

/// For people and for bills; the name says whose it is.
fn tags(context: &StepContext<'_>) -> Tags {
    let owner = |key: &str| (key.to_owned(), context.cluster.to_owned());
    [owner(OWNER_TAG), owner(KOPS_CLUSTER_TAG)].into()
}
