//! What a machine is told by its user data: one file, which holds no secret.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::etcd::snapshot::Store;

/// Where user data puts the file.
pub const SETTINGS_FILE: &str = "/etc/kprod/node.json";

/// Where etcd is, unless the settings say something else: where packages of distributions put it.
pub const ETCD_PROGRAM: &str = "/usr/bin/etcd";

/// The content of [`SETTINGS_FILE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Version of this form.
    pub format_version: u32,
    /// The cluster.
    pub cluster: String,
    /// The account that it is in; other credentials are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The region that it is in.
    pub region: String,
    /// Where the cluster's state is: `s3://bucket/prefix`.
    pub config_base: String,
    /// The machine's auto scaling group.
    pub auto_scaling_group_name: String,
    /// The launch hook that the machine completes; none if its group has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_hook: Option<String>,
    /// The etcd members that the machine hosts.
    pub members: Vec<Hosted>,
    /// Where etcd's program is.
    #[serde(default = "etcd_program", skip_serializing_if = "is_usual")]
    pub etcd_program: PathBuf,
    /// The program that the machine fetches before it starts it.
    pub program: Fetched,
}

/// A program that a machine fetches from the state bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetched {
    /// The object's key below `config_base`; it ends with the SHA-256 of the content.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
}

/// An etcd member that the machine hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hosted {
    /// The etcd cluster: `main` or `events`.
    pub etcd: String,
    /// The member.
    pub member: String,
    /// The most bytes that its database may have; etcd's own choice if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_backend_bytes: Option<u64>,
    /// Where its etcd cluster's snapshots go, and when one is due; none are taken without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<Store>,
}

/// Why a machine's settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not what a kprod wrote.
    #[error("it is no settings file of a machine: {0}")]
    Unreadable(String),
    /// A newer kprod wrote it.
    #[error("it has format {found}, this kprod reads {}", Settings::FORMAT_VERSION)]
    Newer {
        /// Its format.
        found: u32,
    },
    /// There is nothing to do.
    #[error("it names no etcd member")]
    NoMember,
    /// A name that paths and units are made of.
    #[error("`{0}` is no name of an etcd cluster or member: letters, digits and `-` only")]
    BadName(String),
    /// Two members of one cluster on a machine share its end.
    #[error("it names two members of etcd {0}; a machine hosts one of each")]
    TwoMembers(String),
    /// Where snapshots go is no place, or they are due all the time.
    #[error("it does not say where or how often snapshots of etcd {0} are taken")]
    NoStore(String),
}

impl Settings {
    /// Raised when an older kprod could no longer read it.
    pub const FORMAT_VERSION: u32 = 1;

    /// Reads and checks the file's content.
    ///
    /// # Errors
    /// Whatever keeps this kprod from using it.
    pub fn parse(body: &[u8]) -> Result<Self, SettingsError> {
        let mut settings: Self = serde_json::from_slice(body)
            .map_err(|error| SettingsError::Unreadable(error.to_string()))?;
        if settings.format_version != Self::FORMAT_VERSION {
            return Err(SettingsError::Newer { found: settings.format_version });
        }
        if settings.members.is_empty() {
            return Err(SettingsError::NoMember);
        }
        settings.lengthen();
        let mut seen = BTreeSet::new();
        for hosted in &settings.members {
            for name in [&hosted.etcd, &hosted.member] {
                if !is_name(name) {
                    return Err(SettingsError::BadName(name.clone()));
                }
            }
            let is_odd = |store: &Store| {
                !store.store.starts_with("s3://") || store.schedule.interval_secs == 0
            };
            if hosted.snapshots.as_ref().is_some_and(is_odd) {
                return Err(SettingsError::NoStore(hosted.etcd.clone()));
            }
            if !seen.insert(&hosted.etcd) {
                return Err(SettingsError::TwoMembers(hosted.etcd.clone()));
            }
        }
        Ok(settings)
    }

    /// As it is written: what is below the cluster's state is told from there, since user data is to be
    /// short.
    pub(super) fn shortened(&self) -> Self {
        let mut settings = self.clone();
        let base = format!("{}/", self.config_base.trim_end_matches('/'));
        for store in settings.stores() {
            if let Some(below) = store.strip_prefix(&base).filter(|below| is_below(below)) {
                *store = below.to_owned();
            }
        }
        settings
    }

