//! What etcd's answers say. The gateway writes 64-bit numbers as text, leaves out what is zero or
//! empty, and names fields as `rpc.proto` does.
//! Source: etcd `api/etcdserverpb/rpc.proto`; protobuf's JSON mapping.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::etcd::epoch::ClusterId;
use crate::etcd::start::{Listed, MemberId, View};
use crate::etcd::{Minor, Version};

/// What a member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its id.
    pub id: MemberId,
    /// Its cluster's.
    pub cluster_id: ClusterId,
    /// Its program's version; none if it says nothing of the sort.
    pub version: Option<Version>,
    /// Who leads, as far as it knows.
    pub leader: Option<MemberId>,
    /// The term.
    pub term: u64,
    /// The newest entry that it knows to be agreed on.
    pub committed: u64,
    /// The newest one that it has applied.
    pub applied: u64,
    /// Whether it has no vote yet.
    pub is_learner: bool,
}

pub(super) fn view(said: &Value, is_healthy: bool) -> Result<View, String> {
    let members = said.get("members").and_then(Value::as_array).map(Vec::as_slice);
    let members = members.unwrap_or_default().iter().map(listed).collect::<Result<_, _>>()?;
    let (cluster_id, program, cluster_version) = (cluster_id(said)?, None, None);
    Ok(View { cluster_id, is_healthy, program, cluster_version, members })
}

/// A member's own version, and the cluster's.
pub(super) fn versions(said: &Value) -> (Option<Version>, Option<Minor>) {
    (text(said, "etcdserver").parse().ok(), Minor::decided(&text(said, "etcdcluster")))
}

pub(super) fn status(said: &Value) -> Result<Status, String> {
    let header = said.get("header").unwrap_or(&Value::Null);
    let leader = number(said, "leader")?;
    Ok(Status {
        id: MemberId(number(header, "member_id")?),
        cluster_id: cluster_id(said)?,
        version: text(said, "version").parse().ok(),
        leader: (leader != 0).then_some(MemberId(leader)),
        term: number(said, "raftTerm")?,
        committed: number(said, "raftIndex")?,
        applied: number(said, "raftAppliedIndex")?,
        is_learner: flag(said, "isLearner"),
    })
}

/// The alarms that are raised. This answer names no cluster in etcd 3.4 (seen of 3.4.23), so that anything
/// but an object with something else for `alarms` may be etcd's.
pub(super) fn alarms(said: &Value) -> Result<BTreeSet<String>, String> {
    let alarms = match said.as_object().ok_or_else(|| format!("it is {said}"))?.get("alarms") {
        None | Some(Value::Null) => return Ok(BTreeSet::new()),
        Some(alarms) => alarms.as_array().ok_or_else(|| format!("`alarms` is {alarms}"))?,
    };
    let names = alarms.iter().map(|alarm| text(alarm, "alarm"));
    Ok(names.filter(|name| !name.is_empty()).collect())
}

pub(super) fn added(said: &Value) -> Result<MemberId, String> {
    listed(said.get("member").unwrap_or(&Value::Null)).map(|member| member.id)
}

/// What etcd says to a request that it refuses: both its own word and the gateway's form.
pub(super) fn message(said: &[u8]) -> String {
    let value: Value = serde_json::from_slice(said).unwrap_or_default();
    let texts = ["message", "error"].map(|key| text(&value, key));
    let first = texts.into_iter().find(|text| !text.is_empty());
    let plain = || String::from_utf8_lossy(said).chars().take(200).collect();
    first.unwrap_or_else(plain).trim().to_owned()
}

fn listed(member: &Value) -> Result<Listed, String> {
    let id = number(member, "ID")?;
    if id == 0 {
        return Err("a member without an id".to_owned());
    }
    Ok(Listed {
        id: MemberId(id),
        name: text(member, "name"),
        peer_urls: texts(member, "peerURLs"),
        client_urls: texts(member, "clientURLs"),
        is_learner: flag(member, "isLearner"),
    })
}

fn cluster_id(said: &Value) -> Result<ClusterId, String> {
    let header = said.get("header").unwrap_or(&Value::Null);
    match number(header, "cluster_id")? {
        0 => Err("it names no cluster".to_owned()),
        id => Ok(ClusterId(id)),
    }
}

/// A number, whether as text or not; what is left out is zero.
fn number(value: &Value, key: &str) -> Result<u64, String> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(0),
        Some(Value::String(text)) => text.parse().map_err(|_| format!("`{key}` is {text}")),
        Some(other) => other.as_u64().ok_or_else(|| format!("`{key}` is {other}")),
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(value: &Value, key: &str) -> BTreeSet<String> {
    let list = value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_is_zero_and_numbers_are_text() {
        let said = json!({
            "header": {"cluster_id": "17237436991929493444", "member_id": "1", "raft_term": "2"},
            "members": [
                {"ID": "1", "name": "a", "peerURLs": ["https://a:1"], "clientURLs": ["https://a:2"]},
                {"ID": "2", "peerURLs": ["https://b:1"], "isLearner": true},
            ],
        });
        let seen = view(&said, true).unwrap();
        assert_eq!(seen.cluster_id, ClusterId(17_237_436_991_929_493_444));
        assert!(seen.members[0].is_started() && !seen.members[0].is_learner);
        assert!(!seen.members[1].is_started() && seen.members[1].is_learner);
        let said = json!({"header": {"cluster_id": "1"}, "version": "3.4.23", "raftIndex": "9"});
        let seen = status(&said).unwrap();
        assert_eq!((seen.leader, seen.committed, seen.applied), (None, 9, 0));
        assert_eq!(seen.version.unwrap().to_string(), "3.4.23");
    }

    #[test]
    fn the_cluster_version_is_told_apart_from_the_members_own() {
        let said = |cluster: &str| json!({"etcdserver": "3.5.9", "etcdcluster": cluster});
        let own = "3.5.9".parse().ok();
        assert_eq!(versions(&said("3.4.0")), (own, Some(Minor::of_three(4))));
        for undecided in ["not_decided", "3.0.0", ""] {
            assert_eq!(versions(&said(undecided)), (own, None));
        }
        assert_eq!(versions(&json!("hello")), (None, None));
    }

    #[test]
    fn an_answer_of_somebody_else_is_no_view() {
        for said in [json!({}), json!({"header": {"cluster_id": "x"}}), json!("hello")] {
            assert!(view(&said, true).is_err(), "{said}");
        }
        let nameless = json!({"header": {"cluster_id": "1"}, "members": [{"name": "a"}]});
        assert!(view(&nameless, true).is_err());
    }

    #[test]
    fn only_etcd_says_that_no_alarm_is_raised() {
        for none in [json!({}), json!({"header": {"cluster_id": "1"}}), json!({"alarms": []})] {
            assert_eq!(alarms(&none), Ok(BTreeSet::new()), "{none}");
        }
        let raised = json!({"alarms": [{"memberID": "1", "alarm": "NOSPACE"}]});
        assert_eq!(alarms(&raised), Ok(["NOSPACE".to_owned()].into()));
        for said in [json!("hello"), json!([]), json!({"alarms": "?"})] {
            assert!(alarms(&said).is_err(), "{said}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_etcds_words() {
        let said = br#"{"error":"etcdserver: unhealthy cluster","message":"etcdserver: unhealthy cluster","code":14}"#;
        assert_eq!(message(said), "etcdserver: unhealthy cluster");
        assert_eq!(message(b"Not Found\n"), "Not Found");
    }
}
