//! Which account a run works in: known, and compared with the cluster's, before anything else is
//! read and before the state bucket is touched.

use super::AwsCloud;
use crate::cloud::{CloudError, CloudErrorKind};

impl AwsCloud {
    /// The account of the credentials. The credentials may tell it themselves; else a call is made,
    /// unless [`AwsCloud::learn_account`] came first. It is asked for once.
    ///
    /// # Errors
    /// When the credentials are of no use, or for another account than the cluster's.
    pub(super) async fn account(&self) -> Result<&str, CloudError> {
        self.knows_account().await?;
        let account = self.account.get_or_try_init(async || {
            let call = self.sts.get_caller_identity();
            let identity = self.read("GetCallerIdentity", || call.clone().send()).await?;
            self.admit(identity.account().unwrap_or_default().to_owned())
        });
        account.await.map(String::as_str)
    }

    /// Whether the account is known without a call.
    ///
    /// # Errors
    /// As [`AwsCloud::account`].
    pub(super) async fn knows_account(&self) -> Result<bool, CloudError> {
        if self.account.get().is_some() {
            return Ok(true);
        }
        let told = self.reader.read(self, || self.identity.account()).await?;
        self.learn_account(told).await?;
        Ok(self.account.get().is_some())
    }

    /// Takes over the account that an answer told.
    ///
    /// # Errors
    /// When it is not the cluster's.
    pub(super) async fn learn_account(&self, account: Option<String>) -> Result<(), CloudError> {
        if let Some(account) = account {
            self.account.get_or_try_init(async || self.admit(account)).await?;
        }
        Ok(())
    }

    fn admit(&self, account: String) -> Result<String, CloudError> {
        match &self.expected_account {
            Some(expected) if *expected != account => {
                let message = format!(
                    "the cluster lives in account {expected}, the credentials of {} are for \
                     account {account}",
                    self.identity
                );
                let kind = CloudErrorKind::WrongAccount;
                Err(CloudError::new(kind, "Credentials", "WrongAccount", message))
            }
            _ => Ok(account),
        }
    }
}
