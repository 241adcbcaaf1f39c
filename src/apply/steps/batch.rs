//! Changes of several DNS names as batches that Route53 takes.

use std::collections::BTreeMap;

use crate::cloud::Call;
use crate::resource::{BatchSize, RecordSet};

type Records = BTreeMap<(String, String), RecordSet>;

/// One call, and whose parts it is made of.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::apply) struct Batch<T> {
    /// The call.
    pub(in crate::apply) call: Call,
    /// Whose, in their order.
    pub(in crate::apply) members: Vec<T>,
}

/// Puts calls that change records of one zone together, in their order, as many in each batch as fit.
/// Any other call stays alone, as does one that alone is too large: Route53 then says so.
pub(in crate::apply) fn split<T>(items: Vec<T>, call_of: impl Fn(&T) -> &Call) -> Vec<Batch<T>> {
    let mut batches: Vec<Batch<T>> = Vec::new();
    for item in items {
        let call = call_of(&item).clone();
        let joined = batches.last().and_then(|batch| join(&batch.call, &call));
        match (joined, batches.last_mut()) {
            (Some(joined), Some(batch)) => {
                batch.call = joined;
                batch.members.push(item);
            }
            _ => batches.push(Batch { call, members: vec![item] }),
        }
    }
    batches
}

/// Both as one call, if they are of one zone and fit.
fn join(first: &Call, second: &Call) -> Option<Call> {
    let (first_zone, first_delete, first_upsert) = parts(first)?;
    let (zone, delete, upsert) = parts(second)?;
    let together = |first: &Records, second: &Records| -> Records {
        first.iter().chain(second).map(|(key, set)| (key.clone(), set.clone())).collect()
    };
    let (delete, upsert) = (together(first_delete, delete), together(first_upsert, upsert));
    let fits = BatchSize::of(&delete, &upsert).fits();
    (zone == first_zone && fits).then(|| Call::ChangeResourceRecordSets {
        hosted_zone_id: zone.to_owned(),
        delete,
        upsert,
    })
}

fn parts(call: &Call) -> Option<(&str, &Records, &Records)> {
    match call {
        Call::ChangeResourceRecordSets { hosted_zone_id, delete, upsert } => {
            Some((hosted_zone_id, delete, upsert))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::resource::Ref;

    fn name(number: usize, values: usize, length: usize) -> Call {
        let value = |n: usize| Ref::Known(format!("{n:0length$}"));
        let set = RecordSet {
            ttl: Some(60),
            resource_records: (0..values).map(value).collect::<BTreeSet<_>>(),
            alias_target: None,
        };
        Call::ChangeResourceRecordSets {
            hosted_zone_id: "Z1".to_owned(),
            delete: BTreeMap::new(),
            upsert: BTreeMap::from([((format!("n{number}"), "A".to_owned()), set)]),
        }
    }

    fn size(call: &Call) -> BatchSize {
        parts(call).map(|(_, delete, upsert)| BatchSize::of(delete, upsert)).unwrap_or_default()
    }

    proptest! {
        #[test]
        fn every_name_is_in_one_batch_and_every_batch_fits(
            shapes in prop::collection::vec((1..90usize, 4..200usize), 0..60),
        ) {
            let calls: Vec<Call> =
                shapes.iter().enumerate().map(|(n, (v, l))| name(n, *v, *l)).collect();
            let batches = split(calls.clone(), |call| call);
            let members: Vec<Call> = batches.iter().flat_map(|b| b.members.clone()).collect();
            prop_assert_eq!(&members, &calls);
            for batch in &batches {
                prop_assert!(batch.members.len() == 1 || size(&batch.call).fits());
                let sum: usize = batch.members.iter().map(|c| size(c).elements).sum();
                prop_assert_eq!(size(&batch.call).elements, sum);
            }
            for (first, second) in batches.iter().zip(batches.iter().skip(1)) {
                prop_assert!(join(&first.call, &second.members[0]).is_none(), "one batch too many");
            }
        }
    }

    #[test]
    fn five_hundred_names_are_one_batch_and_one_more_is_two() {
        let batches = |count| split((0..count).map(|n| name(n, 1, 7)).collect(), |call| call).len();
        assert_eq!((batches(500), batches(501)), (1, 2));
    }

    #[test]
    fn zones_do_not_mix() {
        let Call::ChangeResourceRecordSets { delete, upsert, .. } = name(1, 1, 7) else { return };
        let other =
            Call::ChangeResourceRecordSets { hosted_zone_id: "Z2".to_owned(), delete, upsert };
        assert_eq!(split(vec![name(1, 1, 7), other], |call| call).len(), 2);
    }
}
