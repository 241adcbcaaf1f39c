//! The real AWS: one observation of a cluster's world in a fixed number of calls, and one API call
//! for each `Call`.
//!
//! No SDK type leaves this room. The files go by AWS service, since permissions, paging and habits
//! go by service: each reads what belongs to the cluster and puts it into kprod's words. What an
//! unchanged plan of a cluster costs, whatever its number of machines:
//!
//! | calls | what for |
//! |---|---|
//! | GetAccountAuthorizationDetails, one a thousand roles | the account, roles, policies, profiles |
//! | DescribeAutoScalingGroups, one a hundred groups of the account | groups, pins, machines |
//! | DescribeLaunchTemplates | templates and the versions last made from the spec |
//! | DescribeSecurityGroups | groups and rules; a rule's description names its owner |
//! | DescribeSubnets | what a spec is checked against; images are noted on templates |
//! | DescribeVolumes, DescribeNetworkInterfaces | what outlives etcd's machines |
//! | ListHostedZones, one a hundred zones | both zones; the caller reference names the owner |
//! | ListResourceRecordSets, one a zone | the cluster's names, which Route53 keeps together |
//! | DescribeLoadBalancers, DescribeTargetGroups, DescribeTags | the API's load balancers |
//! | DescribeListeners, one a load balancer | their ports |
//! | GetParametersByPath, one ten authorities | what is public of them |
//! | GetObject, one an etcd cluster | its epoch |
//! | ListObjectsV2 | what machines fetch |
//!
//! Attributes of load balancers and target groups, lifecycle hooks, and a zone's tags and VPC cost
//! a call each. They are read under `Query::deep` only; see `Observed::unread`. So is whether the keys
//! of authorities are there (DescribeParameters, one a fifty).

#![expect(clippy::disallowed_methods, reason = "real time")]

mod account;
mod archive;
mod assets;
mod balancers;
mod bucket;
mod call;
mod clock;
mod dns;
mod ec2;
mod epochs;
mod error;
mod fence;
mod groups;
mod iam;
mod identity;
mod instances;
mod machine;
mod observe;
mod parameters;
mod program;
mod read;
mod skew;
mod state_bucket;
mod tags;
mod templates;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{Builder, Connector, tls};
use aws_smithy_runtime_api::shared::IntoShared;
use tokio::sync::OnceCell;

pub(crate) use self::clock::boot_ms;
use self::identity::Identity;
use super::retry::RetryPolicy;
use super::retry::bucket::Buckets;
use super::retry::reader::Reader;
use super::{
    Call, Cloud, CloudError, CloudErrorKind, Condition, Entry, Observation, Observed, Parameters,
    Query, Reply, StateBucket, StoreError, TaggedInstance, TargetsByGroup, VersionFacts,
};
use crate::pki::Secret;
use crate::resource::Key;
use crate::state::{BucketSettings, BucketStep, StateAddress};

/// How to reach an account: what the user says beyond the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The region; an empty one leaves it to the environment and the profile.
    pub region: String,
    /// Where the state is kept; none for a verb that needs no state.
    pub state: Option<StateAddress>,
    /// The account that the cluster lives in: credentials for another are refused.
    pub account: Option<String>,
    /// The profile that gives the credentials; none for the SDK's usual chain.
    pub profile: Option<String>,
    /// A role to take on with these credentials.
    pub role: Option<Role>,
    /// An endpoint in place of AWS's own, as `AWS_ENDPOINT_URL` sets it; for tests.
    pub endpoint: Option<String>,
}

/// A role to take on (STS, AssumeRole).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Which.
    pub arn: String,
    /// What the role's owner wants to hear from others who use it.
    pub external_id: Option<String>,
    /// What the account's trail shows; 2 to 64 letters, digits and `=,.@_-`.
    pub session_name: String,
}

/// How long a connection may take to stand: a packet lost twice is sent again within 3 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long AWS may take to begin its answer: a connection that died silently must not hold a run
/// for minutes.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long one attempt at a call may take as a whole. The longest answer, all roles of a large
/// account, takes seconds. It is shorter than the longest call of a lease
/// (`apply::lease::LONGEST_CALL`), which counts the wait for the pace as well.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(45);

/// One account and region of the real AWS, as the credentials of the SDK's default chain see it.
#[derive(Debug)]
pub struct AwsCloud {
    region: String,
    endpoint: Option<String>,
    sts: aws_sdk_sts::Client,
    ec2: aws_sdk_ec2::Client,
    autoscaling: aws_sdk_autoscaling::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    iam: aws_sdk_iam::Client,
    route53: aws_sdk_route53::Client,
    s3: aws_sdk_s3::Client,
    ssm: aws_sdk_ssm::Client,
    state: Option<StateAddress>,
    reader: Reader,
    buckets: Mutex<Buckets>,
    started: Instant,
    clock: Arc<clock::Clock>,
    identity: Identity,
    expected_account: Option<String>,
    /// Files one of which may be what machines are to fetch.
    programs: Vec<PathBuf>,
    /// Whose credentials these are, once it is known.
    account: OnceCell<String>,
    /// Whether anything has ever answered.
    has_answered: AtomicBool,
}

