//! The lock file of a fleet: which program its machines run, whatever kprod plans them. It lies beside
//! the fleet's folders, in Git, so that another version at somebody's desk rolls no machine.

use serde::{Deserialize, Serialize};

use super::Program;

/// The file's name, beside `vars/`.
pub const FILE: &str = "kprod.lock";

/// What the file begins with.
const HEAD: &str =
    "# Which program this fleet's machines run. `kprod node pin` writes it; keep it in Git.\n";

/// The form of the file, raised when an older kprod could no longer read it.
const FORMAT_VERSION: u32 = 1;

/// The file's content, which is YAML.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    format_version: u32,
    node_program: Program,
}

/// Why a lock file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Not what kprod wrote.
    #[error("it is no lock file: {0}")]
    Unreadable(String),
    /// A newer kprod wrote it.
    #[error("it has format {0}, this kprod reads {FORMAT_VERSION}")]
    Newer(u32),
    /// Not a digest.
    #[error("`{0}` is no SHA-256 in 64 hex digits of small letters")]
    BadDigest(String),
    /// No program has such a length.
    #[error("a program of {0} bytes: it has from 1 to {max}", max = Program::BYTES_MAX)]
    BadSize(u64),
}

/// Reads a lock file's text.
///
/// # Errors
/// Whatever keeps it from being used.
pub fn parse(text: &str) -> Result<Program, LockError> {
    let lock: Lock =
        serde_yaml::from_str(text).map_err(|error| LockError::Unreadable(error.to_string()))?;
    let Lock { format_version, node_program: program } = lock;
    if format_version != FORMAT_VERSION {
        return Err(LockError::Newer(format_version));
    }
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if program.sha256.len() != 64 || !program.sha256.bytes().all(is_hex) {
        return Err(LockError::BadDigest(program.sha256));
    }
    if !(1..=Program::BYTES_MAX).contains(&program.size) {
        return Err(LockError::BadSize(program.size));
    }
    Ok(program)
}

/// The text of a lock file.
pub fn text(program: &Program) -> String {
    let lock = Lock { format_version: FORMAT_VERSION, node_program: program.clone() };
    // Strings and numbers: this cannot fail.
    format!("{HEAD}{}", serde_yaml::to_string(&lock).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn what_was_written_is_read() {
        // Digests that YAML would take for a number, were they not quoted.
        for sha256 in
            ["0".repeat(64), format!("{}e{}", "1".repeat(2), "2".repeat(61)), "a1".repeat(32)]
        {
            for version in [None, Some("0.1.0"), Some("1.0"), Some("a: b # c")] {
                let version = version.map(str::to_owned);
                let program = Program { version, sha256: sha256.clone(), size: 7 };
                assert_eq!(parse(&text(&program)), Ok(program));
            }
        }
    }

    #[test]
    fn what_kprod_did_not_write_is_refused() {
        let good = text(&Program::of(b"abc", Some("1.0.0")));
        let with = |from: &str, to: &str| parse(&good.replace(from, to)).unwrap_err();
        assert_eq!(with("format_version: 1", "format_version: 2"), LockError::Newer(2));
        assert!(matches!(with("size: 3", "size: 0"), LockError::BadSize(0)));
        assert!(matches!(with("ba78", "BA78"), LockError::BadDigest(_)));
        assert!(matches!(with("ba78", "ba7"), LockError::BadDigest(_)));
        assert!(matches!(with("size: 3", "size: 3\n  mode: 1"), LockError::Unreadable(_)));
        assert!(matches!(parse(""), Err(LockError::Unreadable(_))));
    }
}
