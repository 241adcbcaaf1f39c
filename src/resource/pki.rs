//! Authorities: keys of the cluster that sign.

use serde::{Deserialize, Serialize};

/// A key that signs, and its certificate, as two parameters of Systems Manager's store. Nothing of the
/// key itself is in here; nothing ever changes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// Which: `etcd-clients`, `etcd-peers-main`, …
    pub authority: String,
    /// The cluster that it signs for.
    pub cluster: String,
    /// What sort of key it is, in AWS's words (`ECC_NIST_P256`); none where the key is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_spec: Option<String>,
    /// The SecureString with the key, readable by one role.
    pub secret_parameter: String,
    /// The String with what is no secret: its certificate, or the public key. Not there yet where a run
    /// was killed between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_parameter: Option<String>,
}
