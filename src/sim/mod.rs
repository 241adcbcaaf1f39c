//! The simulated world: one AWS account and region as a value.
//!
//! A [`World`] is plain data with a virtual clock and a seed. [`World::answer`] makes one call with
//! AWS' own checks and error codes; [`World::observe`] reads; [`World::advance`] lets time pass, in
//! which machines boot and groups reconcile. Everything follows from state and seed: no file, no
//! real clock, no randomness from outside. `cloud::sim` puts the port and the file over it.
//!
//! Reads may lag behind writes ([`Lag`]) and calls may fail ([`Faults`]), both on request. What the
//! world is strict about is what AWS is strict about; where AWS checks nothing (the content of a
//! launch template), it checks nothing either.

mod aside;
mod asset;
mod balance;
mod balancer;
mod clock;
mod cluster;
mod compute;
mod dispatch;
mod dns;
mod epoch;
mod fault;
mod group;
mod health;
mod host;
mod iam;
pub mod kubernetes;
mod lag;
mod launch;
mod look;
mod machine;
mod member;
mod membership;
mod network;
mod observe;
mod parameter;
mod security;
mod seed;
mod shadow;
mod storage;
mod store;
mod target;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

pub(crate) use aside::Aside;
pub use aside::Counted;
pub use balancer::{StoredBalancer, StoredListener, StoredTargetGroup};
pub use clock::{Event, Time};
pub use compute::{StoredTemplate, StoredVersion};
pub use dns::StoredZone;
pub use fault::{
    CallFault, CrashPlan, CrashSide, FaultRates, Faults, LaunchFault, LaunchRates, LoggedCall,
    Shortage,
};
pub use group::{Activity, StoredGroup, Work};
pub use health::Outage;
pub use kubernetes::Kubernetes;
pub use lag::{Lag, Shelf};
pub use machine::{Lifecycle, Machine, Power};
pub use member::{MemberFault, MemberState, StoredEtcd, StoredMember};
pub use network::{Lingering, Subnet, Vpc};
pub use security::StoredSecurityGroup;
pub use storage::{StoredInterface, StoredVolume};
pub use store::StoredObject;
pub use target::Registration;

use crate::cloud::{Call, CloudError, CloudErrorKind, Reply};
use crate::etcd::Version;
use crate::resource::{InstanceProfile, Role, Tags};

