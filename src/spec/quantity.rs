//! Amounts that kops takes as Kubernetes quantities: whole CPUs and memory.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The schema's format of [`CpuCount`].
pub(super) const CPUS: &str = "cpu-count";
/// The schema's format of [`Memory`].
pub(super) const MEMORY: &str = "memory";

const MIB: u64 = 1 << 20;

/// More memory than any machine has, so that MiB always fit AWS's 32 bits: one PiB.
const MEMORY_MAX: u64 = 1 << 50;

/// A whole number of virtual CPUs: `2`, or `"2"` as kops writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuCount(pub u16);

impl fmt::Display for CpuCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CpuCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let count = text.parse().ok().filter(|_| digits);
        count.map(CpuCount).ok_or_else(|| format!("`{text}` is not a whole number of CPUs"))
    }
}

/// An amount of memory, written as a Kubernetes quantity: `8Gi`, `512Mi`, `8G`; a plain number is
/// bytes, as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory {
    /// The amount in bytes, at least a MiB.
    pub bytes: u64,
}

impl Memory {
    /// The least whole number of MiB that holds this amount.
    pub fn mib_up(self) -> u32 {
        u32::try_from(self.bytes.div_ceil(MIB)).unwrap_or(u32::MAX)
    }

    /// The most whole MiB within this amount.
    pub fn mib_down(self) -> u32 {
        u32::try_from(self.bytes / MIB).unwrap_or(u32::MAX)
    }
}

/// Suffixes with the bytes they stand for, the largest first.
/// Source: Kubernetes, `k8s.io/apimachinery/pkg/api/resource`, Quantity.
const SUFFIXES: [(&str, u64); 8] = [
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", MIB),
    ("Ki", 1 << 10),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
];

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, unit): &&(&str, u64)| self.bytes.is_multiple_of(*unit);
        let written = |(suffix, unit): &(&str, u64)| format!("{}{suffix}", self.bytes / unit);
        // The shortest way to write it is most likely how it was written.
        let shortest = SUFFIXES.iter().filter(whole).map(written).min_by_key(String::len);
        f.write_str(&shortest.unwrap_or_else(|| self.bytes.to_string()))
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an amount of memory such as `8Gi`");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = text.split_at(digits);
        let unit = match SUFFIXES.iter().find(|(known, _)| *known == suffix) {
            Some((_, unit)) => *unit,
            None if suffix.is_empty() => 1,
            None => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        match number.checked_mul(unit) {
            Some(bytes) if bytes < MIB => {
                let hint = "a plain number is bytes; write `8Gi` or `512Mi`";
                Err(format!("`{text}` is less than a MiB: {hint}"))
            }
            Some(bytes) if bytes <= MEMORY_MAX => Ok(Memory { bytes }),
            _ => Err(format!("`{text}` is more memory than any machine has")),
        }
    }
}

/// Text or a whole number, as YAML has either.
fn text_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    })
}

impl Serialize for CpuCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0)
    }
}

impl<'de> Deserialize<'de> for CpuCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_of(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for CpuCount {
    fn schema_name() -> Cow<'static, str> {
        "CpuCount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A whole number of CPUs.",
            "type": ["integer", "string"],
            "minimum": 0,
            "maximum": u16::MAX,
            "format": CPUS,
        })
    }
}

impl Serialize for Memory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Memory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_of(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Memory {
    fn schema_name() -> Cow<'static, str> {
        "Memory".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An amount of memory, such as `8Gi`; a plain number is bytes.",
            "type": ["integer", "string"],
            "minimum": 0,
            "format": MEMORY,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn memory_is_read_as_kubernetes_does_and_rounded_inwards() {
        let memory = |text: &str| text.parse::<Memory>();
        assert_eq!(memory("8Gi").unwrap().mib_up(), 8192);
        assert_eq!(memory("8589934592").unwrap(), memory("8Gi").unwrap());
        // 8 * 10^9 bytes lie between two MiB.
        let decimal = memory("8G").unwrap();
        assert_eq!((decimal.mib_up(), decimal.mib_down()), (7630, 7629));
        for text in ["8Gi", "1Mi", "1025Ki", "8G", "1048577"] {
            let read = memory(text).unwrap();
            assert_eq!(memory(&read.to_string()).unwrap(), read, "{text}");
        }
        for text in ["", "Gi", "8gb", "-1Gi", "1.5Gi", "8192", "0", "99999999Ti", "2000Ti"] {
            assert!(memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cpus_are_whole() {
        assert_eq!("16".parse(), Ok(CpuCount(16)));
        for text in ["", "+1", "1500m", "1.5", "70000"] {
            assert!(text.parse::<CpuCount>().is_err(), "{text}");
        }
    }
}
