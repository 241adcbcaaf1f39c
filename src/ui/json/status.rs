//! How a cluster stands at this moment, as JSON (`status -o json`).
//!
//! | Field | Meaning |
//! |---|---|
//! | `format_version` | version of the status' form, `"1.0"` |
//! | `cluster`, `simulated`, `observed_at` | whose status it is, and when groups and machines were read |
//! | `quiet` | all is as wanted, and nobody works on it |
//! | `lease` | `holder`, `taken_at`, `expires_at` of whoever works on it, or null; `unusable` says why what is there is none |
//! | `roll` | `id`, `began_at`, `groups` of a roll that is under way or did not end, or null |
//! | `paused` | `by`, `at`, `why` of a pause, or null |
//! | `without_kube` | why nodes were not looked at, or null |
//! | `groups` | groups in rolling order, as in the event `roll_progress` |
//! | `failed` | revisions that were rolled back: `group`, `revision` |
//! | `broken` | machines that do not serve: `machine`, `group`, `why` |
//! | `halts` | why a roll would halt: `group`, `object`, `message`, `way_out` |

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::roll::{PauseJson, pause_json};
use crate::ui::progress::roll::wire::{GroupJson, HaltJson, group_json, halt_json};
use crate::ui::status::StatusView;

/// Version of the form.
const FORMAT_VERSION: &str = "1.0";

#[derive(Serialize)]
struct StatusJson<'a> {
    format_version: &'static str,
    cluster: &'a str,
    simulated: bool,
    observed_at: Timestamp,
    quiet: bool,
    lease: Option<LeaseJson<'a>>,
    roll: Option<RollJson<'a>>,
    paused: Option<PauseJson<'a>>,
    without_kube: Option<&'a str>,
    groups: Vec<GroupJson<'a>>,
    failed: Vec<FailedJson<'a>>,
    broken: Vec<BrokenJson<'a>>,
    halts: Vec<HaltJson<'a>>,
}

#[derive(Serialize)]
struct LeaseJson<'a> {
    holder: Option<&'a str>,
    taken_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    unusable: Option<&'a str>,
}

#[derive(Serialize)]
struct RollJson<'a> {
    id: &'a str,
    began_at: Timestamp,
    groups: &'a [String],
}

#[derive(Serialize)]
struct FailedJson<'a> {
    group: &'a str,
    revision: &'a str,
}

#[derive(Serialize)]
struct BrokenJson<'a> {
    machine: &'a str,
    group: &'a str,
    why: &'a str,
}

/// A status in the form above.
pub fn status(view: &StatusView) -> Value {
    let status = &view.status;
    let lease = view.lease.as_ref().map(|lease| match lease {
        Ok(record) => LeaseJson {
            holder: Some(&record.holder),
            taken_at: Some(record.taken_at),
            expires_at: Some(record.expires_at),
            unusable: None,
        },
        Err(why) => {
            LeaseJson { holder: None, taken_at: None, expires_at: None, unusable: Some(why) }
        }
    });
    let roll = status.roll.as_ref();
    let failed = status.failed.iter();
    let told = StatusJson {
        format_version: FORMAT_VERSION,
        cluster: &status.cluster,
        simulated: view.is_simulated,
        observed_at: status.observed_at,
        quiet: view.is_quiet(),
        lease,
        roll: roll.map(|roll| RollJson {
            id: &roll.id,
            began_at: roll.began_at,
            groups: &roll.groups,
        }),
        paused: status.paused.as_ref().map(pause_json),
        without_kube: view.without_kube.as_deref(),
        groups: status.groups.iter().map(group_json).collect(),
        failed: failed.map(|(group, revision)| FailedJson { group, revision }).collect(),
        broken: status
            .broken
            .iter()
            .map(|broken| BrokenJson {
                machine: &broken.instance_id,
                group: &broken.group,
                why: &broken.why,
            })
            .collect(),
        halts: status.halts.iter().map(halt_json).collect(),
    };
    serde_json::to_value(told).unwrap_or_default()
}
