//! Authorities: the key first, under the one condition that there is none, then what others trust it by.
//!
//! The key is made by whoever carries out the call, and goes from there into the parameter: no step,
//! plan or journal ever holds it.

use std::iter;

use super::{Step, StepContext, StepError};
use crate::cloud::Call;
use crate::resource::{Attribute, Authority, KOPS_CLUSTER_TAG, OWNER_TAG, Tags};

pub(super) fn create(wanted: &Authority, context: &StepContext<'_>) -> Vec<Step> {
    let create = Call::CreateAuthority {
        cluster: wanted.cluster.clone(),
        authority: wanted.authority.clone(),
        parameter: wanted.secret_parameter.clone(),
        tags: tags(context),
    };
    iter::once(Step::ready(create)).chain(publish(wanted, context)).collect()
}

/// What a killed run left half: the key is there, and tells its certificate. Nothing else of an
/// authority ever changes.
pub(super) fn finish(
    now: &Authority,
    wanted: &Authority,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    if now == wanted {
        return Ok(Vec::new());
    }
    let is_half = now.public_parameter.is_none();
    let whole = Authority { public_parameter: wanted.public_parameter.clone(), ..now.clone() };
    if !is_half || whole != *wanted {
        return Err(StepError::Immutable("authority"));
    }
    let read = Call::ReadAuthority {
        cluster: wanted.cluster.clone(),
        authority: wanted.authority.clone(),
        parameter: wanted.secret_parameter.clone(),
    };
    Ok(iter::once(Step::ready(read)).chain(publish(wanted, context)).collect())
}

/// Both parameters in one call: a name that is not there is no error.
pub(super) fn delete(there: &Authority) -> Vec<Step> {
    let public = there.public_parameter.clone();
    let parameters = public.into_iter().chain([there.secret_parameter.clone()]).collect();
    vec![Step::ready(Call::DeleteAuthority { parameters })]
}

fn publish(wanted: &Authority, context: &StepContext<'_>) -> Option<Step> {
    let (parameter, tags) = (wanted.public_parameter.clone()?, tags(context));
    Some(Step::with_own(move |own| {
        Ok(Call::PublishAuthority {
            parameter: parameter.clone(),
            certificate: own.get(Attribute::Certificate)?,
            tags: tags.clone(),
        })
    }))
}

/// For people and for bills; the name says whose it is.
fn tags(context: &StepContext<'_>) -> Tags {
    let owner = |key: &str| (key.to_owned(), context.cluster.to_owned());
    [owner(OWNER_TAG), owner(KOPS_CLUSTER_TAG)].into()
}
