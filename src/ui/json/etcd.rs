//! How a cluster's etcd stands, as JSON (`etcd status -o json`).
//!
//! | Field | Meaning |
//! |---|---|
//! | `format_version` | version of the form, `"1.0"` |
//! | `cluster`, `simulated`, `observed_at` | whose etcd it is, and when the reports were read |
//! | `well` | every member is a healthy voter, and a verified snapshot is young enough |
//! | `etcds[]` | `etcd`: `main`, `events` |
//! | `etcds[].quorum`, `headroom`, `headroom_in_maintenance` | members that have to agree; that may fail, and while a machine is replaced |
//! | `etcds[].cluster_version` | the minor version that the members work at together, such as `3.5`, or null |
//! | `etcds[].snapshot_at` | when the newest verified snapshot was taken, or null |
//! | `etcds[].members[]` | `member`, `group`, `zone`, `state`; of its last report `machine`, `version`, `term`, `lag`, `reported_at`, or null |
//! | `etcds[].members[].state` | `leader`, `follower`, `learner`, `unstarted`, `not_healthy`, `silent`, `no_report` |
//! | `etcds[].outages[]` | `zone`; members that it takes, `lost`, and that stay: `left`, `left_in_maintenance`, `left_now` |
//! | `etcds[].complaints[]` | what is wrong: `member` or null, `message`, `way_out` |

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::etcd::{EtcdStanding, MemberStanding, Minor, Standing, Version};

/// Version of the form.
const FORMAT_VERSION: &str = "1.0";

#[derive(Serialize)]
struct StandingJson<'a> {
    format_version: &'static str,
    cluster: &'a str,
    simulated: bool,
    observed_at: Timestamp,
    well: bool,
    etcds: Vec<EtcdJson<'a>>,
}

#[derive(Serialize)]
struct EtcdJson<'a> {
    etcd: &'a str,
    quorum: usize,
    headroom: usize,
    headroom_in_maintenance: usize,
    cluster_version: Option<Minor>,
    snapshot_at: Option<Timestamp>,
    members: Vec<MemberJson<'a>>,
    outages: Vec<OutageJson<'a>>,
    complaints: Vec<ComplaintJson<'a>>,
}

#[derive(Serialize)]
struct MemberJson<'a> {
    member: &'a str,
    group: &'a str,
    zone: Option<&'a str>,
    state: &'static str,
    machine: Option<&'a str>,
    version: Option<Version>,
    term: Option<u64>,
    lag: Option<u64>,
    reported_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct OutageJson<'a> {
    zone: &'a str,
    lost: usize,
    left: usize,
    left_in_maintenance: usize,
    left_now: usize,
}

#[derive(Serialize)]
struct ComplaintJson<'a> {
    member: Option<&'a str>,
    message: String,
    way_out: &'static str,
}

/// How etcd stands, in the form above.
pub fn etcd(standing: &Standing, is_simulated: bool) -> Value {
    let told = StandingJson {
        format_version: FORMAT_VERSION,
        cluster: &standing.cluster,
        simulated: is_simulated,
        observed_at: standing.observed_at,
        well: standing.is_well(),
        etcds: standing.etcds.iter().map(|(name, etcd)| etcd_json(name, etcd)).collect(),
    };
    serde_json::to_value(told).unwrap_or_default()
}

fn etcd_json<'a>(name: &'a str, etcd: &'a EtcdStanding) -> EtcdJson<'a> {
    let outages = etcd.domains.outages.iter();
    let complaints = etcd.complaints.iter();
    EtcdJson {
        etcd: name,
        quorum: etcd.domains.quorum,
        headroom: etcd.domains.headroom(),
        headroom_in_maintenance: etcd.domains.headroom_in_maintenance(),
        cluster_version: etcd.cluster_version,
        snapshot_at: etcd.snapshot_at,
        members: etcd.members.iter().map(|(name, member)| member_json(name, member)).collect(),
        outages: outages
            .map(|(zone, outage)| OutageJson {
                zone,
                lost: outage.lost,
                left: outage.left,
                left_in_maintenance: outage.left_in_maintenance,
                left_now: outage.left_now,
            })
            .collect(),
        complaints: complaints
            .map(|complaint| ComplaintJson {
                member: complaint.member.as_deref(),
                message: complaint.why.to_string(),
                way_out: complaint.why.way_out(),
            })
            .collect(),
    }
}

fn member_json<'a>(name: &'a str, member: &'a MemberStanding) -> MemberJson<'a> {
    let fact = member.fact.as_ref();
    let report = fact.map(|fact| &fact.report);
    MemberJson {
        member: name,
        group: &member.group,
        zone: member.zone.as_deref(),
        state: member.state.word(),
        machine: report.map(|report| report.instance_id.as_str()),
        version: report.and_then(|report| report.version),
        term: report.map(|report| report.term),
        lag: report.map(|report| report.lag),
        reported_at: fact.map(|fact| fact.written_at),
    }
}