/// One simulated AWS account and region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// Version of this form; a file of another one is refused.
    pub format_version: u32,
    /// The account: 12 digits.
    pub account: String,
    /// The region.
    pub region: String,
    /// What every drawn number follows from, together with how many were drawn.
    pub seed: u64,
    drawn: u64,
    /// The world's clock.
    pub now: Time,
    /// How reads lag.
    pub lag: Lag,
    /// What goes wrong.
    pub faults: Faults,
    chance_faults: u64,
    mutation_count: u64,
    /// Reads so far.
    pub read_count: u64,
    /// Writes to the state bucket so far.
    pub(crate) store_count: u64,
    /// Calls, oldest first.
    pub log: VecDeque<LoggedCall>,

    /// VPCs by id.
    pub vpcs: BTreeMap<String, Vpc>,
    /// Subnets by id.
    pub subnets: BTreeMap<String, Subnet>,
    /// Interfaces that AWS keeps for a while after what they belonged to is gone.
    pub lingering: Vec<Lingering>,
    /// Security groups by id.
    pub security_groups: Shelf<StoredSecurityGroup>,
    /// Launch templates by name.
    pub templates: Shelf<StoredTemplate>,
    /// Volumes by id.
    pub volumes: Shelf<StoredVolume>,
    /// Network interfaces by id.
    pub interfaces: Shelf<StoredInterface>,
    /// Roles by name.
    pub roles: Shelf<Role>,
    /// Instance profiles by name.
    pub profiles: Shelf<InstanceProfile>,
    /// Load balancers by ARN.
    pub balancers: Shelf<StoredBalancer>,
    /// Target groups by ARN.
    pub target_groups: Shelf<StoredTargetGroup>,
    /// Listeners by ARN.
    pub listeners: Shelf<StoredListener>,
    /// Hosted zones by id.
    pub zones: Shelf<StoredZone>,
    /// Auto scaling groups by name.
    pub groups: Shelf<StoredGroup>,
    /// What each group is busy with, by name.
    pub works: BTreeMap<String, Work>,
    /// Instances by id; ended ones are gone.
    pub machines: Counted<BTreeMap<String, Machine>>,
    /// Instances that ended lately, and when: AWS knows them for a while.
    #[serde(default)]
    pub(crate) ended: BTreeMap<String, Time>,
    /// What reads still see of machines that changed, by id.
    #[serde(default)]
    pub(crate) shadows: BTreeMap<String, shadow::Shadow>,
    /// Machines launched so far.
    #[serde(default)]
    pub launch_count: u64,
    /// Seconds that every machine takes to boot; none for as many as chance has it.
    #[serde(default)]
    pub boot_secs: Option<u64>,
    /// Seconds that every machine takes to end, once nothing holds it; none for as many as chance has
    /// it.
    #[serde(default)]
    pub end_secs: Option<u64>,
    /// Machines registered with target groups, by ARN and instance id.
    #[serde(default)]
    pub registrations: BTreeMap<String, BTreeMap<String, Registration>>,
    /// What falls due, and when, beside what machines and groups note themselves.
    #[serde(default)]
    pub(crate) agenda: BTreeSet<(Time, Event)>,
    /// Systems Manager's parameters by name: no part of the state, and in no file of it.
    #[serde(skip)]
    pub(crate) parameters: Aside<parameter::Stored>,
    /// Objects of the state bucket by key.
    pub objects: BTreeMap<String, StoredObject>,
    /// etcd clusters that somebody has asked about, by cluster and name.
    #[serde(default)]
    pub etcds: BTreeMap<String, BTreeMap<String, StoredEtcd>>,
    /// What members were last found by, by cluster: how often that had changed.
    #[serde(skip)]
    members_found: Aside<BTreeMap<String, [u64; 3]>>,
    /// When a member has to be looked at next.
    #[serde(default)]
    members_due: Option<Time>,
    /// Clusters whose members somebody else runs.
    #[serde(default)]
    members_elsewhere: BTreeSet<String>,
    /// Which etcd machines run, by their image, where it is not the usual one.
    #[serde(default)]
    etcd_versions: BTreeMap<String, Version>,
    /// Client tokens by operation and token.
    tokens: BTreeMap<String, UsedToken>,
    /// Kubernetes clusters by name: they follow the account's machines by themselves.
    #[serde(default)]
    pub clusters: BTreeMap<String, Kubernetes>,
}

/// A client token that a call was made under.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct UsedToken {
    at: Time,
    parameters: String,
    reply: Reply,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// AWS answered, or did not in time.
    Answered(Result<Reply, CloudError>),
    /// The process was killed around this call.
    Crashed,
}

/// A refusal before the operation's name is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    kind: CloudErrorKind,
    code: String,
    message: String,
}

impl Refused {
    fn new(kind: CloudErrorKind, code: &str, message: impl Into<String>) -> Self {
        Self { kind, code: code.to_owned(), message: message.into() }
    }

    fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(CloudErrorKind::NotFound, code, message)
    }

    fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self::new(CloudErrorKind::Invalid, code, message)
    }

    fn exists(code: &str, message: impl Into<String>) -> Self {
        Self::new(CloudErrorKind::AlreadyExists, code, message)
    }

    fn in_use(code: &str, message: impl Into<String>) -> Self {
        Self::new(CloudErrorKind::InUse, code, message)
    }

    fn quota(code: &str, message: impl Into<String>) -> Self {
        Self::new(CloudErrorKind::QuotaReached, code, message)
    }

    fn into_error(self, operation: &str) -> CloudError {
        CloudError::new(self.kind, operation, self.code, self.message)
    }
}

/// What an operation gives inside the world.
type Answer = Result<Reply, Refused>;