    fn lengthen(&mut self) {
        let base = self.config_base.trim_end_matches('/').to_owned();
        for store in self.stores().filter(|store| is_below(store)) {
            *store = format!("{base}/{store}");
        }
    }

    fn stores(&mut self) -> impl Iterator<Item = &mut String> {
        let snapshots = self.members.iter_mut().filter_map(|hosted| hosted.snapshots.as_mut());
        snapshots.map(|snapshots| &mut snapshots.store)
    }
}

/// Whether a place is told from the cluster's state.
fn is_below(store: &str) -> bool {
    !store.is_empty() && !store.starts_with('/') && !store.contains("://")
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.len() <= 64 && text.bytes().all(fits)
}

fn etcd_program() -> PathBuf {
    PathBuf::from(ETCD_PROGRAM)
}

fn is_usual(program: &Path) -> bool {
    program == Path::new(ETCD_PROGRAM)
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::etcd::snapshot::Schedule;

    /// What a machine is told that hosts a member of both etcd clusters, under names of usual length.
    pub(in super::super) fn settings() -> Settings {
        let cluster = "a-cluster-of-a-production.k8s.eu-west-3.example.com".to_owned();
        let hosted = |etcd: &str| Hosted {
            etcd: etcd.to_owned(),
            member: "a".to_owned(),
            quota_backend_bytes: None,
            snapshots: Some(Store {
                store: format!(
                    "s3://a-bucket-of-the-platform-team-state/{cluster}/backups/etcd/{etcd}"
                ),
                schedule: Schedule::USUAL,
            }),
        };
        Settings {
            format_version: Settings::FORMAT_VERSION,
            account: Some("123456789012".to_owned()),
            region: "eu-west-3".to_owned(),
            config_base: format!("s3://a-bucket-of-the-platform-team-state/{cluster}"),
            auto_scaling_group_name: format!("control-plane-eu-west-3a.masters.{cluster}"),
            launch_hook: Some("kprod-etcd".to_owned()),
            members: ["main", "events"].map(hosted).into(),
            etcd_program: PathBuf::from(ETCD_PROGRAM),
            program: Fetched {
                key: format!("assets/{cluster}/{}", "0a".repeat(32)),
                size: 15_000_000,
            },
            cluster,
        }
    }

    fn body(members: &str) -> Vec<u8> {
        format!(
            r#"{{"format_version": 1, "cluster": "c.example.com", "region": "eu-west-3",
                "config_base": "s3://b/c", "auto_scaling_group_name": "a.c", "members": {members},
                "program": {{"key": "assets/c.example.com/0a", "size": 7}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn settings_are_read_whole_or_refused() {
        let two = r#"[{"etcd": "main", "member": "a"}, {"etcd": "events", "member": "a"}]"#;
        let settings = Settings::parse(&body(two)).unwrap();
        assert_eq!(settings.members.len(), 2);
        assert_eq!(settings.etcd_program, PathBuf::from("/usr/bin/etcd"));
        let again = Settings::parse(&serde_json::to_vec(&settings).unwrap());
        assert_eq!(again, Ok(settings));

        assert_eq!(Settings::parse(&body("[]")), Err(SettingsError::NoMember));
        let twice = r#"[{"etcd": "main", "member": "a"}, {"etcd": "main", "member": "b"}]"#;
        let refused = Settings::parse(&body(twice));
        assert_eq!(refused, Err(SettingsError::TwoMembers("main".to_owned())));
        let path = r#"[{"etcd": "../main", "member": "a"}]"#;
        let refused = Settings::parse(&body(path));
        assert_eq!(refused, Err(SettingsError::BadName("../main".to_owned())));
        let nowhere = r#"[{"etcd": "main", "member": "a", "snapshots": {"store": "/tmp", "schedule":
            {"interval_secs": 3600, "keep_all_secs": 1, "keep_daily_secs": 1}}}]"#;
        let refused = Settings::parse(&body(nowhere));
        assert_eq!(refused, Err(SettingsError::NoStore("main".to_owned())));
        let more = r#"[{"etcd": "main", "member": "a", "mode": "fast"}]"#;
        assert!(matches!(Settings::parse(&body(more)), Err(SettingsError::Unreadable(_))));
    }
}
