//! Shapes of clusters to rehearse on: a small spec each, brought into an empty account by the same
//! stages and the same executor as a real one.

use std::fmt::Write as _;
use std::time::Duration;

use super::fault::stream;
use crate::apply::{self, ApplyRequest, StopSignal};
use crate::boot::Program;
use crate::cloud::sim::SimCloud;
use crate::cloud::{Call, Cloud, Query};
use crate::desired;
use crate::plan::{PlanOptions, make, merge_versions, versions_to_read};
use crate::resource::{Attribute, HealthCheck, Tags, TargetGroup};
use crate::sim::{Lag, World};
use crate::source::{LoadLimits, parse_documents};
use crate::spec::{Parsed, Spec, Strictness, read};

/// The name of every cluster that is rehearsed from a seed.
pub const CLUSTER: &str = "rehearsal.example.com";
/// Zones of the simulated region, as far as a shape uses them.
pub const ZONES: [&str; 3] = ["eu-west-3a", "eu-west-3b", "eu-west-3c"];

const VPC: &str = "vpc-0c81f3e5d7294ab06";
const SUBNETS: [&str; 3] =
    ["subnet-0a17c4e92b6d8f305", "subnet-0b28d5fa3c7e90416", "subnet-0c39e60b4d8fa1527"];
/// Stands in while the target group cannot be made yet.
const NO_TARGET_GROUP: &str =
    "arn:aws:elasticloadbalancing:eu-west-3:123456789012:targetgroup/none/0";
const OLD_IMAGE: &str = "ami-0f3c51b7a9e24d680";
const NEW_IMAGE: &str = "ami-0123456789abcdef0";
const OTHER_IMAGE: &str = "ami-0fedcba9876543210";

/// What a cluster is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    /// How many zones it spans: 1 to 3.
    pub zones: usize,
    /// Where its etcd members live.
    pub layout: Layout,
    /// Its pools of workers.
    pub pools: Vec<Pool>,
    /// Whether the change to roll is a new minor version of Kubernetes, and not only an image.
    pub is_upgrade: bool,
}

/// Where etcd members live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// Three members, each beside an API server.
    Stacked,
    /// So many members on machines of their own, and a control plane over all zones.
    Dedicated(usize),
}

/// A pool of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pool {
    /// One group over all zones.
    Spread,
    /// One group in the first zone.
    Zonal,
    /// One group over all zones whose machines stand behind a load balancer.
    Balanced,
    /// One group of spot machines over all zones.
    Spot,
}

/// Which content machines should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Before the change.
    Old,
    /// The change to roll.
    New,
    /// A further change.
    Other,
}

/// A cluster in a world of its own, with a change to roll.
#[derive(Clone, Debug)]
pub struct Template {
    /// The world: the old content runs, the new one is the target of every group.
    pub world: World,
    /// What to look for.
    pub query: Query,
    /// The spec with the new content.
    pub spec: Spec,
    /// The spec with further content.
    pub other: Spec,
}

impl Shape {
    /// Most machines of a pool.
    pub const POOL_MAX: u32 = 8;

