//! Members that are left, as the command line names them.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::error::{ExitCode, Failure};
use crate::etcd::Topology;

/// `main=a2`, or `a2`: of every etcd cluster that has such a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Survivor {
    etcd: Option<String>,
    member: String,
}

impl FromStr for Survivor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (etcd, member) = match text.split_once('=') {
            Some((etcd, member)) => (Some(etcd.to_owned()), member),
            None => (None, text),
        };
        if member.is_empty() || member.contains('=') || etcd.as_deref() == Some("") {
            return Err(
                "name a member, such as `a`, or one of an etcd cluster: `main=a`".to_owned()
            );
        }
        Ok(Self { etcd, member: member.to_owned() })
    }
}

/// The member that each etcd cluster begins with; an etcd cluster that has none of those named is left out.
///
/// # Errors
/// When there is no such etcd cluster or member, or an etcd cluster would begin with two.
pub(super) fn survivors(
    named: &[Survivor],
    topology: &Topology,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut survivors: BTreeMap<String, String> = BTreeMap::new();
    for Survivor { etcd, member } in named {
        let of_name = topology
            .clusters
            .iter()
            .filter(|(name, _)| etcd.as_ref().is_none_or(|wanted| wanted == *name));
        let has_it = of_name.filter(|(_, cluster)| cluster.members.contains_key(member));
        let etcds: Vec<&String> = has_it.map(|(name, _)| name).collect();
        if etcds.is_empty() {
            return Err(unknown(etcd.as_deref(), member, topology));
        }
        for etcd in etcds {
            if let Some(other) = survivors.insert(etcd.clone(), member.clone())
                && other != *member
            {
                let message = format!("etcd {etcd} cannot begin with both {other} and {member}");
                return Err(Failure::new(ExitCode::Usage, message)
                    .hint(format!("name one of them: `--survivor {etcd}={member}`")));
            }
        }
    }
    Ok(survivors)
}

/// The members of an etcd cluster, for people.
pub(super) fn members(topology: &Topology, etcd: &str) -> String {
    let members = topology.clusters.get(etcd).into_iter().flat_map(|known| known.members.keys());
    members.cloned().collect::<Vec<_>>().join(", ")
}

fn unknown(etcd: Option<&str>, member: &str, topology: &Topology) -> Failure {
    let all = topology.clusters.keys();
    let has = |etcd: &String| format!("etcd {etcd} has {}", members(topology, etcd));
    let hint = all.map(has).collect::<Vec<_>>().join("; ");
    let message = match etcd {
        Some(etcd) if topology.clusters.contains_key(etcd) => {
            format!("etcd {etcd} has no member `{member}`")
        }
        Some(etcd) => format!("there is no etcd cluster `{etcd}`"),
        None => format!("no etcd cluster has a member `{member}`"),
    };
    Failure::error(message).hint(hint)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::etcd::{TopologyCluster, TopologyMember};

    fn topology() -> Topology {
        let place = |member: &&str| {
            ((*member).to_owned(), TopologyMember { group: (*member).to_owned(), zone: None })
        };
        let etcd = |name: &str, members: &[&str]| {
            (name.to_owned(), TopologyCluster { members: members.iter().map(place).collect() })
        };
        let clusters = [etcd("main", &["a1", "a2", "b1"]), etcd("events", &["a1", "b1"])];
        Topology { clusters: clusters.into() }
    }

    fn chosen(named: &[&str]) -> Result<String, Failure> {
        let named: Vec<Survivor> = named.iter().map(|text| text.parse().unwrap()).collect();
        let survivors = survivors(&named, &topology())?;
        let told = survivors.iter().map(|(etcd, member)| format!("{etcd}={member}"));
        Ok(told.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_bare_name_means_every_etcd_cluster_that_has_it() {
        assert_eq!(chosen(&[]).unwrap(), "");
        assert_eq!(chosen(&["a1"]).unwrap(), "events=a1 main=a1");
        assert_eq!(chosen(&["a2"]).unwrap(), "main=a2");
        assert_eq!(chosen(&["main=a1"]).unwrap(), "main=a1");
        assert_eq!(chosen(&["events=b1", "main=a2"]).unwrap(), "events=b1 main=a2");
        assert_eq!(chosen(&["a1", "main=a1"]).unwrap(), "events=a1 main=a1");
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let has = "etcd events has a1, b1; etcd main has a1, a2, b1";
        let told = |named: &[&str]| {
            let failure = chosen(named).unwrap_err();
            (failure.message, failure.hint.unwrap())
        };
        let with = |message: &str| (message.to_owned(), has.to_owned());
        assert_eq!(told(&["x"]), with("no etcd cluster has a member `x`"));
        assert_eq!(told(&["events=a2"]), with("etcd events has no member `a2`"));
        assert_eq!(told(&["cilium=a1"]), with("there is no etcd cluster `cilium`"));
        let (message, hint) = told(&["a1", "main=a2"]);
        assert_eq!(message, "etcd main cannot begin with both a1 and a2");
        assert!(hint.contains("--survivor main=a2"), "{hint}");
        for senseless in ["", "main=", "=a1", "main=a=b"] {
            assert!(senseless.parse::<Survivor>().is_err(), "{senseless}");
        }
    }
}
