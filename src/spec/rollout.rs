//! How machines are replaced.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::Span;

/// Defines a struct of what groups take over from their cluster, and of fields of its own.
macro_rules! rolling_update {
    ($(#[$doc:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(default, rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            /// Whether old machines are drained and terminated; `false` only brings new ones.
            pub drain_and_terminate: Option<bool>,
            /// Machines that may be missing at once: a number, or a percentage rounded down, at
            /// least 1.
            pub max_unavailable: Option<IntOrPercent>,
            /// Machines that may be there too many: a number, or a percentage rounded up.
            pub max_surge: Option<IntOrPercent>,
            /// Machines of the group that may be missing at once in one zone.
            pub max_unavailable_per_zone: Option<IntOrPercent>,
            /// How long the drain of a machine may take.
            pub drain_timeout: Option<Span>,
            /// What happens then.
            pub on_drain_timeout: Option<DrainTimeoutAction>,
            /// How long to wait after a drain before the machine ends.
            pub post_drain_delay: Option<Span>,
            /// How long load balancers may take to let a machine go.
            pub deregister_timeout: Option<Span>,
            /// How long a new machine may take until its node is ready.
            pub boot_timeout: Option<Span>,
            /// How long something that was well before the rollout may be unwell until it halts.
            pub validate_timeout: Option<Span>,
            /// How long a new machine has to stay ready before it counts.
            pub soak: Option<Span>,
            /// New machines of a group that have to be validated before it goes on at full speed; 0
            /// for none.
            pub canary: Option<u32>,
            /// How long canaries are watched after they are validated.
            pub canary_soak: Option<Span>,
            /// Whether pods that no controller would make again are evicted too; else they halt the
            /// rollout.
            pub delete_bare_pods: Option<bool>,
            /// Machines older than this are replaced by the next rollout.
            pub max_node_age: Option<Span>,
            $($own)*
        }
    };
}

rolling_update! {
    /// How a group's machines are replaced.
    RollingUpdateSpec {}
}

rolling_update! {
    /// How machines are replaced: what groups take over that do not say otherwise, and what holds over
    /// all of them.
    ClusterRollingUpdateSpec {
        /// Limits over all groups of workers.
        pub overall: Option<OverallRolloutSpec>,
        /// How old etcd's newest verified snapshot may be when a member's machine goes.
        pub snapshot_age_max: Option<Span>,
        /// Whether etcd may be down while the machine of its only member is replaced.
        pub one_member_downtime: Option<bool>,
        /// How broken machines are replaced.
        pub repair: Option<RepairSpec>,
    }
}

/// Limits over all groups of workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct OverallRolloutSpec {
    /// Workers that may be missing at once: a number, or a percentage of all; no limit when absent.
    pub max_unavailable: Option<IntOrPercent>,
    /// Workers of one zone that may be missing at once: a number, or a percentage of the zone's; no
    /// limit when absent.
    pub max_unavailable_per_zone: Option<IntOrPercent>,
    /// New machines of a group that may fail, in percent of those to come, before it goes back to
    /// what it ran.
    pub failure_percent: Option<u32>,
}

/// How `kprod repair` replaces broken machines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RepairSpec {
    /// How long a machine has to be broken.
    pub broken_for: Option<Span>,
    /// Machines that are replaced at once.
    pub at_once: Option<u32>,
    /// Broken machines, in percent of all, above which nothing is touched: then it is not the
    /// machines.
    pub halt_above_percent: Option<u32>,
}

/// What happens when a drain takes too long.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum DrainTimeoutAction {
    /// The machine stays, and the rollout halts with the pods named.
    Fail,
    /// The machine stays for a later rollout; the others go on, and then the rollout halts with the pods
    /// named.
    Skip,
    /// Pods that are still there are deleted, whatever their budgets say.
    Force,
}

/// A number, or a percentage such as `25%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntOrPercent {
    /// So many.
    Int(u32),
    /// So many of a hundred.
    Percent(u32),
}

impl IntOrPercent {
    /// Whether it is none, of however many.
    pub fn is_zero(self) -> bool {
        matches!(self, IntOrPercent::Int(0) | IntOrPercent::Percent(0))
    }
}

impl fmt::Display for IntOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IntOrPercent::Int(count) => write!(f, "{count}"),
            IntOrPercent::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for IntOrPercent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a whole number nor a percentage such as `25%`");
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            if plain { digits.parse::<u32>().map_err(|_| wrong()) } else { Err(wrong()) }
        };
        match text.strip_suffix('%') {
            Some(digits) => {
                let percent = number(digits)?;
                if percent > 100 {
                    return Err(format!("`{text}` is more than `100%`"));
                }
                Ok(IntOrPercent::Percent(percent))
            }
            None => Ok(IntOrPercent::Int(number(text)?)),
        }
    }
}

impl Serialize for IntOrPercent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            IntOrPercent::Int(count) => serializer.serialize_u32(*count),
            IntOrPercent::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for IntOrPercent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text.parse().map_err(D::Error::custom),
            other => other.to_string().parse().map_err(D::Error::custom),
        }
    }
}

impl JsonSchema for IntOrPercent {
    fn schema_name() -> Cow<'static, str> {
        "IntOrPercent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A whole number, or a percentage such as `25%`.",
            "type": ["integer", "string"],
            "minimum": 0,
            "maximum": u32::MAX,
            "format": "int-or-percent",
        })
    }
}
