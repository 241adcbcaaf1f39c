//! A cluster's keys and certificates, for people.

use std::fmt::Write;

use jiff::Timestamp;

use super::Style;
use super::finding::wrap;
use crate::pki::{MemberLeaves, Place, State, Status};

/// Digits of a fingerprint that tell two apart at a glance.
const SHOWN: usize = 16;

/// Renders how the authorities and the members' certificates stand.
pub fn text(status: &Status, is_simulated: bool, width: usize, style: Style) -> String {
    let mut text = String::new();
    let simulated =
        if is_simulated { format!("{} ", style.warning("SIMULATED")) } else { String::new() };
    let title = style.heading(&status.cluster);
    let _ = writeln!(text, "{simulated}{title} at {}\n", status.observed_at);
    authorities(&mut text, status);
    members(&mut text, status);
    let told = complaints(status);
    if !told.is_empty() {
        let _ = writeln!(text, "\n{}", style.heading(&format!("Wrong ({})", told.len())));
    }
    for (whose, state, hint) in told {
        let _ = writeln!(text, "  {}", wrap(&format!("{whose}: {state}"), width, 2, 4));
        let hint = wrap(hint, width, 10, 10);
        let _ = writeln!(text, "    {} {hint}", style.hint("hint:"));
    }
    text
}

fn authorities(text: &mut String, status: &Status) {
    let _ = writeln!(
        text,
        "{:<18}  {:<16}  {:<7}  {:<10}  FINGERPRINT",
        "AUTHORITY", "KEY IS FOR", "STATE", "UNTIL"
    );
    for one in &status.authorities {
        let place = match one.authority.place() {
            Place::ControlPlane => "control plane".to_owned(),
            Place::Etcd(etcd) => format!("hosts of {etcd}"),
        };
        let digits = one.fingerprint.as_deref().and_then(|all| all.get(..SHOWN));
        let (name, state) = (one.authority.to_string(), one.state.word());
        let (until, digits) = (date(one.state.until()), digits.unwrap_or("-"));
        let _ = writeln!(text, "{name:<18}  {place:<16}  {state:<7}  {until:<10}  {digits}");
    }
}

fn members(text: &mut String, status: &Status) {
    let names = status.members.iter().map(|member| member.member.chars().count());
    let column = names.max().unwrap_or_default().max("MEMBER".len());
    let mut etcd = "";
    for member in &status.members {
        if member.etcd != etcd {
            etcd = &member.etcd;
            let _ = writeln!(
                text,
                "\netcd {etcd}\n  {:column$}  {:<6}  {:<7}  {:<10}  RENEWED FROM",
                "MEMBER", "LEAF", "STATE", "UNTIL"
            );
        }
        leaves(text, member, column);
    }
}

fn leaves(text: &mut String, member: &MemberLeaves, column: usize) {
    let name = &member.member;
    if member.leaves.is_empty() {
        let _ = writeln!(text, "  {name:column$}  no machine has told of its certificates yet");
    }
    for (leaf, status) in &member.leaves {
        let (leaf, state, until) = (leaf.as_str(), status.state.word(), date(status.state.until()));
        let renewed = date(status.renewed_from);
        let _ = writeln!(text, "  {name:column$}  {leaf:<6}  {state:<7}  {until:<10}  {renewed}");
    }
}

fn date(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// What somebody has to see to: whose it is, what is the matter, the way out.
fn complaints(status: &Status) -> Vec<(String, &State, &'static str)> {
    let wrong = status
        .authorities
        .iter()
        .filter(|one| !one.state.is_well())
        .map(|one| (one.authority.to_string(), &one.state, one.state.authority_way_out()));
    let leaves = status.members.iter().flat_map(|member| {
        let wrong = member.leaves.iter().filter(|(_, leaf)| !leaf.state.is_well());
        wrong.map(move |(kind, leaf)| {
            let whose = format!("etcd {} {}: {}", member.etcd, member.member, kind.as_str());
            (whose, &leaf.state, LEAF_WAY_OUT)
        })
    });
    wrong.chain(leaves).collect()
}

/// What to do about a leaf.
pub(super) const LEAF_WAY_OUT: &str = "its machine renews it by itself; see the journal there for why it does not, or \
     replace the machine";

#[cfg(test)]
mod tests;
