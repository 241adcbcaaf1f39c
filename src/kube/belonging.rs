//! Whether an API server is that of the cluster whose machines are to be replaced.
//!
//! A kubeconfig names a cluster as its owner likes, so nothing but the machines tells: a node says in
//! `spec.providerID` which instance it runs on. Rolled against another cluster, no node of a machine
//! would be found, and machines full of pods would end without a drain.

use std::collections::BTreeSet;

use super::view::KubeView;

/// The API server belongs to another cluster, or nothing tells that it is ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongCluster {
    /// It has no node.
    #[error(
        "the API server has no node, and the cluster has {machines}: nothing tells that they belong \
         together; name the cluster's own with --kubeconfig and --context, or leave Kubernetes out \
         with --cloudonly"
    )]
    NoNode {
        /// How many machines were looked for.
        machines: String,
    },
    /// Its nodes do not say which instances they run on.
    #[error(
        "none of the API server's {nodes} says on which instance it runs (spec.providerID, which the \
         AWS cloud controller writes), node {example} among them: nothing tells that they belong to \
         the cluster; mend the cloud controller, or name the cluster's own API server with \
         --kubeconfig and --context"
    )]
    NoInstance {
        /// How many nodes there are.
        nodes: String,
        /// One of them.
        example: String,
    },
    /// Its nodes run on other machines.
    #[error(
        "this is another cluster's API server: none of its {nodes} runs on a machine of the cluster \
         (node {example} runs on {instance}); name the cluster's own with --kubeconfig and --context"
    )]
    Strangers {
        /// How many nodes there are.
        nodes: String,
        /// One of them.
        example: String,
        /// Its instance.
        instance: String,
    },
}

/// Checks that an API server is that of the cluster with these instances, by one node at least.
///
/// Nodes on other machines besides are no fault: somebody may have joined machines of their own.
///
/// # Errors
/// When no node runs on one of the instances, and there are instances.
pub fn check_belonging(view: &KubeView, instances: &BTreeSet<String>) -> Result<(), WrongCluster> {
    let mut known = view.nodes.values().filter_map(|node| Some((node, node.instance_id.as_ref()?)));
    if instances.is_empty() || known.clone().any(|(_, instance)| instances.contains(instance)) {
        return Ok(());
    }
    let nodes = counted(view.nodes.len(), "node");
    let Some(first) = view.nodes.keys().next() else {
        return Err(WrongCluster::NoNode { machines: counted(instances.len(), "machine") });
    };
    Err(match known.next() {
        None => WrongCluster::NoInstance { nodes, example: first.clone() },
        Some((node, instance)) => WrongCluster::Strangers {
            nodes,
            example: node.name.clone(),
            instance: instance.clone(),
        },
    })
}

fn counted(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::kube::Node;

    fn node(name: &str, instance: Option<&str>) -> (String, Node) {
        let node = Node {
            name: name.to_owned(),
            uid: name.to_owned(),
            instance_id: instance.map(str::to_owned),
            unschedulable: false,
            taints: BTreeSet::new(),
            annotations: BTreeMap::new(),
            labels: BTreeMap::new(),
            conditions: BTreeMap::new(),
            created_at: Timestamp::UNIX_EPOCH,
            kubelet_version: "v1.34.2".to_owned(),
        };
        (name.to_owned(), node)
    }

    fn checked(nodes: &[(&str, Option<&str>)], instances: &[&str]) -> Result<(), WrongCluster> {
        let view = KubeView {
            generation: 1,
            seen_at: Timestamp::UNIX_EPOCH,
            server_version: "v1.34.2".to_owned(),
            nodes: nodes.iter().map(|(name, instance)| node(name, *instance)).collect(),
            pods: BTreeMap::new(),
            budgets: BTreeMap::new(),
        };
        check_belonging(&view, &instances.iter().map(|&id| id.to_owned()).collect())
    }

    #[test]
    fn one_node_on_a_machine_of_ours_tells() {
        let nodes = [("a", None), ("b", Some("i-other")), ("c", Some("i-1"))];
        assert_eq!(checked(&nodes, &["i-1", "i-2"]), Ok(()));
        assert_eq!(checked(&nodes, &[]), Ok(()), "nothing to replace, nothing to mistake");
    }

    #[test]
    fn a_cluster_that_is_not_ours_is_named_with_the_way_out() {
        let told = |nodes: &[_]| checked(nodes, &["i-1"]).unwrap_err().to_string();
        let strangers = told(&[("a", None), ("b", Some("i-other"))]);
        assert!(strangers.contains("another cluster's"), "{strangers}");
        assert!(strangers.contains("node b runs on i-other"), "{strangers}");
        assert!(told(&[("a", None)]).contains("none of the API server's 1 node says"));
        assert!(told(&[]).contains("the cluster has 1 machine:"));
        for text in [strangers, told(&[("a", None)]), told(&[])] {
            assert!(text.contains("--kubeconfig"), "{text}");
        }
    }
}