    /// A shape of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut rng = stream(seed, "shape");
        let layouts =
            [Layout::Stacked, Layout::Stacked, Layout::Dedicated(3), Layout::Dedicated(5)];
        let layout = layouts[rng.usize(0..layouts.len())];
        let kinds = [Pool::Spread, Pool::Zonal, Pool::Balanced, Pool::Spot];
        let mut pools: Vec<Pool> =
            (0..rng.usize(1..=4)).map(|_| kinds[rng.usize(0..kinds.len())]).collect();
        // Fewer shapes to build, and no fewer to see: the order of pools means nothing.
        pools.sort();
        pools.dedup();
        Self { zones: rng.usize(1..=3), layout, pools, is_upgrade: rng.bool() }
    }

    /// The names of its pools.
    pub fn pool_names(&self) -> impl Iterator<Item = (String, Pool)> {
        self.pools.iter().enumerate().map(|(at, pool)| (format!("pool-{at}"), *pool))
    }

    /// Its zones.
    pub fn zone_names(&self) -> Vec<String> {
        ZONES.iter().take(self.zones).map(|zone| (*zone).to_owned()).collect()
    }

    /// Its spec.
    ///
    /// # Errors
    /// When the spec does not pass its own checks.
    pub fn spec(&self, content: Content, target_group: &str) -> Result<Spec, String> {
        let text = self.documents(content, target_group);
        let documents = parse_documents("rehearsal.yaml", &text, &LoadLimits::default());
        let parsed = documents.map(|documents| read(documents, Strictness::Strict));
        let findings = match parsed {
            Ok(Parsed { spec: Some(spec), .. }) => {
                // Nobody fetches it: what machines do is the simulator's to make up.
                return Ok(Spec { node_program: Some(Program::of(b"rehearsed", None)), ..spec });
            }
            Ok(parsed) => parsed.findings,
            Err(findings) => findings,
        };
        Err(format!("the spec of a rehearsal is wrong: {findings:?}"))
    }

    fn documents(&self, content: Content, target_group: &str) -> String {
        let (image, version) = match content {
            Content::Old => (OLD_IMAGE, if self.is_upgrade { "1.33.6" } else { "1.34.2" }),
            Content::New => (NEW_IMAGE, "1.34.2"),
            Content::Other => (OTHER_IMAGE, "1.34.2"),
        };
        let hosts = self.hosts();
        let mut text = self.cluster(version, &hosts);
        let machine = |role: &str, name: &str, zones: &[&str], size: u32, max: u32| {
            format!(
                "---\napiVersion: kprod.dev/v1alpha1\nkind: InstanceGroup\nmetadata: {{name: \
                 {name}}}\nspec:\n  role: {role}\n  subnets: [{}]\n  minSize: {size}\n  maxSize: \
                 {max}\n  image: {image}\n  machineType: m6i.large\n  additionalUserData:\n  - \
                 name: node\n    type: text/cloud-config\n    content: |\n      \
                 #cloud-config\n      kubernetes: v{version}\n",
                zones.join(", ")
            )
        };
        let zones: Vec<&str> = ZONES.iter().copied().take(self.zones).collect();
        for (at, name) in hosts.iter().enumerate() {
            let role = if self.layout == Layout::Stacked { "ControlPlane" } else { "Etcd" };
            text += &machine(role, name, &[zones[at % zones.len()]], 1, 1);
        }
        if self.layout != Layout::Stacked {
            text += &machine("ControlPlane", "control-plane", &zones, 3, 3);
        }
        for (name, pool) in self.pool_names() {
            let zones = if pool == Pool::Zonal { &zones[..1] } else { &zones };
            text += &machine("Node", &name, zones, 1, Self::POOL_MAX + 4);
            match pool {
                Pool::Balanced => {
                    text +=
                        &format!("  externalLoadBalancers:\n  - targetGroupArn: {target_group}\n");
                }
                Pool::Spot => text += "  maxPrice: \"0.2\"\n",
                Pool::Spread | Pool::Zonal => {}
            }
        }
        text
    }

    /// The groups that host members.
    fn hosts(&self) -> Vec<String> {
        let count = match self.layout {
            Layout::Stacked => 3,
            Layout::Dedicated(count) => count,
        };
        let word = if self.layout == Layout::Stacked { "control-plane" } else { "etcd" };
        (1..=count).map(|at| format!("{word}-{at}")).collect()
    }

    fn cluster(&self, version: &str, hosts: &[String]) -> String {
        let mut text = format!(
            "apiVersion: kprod.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: {CLUSTER}}}\nspec:\n  \
             account: \"{}\"\n  region: {}\n  cloudProvider: aws\n  kubernetesVersion: {version}\n  \
             networkID: {VPC}\n  networkCIDR: 10.40.0.0/16\n  networking:\n    cilium: {{}}\n  \
             dnsZone: example.com\n  masterPublicName: api.{CLUSTER}\n  api:\n    loadBalancer: \
             {{class: Network, type: Internal}}\n  kubernetesApiAccess: [10.0.0.0/8]\n  subnets:\n",
            SimCloud::ACCOUNT,
            SimCloud::REGION
        );
        for at in 0..self.zones {
            let _ = writeln!(
                text,
                "  - {{name: {0}, type: Private, zone: {0}, id: {1}, cidr: 10.40.{2}.0/19}}",
                ZONES[at],
                SUBNETS[at],
                at * 32
            );
        }
        text += "  etcdClusters:\n";
        for (etcd, count) in [("main", hosts.len()), ("events", 3)] {
            let store = format!("s3://backups.example.com/{CLUSTER}/etcd/{etcd}");
            let _ = writeln!(text, "  - name: {etcd}\n    backups: {{backupStore: {store:?}}}");
            text += "    etcdMembers:\n";
            for host in hosts.iter().take(count) {
                let member = host.rsplit('-').next().unwrap_or(host);
                let _ = writeln!(text, "    - {{name: m{member}, instanceGroup: {host}}}");
            }
        }
        text
    }
}