impl World {
    /// Raised when an older world file can no longer be read.
    pub const FORMAT_VERSION: u32 = 1;
    /// Virtual time that a call takes, in milliseconds: its least, and what chance adds.
    const CALL_MS: (u64, u64) = (40, 80);
    /// How long a client token is remembered: a day, in milliseconds.
    const TOKEN_MS: u64 = 86_400_000;

    /// An empty account.
    pub fn new(account: &str, region: &str, seed: u64) -> Self {
        Self {
            format_version: Self::FORMAT_VERSION,
            account: account.to_owned(),
            region: region.to_owned(),
            seed,
            drawn: 0,
            now: Time::START,
            lag: Lag::none(),
            faults: Faults::default(),
            chance_faults: 0,
            mutation_count: 0,
            read_count: 0,
            store_count: 0,
            log: VecDeque::new(),
            vpcs: BTreeMap::new(),
            subnets: BTreeMap::new(),
            lingering: Vec::new(),
            security_groups: Shelf::default(),
            templates: Shelf::default(),
            volumes: Shelf::default(),
            interfaces: Shelf::default(),
            roles: Shelf::default(),
            profiles: Shelf::default(),
            balancers: Shelf::default(),
            target_groups: Shelf::default(),
            listeners: Shelf::default(),
            zones: Shelf::default(),
            groups: Shelf::default(),
            works: BTreeMap::new(),
            machines: Counted::default(),
            ended: BTreeMap::new(),
            shadows: BTreeMap::new(),
            launch_count: 0,
            boot_secs: None,
            end_secs: None,
            registrations: BTreeMap::new(),
            agenda: BTreeSet::new(),
            parameters: Aside::default(),
            objects: BTreeMap::new(),
            etcds: BTreeMap::new(),
            members_found: Aside::default(),
            members_due: None,
            members_elsewhere: BTreeSet::new(),
            etcd_versions: BTreeMap::new(),
            tokens: BTreeMap::new(),
            clusters: BTreeMap::new(),
        }
    }

    /// Makes one call: time passes, the fault plan has its say, AWS' checks theirs.
    pub fn answer(&mut self, call: &Call) -> Outcome {
        let operation = call.operation();
        self.pass_call_time();
        let verdict = self.mutation_verdict();
        let result = match verdict {
            fault::Verdict::Crash(CrashSide::Before) => return self.crash(&operation),
            fault::Verdict::Fault(fault @ (CallFault::Throttled | CallFault::Unavailable)) => {
                Err(fault.refused())
            }
            _ if self.faults.denied_operations.contains(&operation) => Err(Refused::new(
                CloudErrorKind::Denied,
                "UnauthorizedOperation",
                "you are not authorized to perform this operation",
            )),
            _ if self.faults.exhausted_operations.contains(&operation) => {
                Err(Refused::quota("LimitExceeded", "a quota of this account is reached"))
            }
            _ => self.execute(call),
        };
        let result = match (verdict, result) {
            (fault::Verdict::Crash(_), _) => return self.crash(&operation),
            (fault::Verdict::Fault(fault @ CallFault::AnswerLost), Ok(_)) => Err(fault.refused()),
            (_, result) => result,
        };
        let outcome = result.as_ref().map_or_else(|refused| refused.code.clone(), |_| "ok".into());
        self.record(&operation, true, &outcome);
        self.settle();
        Outcome::Answered(result.map_err(|refused| refused.into_error(&operation)))
    }

    fn crash(&mut self, operation: &str) -> Outcome {
        self.record(operation, true, "Crashed");
        Outcome::Crashed
    }

    /// Lets the time of one call pass.
    fn pass_call_time(&mut self) {
        let (least, spread) = Self::CALL_MS;
        let ms = least + self.draw(spread);
        self.advance(self.now.plus_ms(ms));
    }

