//! How a cluster's etcd stands, for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;

use super::Style;
use super::finding::wrap;
use super::roll::{between, by_reason, duration};
use crate::etcd::{EtcdStanding, MemberStanding, MemberState, Standing, Version, Why};

/// Renders how the etcd clusters stand.
pub fn text(standing: &Standing, is_simulated: bool, width: usize, style: Style) -> String {
    let mut text = String::new();
    let simulated =
        if is_simulated { format!("{} ", style.warning("SIMULATED")) } else { String::new() };
    let title = style.heading(&standing.cluster);
    let _ = writeln!(text, "{simulated}{title} at {}", standing.observed_at);
    for (name, etcd) in &standing.etcds {
        let _ = writeln!(text, "\n{}  {}", style.heading(&format!("etcd {name}")), size(etcd));
        members(&mut text, etcd, standing.observed_at);
        let _ = writeln!(text, "  {}", wrap(&versions(etcd), width, 2, 4));
        let _ = writeln!(text, "  {}", snapshot(etcd, standing.observed_at));
        outages(&mut text, etcd);
        complaints(&mut text, etcd, width, style);
    }
    text
}

fn size(etcd: &EtcdStanding) -> String {
    let domains = &etcd.domains;
    let fail = match (domains.headroom(), domains.headroom_in_maintenance()) {
        (0, _) => "none may fail".to_owned(),
        (some, less) => format!("{some} may fail, {less} while a machine is replaced"),
    };
    match domains.members {
        1 => "1 member, none may fail".to_owned(),
        members => format!("{members} members, {} are a quorum: {fail}", domains.quorum),
    }
}

fn members(text: &mut String, etcd: &EtcdStanding, now: Timestamp) {
    let names = etcd.members.keys().map(|name| name.chars().count());
    let column = names.max().unwrap_or_default().max("MEMBER".len());
    let _ = writeln!(
        text,
        "  {:column$}  {:<12}  {:<19}  {:<11}  {:>5}  {:>4}  REPORTED",
        "MEMBER", "ZONE", "MACHINE", "STATE", "TERM", "LAG"
    );
    for (name, member) in &etcd.members {
        let fact = member.fact.as_ref();
        let number = |of: Option<u64>| of.map_or_else(|| "-".to_owned(), |of| of.to_string());
        let reported = fact.map_or_else(
            || "never".to_owned(),
            |fact| format!("{} ago", duration(between(fact.written_at, now))),
        );
        let _ = writeln!(
            text,
            "  {name:column$}  {:<12}  {:<19}  {:<11}  {:>5}  {:>4}  {reported}",
            member.zone.as_deref().unwrap_or("-"),
            fact.map_or("-", |fact| &fact.report.instance_id),
            state(member),
            number(fact.map(|fact| fact.report.term)),
            number(fact.map(|fact| fact.report.lag)),
        );
    }
}

/// What the members run, and at which version they work together.
fn versions(etcd: &EtcdStanding) -> String {
    let mut running: BTreeMap<Version, Vec<&str>> = BTreeMap::new();
    for (name, member) in &etcd.members {
        if let Some(version) = member.fact.as_ref().and_then(|fact| fact.report.version) {
            running.entry(version).or_default().push(name);
        }
    }
    let cluster = etcd.cluster_version;
    let cluster = cluster.map_or_else(|| "not decided".to_owned(), |version| version.to_string());
    let told = running.iter().map(|(version, members)| match members.len() {
        all if all == etcd.members.len() => format!("all members run {version}"),
        _ => format!("{version}: {}", members.join(", ")),
    });
    let told = std::iter::once(format!("cluster version {cluster}")).chain(told);
    told.collect::<Vec<_>>().join("; ")
}

fn state(member: &MemberStanding) -> &'static str {
    match member.state {
        MemberState::NotHealthy => "not healthy",
        MemberState::NoReport => "no report",
        state => state.word(),
    }
}

fn snapshot(etcd: &EtcdStanding, now: Timestamp) -> String {
    match etcd.snapshot_at {
        Some(at) => format!("newest verified snapshot {} ago", duration(between(at, now))),
        None => "no verified snapshot".to_owned(),
    }
}

/// What each zone's outage leaves: by the plan, at the worst moment of a replacement, and now.
fn outages(text: &mut String, etcd: &EtcdStanding) {
    if etcd.domains.outages.is_empty() {
        return;
    }
    let left = |members: usize| match etcd.domains.is_quorum(members) {
        true => members.to_string(),
        false => format!("{members}, no quorum"),
    };
    let _ = writeln!(text, "  {:<14}  {:<14}  {:<19}  NOW", "WITHOUT", "LEAVES", "IN MAINTENANCE");
    for (zone, outage) in &etcd.domains.outages {
        let _ = writeln!(
            text,
            "  {zone:<14}  {:<14}  {:<19}  {}",
            left(outage.left),
            left(outage.left_in_maintenance),
            left(outage.left_now),
        );
    }
}

fn complaints(text: &mut String, etcd: &EtcdStanding, width: usize, style: Style) {
    if etcd.complaints.is_empty() {
        return;
    }
    let told = by_reason(&etcd.complaints);
    let _ = writeln!(text, "  {}", style.heading(&format!("Wrong ({})", told.len())));
    for (_, whose, why) in told {
        let what = match why {
            // Nobody goes: those that are up are all there is.
            Why::Quorum { healthy_after, needed, members } => {
                format!("no quorum: {healthy_after} of {members} members are up, {needed} have to")
            }
            why => why.to_string(),
        };
        let whose = if whose.is_empty() { whose } else { format!("{whose}: ") };
        let _ = writeln!(text, "    {}", wrap(&format!("{whose}{what}"), width, 4, 6));
        let hint = wrap(why.way_out(), width, 12, 12);
        let _ = writeln!(text, "      {} {hint}", style.hint("hint:"));
    }
}

#[cfg(test)]
mod tests;
