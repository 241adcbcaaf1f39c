//! How AWS is reached: profile, role, region, and the account that has to be behind them.

#![expect(clippy::disallowed_methods, reason = "who runs this, and AWS_PROFILE")]

use std::time::Duration;

use clap::Args;

use super::args::duration;
use crate::cloud::any::AnyCloud;
use crate::cloud::retry::RetryPolicy;
use crate::error::Failure;

/// How the cloud is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(super) struct AccessArgs {
    /// Use this profile's credentials, whatever keys the environment holds (AWS_PROFILE)
    #[arg(long, value_name = "NAME", help_heading = "Cloud")]
    profile: Option<String>,

    /// The region; refused when the cluster is in another (AWS_REGION where the spec names none)
    #[arg(long, value_name = "REGION", help_heading = "Cloud")]
    region: Option<String>,

    /// Take on this role with the credentials
    #[arg(long, value_name = "ARN", help_heading = "Cloud")]
    assume_role: Option<String>,

    /// What the role's owner wants to hear from others who use it
    #[arg(long, value_name = "ID", requires = "assume_role", help_heading = "Cloud")]
    external_id: Option<String>,

    /// Try a failed call again for so long, such as 90s or 30m [default: 10m where AWS is at fault]
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Cloud")]
    retry_timeout: Option<Duration>,
}

/// Where a cluster lives, as its spec or its saved plan says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home<'a> {
    /// The account; none where the spec names none.
    pub(super) account: Option<&'a str>,
    /// The region; none where the spec names none.
    pub(super) region: Option<&'a str>,
    /// `spec.configBase`.
    #[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "only AWS has a bucket"))]
    pub(super) config_base: Option<&'a str>,
}

impl AccessArgs {
    /// How failed calls are tried again.
    pub(super) fn retry(&self) -> RetryPolicy {
        RetryPolicy { timeout: self.retry_timeout }
    }

    /// The cluster's region, else the one that the user named.
    ///
    /// # Errors
    /// When both name one, and not the same (exit 5).
    pub(super) fn region<'a>(&'a self, home: Home<'a>) -> Result<Option<&'a str>, Failure> {
        match (home.region, self.region.as_deref()) {
            (Some(home), Some(asked)) if home != asked => {
                let with = match (&self.assume_role, profile(self)) {
                    (Some(role), _) => format!(" with role {role}"),
                    (None, Some(profile)) => format!(" with profile `{profile}`"),
                    (None, None) => String::new(),
                };
                let message =
                    format!("the cluster lives in {home}, --region asks for {asked}{with}");
                Err(Failure::refused(message)
                    .hint("leave --region out: `spec.region` says where the cluster lives"))
            }
            (home, asked) => Ok(home.or(asked)),
        }
    }

    /// Opens AWS for a cluster.
    ///
    /// # Errors
    /// When the region is another one, or AWS's configuration makes no sense.
    #[cfg(feature = "aws")]
    pub(super) async fn connect(&self, home: Home<'_>) -> anyhow::Result<AnyCloud> {
        use crate::cloud::aws::{AwsCloud, Connection, Role};
        use crate::state::StateAddress;
        let role = self.assume_role.clone().map(|arn| Role {
            arn,
            external_id: self.external_id.clone(),
            session_name: session_name(),
        });
        let connection = Connection {
            region: self.region(home)?.unwrap_or_default().to_owned(),
            state: home.config_base.and_then(StateAddress::parse),
            account: home.account.map(str::to_owned),
            profile: profile(self),
            role,
            ..Connection::default()
        };
        Ok(AnyCloud::Aws(Box::new(AwsCloud::connect(&connection).await?)))
    }

    /// Says that this program has no AWS in it.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "aws"))]
    #[expect(clippy::unused_async, reason = "the same signature as with the feature")]
    pub(super) async fn connect(&self, home: Home<'_>) -> anyhow::Result<AnyCloud> {
        self.region(home)?;
        let hint = "build it with the default features, or use --cloud sim";
        Err(Failure::error("this kprod was built without AWS").hint(hint).into())
    }
}

/// The profile that gives the credentials. Keys in the environment win over AWS_PROFILE, as in AWS's
/// own command line.
fn profile(args: &AccessArgs) -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let from_environment = || match set("AWS_ACCESS_KEY_ID") {
        Some(_) => None,
        None => set("AWS_PROFILE"),
    };
    args.profile.clone().or_else(from_environment)
}

/// What the account's trail shows of a role's user: AWS takes 2 to 64 letters, digits and `=,.@_-`
/// (STS API reference, AssumeRole, "RoleSessionName").
#[cfg(feature = "aws")]
fn session_name() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| "unknown".to_owned());
    let fits = |c: &char| c.is_ascii_alphanumeric() || "=,.@_-".contains(*c);
    format!("kprod-{user}").chars().filter(fits).take(64).collect()
}
