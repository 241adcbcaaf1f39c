//! Who takes a snapshot now: one healthy member at a time, the leader last.
//!
//! In each slot of time one snapshot is due. Members take turns; who is next in turn steps in some minutes
//! later if the one before does not manage. A claim in the list, written under a condition, keeps two from
//! taking one at the same time.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::slot::Slots;
use super::{List, Request, Schedule};

/// How long a claim holds, in seconds: a snapshot of the largest database is taken, uploaded and read
/// back in less. Whoever claimed and was ended is not waited for longer.
pub const CLAIM_SECS_MAX: i64 = 1200;
/// After how long the next in turn steps in, in seconds; a sixth of the interval where that is less.
const STEP_IN_SECS: u64 = 600;
/// The same where somebody waits for it.
const STEP_IN_ASKED_SECS: i64 = 30;

/// What a member knows when it asks.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// The cluster.
    pub cluster: &'a str,
    /// The member.
    pub name: &'a str,
    /// The token of its epoch.
    pub token: &'a str,
    /// Whether it is a healthy voter of a closed epoch.
    pub is_well: bool,
    /// The members that vote, as it knows them.
    pub voters: &'a BTreeSet<String>,
    /// Who leads.
    pub leader: Option<&'a str>,
}

/// Why a snapshot is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The slot has none.
    Due,
    /// It was asked for.
    Asked {
        /// The request.
        request: String,
    },
}

/// What a member does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It takes one.
    Take(Reason),
    /// Not before this moment, unless something else changes.
    NotBefore(Timestamp),
}

/// Whether a member takes a snapshot now.
pub fn turn(
    member: &Member<'_>,
    list: &List,
    request: Option<&Request>,
    schedule: &Schedule,
    now: Timestamp,
) -> Turn {
    let asked = request.filter(|request| {
        request.is_alive(now)
            && list.answer_to(&request.id).is_none()
            && request.member.as_deref().is_none_or(|wanted| wanted == member.name)
    });
    let is_last = asked.is_some_and(|request| request.alone);
    let may = member.is_well || is_last;
    let due_at = match (asked, &list.claim) {
        _ if !may => return Turn::NotBefore(later(now, schedule.interval_secs)),
        // Whoever is the last one that is left waits for nobody.
        (_, Some(claim)) if !is_last && claim.member != member.name && is_held(claim.at, now) => {
            return Turn::NotBefore(plus(claim.at, CLAIM_SECS_MAX));
        }
        (Some(request), _) => {
            let rank = if request.member.is_some() { 0 } else { rank(member, 0) };
            let wait = STEP_IN_ASKED_SECS.saturating_mul(rank);
            (plus(request.asked_at, wait), Reason::Asked { request: request.id.clone() })
        }
        (None, _) => (due_at(member, list, schedule, now), Reason::Due),
    };
    match due_at {
        (at, reason) if at <= now => Turn::Take(reason),
        (at, _) => Turn::NotBefore(at),
    }
}

/// When this member takes the next one, if nobody else does before.
fn due_at(member: &Member<'_>, list: &List, schedule: &Schedule, now: Timestamp) -> Timestamp {
    // Without any of this epoch there is nothing to wait for.
    let Some(newest) = list.newest_of(member.token) else { return now };
    let slots = Slots::of(member.cluster, schedule);
    let slot = slots.at(now);
    let due = if newest.taken_at < slots.begin(slot) { slot } else { slot.saturating_add(1) };
    let step = i64::try_from(STEP_IN_SECS.min(schedule.interval_secs / 6)).unwrap_or(0);
    plus(slots.begin(due), step.saturating_mul(rank(member, due)))
}

/// How many go before this member: in each slot another follower begins, and the leader, which has most
/// to do, comes last.
fn rank(member: &Member<'_>, slot: i64) -> i64 {
    let is_leader = |name: &&String| member.leader == Some(name.as_str());
    let followers: Vec<&String> = member.voters.iter().filter(|name| !is_leader(name)).collect();
    let count = i64::try_from(followers.len()).unwrap_or(0);
    match followers.iter().position(|name| *name == member.name) {
        Some(at) => (i64::try_from(at).unwrap_or(0) - slot).rem_euclid(count.max(1)),
        None => count,
    }
}

fn is_held(since: Timestamp, now: Timestamp) -> bool {
    (-CLAIM_SECS_MAX..CLAIM_SECS_MAX).contains(&now.duration_since(since).as_secs())
}

fn plus(at: Timestamp, secs: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(secs)).unwrap_or(Timestamp::MAX)
}

fn later(now: Timestamp, secs: u64) -> Timestamp {
    plus(now, i64::try_from(secs).unwrap_or(i64::MAX))
}
