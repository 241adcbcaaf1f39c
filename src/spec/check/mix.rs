//! Several machine types in one group: a list of them, or what they must have.

use super::super::field::Field;
use super::super::machine_type::is_machine_type;
use super::super::{
    InstanceGroup, InstanceRequirementsSpec, MixedInstancesPolicySpec, OnDemandStrategy,
    SpotStrategy,
};
use super::{Report, unique};

/// Machine types of one mixed instances policy.
/// Source: Auto Scaling API reference, LaunchTemplate, Overrides.
const TYPES_MAX: usize = 40;

/// Machine types that requirements may leave out, and the length of one.
/// Source: Auto Scaling API reference, InstanceRequirements, ExcludedInstanceTypes.
const EXCLUDED_MAX: usize = 400;
const EXCLUDED_CHARS_MAX: usize = 30;

pub(super) fn check(group: &InstanceGroup, mix: &MixedInstancesPolicySpec, report: &mut Report) {
    let base = group.field("spec.mixedInstancesPolicy");
    match &mix.instance_requirements {
        Some(wanted) => {
            let field = base.clone().key("instanceRequirements");
            requirements(wanted, &field, report);
            unordered(mix, &base, report);
        }
        None => instances(mix, &base.clone().key("instances"), report),
    }
    let (_, max) = group.sizes();
    if let Some(on_demand) = mix.on_demand_base.filter(|on_demand| *on_demand > max) {
        let message = format!("{on_demand} is more than `maxSize` {max}");
        report.error(&base.clone().key("onDemandBase"), message);
    }
    let lowest_price = mix.spot_allocation_strategy == Some(SpotStrategy::LowestPrice);
    if mix.spot_instance_pools.is_some() && !lowest_price {
        let message = "has no effect: it belongs to `spotAllocationStrategy: lowest-price`";
        report.error(&base.key("spotInstancePools"), message);
    }
}

/// A list of machine types.
fn instances(mix: &MixedInstancesPolicySpec, list: &Field, report: &mut Report) {
    let count = mix.instances.len();
    if count == 0 {
        let message = "a mixed instances policy needs machine types";
        report.error_hint(list, message, "list `instances`, or say `instanceRequirements`");
    } else if count > TYPES_MAX {
        report.error(list, format!("{count} machine types; AWS takes {TYPES_MAX}"));
    }
    unique(report, list, mix.instances.iter().map(String::as_str));
    for (index, kind) in mix.instances.iter().enumerate() {
        if !is_machine_type(kind) {
            let message = format!("`{kind}` is not a machine type such as `m6i.large`");
            report.error(&list.clone().index(index), message);
        }
    }
}

/// Ranges that some machine type could be in, and types that are left out.
fn requirements(wanted: &InstanceRequirementsSpec, field: &Field, report: &mut Report) {
    let cpu = wanted.cpu.clone().unwrap_or_default();
    if cpu.max.is_some_and(|max| max.0 == 0) {
        report.error(&field.clone().key("cpu").key("max"), "no machine has 0 CPUs");
    } else if let (Some(min), Some(max)) = (cpu.min, cpu.max)
        && min > max
    {
        let message = format!("`min` {min} is more than `max` {max}");
        report.error(&field.clone().key("cpu").key("min"), message);
    }
    let memory = wanted.memory.clone().unwrap_or_default();
    if let (Some(min), Some(max)) = (memory.min, memory.max)
        && min.mib_up() > max.mib_down()
    {
        let message = format!("`min` {min} is more than `max` {max}, in whole MiB");
        report.error(&field.clone().key("memory").key("min"), message);
    }
    let list = field.clone().key("excludedInstanceTypes");
    let excluded = &wanted.excluded_instance_types;
    if excluded.len() > EXCLUDED_MAX {
        let message = format!("{} machine types; AWS takes {EXCLUDED_MAX}", excluded.len());
        report.error(&list, message);
    }
    unique(report, &list, excluded.iter().map(String::as_str));
    for (index, pattern) in excluded.iter().enumerate() {
        if !is_pattern(pattern) {
            let message = format!("`{pattern}` is not a machine type or a pattern such as `c5*`");
            report.error(&list.clone().index(index), message);
        }
    }
}

/// Whether a text could be a machine type, with `*` for any characters.
fn is_pattern(text: &str) -> bool {
    let fits = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'*' | b'-')
    };
    (1..=EXCLUDED_CHARS_MAX).contains(&text.len()) && text.bytes().all(fits)
}

/// Requirements have no order, so what goes by one cannot be had with them.
/// Source: Auto Scaling API reference, InstancesDistribution.
fn unordered(mix: &MixedInstancesPolicySpec, base: &Field, report: &mut Report) {
    if !mix.instances.is_empty() {
        let message = "`instances` and `instanceRequirements` exclude each other";
        report.error(&base.clone().key("instances"), message);
    }
    let without = "needs a list of `instances`, which `instanceRequirements` is not";
    if mix.on_demand_allocation_strategy == Some(OnDemandStrategy::Prioritized) {
        let field = base.clone().key("onDemandAllocationStrategy");
        report.error(&field, format!("`prioritized` {without}"));
    }
    if mix.spot_allocation_strategy == Some(SpotStrategy::CapacityOptimizedPrioritized) {
        let field = base.clone().key("spotAllocationStrategy");
        report.error(&field, format!("`capacity-optimized-prioritized` {without}"));
    }
}
