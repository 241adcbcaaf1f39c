//! The cloud port's contract: one list of laws, kept by the simulator and by AWS.
//!
//! Goal: whatever the engines learn on the simulator holds on AWS. Method: each law makes calls,
//! expects the same kinds and codes of errors, and looks until the world shows what was written;
//! it runs on [`SimCloud`], whose reads lag, and on `AwsCloud` against the emulator, over HTTP with
//! the real SDK. Between them the laws make every variant of [`Call`] on both sides.
//!
//! One difference: S3 gives equal contents equal tags, the simulator gives each write a tag of its
//! own. Nobody can rely on either, since a lease's and a journal's content never comes again, so each
//! write of these laws has content of its own. There is no other.

mod assets;
mod authorities;
mod balancers;
mod compute;
mod dns;
mod epochs;
mod groups;
mod hosts;
mod iam;
mod kubernetes;
mod members;
mod security;
mod storage;
mod store;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use kprod::cloud::sim::SimCloud;
use kprod::cloud::{
    Archive, Call, Cloud, CloudErrorKind, MachineCloud, Observation, Observed, Ownership, Query,
    Reply, StateBucket,
};
use kprod::facts::AdoptedNetwork;
use kprod::resource::{Attribute, Key, Kind, OWNER_TAG, Ref, Resource, Tags};
use serde::Deserialize;
use serde_json::Value;

/// How often a law looks again, a second apart: longer than any lag of the simulator and than the
/// emulator's machines take.
const LOOKS: u32 = 90;

/// What an account holds before a law comes.
#[derive(Clone, Debug, Deserialize)]
struct Network {
    region: String,
    vpc: String,
    /// Three subnets in three zones, `a` to `c`.
    subnets: Vec<String>,
    /// The public zone's name.
    zone: String,
    image: String,
    /// A managed policy.
    policy_arn: String,
}

/// A cloud to hold laws against, and what was made of the port so far.
struct Stage<C> {
    cloud: C,
    network: Network,
    made: Mutex<BTreeSet<String>>,
}

/// One law at work on a stage: a cluster of its own.
struct Scene<'s, C> {
    stage: &'s Stage<C>,
    cluster: String,
}

/// The laws, one after the other; tells of every one that is broken.
async fn keeps_the_contract<C: Archive + Cloud + MachineCloud + StateBucket>(
    cloud: C,
    network: Network,
) {
    let stage = Stage { cloud, network, made: Mutex::default() };
    let mut broken = Vec::new();
    macro_rules! hold {
        ($($room:ident :: $law:ident),* $(,)?) => {$(
            let name = concat!(stringify!($room), "-", stringify!($law)).replace('_', "-");
            let scene = stage.scene(&name);
            if !holds($room::$law(&scene)).await {
                broken.push(name);
            }
        )*};
    }
    hold!(
        security::groups,
        security::rules,
        compute::templates,
        compute::every_field_of_a_template,
        compute::proof,
        storage::volumes,
        storage::interfaces,
        authorities::authorities,
        iam::roles,
        iam::profiles,
        balancers::load_balancers,
        balancers::target_groups,
        dns::zones,
        dns::names,
        groups::settings,
        groups::parts,
        groups::policies,
        hosts::volumes,
        hosts::launches,
        epochs::epochs,
        assets::assets,
        members::capacity,
        members::moves,
        members::ends,
        members::targets,
        store::conditions,
        store::races,
        store::large_objects,
    );
    assert_eq!(broken, Vec::<String>::new(), "laws that are broken, told above");
    stage.made_every_call();
}

