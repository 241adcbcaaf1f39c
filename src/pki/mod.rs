//! A cluster's keys and certificates: which there are, for whom, how they are made, and how they stand.
//!
//! Pure but for the randomness of a new key: the moment is an argument, and nothing here reads or
//! stores anything. All keys are ECDSA on P-256; texts are PEM.
//!
//! # Where things lie
//!
//! An authority has two parameters of SSM's store (in the simulator: files of `.kprod/`).
//! - The *secret* one, a SecureString, holds the private key (`PRIVATE KEY`, PKCS #8) and after it the
//!   certificate, so that the two can never be of different makings. It is the one conditional write
//!   by which an authority comes about, and nothing replaces it. One role may read it: the path says
//!   which.
//! - The *public* one, a String, holds the certificate alone (for service accounts: the public key).
//!   The control plane and the hosts of etcd may read all of them.
//!
//! | Authority | Secret, below `/kprod/<cluster>` | Public, below it | Signs |
//! |---|---|---|---|
//! | `etcd-clients` | `/control-plane/etcd-clients` | `/public/etcd-clients` | API servers as clients of etcd |
//! | `etcd-peers-main` | `/etcd/main/peers` | `/public/etcd-peers-main` | members of `main`: peers, servers, their own clients |
//! | `etcd-peers-events` | `/etcd/events/peers` | `/public/etcd-peers-events` | the same of `events` |
//! | `kubernetes` | `/control-plane/kubernetes` | `/public/kubernetes` | the cluster |
//! | `front-proxy` | `/control-plane/front-proxy` | `/public/front-proxy` | the API server before other API servers |
//! | `service-account` | `/control-plane/service-account` | `/public/service-account` | tokens |
//!
//! # Who trusts whom
//!
//! - A member's peers (`--peer-trusted-ca-file`): `etcd-peers-<etcd>` alone, so that a machine of one
//!   etcd cluster is no member of another.
//! - A member's clients (`--trusted-ca-file`): [`Authority::trusted_by_members`], one after the other
//!   in one file.
//! - An API server's etcd (`--etcd-cafile`): the `etcd-peers-…` of every etcd cluster.
//!
//! # Leaves
//!
//! Machines make their own: a member's host reads its authority, signs [`Member::leaf`] for itself
//! with [`Signer::sign`] (the new key never leaves the machine), writes its [`LeafReport`], and does so
//! again when [`renewal`] gives a reason. So no key of a leaf is stored anywhere, and nothing ends
//! because nobody ran kprod.

mod authority;
mod certificate;
mod issue;
mod leaf;
mod secret;
mod standing;
mod status;
#[cfg(test)]
mod tests;

pub use authority::{AUTHORITY_DAYS, Authority, PUBLIC_PLACE, Place, UnknownAuthority};
pub use certificate::{Certificate, fingerprint};
pub use issue::{Leaf, PrivateKey, Signer, TOLERANCE_SECS, check_public};
pub use leaf::{
    LEAF_DAYS, LeafReport, LeafRequest, Member, MemberLeaf, Usage, api_server_client, leaves_key,
};
pub use secret::Secret;
pub use standing::{PUT_KEY_BACK, Renewal, State, renewal, state_of_authority, state_of_leaf};
pub use status::{AuthorityStatus, LeafStatus, MemberLeaves, Status};

/// What is wrong with a key or a certificate. No message holds any of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PkiError {
    /// It could not be made.
    #[error("no certificate could be made: {0}")]
    Issue(String),
    /// It is no private key of ours.
    #[error("there is no private key on P-256 in it")]
    Key,
    /// It is no certificate of ours.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// Two that do not belong together.
    #[error("the certificate is not of the private key beside it")]
    Mismatch,
    /// An authority's place holds something else.
    #[error("it is the certificate of `{common_name}`, not that of this cluster's authority")]
    NotOurs {
        /// Whom it names.
        common_name: String,
    },
    /// The wrong one was asked.
    #[error("this authority does not sign that; `{0}` was asked for")]
    WrongAuthority(Authority),
    /// The authority itself is out of date.
    #[error("the certificate of `{0}` is not valid now; it can sign nothing")]
    Ended(Authority),
}
