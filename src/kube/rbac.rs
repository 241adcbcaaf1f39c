//! What a roll may have to do in a cluster, as the rules of a ClusterRole.
//!
//! Every request that the port makes stands here; `kprod policy --for kubernetes` prints it.

use serde_json::{Value, json};

use super::call::KubeCall;

/// One rule: what may be done with one kind of object.
/// Source: Kubernetes API reference, `rbac.authorization.k8s.io/v1` PolicyRule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource, or resource and subresource.
    pub resource: &'static str,
    /// What may be done.
    pub verbs: &'static [&'static str],
    /// What for.
    pub why: &'static str,
}

/// One request, as the API server's authorizer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource, or resource and subresource.
    pub resource: &'static str,
    /// What is done.
    pub verb: &'static str,
}

/// What a roll needs in the cluster.
pub const RULES: &[Rule] = &[
    Rule {
        group: "",
        resource: "nodes",
        verbs: &["get", "list", "watch", "patch", "delete"],
        why: "see, cordon, taint and annotate nodes; remove those whose machine is gone",
    },
    Rule {
        group: "",
        resource: "pods",
        verbs: &["list", "watch", "delete"],
        why: "see what a drain has to move; delete pods only where the policy allows it",
    },
    Rule {
        group: "",
        resource: "pods/eviction",
        verbs: &["create"],
        why: "drain, as disruption budgets allow",
    },
    Rule {
        group: "policy",
        resource: "poddisruptionbudgets",
        verbs: &["list", "watch"],
        why: "tell budgets that stand in the way before anything begins",
    },
];

/// Paths that a roll reads. Every authenticated user may, unless somebody has taken it away.
/// Source: Kubernetes, "Using RBAC authorization", ClusterRole `system:public-info-viewer`.
pub const PATHS: &[&str] = &["/readyz", "/version"];

/// What is listed and watched.
pub const WATCHED: &[(&str, &str)] =
    &[("", "nodes"), ("", "pods"), ("policy", "poddisruptionbudgets")];

/// What a call is to the authorizer: every request that it takes.
pub fn accesses(call: &KubeCall) -> Vec<Access> {
    let core = |resource, verb| Access { group: "", resource, verb };
    match call {
        // Taints are one list, replaced whole: it is read first.
        KubeCall::PatchNode { .. } => vec![core("nodes", "get"), core("nodes", "patch")],
        KubeCall::EvictPod { .. } => vec![core("pods/eviction", "create")],
        KubeCall::DeletePod { .. } => vec![core("pods", "delete")],
        KubeCall::DeleteNode { .. } => vec![core("nodes", "delete")],
    }
}

/// Whether the rules allow a request.
pub fn allows(rules: &[Rule], access: Access) -> bool {
    rules.iter().any(|rule| {
        rule.group == access.group
            && rule.resource == access.resource
            && rule.verbs.contains(&access.verb)
    })
}

/// The ClusterRole with this name.
pub fn cluster_role(name: &str) -> Value {
    let of_resource = |rule: &Rule| {
        json!({
            "apiGroups": [rule.group],
            "resources": [rule.resource],
            "verbs": rule.verbs,
        })
    };
    let mut rules: Vec<Value> = RULES.iter().map(of_resource).collect();
    rules.push(json!({"nonResourceURLs": PATHS, "verbs": ["get"]}));
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": rules,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::kube::{NodePatch, PodId};

    /// One of each variant; a new one does not compile until it stands here.
    fn every_call() -> Vec<KubeCall> {
        let (pod, uid, node) = (PodId::new("a", "b"), String::new(), String::new());
        let first = KubeCall::PatchNode { node: node.clone(), patch: NodePatch::default() };
        let mut calls = vec![first];
        while let Some(last) = calls.last() {
            let (pod, uid) = (pod.clone(), uid.clone());
            let next = match last {
                KubeCall::PatchNode { .. } => KubeCall::EvictPod { pod, uid, grace_secs: None },
                KubeCall::EvictPod { .. } => KubeCall::DeletePod { pod, uid, grace_secs: None },
                KubeCall::DeletePod { .. } => KubeCall::DeleteNode { node: node.clone(), uid },
                KubeCall::DeleteNode { .. } => break,
            };
            calls.push(next);
        }
        calls
    }

    #[test]
    fn every_request_has_its_rule_and_every_rule_a_request() {
        let watches = WATCHED.iter().flat_map(|(group, resource)| {
            ["list", "watch"].map(|verb| Access { group, resource, verb })
        });
        let made: Vec<Access> = every_call().iter().flat_map(accesses).chain(watches).collect();
        for access in &made {
            assert!(allows(RULES, *access), "{access:?} has no rule");
        }
        for rule in RULES {
            for verb in rule.verbs {
                let access = Access { group: rule.group, resource: rule.resource, verb };
                assert!(made.contains(&access), "nothing needs {access:?}");
            }
        }
    }

    #[test]
    fn the_role_says_what_the_rules_say() {
        let role = cluster_role("kprod");
        let rules = role["rules"].as_array().unwrap();
        assert_eq!(rules.len(), RULES.len() + 1);
        assert_eq!(rules[2]["resources"], json!(["pods/eviction"]));
        assert_eq!(rules[4]["nonResourceURLs"], json!(PATHS));
    }
}