    /// Drops what no read can see any more.
    fn settle(&mut self) {
        let now = self.now;
        self.security_groups.settle(now);
        self.templates.settle(now);
        self.volumes.settle(now);
        self.interfaces.settle(now);
        self.roles.settle(now);
        self.profiles.settle(now);
        self.balancers.settle(now);
        self.target_groups.settle(now);
        self.listeners.settle(now);
        self.zones.settle(now);
        self.groups.settle(now);
        self.settle_shadows();
        self.lingering.retain(|interface| interface.until > now);
    }

    /// A number below `bound`, from the seed and how many were drawn before; 0 for an empty range.
    fn draw(&mut self, bound: u64) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        if bound == 0 {
            return 0;
        }
        let seed = self.seed ^ self.drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        fastrand::Rng::with_seed(seed).u64(0..bound)
    }

    /// A new EC2 id: the prefix and 17 hex digits.
    fn new_id(&mut self, prefix: &str) -> String {
        let (high, low) = (self.draw(u64::MAX), self.draw(16));
        format!("{prefix}-{high:016x}{low:x}")
    }

    /// A new Route53 id: `Z` and 20 characters.
    fn new_zone_id(&mut self) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let letters: String = (0..20)
            .filter_map(|_| {
                let position = usize::try_from(self.draw(LETTERS.len() as u64)).ok()?;
                LETTERS.get(position).map(|letter| char::from(*letter))
            })
            .collect();
        format!("Z{letters}")
    }

    /// Runs an operation under its client token: the same token and parameters get the first reply
    /// again, other parameters are refused. "The retry succeeds without performing any further
    /// actions" (EC2 Developer Guide, "Ensuring idempotency") holds for what was deleted since, too.
    fn with_token(
        &mut self,
        operation: &str,
        token: &str,
        parameters: &serde_json::Value,
        run: impl FnOnce(&mut Self) -> Answer,
    ) -> Answer {
        let (now, key) = (self.now, format!("{operation}/{token}"));
        self.tokens.retain(|_, used| now.since_ms(used.at) < Self::TOKEN_MS);
        let parameters = crate::resource::digest(parameters);
        if let Some(used) = self.tokens.get(&key) {
            if used.parameters == parameters {
                return Ok(used.reply.clone());
            }
            return Err(Refused::invalid(
                "IdempotentParameterMismatch",
                "the client token was used before with other parameters",
            ));
        }
        let reply = run(self)?;
        self.tokens.insert(key, UsedToken { at: now, parameters, reply: reply.clone() });
        Ok(reply)
    }
}

/// Checks tags as AWS does: at most 50, no reserved prefix, key and value within their lengths.
fn check_tags<'a>(
    tags: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
) -> Result<(), Refused> {
    const TAGS_MAX: usize = 50;
    if tags.len() > TAGS_MAX {
        return Err(Refused::quota("TagLimitExceeded", "a resource takes at most 50 tags"));
    }
    for (key, value) in tags {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Refused::invalid(
                "InvalidParameterValue",
                format!("tag keys that start with aws: are reserved: {key}"),
            ));
        }
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(Refused::invalid(
                "InvalidParameterValue",
                format!("a tag key takes 1 to 128 characters, a value up to 256: {key}"),
            ));
        }
    }
    Ok(())
}

/// Adds tags to those that are there, checked together; AWS' own among them count for nothing.
fn merge_tags(into: &mut Tags, tags: &Tags) -> Result<(), Refused> {
    let is_users = |key: &String| !key.to_ascii_lowercase().starts_with("aws:");
    let mut merged: Tags =
        into.iter().filter(|(key, _)| is_users(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
    merged.extend(tags.iter().map(|(key, value)| (key.clone(), value.clone())));
    check_tags(merged.iter())?;
    into.extend(tags.iter().map(|(key, value)| (key.clone(), value.clone())));
    Ok(())
}

/// Whether every character of a name is a letter, a digit or one of `others`.
fn is_made_of(name: &str, others: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

/// A reply with these attributes.
fn reply<const N: usize>(attributes: [(crate::resource::Attribute, String); N]) -> Reply {
    Reply { attributes: BTreeMap::from(attributes), ..Reply::default() }
}

/// FNV-1a: a number from a name.
pub(crate) fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
