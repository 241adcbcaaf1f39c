//! Which of etcd's programs does what, and with which flags: that changed twice.
//!
//! Source: etcd's changelogs. 3.5 brings `etcdutl` and deprecates `etcdctl snapshot status` and
//! `restore`, which 3.6 has no more; 3.6 brings `--bump-revision` and `--mark-compacted`.
//! `etcdctl snapshot save` is there in all of them.

use std::collections::BTreeMap;

use crate::etcd::epoch::Place;

/// A version of etcd, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
}

/// How far revisions jump in a restore, where etcd can: further than a cluster gets between a snapshot
/// and its end, so that no client that watches ever sees a revision for the second time.
/// Source: etcd documentation, "Disaster recovery", "Restoring with revision bump".
pub const BUMP_REVISIONS: u64 = 1_000_000_000;

/// A version whose snapshots kprod does not know how to handle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// No version at all.
    #[error("`{0}` is no version of etcd")]
    Unreadable(String),
    /// One that kprod was not made for.
    #[error("etcd {0} is none that kprod restores: 3.4, 3.5, 3.6 are")]
    Unknown(String),
    /// The epoch asks for what this version does not have.
    #[error("the epoch begins with a jump of revisions, which etcd has since 3.6, and this is {0}")]
    NoBump(String),
}

impl Version {
    /// Reads `3.4.23`, or the line that `etcd --version` begins with.
    ///
    /// # Errors
    /// When it is none, or none that kprod knows.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let line = text.lines().next().unwrap_or_default();
        let number = line.rsplit(' ').next().unwrap_or_default();
        let mut parts = number.split('.');
        let mut part = || parts.next().and_then(|part| part.parse().ok());
        let (Some(major), Some(minor)) = (part(), part()) else {
            return Err(VersionError::Unreadable(line.to_owned()));
        };
        match (major, minor) {
            (3, 4..=6) => Ok(Self { major, minor }),
            _ => Err(VersionError::Unknown(number.to_owned())),
        }
    }

    /// The program that looks into a snapshot and makes data of it.
    pub fn offline_tool(self) -> &'static str {
        if self.minor >= 5 { "etcdutl" } else { "etcdctl" }
    }

    /// How far revisions jump when members of this version begin with a snapshot; not at all before
    /// 3.6. All members have to do the same, so the epoch says it.
    pub fn bump(self) -> Option<u64> {
        (self.minor >= 6).then_some(BUMP_REVISIONS)
    }
}

/// What a member's data is made by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore<'a> {
    /// The snapshot's file.
    pub file: &'a str,
    /// The folder that the data goes to, which must not be there.
    pub data: &'a str,
    /// The member.
    pub member: &'a str,
    /// All members of the epoch.
    pub members: &'a BTreeMap<String, Place>,
    /// The epoch's token.
    pub token: &'a str,
    /// How far revisions jump.
    pub bump_revisions: Option<u64>,
}

impl Restore<'_> {
    /// The flags after the tool's name. Every member gives the same list of members and the same token,
    /// from which etcd makes the ids: so they are of one cluster, and of no other.
    ///
    /// # Errors
    /// When this version cannot do it as the epoch says.
    pub fn args(&self, version: Version) -> Result<Vec<String>, VersionError> {
        let url = |name: &str| self.members.get(name).map(|place| place.peer_url.as_str());
        let all = self.members.iter().map(|(name, place)| format!("{name}={}", place.peer_url));
        let all = all.collect::<Vec<_>>().join(",");
        let mut args: Vec<String> = ["snapshot", "restore", self.file].map(str::to_owned).into();
        let mut flag = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
        flag("--data-dir", self.data);
        flag("--name", self.member);
        flag("--initial-cluster", &all);
        flag("--initial-cluster-token", self.token);
        flag("--initial-advertise-peer-urls", url(self.member).unwrap_or_default());
        match (self.bump_revisions, version.bump()) {
            (None, _) => {}
            (Some(_), None) => {
                return Err(VersionError::NoBump(format!("{}.{}", version.major, version.minor)));
            }
            (Some(by), Some(_)) => {
                flag("--bump-revision", &by.to_string());
                args.push("--mark-compacted".to_owned());
            }
        }
        Ok(args)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn a_version_is_read_from_what_etcd_says() {
        let said = "etcd Version: 3.4.23\nGit SHA: x\nGo Version: go1.19";
        assert_eq!(Version::parse(said), Ok(Version { major: 3, minor: 4 }));
        assert_eq!(Version::parse("3.6.0-rc.1").map(Version::bump), Ok(Some(BUMP_REVISIONS)));
        assert!(matches!(Version::parse("3.3.27"), Err(VersionError::Unknown(_))));
        assert!(matches!(Version::parse("4.0.0"), Err(VersionError::Unknown(_))));
        assert!(matches!(Version::parse("etcd"), Err(VersionError::Unreadable(_))));
    }

    #[test]
    fn every_member_restores_the_same_cluster_by_the_tool_of_its_version() {
        let place = |name: &str| Place {
            peer_url: format!("https://etcd-{name}:2380"),
            client_url: format!("https://etcd-{name}:4001"),
        };
        let members: BTreeMap<String, Place> =
            ["a", "b"].map(|name| (name.to_owned(), place(name))).into();
        let args = |minor, member, bump_revisions| {
            let (file, data, token) = ("f.db", "/d", "t");
            let restore = Restore { file, data, member, members: &members, token, bump_revisions };
            restore.args(Version { major: 3, minor })
        };
        let old = args(4, "a", None).unwrap().join(" ");
        let wanted = "snapshot restore f.db --data-dir /d --name a \
                      --initial-cluster a=https://etcd-a:2380,b=https://etcd-b:2380 \
                      --initial-cluster-token t --initial-advertise-peer-urls https://etcd-a:2380";
        assert_eq!(old, wanted);
        let new = args(6, "b", Some(7)).unwrap().join(" ");
        assert!(new.ends_with("https://etcd-b:2380 --bump-revision 7 --mark-compacted"), "{new}");
        // Members that jump and members that do not would never agree.
        assert_eq!(args(5, "a", Some(7)), Err(VersionError::NoBump("3.5".to_owned())));
        assert!(!args(6, "a", None).unwrap().join(" ").contains("bump"));
        let tools = [4, 5, 6].map(|minor| Version { major: 3, minor }.offline_tool());
        assert_eq!(tools, ["etcdctl", "etcdutl", "etcdutl"]);
    }
}
