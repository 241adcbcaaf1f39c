//! The program that machines run, told by its content.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A program that machines fetch by its digest and start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The version that it was pinned as, for people; none if nobody knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its SHA-256, 64 hex digits in small letters.
    pub sha256: String,
    /// Its length in bytes.
    pub size: u64,
}

impl Program {
    /// The most bytes of a program. The largest kprod there is, a debug build with AWS, has a little less; a
    /// machine has to fetch its program before its launch hook runs out.
    pub const BYTES_MAX: u64 = 256 << 20;

    /// The program with this content.
    pub fn of(bytes: &[u8], version: Option<&str>) -> Self {
        Self {
            version: version.map(str::to_owned),
            sha256: sha256(bytes),
            size: bytes.len() as u64,
        }
    }

    /// Whether this is its content.
    pub fn is(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == self.size && sha256(bytes) == self.sha256
    }

    /// The beginning of its digest, enough to tell it from others.
    pub fn short(&self) -> &str {
        self.sha256.get(..16).unwrap_or(&self.sha256)
    }
}

/// The SHA-256 of bytes, in hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_its_content() {
        let program = Program::of(b"abc", Some("1.0.0"));
        // FIPS 180-2, appendix B.1.
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(program.sha256, digest);
        assert_eq!(program.short(), &digest[..16]);
        assert!(program.is(b"abc"));
        assert!(!program.is(b"abd"));
        assert!(!Program { size: 4, ..program }.is(b"abc"));
    }
}
