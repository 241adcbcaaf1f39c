//! What the control plane and its data rest on.

use std::collections::BTreeSet;

use super::Look;
use crate::cloud::Call;
use crate::etcd::guard::Limits;
use crate::rehearsal::act::Act;
use crate::rehearsal::ledger::{Ledger, MemberBook, count};
use crate::roll::RolloutRole;

/// I1: over all groups of control plane and etcd, at most one machine is away by kprod's acts. One that
/// goes, or whose drain begins, has every other one serving, unless that was lost too lately to be known.
/// One that never served takes nothing away when it goes.
pub fn i01(look: &Look<'_>) -> Result<(), String> {
    let mut going = quorum_machines(look);
    going.extend(look.drained().filter(|id| is_vital(look, id)));
    if going.is_empty() {
        return Ok(());
    }
    if going.len() > 1 {
        return Err(format!("{} machines of the control plane go at once", going.len()));
    }
    let ledger = look.ledger;
    if !going.iter().any(|id| ledger.machines[*id].has_served) {
        return Ok(());
    }
    for group in ledger.of_role(RolloutRole::is_quorum) {
        let Some(stored) = look.world.groups.get(group) else { continue };
        let own = going.iter().filter(|id| ledger.machines[**id].group == group).count();
        let others = ledger.machines.iter().filter(|(id, book)| {
            book.group == group && book.serves && !going.contains(id.as_str())
        });
        let fresh = ledger
            .fresh_losses(look.world.now)
            .filter(|loss| loss.group == group && !going.contains(loss.instance_id.as_str()));
        let there = count(others) + count(fresh);
        let wanted = stored.desired_capacity - i32::try_from(own).unwrap_or(0);
        if there < wanted {
            return Err(format!("{going:?} goes while {group} has {there} of {wanted} others"));
        }
    }
    Ok(())
}

/// I2: of each etcd cluster that loses a member, a quorum of healthy voters stays while the newcomer
/// counts for nothing. No flag changes that.
pub fn i02(look: &Look<'_>) -> Result<(), String> {
    each_member_that_goes(look, |etcd, leaving, members| {
        let voters = members.len();
        let healthy = members.iter().filter(|m| {
            m.member.member != leaving && (m.member.state.is_healthy || is_fresh(look, m))
        });
        let (healthy, needed) = (healthy.count(), voters / 2 + 1);
        if healthy >= needed {
            return Ok(());
        }
        Err(format!(
            "{etcd}: {healthy} of {voters} stay healthy without {leaving}, {needed} have to"
        ))
    })
}

/// I3: a verified snapshot exists that is younger than the policy asks, before a member goes.
pub fn i03(look: &Look<'_>) -> Result<(), String> {
    let most = look.ledger.policy.cluster.snapshot_age_max;
    each_member_that_goes(look, |etcd, leaving, members| {
        let newest = members.iter().filter_map(|m| m.member.state.snapshot_at).max();
        let Some(newest) = newest else {
            return Err(format!("{etcd}: {leaving} goes and there is no snapshot"));
        };
        let age_ms = look.world.now.since_ms(newest);
        let slack = Ledger::NOTICE_MS;
        if u128::from(age_ms) <= most.as_millis() + u128::from(slack) {
            return Ok(());
        }
        Err(format!("{etcd}: {leaving} goes, the newest snapshot is {} s old", age_ms / 1000))
    })
}

/// I4: no member goes while another one is a learner, has never started, or lags.
pub fn i04(look: &Look<'_>) -> Result<(), String> {
    each_member_that_goes(look, |etcd, leaving, members| {
        let behind = members.iter().find(|m| {
            let is_full = m.member.state.is_voter && m.member.state.lag <= Limits::LAG_MAX;
            m.member.member != leaving && !is_full && !is_fresh(look, m)
        });
        behind.map_or(Ok(()), |m| {
            Err(format!("{etcd}: {leaving} goes while {} is no full member", m.member.member))
        })
    })
}

/// I5: every other member runs on a machine of the group that the spec gives it, before one goes.
pub fn i05(look: &Look<'_>) -> Result<(), String> {
    each_member_that_goes(look, |etcd, leaving, members| {
        let stray = members.iter().find(|m| {
            let host = m.member.state.host.as_ref().and_then(|id| look.ledger.machines.get(id));
            let is_home = host.is_some_and(|book| book.group == m.member.group);
            m.member.member != leaving && !is_home && !is_fresh(look, m)
        });
        stray.map_or(Ok(()), |m| {
            Err(format!(
                "{etcd}: {leaving} goes while {} runs on {:?}",
                m.member.member, m.member.state.host
            ))
        })
    })
}

/// I12: of each target group of the API, another live target stays when a machine leaves it that was one.
pub fn i12(look: &Look<'_>) -> Result<(), String> {
    let mut going: BTreeSet<&str> = quorum_machines(look);
    if let Some(Act::Cloud(Call::DeregisterTargets { instance_ids, .. })) = look.act() {
        going.extend(instance_ids.iter().map(String::as_str));
    }
    let ledger = look.ledger;
    let is_api = |id: &&str| ledger.role_of(id) == Some(RolloutRole::ControlPlane);
    let has_served = |id: &&str| ledger.machines.get(*id).is_some_and(|book| book.has_served);
    let going: BTreeSet<&str> = going.into_iter().filter(is_api).filter(has_served).collect();
    if going.is_empty() {
        return Ok(());
    }
    let others = ledger
        .machines
        .iter()
        .filter(|(id, book)| book.serves && is_api(&id.as_str()) && !going.contains(id.as_str()));
    let fresh = ledger.fresh_losses(look.world.now).filter(|loss| {
        ledger.policy.groups.get(&loss.group).is_some_and(|g| g.role == RolloutRole::ControlPlane)
    });
    match count(others) + count(fresh) {
        0 => Err(format!("{going:?} leaves and no API server is left")),
        _ => Ok(()),
    }
}

/// Machines of control plane and etcd that an act takes away.
fn quorum_machines<'a>(look: &Look<'a>) -> BTreeSet<&'a str> {
    let Some(act) = look.act() else { return BTreeSet::new() };
    act.takes().into_iter().filter(|id| is_vital(look, id)).collect()
}

fn is_vital(look: &Look<'_>, instance_id: &str) -> bool {
    look.ledger.role_of(instance_id).is_some_and(RolloutRole::is_quorum)
}

/// Asks about each etcd cluster of which a member's machine goes, unless that member's own health is
/// already gone: a broken one may be mended.
fn each_member_that_goes(
    look: &Look<'_>,
    ask: impl Fn(&str, &str, &[MemberBook]) -> Result<(), String>,
) -> Result<(), String> {
    for id in quorum_machines(look) {
        let group = &look.ledger.machines[id].group;
        for (etcd, leaving) in look.ledger.policy.topology.members_on(group) {
            let members = look.ledger.members.get(etcd);
            ask(etcd, leaving, members.map_or(&[], Vec::as_slice))?;
        }
    }
    Ok(())
}

/// Whether the world ailed a member so lately that nobody can know.
fn is_fresh(look: &Look<'_>, member: &MemberBook) -> bool {
    look.ledger.is_fresh(look.world.now, member.ailed_at)
}
