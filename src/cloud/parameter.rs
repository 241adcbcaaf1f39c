//! The port to the parameter store, where a cluster's keys and certificates lie: what is read there.
//!
//! What is written there are calls of [`super::Cloud`] like all others, since they are changes of a
//! plan: a key is made by the side that stores it and never crosses this line on the way in.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use super::CloudError;
use crate::pki::Secret;

/// Reads parameters.
pub trait Parameters: Send + Sync {
    /// Everything below a cluster's public place, by name: certificates and public keys.
    ///
    /// # Errors
    /// When the store fails, or the credentials may not read there.
    fn public(
        &self,
        cluster: &str,
    ) -> impl Future<Output = Result<BTreeMap<String, String>, CloudError>> + Send;

    /// Which of these parameters there are; what they hold is not read.
    ///
    /// # Errors
    /// As [`Parameters::public`].
    fn there(
        &self,
        names: &BTreeSet<String>,
    ) -> impl Future<Output = Result<BTreeSet<String>, CloudError>> + Send;

    /// One parameter, decrypted; none if there is none. For machines, each in its own place.
    ///
    /// # Errors
    /// As [`Parameters::public`].
    fn secret(&self, name: &str)
    -> impl Future<Output = Result<Option<Secret>, CloudError>> + Send;
}