impl AwsCloud {
    /// A client for an account and region.
    ///
    /// Credentials come from the profile and the role that are named, else from the SDK's default
    /// chain (environment, profile, SSO, web identity, credential process, container and instance
    /// roles), when the first call is made; `AWS_ENDPOINT_URL` and the rest of its environment work as
    /// everywhere.
    ///
    /// # Errors
    /// When nobody names a region, or what is named cannot be one.
    pub async fn connect(connection: &Connection) -> Result<Self, CloudError> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if !connection.region.is_empty() {
            loader = loader.region(Region::new(connection.region.clone()));
        }
        if let Some(profile) = &connection.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &connection.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        let Some(region) = config.region() else {
            let message = "no AWS region: say `spec.region`, or set AWS_REGION";
            let kind = CloudErrorKind::Invalid;
            return Err(CloudError::new(kind, "Connect", "NoRegion", message));
        };
        let region = region.to_string();
        check_region(&region)?;
        let (identity, config) = Identity::choose(connection, config).await;
        let clock = Arc::new(clock::Clock::default());
        Ok(Self {
            region,
            endpoint: config.endpoint_url().map(str::to_owned),
            sts: aws_sdk_sts::Client::new(&config),
            ec2: aws_sdk_ec2::Client::new(&config),
            autoscaling: aws_sdk_autoscaling::Client::new(&config),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            route53: aws_sdk_route53::Client::new(&config),
            s3: bucket::client(&config, clock.clone()),
            ssm: aws_sdk_ssm::Client::new(&config),
            state: connection.state.clone(),
            reader: Reader::new(fastrand::Rng::new()),
            buckets: Mutex::default(),
            started: Instant::now(),
            clock,
            identity,
            expected_account: connection.account.clone(),
            programs: Vec::new(),
            account: OnceCell::new(),
            has_answered: AtomicBool::new(false),
        })
    }

    /// How reads that fail are tried again.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }
}

/// A region's name is part of host names; what cannot be one would only fail to be found.
fn check_region(region: &str) -> Result<(), CloudError> {
    let parts: Vec<&str> = region.split('-').collect();
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let fits = match parts.as_slice() {
        [words @ .., number] if words.len() >= 2 => {
            words.iter().all(is_word) && number.parse::<u8>().is_ok()
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let message = format!("`{region}` is no name of an AWS region, such as eu-west-3");
    Err(CloudError::new(CloudErrorKind::Invalid, "Connect", "BadRegion", message))
}

/// HTTPS by rustls and ring: the SDK's own default compiles a C library for minutes. It would also
/// take the proxy from the environment, so this one does.
fn http_client() -> aws_sdk_sts::config::SharedHttpClient {
    let client = Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = Connector::builder();
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector
            .proxy_config(ProxyConfig::from_env())
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build()
    });
    fence::FencedClient(client).into_shared()
}

// The SDK's futures are deep and large; boxed, they do not make those of the engines so as well.
impl Cloud for AwsCloud {
    fn name(&self) -> &'static str {
        "aws"
    }

    async fn observe(&self, query: &Query) -> Result<Observation, CloudError> {
        Box::pin(observe::observe(self, query)).await
    }

    async fn groups(&self, query: &Query) -> Result<BTreeMap<Key, Observed>, CloudError> {
        Box::pin(observe::groups(self, query)).await
    }

    async fn versions(
        &self,
        wanted: &BTreeMap<String, BTreeSet<u64>>,
    ) -> Result<BTreeMap<String, BTreeMap<u64, VersionFacts>>, CloudError> {
        Box::pin(templates::versions(self, wanted)).await
    }

    async fn instances(&self, cluster: &str) -> Result<Vec<TaggedInstance>, CloudError> {
        Box::pin(instances::read(self, cluster)).await
    }

    async fn targets(&self, arns: &BTreeSet<String>) -> Result<TargetsByGroup, CloudError> {
        Box::pin(instances::targets(self, arns)).await
    }

    async fn statuses(
        &self,
        instance_ids: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, CloudError> {
        Box::pin(instances::statuses(self, instance_ids)).await
    }

    async fn places_kept(&self, group: &str) -> Result<BTreeSet<String>, CloudError> {
        Box::pin(groups::places_kept(self, group)).await
    }

    async fn call(&self, call: &Call) -> Result<Reply, CloudError> {
        let operation = call.operation();
        let sent = fence::guard(&operation, async {
            self.pace(&operation).await;
            Box::pin(call::make(self, call)).await
        });
        sent.await
    }

    fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    fn retry(&self) -> RetryPolicy {
        self.reader().policy()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        Box::pin(bucket::get(self, key)).await
    }

    async fn put(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: Condition,
    ) -> Result<String, StoreError> {
        Box::pin(bucket::put(self, key, body, condition)).await
    }

    async fn remove(&self, key: &str, condition: Condition) -> Result<(), StoreError> {
        Box::pin(bucket::remove(self, key, condition)).await
    }
}

impl Parameters for AwsCloud {
    async fn public(&self, cluster: &str) -> Result<BTreeMap<String, String>, CloudError> {
        Box::pin(parameters::public(self, cluster)).await
    }

    async fn there(&self, names: &BTreeSet<String>) -> Result<BTreeSet<String>, CloudError> {
        Box::pin(parameters::there(self, names)).await
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, CloudError> {
        Box::pin(parameters::secret(self, name)).await
    }
}

impl StateBucket for AwsCloud {
    fn bucket(&self) -> Result<Option<&StateAddress>, StoreError> {
        self.state.as_ref().map(Some).ok_or(StoreError::NotConfigured)
    }

    async fn settings(&self) -> Result<Option<BucketSettings>, StoreError> {
        Box::pin(state_bucket::settings(self)).await
    }

    async fn make(&self, step: &BucketStep) -> Result<(), StoreError> {
        Box::pin(state_bucket::make(self, step)).await
    }
}
