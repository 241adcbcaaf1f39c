//! Whose credentials a run uses: where they come from, which account they are for, and what is wrong
//! with them when they do not come.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

use super::error::{causes, chain};
use super::{Connection, http_client};
use crate::cloud::{CloudError, CloudErrorKind};

/// What to do without credentials.
const SET_SOME: &str = "give --profile, set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run \
     `aws sso login`";

/// Where credentials come from.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    profile: Option<String>,
    role: Option<String>,
    /// None when the SDK was told to sign nothing.
    provider: Option<Kept>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.role, &self.profile) {
            (Some(role), Some(profile)) => write!(f, "role {role} by profile `{profile}`"),
            (Some(role), None) => write!(f, "role {role}"),
            (None, Some(profile)) => write!(f, "profile `{profile}`"),
            (None, None) => f.write_str("the environment"),
        }
    }
}

impl Identity {
    /// Chooses the credentials that the user asked for, and gives the configuration that uses them.
    ///
    /// A profile that is named wins over keys in the environment, as it does in AWS's own command
    /// line.
    pub(super) async fn choose(connection: &Connection, config: SdkConfig) -> (Self, SdkConfig) {
        let mut config = config;
        if let Some(profile) = &connection.profile {
            let settings = ProviderConfig::without_region()
                .with_region(config.region().cloned())
                .with_retry_config(RetryConfig::disabled())
                .with_http_client(http_client());
            let provider = ProfileFileCredentialsProvider::builder()
                .configure(&settings)
                .profile_name(profile)
                .build();
            let provider = SharedCredentialsProvider::new(provider);
            config = config.into_builder().credentials_provider(provider).build();
        }
        if let Some(role) = &connection.role {
            let mut builder = AssumeRoleProvider::builder(&role.arn)
                .session_name(&role.session_name)
                .configure(&config);
            if let Some(id) = &role.external_id {
                builder = builder.external_id(id);
            }
            let provider = SharedCredentialsProvider::new(builder.build().await);
            config = config.into_builder().credentials_provider(provider).build();
        }
        let provider = config.credentials_provider().map(Kept::new);
        if let Some(provider) = &provider {
            let shared = SharedCredentialsProvider::new(provider.clone());
            config = config.into_builder().credentials_provider(shared).build();
        }
        let role = connection.role.as_ref().map(|role| role.arn.clone());
        (Self { profile: connection.profile.clone(), role, provider }, config)
    }

    /// The account that the credentials themselves tell they are for: those of SSO and of assumed
    /// roles do.
    ///
    /// # Errors
    /// When there are no credentials.
    pub(super) async fn account(&self) -> Result<Option<String>, CloudError> {
        let Some(provider) = &self.provider else { return Ok(None) };
        match provider.peek().await {
            Ok(credentials) => Ok(credentials.account_id().map(|id| id.as_str().to_owned())),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// What is wrong with the credentials, if that is why a call failed.
    pub(super) fn trouble(&self, error: &(dyn Error + 'static)) -> Option<CloudError> {
        let error = chain(error).find_map(|cause| cause.downcast_ref::<CredentialsError>())?;
        Some(self.explain(error))
    }

    fn explain(&self, error: &CredentialsError) -> CloudError {
        let causes = causes(error);
        let lower = causes.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let told = |kind, code: &str, message| CloudError::new(kind, "Credentials", code, message);
        if says(&["expired"]) {
            let message = format!("the credentials of {self} have ended: {causes}");
            return told(CloudErrorKind::CredentialsEnded, "ExpiredToken", message);
        }
        let is_absent = matches!(error, CredentialsError::CredentialsNotLoaded(_));
        if is_absent && self.profile.is_none() {
            let message = format!("there are no AWS credentials here: {SET_SOME}");
            return told(CloudErrorKind::Denied, "NoCredentials", message);
        }
        if is_absent && self.profile.is_some() && self.role.is_none() {
            let message = format!(
                "{self} is not there or holds no credentials; `aws configure list-profiles` lists \
                 those there are (~/.aws/config, or AWS_CONFIG_FILE)"
            );
            return told(CloudErrorKind::Denied, "NoCredentials", message);
        }
        if says(&["throttl", "rate exceeded"]) {
            let message = format!("no credentials from {self} yet: {causes}");
            return told(CloudErrorKind::Throttled, "Throttling", message);
        }
        if says(&["dispatch failure", "timed out", "timeout", "serviceunavailable"]) {
            let message = format!("cannot get the credentials of {self}: {causes}");
            return told(CloudErrorKind::Unreachable, "Unreachable", message);
        }
        if self.role.is_some() || says(&["assumerole", "accessdenied"]) {
            let message = format!(
                "{self} gives no credentials: {causes}; the role has to trust who asks, with the \
                 same external id (--external-id); where it wants a second factor, get a session \
                 first (`aws sts get-session-token --serial-number ARN --token-code CODE`) and \
                 export its values"
            );
            return told(CloudErrorKind::Denied, "NoCredentials", message);
        }
        let message = format!("{self} gives no usable credentials: {causes}; {SET_SOME}");
        told(CloudErrorKind::Denied, "NoCredentials", message)
    }
}

/// A provider whose first answer was looked at: it is used, and not asked for twice.
#[derive(Clone, Debug)]
struct Kept {
    inner: SharedCredentialsProvider,
    seen: Arc<Mutex<Option<Credentials>>>,
}

impl Kept {
    fn new(inner: SharedCredentialsProvider) -> Self {
        Self { inner, seen: Arc::default() }
    }

    /// The next credentials, which stay the next ones.
    async fn peek(&self) -> Result<Credentials, CredentialsError> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(credentials) = seen {
            return Ok(credentials);
        }
        let credentials = self.inner.provide_credentials().await?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(credentials.clone());
        Ok(credentials)
    }
}

impl ProvideCredentials for Kept {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
            match seen {
                Some(credentials) => Ok(credentials),
                None => self.inner.provide_credentials().await,
            }
        })
    }
}
