//! What a plain scalar means: the YAML 1.2 core schema.

use super::Value;

/// Resolves a plain scalar without a tag.
///
/// Whole numbers that do not fit 64 bits are an error and not a rounded float: a digest or an id
/// that lost its quotes must not change silently. Decimal numbers with a leading zero are text for
/// the same reason, although the core schema calls them numbers.
pub(super) fn resolve(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    // Only these can start a number; most scalars stop here.
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Ok(Value::String(text.to_owned()));
    }
    if let Some(value) = whole(text) {
        return value;
    }
    Ok(match float(text) {
        Some(value) => Value::Float(value),
        None => Value::String(text.to_owned()),
    })
}

/// Resolves a scalar with one of the core schema's tags (`!!int` and so on).
pub(super) fn resolve_tagged(suffix: &str, text: &str) -> Result<Value, String> {
    let value = match suffix {
        "str" => return Ok(Value::String(text.to_owned())),
        "null" | "bool" | "int" | "float" => resolve(text)?,
        _ => return Err(format!("tag `!!{suffix}` is not supported")),
    };
    match (suffix, value) {
        ("null", Value::Null) => Ok(Value::Null),
        ("bool", value @ Value::Bool(_)) => Ok(value),
        ("int", value @ Value::Int(_)) => Ok(value),
        ("float", value @ Value::Float(_)) => Ok(value),
        #[expect(clippy::cast_precision_loss, reason = "asked for by the tag")]
        ("float", Value::Int(value)) => Ok(Value::Float(value as f64)),
        _ => Err(format!("`{text}` is not what its tag `!!{suffix}` says")),
    }
}

/// The text of a number that JSON lacks.
pub(super) fn infinite_text(value: f64) -> &'static str {
    if value.is_nan() {
        ".nan"
    } else if value > 0.0 {
        ".inf"
    } else {
        "-.inf"
    }
}

/// `[-+]?[0-9]+`, `0o[0-7]+` or `0x[0-9a-fA-F]+`; `None` when it is none of these.
fn whole(text: &str) -> Option<Result<Value, String>> {
    let (digits, radix) = if let Some(digits) = text.strip_prefix("0o") {
        (digits, 8)
    } else if let Some(digits) = text.strip_prefix("0x") {
        (digits, 16)
    } else {
        (text.strip_prefix(['+', '-']).unwrap_or(text), 10)
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
        return Some(Ok(Value::String(text.to_owned())));
    }
    let number = if radix == 10 { text } else { digits };
    let too_big = || format!("whole number `{text}` does not fit 64 bits: quote it to keep it");
    Some(i64::from_str_radix(number, radix).map(Value::Int).map_err(|_| too_big()))
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, infinity and not-a-number.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(f64::NAN);
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && is_digits(digits)
    });
    let is_number = is_digits(before)
        && is_digits(after)
        && !(before.is_empty() && after.is_empty())
        && exponent_fits;
    // A number too big for a float, such as a commit id `12e5678`, stays text.
    is_number.then(|| text.parse::<f64>().ok()).flatten().filter(|value| value.is_finite())
}
