//! A cluster's keys and certificates, as JSON (`pki status -o json`).
//!
//! | Field | Meaning |
//! |---|---|
//! | `format_version` | version of the form, `"1.0"` |
//! | `cluster`, `simulated`, `observed_at` | whose they are, and when they were looked at |
//! | `well` | nobody has to see to anything |
//! | `authorities[]` | `authority`, `signs`; `secret_parameter` with the key, `public_parameter` with the certificate or public key |
//! | `authorities[].fingerprint` | SHA-256 of the certificate, or of the public key's text; null when there is none |
//! | `authorities[].state` | `missing`, `keyless`, `valid`, `ending`, `ended`, `early`, `wrong` |
//! | `authorities[].until` | when it ends, or null |
//! | `authorities[].message`, `way_out` | what to see to, or null |
//! | `members[]` | `etcd`, `member`, `machine` that reported its certificates, or null |
//! | `members[].leaves[]` | `leaf` (`client`, `peer`, `server`), `state` (those above and `due`), `until`, `renewed_from`, `message`, `way_out` |

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::pki::{AuthorityStatus, MemberLeaves, State, Status};
use crate::ui::pki::LEAF_WAY_OUT;

/// Version of the form.
const FORMAT_VERSION: &str = "1.0";

#[derive(Serialize)]
struct StatusJson<'a> {
    format_version: &'static str,
    cluster: &'a str,
    simulated: bool,
    observed_at: Timestamp,
    well: bool,
    authorities: Vec<AuthorityJson<'a>>,
    members: Vec<MemberJson<'a>>,
}

#[derive(Serialize)]
struct AuthorityJson<'a> {
    authority: String,
    signs: String,
    secret_parameter: String,
    public_parameter: String,
    fingerprint: Option<&'a str>,
    state: &'static str,
    until: Option<Timestamp>,
    message: Option<String>,
    way_out: Option<&'static str>,
}

#[derive(Serialize)]
struct MemberJson<'a> {
    etcd: &'a str,
    member: &'a str,
    machine: Option<&'a str>,
    leaves: Vec<LeafJson>,
}

#[derive(Serialize)]
struct LeafJson {
    leaf: &'static str,
    state: &'static str,
    until: Option<Timestamp>,
    renewed_from: Option<Timestamp>,
    message: Option<String>,
    way_out: Option<&'static str>,
}

/// Keys and certificates, in the form above.
pub fn pki(status: &Status, is_simulated: bool) -> Value {
    let authorities = status.authorities.iter();
    let told = StatusJson {
        format_version: FORMAT_VERSION,
        cluster: &status.cluster,
        simulated: is_simulated,
        observed_at: status.observed_at,
        well: status.is_well(),
        authorities: authorities.map(|one| authority(one, &status.cluster)).collect(),
        members: status.members.iter().map(member).collect(),
    };
    serde_json::to_value(told).unwrap_or_default()
}

fn authority<'a>(one: &'a AuthorityStatus, cluster: &str) -> AuthorityJson<'a> {
    AuthorityJson {
        authority: one.authority.to_string(),
        signs: one.authority.signs(),
        secret_parameter: one.authority.secret_parameter(cluster),
        public_parameter: one.authority.public_parameter(cluster),
        fingerprint: one.fingerprint.as_deref(),
        state: one.state.word(),
        until: one.state.until(),
        message: message(&one.state),
        way_out: (!one.state.is_well()).then(|| one.state.authority_way_out()),
    }
}

fn member(member: &MemberLeaves) -> MemberJson<'_> {
    let leaves = member.leaves.iter().map(|(leaf, status)| LeafJson {
        leaf: leaf.as_str(),
        state: status.state.word(),
        until: status.state.until(),
        renewed_from: status.renewed_from,
        message: message(&status.state),
        way_out: (!status.state.is_well()).then_some(LEAF_WAY_OUT),
    });
    MemberJson {
        etcd: &member.etcd,
        member: &member.member,
        machine: member.instance_id.as_deref(),
        leaves: leaves.collect(),
    }
}

fn message(state: &State) -> Option<String> {
    (!state.is_well()).then(|| state.to_string())
}
