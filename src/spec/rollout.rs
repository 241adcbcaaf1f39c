//! How machines are replaced.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How machines are replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RollingUpdateSpec {
    /// Whether old machines are drained and terminated; `false` only brings new ones.
    pub drain_and_terminate: Option<bool>,
    /// Machines that may be missing at once: a number, or a percentage rounded down, at least 1.
    pub max_unavailable: Option<IntOrPercent>,
    /// Machines that may be there too many: a number, or a percentage rounded up.
    pub max_surge: Option<IntOrPercent>,
}

/// A number, or a percentage such as `25%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntOrPercent {
    /// So many.
    Int(u32),
    /// So many of a hundred.
    Percent(u32),
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
