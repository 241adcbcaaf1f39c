//! Arithmetic on address blocks, as templates need it. The names and the counting are Terraform's.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What is wrong with an argument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` {message}")]
pub(super) struct CidrError {
    /// The argument.
    pub(super) value: String,
    message: String,
}

impl CidrError {
    pub(super) fn new(value: &str, message: impl Into<String>) -> Self {
        Self { value: value.to_owned(), message: message.into() }
    }
}

/// Reads a block and refuses host bits, as AWS does.
fn block(text: &str) -> Result<IpNet, CidrError> {
    let block: IpNet = text
        .parse()
        .map_err(|_| CidrError::new(text, "is not a CIDR block such as 10.0.0.0/16"))?;
    if block != block.trunc() {
        let message = format!("has bits set after its prefix: did you mean {}?", block.trunc());
        return Err(CidrError::new(text, message));
    }
    Ok(block)
}

/// The block number `number` of those that are `bits` smaller.
pub(super) fn subnet(text: &str, bits: i64, number: i64) -> Result<String, CidrError> {
    let block = block(text)?;
    let wrong = |message: String| CidrError::new(text, message);
    let bits = u8::try_from(bits)
        .ok()
        .filter(|bits| u16::from(*bits) + u16::from(block.prefix_len()) <= width(&block))
        .ok_or_else(|| wrong(format!("has no room for {bits} more bits")))?;
    let too_far = || wrong(format!("has no subnet {number} of {bits} more bits"));
    let number = u128::try_from(number).map_err(|_| too_far())?;
    if bits < 128 && number >> bits != 0 {
        return Err(too_far());
    }
    let prefix = block.prefix_len() + bits;
    let shift = u32::from(width(&block)) - u32::from(prefix);
    let offset = number.checked_shl(shift).unwrap_or(0);
    let net = match block {
        IpNet::V4(net) => {
            let address = u32::try_from(u128::from(u32::from(net.network())) | offset);
            Ipv4Net::new(address.map_err(|_| too_far())?.into(), prefix).map(IpNet::V4)
        }
        IpNet::V6(net) => {
            Ipv6Net::new((u128::from(net.network()) | offset).into(), prefix).map(IpNet::V6)
        }
    };
    net.map(|net| net.to_string()).map_err(|_| too_far())
}

/// The address number `number` of a block; negative numbers count from its end.
pub(super) fn host(text: &str, number: i64) -> Result<String, CidrError> {
    let block = block(text)?;
    let too_far = || CidrError::new(text, format!("has no address number {number}"));
    let host_bits = u32::from(width(&block)) - u32::from(block.prefix_len());
    let last = if host_bits >= 128 { u128::MAX } else { (1 << host_bits) - 1 };
    let distance = u128::from(number.unsigned_abs());
    let offset = match number < 0 {
        false => Some(distance),
        true => last.saturating_add(1).checked_sub(distance),
    };
    let offset = offset.filter(|offset| *offset <= last).ok_or_else(too_far)?;
    Ok(match block {
        IpNet::V4(net) => {
            let address = u128::from(u32::from(net.network())) | offset;
            IpAddr::V4(u32::try_from(address).map_err(|_| too_far())?.into()).to_string()
        }
        IpNet::V6(net) => IpAddr::V6((u128::from(net.network()) | offset).into()).to_string(),
    })
}

/// The mask of a block in dotted form.
pub(super) fn netmask(text: &str) -> Result<String, CidrError> {
    Ok(block(text)?.netmask().to_string())
}

/// The number after the slash.
pub(super) fn prefix_len(text: &str) -> Result<i64, CidrError> {
    Ok(i64::from(block(text)?.prefix_len()))
}

/// Whether a block holds another block or an address as a whole.
pub(super) fn contains(text: &str, other: &str) -> Result<bool, CidrError> {
    let outer = block(text)?;
    match other.parse::<IpAddr>() {
        Ok(address) => Ok(outer.contains(&address)),
        Err(_) => Ok(outer.contains(&block(other)?)),
    }
}

/// Whether two blocks share an address.
pub(super) fn overlaps(text: &str, other: &str) -> Result<bool, CidrError> {
    let (a, b) = (block(text)?, block(other)?);
    Ok(a.contains(&b) || b.contains(&a))
}

fn width(block: &IpNet) -> u16 {
    match block {
        IpNet::V4(_) => 32,
        IpNet::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_and_addresses_are_counted_as_terraform_does() {
        assert_eq!(subnet("10.0.0.0/16", 8, 2).unwrap(), "10.0.2.0/24");
        assert_eq!(subnet("100.64.0.0/10", 1, 1).unwrap(), "100.96.0.0/11");
        assert_eq!(subnet("fd00::/48", 16, 162).unwrap(), "fd00:0:0:a2::/64");
        assert_eq!(subnet("::/0", 128, 1).unwrap(), "::1/128");
        assert_eq!(host("10.12.112.0/20", 16).unwrap(), "10.12.112.16");
        assert_eq!(host("10.12.112.0/20", -1).unwrap(), "10.12.127.255");
        assert_eq!(netmask("172.16.0.0/12").unwrap(), "255.240.0.0");
        assert!(contains("10.0.0.0/8", "10.3.0.0/16").unwrap());
        assert!(contains("10.0.0.0/8", "10.3.0.1").unwrap());
        assert!(!contains("10.3.0.0/16", "10.0.0.0/8").unwrap());
        assert!(overlaps("10.3.0.0/16", "10.0.0.0/8").unwrap());
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_argument() {
        for error in [
            subnet("10.0.0.0/16", 17, 0).unwrap_err(),
            subnet("10.0.0.0/16", 1, 2).unwrap_err(),
            subnet("10.0.0.0/16", -1, 0).unwrap_err(),
            host("10.0.0.0/30", 4).unwrap_err(),
            host("10.0.0.0/30", -5).unwrap_err(),
        ] {
            assert!(error.value.starts_with("10.0.0.0/"), "{error}");
        }
        let host_bits = netmask("10.0.0.1/8").unwrap_err().to_string();
        assert!(host_bits.ends_with("did you mean 10.0.0.0/8?"), "{host_bits}");
        assert_eq!(contains("10.0.0.0/8", "10.0.0.0/33").unwrap_err().value, "10.0.0.0/33");
    }

    proptest! {
        #[test]
        fn subnets_of_a_block_lie_in_it_and_apart(
            address: u32, prefix in 0u8..=32, bits in 0u8..=32, a: u16, b: u16,
        ) {
            let block = Ipv4Net::new(address.into(), prefix).unwrap().trunc().to_string();
            let a = subnet(&block, i64::from(bits), i64::from(a));
            let b = subnet(&block, i64::from(bits), i64::from(b));
            if let (Ok(a), Ok(b)) = (a, b) {
                prop_assert!(contains(&block, &a).unwrap());
                prop_assert_eq!(overlaps(&a, &b).unwrap(), a == b);
            }
        }
    }
}
