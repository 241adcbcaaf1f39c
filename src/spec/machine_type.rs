//! What the name of a machine type says of the machine, without asking AWS.
//!
//! Source: Amazon EC2 instance types guide, "Instance type naming conventions" and the tables of general
//! purpose, compute, memory and storage optimized types: within a family memory grows with the virtual
//! CPUs, and the size says how many there are.

/// Whether a text looks like `m6i.large`.
pub(super) fn is_machine_type(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.split_once('.').is_some_and(|(family, size)| word(family) && word(size))
}

/// Whether a machine type is a burstable one: t2, t3, t3a, t4g.
pub fn is_burstable(machine_type: &str) -> bool {
    let family = machine_type.strip_prefix('t');
    family.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// The memory of a machine type, in MiB; `None` for a family that follows no rule known here.
pub fn memory_mib(machine_type: &str) -> Option<u32> {
    let (family, size) = machine_type.split_once('.')?;
    match is_burstable(machine_type) {
        true => burstable_mib(size),
        false => mib_per_cpu(family)?.checked_mul(cpus(size)?),
    }
}

/// The memory of burstable machines, which have two virtual CPUs in most sizes.
fn burstable_mib(size: &str) -> Option<u32> {
    Some(match size {
        "nano" => 512,
        "micro" => 1 << 10,
        "small" => 2 << 10,
        "medium" => 4 << 10,
        "large" => 8 << 10,
        "xlarge" => 16 << 10,
        "2xlarge" => 32 << 10,
        _ => return None,
    })
}

/// The memory of a family for each virtual CPU, in MiB. Families before these had odd shares.
fn mib_per_cpu(family: &str) -> Option<u32> {
    let end = family.find(|c: char| !c.is_ascii_alphabetic())?;
    let (class, rest) = family.split_at(end);
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let generation: u32 = rest.get(..digits)?.parse().ok()?;
    match (class, generation) {
        _ if family == "c5n" => Some(2688),
        ("c", 5..) => Some(2 << 10),
        ("m", 4..) => Some(4 << 10),
        ("r", 5..) | ("i", 4..) => Some(8 << 10),
        _ => None,
    }
}

/// The virtual CPUs of a size, such as 8 of `2xlarge`.
fn cpus(size: &str) -> Option<u32> {
    match size {
        "medium" => Some(1),
        "large" => Some(2),
        "xlarge" => Some(4),
        _ => size.strip_suffix("xlarge")?.parse::<u32>().ok()?.checked_mul(4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_aws_lists() {
        let listed = [
            ("t3.micro", Some(1024)),
            ("t4g.medium", Some(4096)),
            ("m6i.large", Some(8192)),
            ("m7g.medium", Some(4096)),
            ("m7i-flex.xlarge", Some(16384)),
            ("c6gn.medium", Some(2048)),
            ("c5n.large", Some(5376)),
            ("r5dn.24xlarge", Some(786_432)),
            ("i4i.2xlarge", Some(65536)),
        ];
        for (machine_type, mib) in listed {
            assert_eq!(memory_mib(machine_type), mib, "{machine_type}");
        }
    }

    #[test]
    fn what_follows_no_rule_is_not_guessed() {
        for machine_type in
            ["m3.large", "c4.large", "r4.large", "m6i.metal", "im4gn.large", "p3.2xlarge"]
        {
            assert_eq!(memory_mib(machine_type), None, "{machine_type}");
        }
        for odd in ["", ".", "m6i", "m.large", "m6i.", "t3.huge", "m99999999999.large"] {
            assert_eq!(memory_mib(odd), None, "{odd}");
        }
        assert_eq!(memory_mib("m6i.4294967295xlarge"), None, "a product that no number holds");
    }
}