impl Template {
    /// Builds a cluster of this shape, lets it come up, and applies the change.
    ///
    /// # Errors
    /// When the shape is no good spec or an apply does not end well: a fault of kprod's own.
    pub async fn build(shape: &Shape) -> Result<Self, String> {
        let cloud = SimCloud::in_memory(1);
        let adopt = |world: &mut World| {
            world.lag = Lag::none();
        };
        cloud.with_world(adopt).map_err(|error| error.to_string())?;
        // The network has to be there before the target group, which is in the old spec already.
        let bare = shape.spec(Content::Old, NO_TARGET_GROUP)?;
        cloud.adopt_network(&desired::adopted_network(&bare)).map_err(|error| error.to_string())?;
        let target_group = add_target_group(&cloud).await?;
        let old = shape.spec(Content::Old, &target_group)?;
        run_version(&cloud, &old)?;
        bring(&cloud, &old, SCENE, Duration::ZERO).await?;
        let spec = shape.spec(Content::New, &target_group)?;
        run_version(&cloud, &spec)?;
        bring(&cloud, &spec, SCENE, Duration::ZERO).await?;
        let other = shape.spec(Content::Other, &target_group)?;
        let query = desired::query(&spec);
        let world = cloud.with_world(|world| {
            world.log.clear();
            world.clone()
        });
        Ok(Self { world: world.map_err(|error| error.to_string())?, query, spec, other })
    }
}

/// Who builds templates.
const SCENE: &str = "a rehearsal's scene";

/// Machines that are made from now on run the spec's version of Kubernetes.
fn run_version(cloud: &SimCloud, spec: &Spec) -> Result<(), String> {
    let version = spec.cluster.spec.kubernetes_version.as_deref();
    let adopted = cloud.with_world(|world| world.adopt_cluster(CLUSTER, version));
    adopted.map_err(|error| error.to_string())
}

/// Applies a spec.
///
/// # Errors
/// When it cannot be planned, or the apply does not end well.
pub async fn bring(
    cloud: &impl Cloud,
    spec: &Spec,
    holder: &str,
    lock_timeout: Duration,
) -> Result<(), String> {
    let query = desired::query(spec);
    let observed = cloud.observe(&query).await;
    let mut observation = observed.map_err(|error| error.to_string())?;
    let wanted = desired::build(spec, &observation.facts);
    let versions = cloud.versions(&versions_to_read(&wanted.resources, &observation)).await;
    merge_versions(&mut observation, versions.map_err(|error| error.to_string())?);
    let plan = make(&wanted.resources, &observation, &PlanOptions::default());
    let request = ApplyRequest {
        plan: &plan,
        query: &query,
        holder: holder.to_owned(),
        lock_timeout,
        wait_timeout: Duration::from_secs(3600),
    };
    let report = apply::run(cloud, &request, &StopSignal::new(), &|_| ()).await;
    match report.map(|report| report.failure) {
        Ok(None) => Ok(()),
        Ok(Some(failure)) | Err(failure) => Err(format!("{failure}: {:?}", failure.details)),
    }
}

/// A target group that somebody else made for a pool's workload.
async fn add_target_group(cloud: &SimCloud) -> Result<String, String> {
    let target_group = TargetGroup {
        name: "shop".to_owned(),
        protocol: "TCP".to_owned(),
        port: 30_080,
        vpc_id: VPC.to_owned(),
        health_check: HealthCheck::tcp(),
        deregistration_delay_seconds: 300,
        connection_termination_enabled: false,
        preserve_client_ip_enabled: true,
        tags: Tags::new(),
    };
    let call = Call::CreateTargetGroup { target_group: Box::new(target_group) };
    let reply = cloud.call(&call).await.map_err(|error| error.to_string())?;
    reply.attributes.get(&Attribute::Arn).cloned().ok_or_else(|| "no ARN".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::{Shape, Template};

    #[tokio::test]
    async fn every_shape_comes_up_with_a_change_to_roll() {
        for seed in 0..12 {
            let shape = Shape::draw(seed);
            let template = Template::build(&shape).await.unwrap();
            let groups = template.world.groups.iter().count();
            assert!(template.world.machines.len() >= groups, "{shape:?}");
            for stored in template.world.groups.values() {
                let target = stored.group.tags[crate::resource::TARGET_TAG].value.clone();
                assert!(target.starts_with("2:") && stored.version == 1, "{shape:?}: {target}");
            }
        }
    }
}