/// Whether a law holds; what it has to say when it does not was printed by its panic.
async fn holds(law: impl Future<Output = ()>) -> bool {
    let mut law = Box::pin(law);
    std::future::poll_fn(|context| {
        let turn = std::panic::AssertUnwindSafe(|| law.as_mut().poll(context));
        match std::panic::catch_unwind(turn) {
            Ok(turn) => turn.map(|()| true),
            Err(_) => Poll::Ready(false),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulator_keeps_the_contract() {
    for seed in 0..3 {
        let sim = SimCloud::in_memory(seed);
        let subnets = [("a", "10.0.0.0/20"), ("b", "10.0.16.0/20"), ("c", "10.0.32.0/20")];
        let zones = subnets.map(|(zone, cidr)| {
            (format!("subnet-{zone}"), format!("eu-west-3{zone}"), cidr.parse().ok())
        });
        sim.adopt_network(&AdoptedNetwork {
            vpc_id: "vpc-1".to_owned(),
            vpc_cidrs: vec!["10.0.0.0/16".parse().unwrap()],
            subnets: zones.into(),
            public_zone: Some("example.com".to_owned()),
            cluster: "contract.example.com".to_owned(),
        })
        .unwrap();
        let network = Network {
            region: SimCloud::REGION.to_owned(),
            vpc: "vpc-1".to_owned(),
            subnets: subnets.map(|(zone, _)| format!("subnet-{zone}")).into(),
            zone: "example.com".to_owned(),
            image: "ami-0123456789abcdef0".to_owned(),
            policy_arn: "arn:aws:iam::123456789012:policy/contract".to_owned(),
        };
        keeps_the_contract(sim, network).await;
    }
}

/// `aws::contract` runs it in a process of its own, whose environment reaches an account.
#[cfg(feature = "aws")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an account; aws::contract brings one"]
#[allow(clippy::needless_update, reason = "a connection may say more than this test has to")]
async fn aws_keeps_the_contract() {
    use kprod::cloud::aws::{AwsCloud, Connection};
    use kprod::state::StateAddress;

    let told = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let network: Network = serde_json::from_str(&told("KPROD_CONTRACT_NETWORK")).unwrap();
    let connection = Connection {
        region: network.region.clone(),
        state: StateAddress::parse(&told("KPROD_CONTRACT_STATE")),
        endpoint: Some(told("AWS_ENDPOINT_URL")),
        ..Connection::default()
    };
    let mut cloud = AwsCloud::connect(&connection).await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), assets::CONTENT).unwrap();
    cloud.offer_programs(vec!["/is/not/there".into(), file.path().to_owned()]);
    keeps_the_contract(cloud, network).await;
}

impl<C: Cloud> Stage<C> {
    fn scene(&self, law: &str) -> Scene<'_, C> {
        Scene { stage: self, cluster: format!("{law}.{}", self.network.zone) }
    }

    /// Fails for a variant of [`Call`] that no law has made.
    fn made_every_call(&self) {
        let made = self.made.lock().unwrap();
        let source = include_str!("../../../src/cloud/call.rs");
        let (_, variants) = source.split_once("pub enum Call {").unwrap();
        let (variants, _) = variants.split_once("\n}").unwrap();
        let is_name = |line: &&str| line.starts_with("    ") && !line.starts_with("     ");
        let names = variants.lines().filter(is_name).filter_map(|line| {
            let name = line.trim().split_once(' ')?.0;
            name.starts_with(|c: char| c.is_ascii_uppercase()).then_some(name)
        });
        let missing: Vec<&str> = names.filter(|name| !made.contains(*name)).collect();
        assert!(made.len() > 50 && missing.is_empty(), "{} made, not {missing:?}", made.len());
    }
}

impl<C: Cloud> Scene<'_, C> {
    fn network(&self) -> &Network {
        &self.stage.network
    }

    /// A name that no other law uses.
    fn name(&self, what: &str) -> String {
        format!("{what}.{}", self.cluster)
    }

    /// The owner's tag, and one of the law's own.
    fn tags(&self) -> Tags {
        let tags = [(OWNER_TAG, self.cluster.as_str()), ("Name", "contract")];
        tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    /// Makes a call that has to succeed. What it names may be so fresh that AWS does not know it yet.
    async fn make(&self, call: Call) -> Reply {
        for _ in 0..LOOKS {
            match self.stage.cloud.call(&call).await {
                Ok(reply) => {
                    self.stage.made.lock().unwrap().insert(call.operation());
                    return reply;
                }
                Err(error) if error.kind == CloudErrorKind::NotFound => self.pause().await,
                Err(error) => panic!("{}: {error}\n{call:#?}", self.cluster),
            }
        }
        panic!("{}: never found what it names: {call:#?}", self.cluster);
    }

    /// Makes a call that has to succeed, and gives the id of what it made.
    async fn made(&self, call: Call) -> String {
        self.make(call).await.attributes[&Attribute::Id].clone()
    }

    /// Makes a call that has to succeed, and gives the ARN of what it made.
    async fn made_arn(&self, call: Call) -> String {
        self.make(call).await.attributes[&Attribute::Arn].clone()
    }

    /// Makes a call that has to fail, for this reason.
    async fn refused(&self, call: Call, kind: CloudErrorKind, code: &str) {
        for _ in 0..LOOKS {
            let error = match self.stage.cloud.call(&call).await {
                Err(error) => error,
                Ok(reply) => panic!("{}: no {code} but {reply:?}\n{call:#?}", self.cluster),
            };
            // What it names may be so fresh that AWS does not know it yet.
            if error.kind == CloudErrorKind::NotFound && error.code != code {
                self.pause().await;
                continue;
            }
            assert_eq!((error.kind, error.code.as_str()), (kind, code), "{error}\n{call:#?}");
            return;
        }
        panic!("{}: never found what it names: {call:#?}", self.cluster);
    }

    async fn pause(&self) {
        self.stage.cloud.sleep(Duration::from_secs(1)).await;
    }

    async fn look(&self, key: &Key) -> Observation {
        let network = self.network();
        let mut keys = BTreeSet::from([key.clone()]);
        if let (Kind::Listener, Some((balancer, _))) = (key.kind, key.name.split_once(':')) {
            // Whoever asks for a listener asks for its load balancer, too.
            keys.insert(Key::new(Kind::LoadBalancer, balancer));
        }
        let query = Query {
            cluster: self.cluster.clone(),
            region: network.region.clone(),
            vpc_id: network.vpc.clone(),
            subnet_ids: network.subnets.iter().cloned().collect(),
            public_zone: Some(network.zone.clone()),
            keys,
            deep: true,
            ..Query::default()
        };
        self.stage.cloud.observe(&query).await.unwrap()
    }

    /// Looks until a resource is as a law wants it, and gives it.
    async fn see(&self, key: &Key, is_so: impl Fn(&Observed) -> bool) -> Observed {
        let mut last = None;
        for _ in 0..LOOKS {
            last = self.look(key).await.resources.remove(key);
            match last {
                Some(observed) if is_so(&observed) => return observed,
                _ => self.pause().await,
            }
        }
        panic!("{key} is never as wanted; at last {last:#?}");
    }

    /// Looks until a resource shows as it was written: ours, every field that is read.
    async fn shows(&self, name: &str, wanted: &Resource) -> Observed {
        let key = Key::new(wanted.kind(), name);
        let mut seen = Value::Null;
        for _ in 0..LOOKS {
            if let Some(observed) = self.look(&key).await.resources.remove(&key) {
                let (mut value, mut goal) = (observed.resource.to_value(), wanted.to_value());
                for field in &observed.unread {
                    value.as_object_mut().unwrap().remove(field);
                    goal.as_object_mut().unwrap().remove(field);
                }
                if value == goal {
                    assert_eq!(observed.ownership, Ownership::Owned, "{key}");
                    return observed;
                }
                seen = value;
            }
            self.pause().await;
        }
        panic!("{key}: {} was written, at last {} was seen", wanted.to_value(), seen);
    }

    /// Looks until a resource is gone.
    async fn gone(&self, kind: Kind, name: &str) {
        let key = Key::new(kind, name);
        for _ in 0..LOOKS {
            if !self.look(&key).await.resources.contains_key(&key) {
                return;
            }
            self.pause().await;
        }
        panic!("{key} never goes");
    }
}

fn known(text: &str) -> Ref {
    Ref::Known(text.to_owned())
}

fn strings<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.map(str::to_owned).into()
}
