//! What the doctor found, as JSON (`doctor -o json`).
//!
//! | Field | Meaning |
//! |---|---|
//! | `format_version` | version of the doctor's form, `"1.0"` |
//! | `cluster`, `cloud`, `simulated`, `account`, `region` | whose health it is |
//! | `healthy` | nothing needs care |
//! | `symptoms[].trouble` | `state`, `lease`, `journal`, `snapshot`, `in_the_way`, `half_made`, `machines`, `certificate`, `orphan` |
//! | `symptoms[].address` | a resource's address, or an instance's id; null for the cluster as a whole |
//! | `symptoms[].message`, `hint` | what is the matter, and the way out |
//! | `symptoms[].lint` | the rule that is broken, which the spec may waive, such as `L25`; or null |

use serde::Serialize;
use serde_json::Value;

use crate::doctor::Symptom;
use crate::plan::Plan;

/// Version of the form.
const FORMAT_VERSION: &str = "1.0";

#[derive(Serialize)]
struct DoctorJson<'a> {
    format_version: &'static str,
    cluster: &'a str,
    cloud: &'a str,
    simulated: bool,
    account: &'a str,
    region: &'a str,
    healthy: bool,
    symptoms: Vec<SymptomJson<'a>>,
}

#[derive(Serialize)]
struct SymptomJson<'a> {
    trouble: &'static str,
    address: Option<&'a str>,
    message: &'a str,
    hint: &'a str,
    lint: Option<&'static str>,
}

/// Symptoms in the form above.
pub fn doctor(plan: &Plan, symptoms: &[Symptom]) -> Value {
    let told = DoctorJson {
        format_version: FORMAT_VERSION,
        cluster: &plan.cluster,
        cloud: &plan.cloud,
        simulated: plan.cloud == "sim",
        account: &plan.account,
        region: &plan.region,
        healthy: symptoms.is_empty(),
        symptoms: symptoms
            .iter()
            .map(|symptom| SymptomJson {
                trouble: symptom.trouble.as_str(),
                address: symptom.address.as_deref(),
                message: &symptom.message,
                hint: &symptom.hint,
                lint: symptom.lint,
            })
            .collect(),
    };
    serde_json::to_value(told).unwrap_or_default()
}
