//! How long the policies of roles get: AWS takes 10,240 characters a role.

use super::*;
use crate::finding::Severity;
use crate::resource::Resource;

/// Source: IAM user guide, "IAM and AWS STS quotas".
const MAX: usize = 10_240;

/// A cluster that makes use of all that lengthens the control plane's policy: it hosts both etcd clusters,
/// which have snapshots in buckets of their own, and pulls from the account's registry.
#[derive(Clone, Copy, Debug)]
struct Large {
    /// Characters of the cluster's name.
    name: usize,
    /// Members of each etcd cluster; 7 at most.
    members: usize,
    /// Whether each volume has a key of its own.
    keys: bool,
}

impl Large {
    fn built(self) -> Desired {
        let groups =
            (0..self.members).map(|member| group(&format!("host-{member}"), "ControlPlane"));
        let groups: String = groups.chain([group("nodes", "Node")]).collect();
        let (name, main, events) = (self.name(), self.etcd("main"), self.etcd("events"));
        let text = format!(
            r#"kind: Cluster
apiVersion: kprod.dev/v1alpha1
metadata: {{name: {name}}}
spec:
  account: "123456789012"
  region: ap-southeast-1
  configBase: s3://a-bucket-of-sixty-characters-that-holds-the-state-of-clusters/{name}
  dnsZone: example.com
  kubernetesVersion: 1.34.2
  networkID: vpc-1
  networkCIDR: 10.0.0.0/16
  networking: {{amazonvpc: {{}}}}
  iam: {{allowContainerRegistry: true}}
  kubernetesApiAccess: [198.51.100.0/24]
  sshAccess: [203.0.113.7/32]
  subnets:
  - {{name: a, type: Private, zone: ap-southeast-1a, id: subnet-a}}
  etcdClusters:
{main}{events}{groups}"#
        );
        build(&spec(&text), &Facts::default())
    }

    fn name(self) -> String {
        let end = ".example.com";
        let labels = "a-label-of-32-characters-and-dot.".repeat(4);
        format!("{}{end}", labels[labels.len() - (self.name - end.len())..].trim_end_matches('.'))
    }

    fn etcd(self, etcd: &str) -> String {
        let key = |member: usize| match self.keys {
            true => format!(
                ", encryptedVolume: true, kmsKeyId: 'arn:aws:kms:ap-southeast-1:123456789012:key/\
                 12345678-1234-1234-1234-{:012}'",
                etcd.len() * 10 + member
            ),
            false => String::new(),
        };
        let member = |at: usize| format!("{{name: m{at}, instanceGroup: host-{at}{}}}", key(at));
        let members: Vec<String> = (0..self.members).map(member).collect();
        let store = format!("s3://snapshots-of-{etcd}/{etcd}");
        let members = members.join(", ");
        format!(
            "  - {{name: {etcd}, backups: {{backupStore: '{store}'}}, etcdMembers: [{members}]}}\n"
        )
    }
}

fn group(name: &str, role: &str) -> String {
    format!(
        "---\nkind: InstanceGroup\napiVersion: kprod.dev/v1alpha1\nmetadata: {{name: {name}}}\n\
         spec: {{role: {role}, image: ami-1, machineType: m6i.large, subnets: [a]}}\n"
    )
}

/// Characters of the longest policies of a role.
fn longest(desired: &Desired) -> usize {
    let length = |resource: &Resource| match resource {
        Resource::Role(role) => {
            role.inline_policies.values().map(|policy| policy.to_string().chars().count()).sum()
        }
        _ => 0,
    };
    desired.resources.values().map(length).max().unwrap()
}

/// Whatever a spec may ask for: what AWS would not take never gets as far as a plan, and the way out helps.
#[test]
fn the_policies_of_a_role_fit_or_are_refused() {
    let (mut fit, mut refused) = (0, 0);
    for name in [20, 40, 60, 80, 100] {
        for members in [1, 3, 5, 7] {
            for keys in [false, true] {
                let large = Large { name, members, keys };
                let desired = large.built();
                let length = longest(&desired);
                let told: Vec<&Finding> = desired
                    .findings
                    .iter()
                    .filter(|finding| finding.message.contains("of inline policies"))
                    .collect();
                if length <= MAX {
                    assert!(told.is_empty(), "{large:?}: {length}");
                    fit += 1;
                } else {
                    let [told] = told.as_slice() else { panic!("{large:?}: {told:?}") };
                    assert_eq!(told.severity, Severity::Error);
                    assert!(told.message.contains(&format!("{length} characters")), "{told:?}");
                    assert!(told.hint.as_ref().unwrap().contains("role `Etcd`"), "{told:?}");
                    refused += 1;
                }
            }
        }
    }
    assert!(fit >= 5 && refused >= 5, "{fit} fit, {refused} are refused");
    // Five members under one key, by a name of forty characters, is as much as anybody may need.
    let usual = Large { name: 40, members: 5, keys: false };
    assert!(longest(&usual.built()) <= MAX, "{}", longest(&usual.built()));
}
