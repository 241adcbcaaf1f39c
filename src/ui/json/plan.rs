//! A plan as JSON (`plan -o json`, `show -o json`).
//!
//! `format_version` is `major.minor`: the minor number rises when a field is added, the major one
//! when a field goes or changes its meaning. Readers ignore fields they do not know.
//!
//! | Field | Meaning |
//! |---|---|
//! | `format_version` | version of this form, `"1.0"` |
//! | `kprod_version` | version of the program that printed it |
//! | `cluster`, `account`, `region` | what the plan is for |
//! | `cloud`, `simulated` | `sim` or `aws`; whether nothing of it is real |
//! | `observed_at` | when the world was read, RFC 3339 |
//! | `only` | addresses the plan was limited to; empty for all |
//! | `applyable` | `apply` would carry it out: there are changes and no refusal |
//! | `complete` | nothing is left to plan or to roll after it: not limited, not refused, no rollout |
//! | `errored` | the plan is not to be trusted: an address is unknown or changes form a circle |
//! | `summary` | counts: `create`, `update`, `replace`, `delete`, `unchanged`, `machines_to_replace`, `refusals` |
//! | `resources` | one entry for each resource that changes, in the order of the apply |
//! | `resources[].address`, `kind`, `name` | `kind/name`, and its two parts |
//! | `resources[].action` | `create`, `update`, `replace`, `delete` |
//! | `resources[].reason` | `not_there`, `spec_changed`, `drifted`, `differs`, `follows`, `cannot_update`, `not_wanted`, `destroy` |
//! | `resources[].before`, `after` | all fields, named as in the AWS API in snake_case; null when there is none |
//! | `resources[].fields` | the fields that differ: `path`, `before`, `after`, `class` |
//! | `resources[].fields[].class` | `in_place`, `drains_first`, `rolls_machines`, `replaces_resource`, `forbidden` |
//! | `resources[].unknown_until_apply` | paths in `after` whose value is still `${address:attribute}`, or a list that holds one |
//! | `resources[].depends_on` | addresses whose changes come first |
//! | `resources[].existing_version` | launch template version that holds the content already, or null |
//! | `resources[].machine_count` | machines that a group has now |
//! | `drift` | addresses that were changed outside kprod |
//! | `rollout.machine_count`, `rollout.groups` | machines that are not built from the wanted content |
//! | `rollout.groups[]` | `address`, `machines` (`instance_id`, `availability_zone`, `version`), `causes` (as `fields`) |
//! | `foreign` | resources that are not ours: `address`, `kind`, `name`, `id`, `why`, `owner`, `in_the_way` |
//! | `foreign[].why` | `kops`, `other_cluster`, `untagged` |
//! | `foreign_rules` | others' rules in our security groups: `address`, `rules` |
//! | `refusals` | what stands against an apply: `guard`, `address`, `message`, `hint` |
//! | `remarks` | what does not: `severity`, `address`, `message`, `hint`, and `lint`, the rule that says so, or null |

use serde::Serialize;
use serde_json::Value;

use crate::cloud::Foreignness;
use crate::plan::{
    Action, Change, FieldChange, FieldClass, ForeignResource, GroupRollout, Plan, Reason,
};

/// Version of the form; see the module's documentation.
pub const FORMAT_VERSION: &str = "1.0";

#[derive(Serialize)]
struct PlanJson {
    format_version: &'static str,
    kprod_version: &'static str,
    cluster: String,
    cloud: String,
    simulated: bool,
    account: String,
    region: String,
    observed_at: String,
    only: Vec<String>,
    applyable: bool,
    complete: bool,
    errored: bool,
    summary: SummaryJson,
    resources: Vec<ResourceJson>,
    drift: Vec<String>,
    rollout: RolloutJson,
    foreign: Vec<ForeignJson>,
    foreign_rules: Vec<ForeignRulesJson>,
    refusals: Vec<RefusalJson>,
    remarks: Vec<RemarkJson>,
}

#[derive(Serialize)]
struct SummaryJson {
    create: usize,
    update: usize,
    replace: usize,
    delete: usize,
    unchanged: usize,
    machines_to_replace: usize,
    refusals: usize,
}

#[derive(Serialize)]
struct ResourceJson {
    address: String,
    kind: String,
    name: String,
    action: &'static str,
    reason: &'static str,
    before: Option<Value>,
    after: Option<Value>,
    fields: Vec<FieldJson>,
    unknown_until_apply: Vec<String>,
    depends_on: Vec<String>,
    existing_version: Option<u64>,
    machine_count: usize,
}

/// One field that differs; also in a roll's plan.
#[derive(Serialize)]
pub(super) struct FieldJson {
    path: String,
    before: Option<Value>,
    after: Option<Value>,
    class: &'static str,
}

#[derive(Serialize)]
struct RolloutJson {
    machine_count: usize,
    groups: Vec<GroupJson>,
}

#[derive(Serialize)]
struct GroupJson {
    address: String,
    machines: Vec<MachineJson>,
    causes: Vec<FieldJson>,
}

#[derive(Serialize)]
struct MachineJson {
    instance_id: String,
    availability_zone: String,
    version: Option<u64>,
}

#[derive(Serialize)]
struct ForeignJson {
    address: String,
    kind: String,
    name: String,
    id: Option<String>,
    why: &'static str,
    owner: Option<String>,
    in_the_way: bool,
}

#[derive(Serialize)]
struct ForeignRulesJson {
    address: String,
    rules: Vec<Value>,
}

#[derive(Serialize)]
struct RefusalJson {
    guard: String,
    address: Option<String>,
    message: String,
    hint: String,
}

#[derive(Serialize)]
struct RemarkJson {
    severity: &'static str,
    address: Option<String>,
    message: String,
    hint: Option<String>,
    lint: Option<&'static str>,
}

