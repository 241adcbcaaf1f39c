//! Reads what etcd's members report from the state bucket.

use crate::apply::pool::{Task, bounded};
use crate::apply::store::{PATIENT, persist};
use crate::cloud::{Cloud, Entry, StoreError};
use crate::etcd::report::report_key;
use crate::etcd::{Facts, MemberFact, MemberReport, Topology};

/// Reads under way at once.
const AT_ONCE: usize = 8;

/// The newest report of every member of a topology, after what was `known` before: two reports in a
/// row are seen by looking twice. A member without a report, or with one that this kprod cannot read,
/// is left out; the guard names it.
///
/// # Errors
/// When the state bucket does not answer, or refuses the credentials.
pub async fn read<C: Cloud>(
    cloud: &C,
    cluster: &str,
    topology: &Topology,
    known: &Facts,
) -> Result<Facts, StoreError> {
    let places = topology.clusters.iter().flat_map(|(etcd, members)| {
        members.members.keys().map(move |member| (etcd.as_str(), member.as_str()))
    });
    let places: Vec<(&str, &str)> = places.collect();
    let reads = places.iter().map(|(etcd, member)| {
        let key = report_key(cluster, etcd, member);
        let read: Task<'_, _> =
            Box::pin(async move { persist(cloud, PATIENT, || cloud.get(&key)).await });
        read
    });
    let entries = bounded(AT_ONCE, reads.collect()).await;
    let mut facts = Facts::new();
    for ((etcd, member), entry) in places.into_iter().zip(entries) {
        let before = known.get(etcd).and_then(|members| members.get(member));
        if let Some(fact) = entry?.and_then(|entry| fact(member, &entry, before)) {
            facts.entry(etcd.to_owned()).or_default().insert(member.to_owned(), fact);
        }
    }
    Ok(facts)
}

/// What an object says of a member, if it is a report of that member in a form we know.
fn fact(member: &str, entry: &Entry, before: Option<&MemberFact>) -> Option<MemberFact> {
    let report: MemberReport = serde_json::from_slice(&entry.body).ok()?;
    let is_ours = report.format_version == MemberReport::FORMAT_VERSION && report.member == member;
    is_ours.then(|| MemberFact::next(before, report, entry.written_at))
}
