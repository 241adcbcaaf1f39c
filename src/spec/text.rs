//! Values that are written as text and have a shape of their own.
//!
//! Each reads with `FromStr`, prints the same text again, and names its shape in the schema's
//! `format`, which [`check_format`] reads back so that a wrong value is found with its line.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::quantity::{CPUS, CpuCount, MEMORY, Memory};
use super::rollout::IntOrPercent;

/// Checks a text against a `format` of the schema; the error says what is wrong.
pub(super) fn check_format(format: &str, text: &str) -> Result<(), String> {
    match format {
        CIDR => parse_cidr(text).map(drop),
        IPV4 => match text.parse::<std::net::Ipv4Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("`{text}` is not an IPv4 address")),
        },
        ACCESS => text.parse::<AccessSource>().map(drop),
        SPAN => text.parse::<Span>().map(drop),
        PORTS => text.parse::<PortRange>().map(drop),
        TAINT => text.parse::<Taint>().map(drop),
        INT_OR_PERCENT => text.parse::<IntOrPercent>().map(drop),
        CPUS => text.parse::<CpuCount>().map(drop),
        MEMORY => text.parse::<Memory>().map(drop),
        _ => Ok(()),
    }
}

/// What a format asks for where a whole number is taken too, as messages say it.
pub(super) fn expected_of(format: &str) -> &'static str {
    match format {
        CPUS => "a whole number",
        MEMORY => "an amount of memory such as `8Gi`",
        _ => "a whole number or a percentage",
    }
}

const CIDR: &str = "cidr";
/// The format that schemars gives an [`std::net::Ipv4Addr`].
const IPV4: &str = "ipv4";
const ACCESS: &str = "cidr-or-prefix-list";
const SPAN: &str = "duration";
const PORTS: &str = "port-range";
const TAINT: &str = "taint";
const INT_OR_PERCENT: &str = "int-or-percent";

/// Reads a CIDR and refuses host bits, naming the network that was meant.
pub(super) fn parse_cidr(text: &str) -> Result<IpNet, String> {
    let net: IpNet = text.parse().map_err(|_| {
        format!("`{text}` is not a CIDR; write an address and a length, such as `10.0.0.0/16`")
    })?;
    let network = net.trunc();
    if network.addr() == net.addr() {
        Ok(net)
    } else {
        Err(format!("`{text}` has host bits set; the network is `{network}`"))
    }
}

/// Gives a type that reads and prints as text its serde and schema.
macro_rules! text_value {
    ($type:ident, $format:expr, $about:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "description": $about, "type": "string", "format": $format })
            }
        }
    };
}

/// The schema of a CIDR; the value itself is an [`IpNet`].
pub(super) struct CidrText;

impl JsonSchema for CidrText {
    fn schema_name() -> Cow<'static, str> {
        "Cidr".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A network without host bits, such as `10.0.0.0/16`.",
            "type": "string",
            "format": CIDR,
        })
    }
}

/// Who may reach something: a network, or a managed prefix list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessSource {
    /// A network.
    Cidr(IpNet),
    /// Id of a managed prefix list, `pl-…`.
    PrefixList(String),
}

impl fmt::Display for AccessSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessSource::Cidr(net) => write!(f, "{net}"),
            AccessSource::PrefixList(id) => f.write_str(id),
        }
    }
}

impl FromStr for AccessSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("pl-") {
            Some(id) if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Ok(AccessSource::PrefixList(text.to_owned()))
            }
            Some(_) => Err(format!("`{text}` is not the id of a prefix list")),
            None => parse_cidr(text).map(AccessSource::Cidr),
        }
    }
}

text_value!(AccessSource, ACCESS, "A network such as `10.0.0.0/16`, or a prefix list `pl-…`.");

/// A length of time, written as Go does: `168h`, `1h30m`, `90s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its length in seconds.
    pub secs: u64,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}h{}m{}s", self.secs / 3600, self.secs / 60 % 60, self.secs % 60)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a length of time such as `168h` or `1h30m`");
        if text == "0" {
            return Ok(Span { secs: 0 });
        }
        let mut rest = text;
        let mut secs: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let mut tail = tail.chars();
            let unit = match tail.next() {
                Some('h') => 3600,
                Some('m') => 60,
                Some('s') => 1,
                _ => return Err(wrong()),
            };
            secs = number
                .checked_mul(unit)
                .and_then(|part| secs.checked_add(part))
                .ok_or_else(wrong)?;
            rest = tail.as_str();
        }
        if text.is_empty() { Err(wrong()) } else { Ok(Span { secs }) }
    }
}

text_value!(Span, SPAN, "A length of time, such as `168h` or `1h30m`.");

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text.split_once('-').and_then(|(first, last)| {
            let range = PortRange { first: first.parse().ok()?, last: last.parse().ok()? };
            (0 < range.first && range.first <= range.last).then_some(range)
        });
        range.ok_or_else(|| format!("`{text}` is not a range of ports such as `30000-32767`"))
    }
}

text_value!(PortRange, PORTS, "A range of ports, such as `30000-32767`.");

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaintEffect {
    /// They are not put there.
    NoSchedule,
    /// They are put elsewhere if possible.
    PreferNoSchedule,
    /// They are driven away.
    NoExecute,
}

impl TaintEffect {
    /// The name Kubernetes uses.
    pub fn name(self) -> &'static str {
        match self {
            TaintEffect::NoSchedule => "NoSchedule",
            TaintEffect::PreferNoSchedule => "PreferNoSchedule",
            TaintEffect::NoExecute => "NoExecute",
        }
    }
}

/// A taint: `key=value:effect` or `key:effect`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taint {
    /// Its key, a qualified name.
    pub key: String,
    /// Its value, which may be empty.
    pub value: String,
    /// What it does.
    pub effect: TaintEffect,
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if !self.value.is_empty() {
            write!(f, "={}", self.value)?;
        }
        write!(f, ":{}", self.effect.name())
    }
}

impl FromStr for Taint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` is not a taint `key=value:effect`: {why}");
        let (left, effect) = text.rsplit_once(':').ok_or_else(|| wrong("no effect"))?;
        let effect = match effect {
            "NoSchedule" => TaintEffect::NoSchedule,
            "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
            "NoExecute" => TaintEffect::NoExecute,
            _ => return Err(wrong("the effect is NoSchedule, PreferNoSchedule or NoExecute")),
        };
        let (key, value) = left.split_once('=').unwrap_or((left, ""));
        if !is_label_key(key) {
            return Err(wrong("the key is not a qualified name"));
        }
        if !is_label_value(value) {
            return Err(wrong("the value is not a label value"));
        }
        Ok(Taint { key: key.to_owned(), value: value.to_owned(), effect })
    }
}

text_value!(Taint, TAINT, "A taint, such as `dedicated=db:NoSchedule`.");

/// Whether a text may be a label's or taint's key: `[prefix/]name`.
///
/// Source: Kubernetes, `k8s.io/apimachinery/pkg/util/validation`, IsQualifiedName.
pub(super) fn is_label_key(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    prefix.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_value(name)
}

/// Whether a text may be a label's value: up to 63 of letters, digits, `-`, `_`, `.`, with a letter
/// or digit at both ends.
pub(super) fn is_label_value(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// Whether a text is a DNS-1123 subdomain: up to 253 characters of labels joined by dots.
pub(super) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// Whether a text is a DNS-1123 label: up to 63 of lowercase letters, digits and `-`, with a letter
/// or digit at both ends.
pub(super) fn is_dns_label(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}