/// The plan as JSON.
pub fn plan(plan: &Plan) -> Value {
    let wire = PlanJson {
        format_version: FORMAT_VERSION,
        kprod_version: env!("CARGO_PKG_VERSION"),
        cluster: plan.cluster.clone(),
        cloud: plan.cloud.clone(),
        simulated: plan.cloud == "sim",
        account: plan.account.clone(),
        region: plan.region.clone(),
        observed_at: plan.observed_at.clone(),
        only: plan.only.iter().map(ToString::to_string).collect(),
        applyable: plan.is_applyable(),
        complete: plan.only.is_empty()
            && plan.refusals.is_empty()
            && plan.rollout.machine_count() == 0,
        errored: plan.is_errored(),
        summary: summary(plan),
        resources: plan.changes.iter().map(resource).collect(),
        drift: plan
            .changes
            .iter()
            .filter(|change| change.reason == Reason::Drifted)
            .map(|change| change.address.to_string())
            .collect(),
        rollout: RolloutJson {
            machine_count: plan.rollout.machine_count(),
            groups: plan.rollout.groups.iter().map(group).collect(),
        },
        foreign: plan.foreign.iter().map(foreign).collect(),
        foreign_rules: foreign_rules(plan),
        refusals: refusals(plan),
        remarks: remarks(plan),
    };
    // Keys are strings and numbers finite, so this cannot fail.
    serde_json::to_value(wire).unwrap_or_default()
}

fn summary(plan: &Plan) -> SummaryJson {
    SummaryJson {
        create: plan.count(Action::Create),
        update: plan.count(Action::Update),
        replace: plan.count(Action::Replace),
        delete: plan.count(Action::Delete),
        unchanged: plan.unchanged_count,
        machines_to_replace: plan.rollout.machine_count(),
        refusals: plan.refusals.len(),
    }
}

fn resource(change: &Change) -> ResourceJson {
    ResourceJson {
        address: change.address.to_string(),
        kind: change.address.kind.to_string(),
        name: change.address.name.clone(),
        action: action(change.action),
        reason: reason(change.reason),
        before: change.before.as_ref().map(crate::resource::Resource::to_value),
        after: change.after.as_ref().map(crate::resource::Resource::to_value),
        fields: change.fields.iter().map(field_json).collect(),
        unknown_until_apply: change.unknown.iter().cloned().collect(),
        depends_on: change.depends_on.iter().map(ToString::to_string).collect(),
        existing_version: change.existing_version,
        machine_count: change.machine_count,
    }
}

/// Spelled out here and not derived: a renamed variant must not change the wire.
fn action(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Replace => "replace",
        Action::Delete => "delete",
        Action::NoOp => "no_op",
    }
}

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::NotThere => "not_there",
        Reason::SpecChanged => "spec_changed",
        Reason::Drifted => "drifted",
        Reason::Differs => "differs",
        Reason::Follows => "follows",
        Reason::CannotUpdate => "cannot_update",
        Reason::NotWanted => "not_wanted",
        Reason::Destroy => "destroy",
    }
}

/// A field in the public form.
pub(super) fn field_json(field: &FieldChange) -> FieldJson {
    let class = match field.class {
        FieldClass::InPlace => "in_place",
        FieldClass::DrainsFirst => "drains_first",
        FieldClass::RollsMachines => "rolls_machines",
        FieldClass::ReplacesResource => "replaces_resource",
        FieldClass::Forbidden => "forbidden",
    };
    FieldJson {
        path: field.path.clone(),
        before: field.before.clone(),
        after: field.after.clone(),
        class,
    }
}

fn group(group: &GroupRollout) -> GroupJson {
    GroupJson {
        address: group.address.to_string(),
        machines: group
            .machines
            .iter()
            .map(|machine| MachineJson {
                instance_id: machine.instance_id.clone(),
                availability_zone: machine.availability_zone.clone(),
                version: machine.version,
            })
            .collect(),
        causes: group.causes.iter().map(field_json).collect(),
    }
}

fn foreign(foreign: &ForeignResource) -> ForeignJson {
    let (why, owner) = match &foreign.why {
        Foreignness::Kops => ("kops", None),
        Foreignness::OtherCluster(owner) => ("other_cluster", Some(owner.clone())),
        Foreignness::Untagged => ("untagged", None),
    };
    ForeignJson {
        address: foreign.address.to_string(),
        kind: foreign.address.kind.to_string(),
        name: foreign.address.name.clone(),
        id: foreign.id.clone(),
        why,
        owner,
        in_the_way: foreign.in_the_way,
    }
}

fn foreign_rules(plan: &Plan) -> Vec<ForeignRulesJson> {
    plan.foreign_rules
        .iter()
        .map(|foreign| ForeignRulesJson {
            address: foreign.address.to_string(),
            rules: foreign
                .rules
                .iter()
                .map(|rule| serde_json::to_value(rule).unwrap_or_default())
                .collect(),
        })
        .collect()
}

fn refusals(plan: &Plan) -> Vec<RefusalJson> {
    plan.refusals
        .iter()
        .map(|refusal| RefusalJson {
            guard: refusal.guard.clone(),
            address: refusal.address.as_ref().map(ToString::to_string),
            message: refusal.message.clone(),
            hint: refusal.hint.clone(),
        })
        .collect()
}

fn remarks(plan: &Plan) -> Vec<RemarkJson> {
    use crate::finding::Severity;
    plan.findings
        .iter()
        .map(|finding| RemarkJson {
            severity: match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "note",
            },
            address: finding.field.clone(),
            message: finding.message.clone(),
            hint: finding.hint.clone(),
            lint: finding.lint,
        })
        .collect()
}
