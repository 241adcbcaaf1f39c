//! Which of etcd's programs does what, and with which flags: that differs by version.
//!
//! Source: etcd's changelogs. 3.5 brings `etcdutl` and deprecates `etcdctl snapshot status` and
//! `restore`, which 3.6 has no more. `--bump-revision` and `--mark-compacted` came with 3.6.0, and to
//! releases of 3.4 and 3.5. `etcdctl snapshot save` is there in all of them.

use std::collections::BTreeMap;

use crate::etcd::epoch::Place;
use crate::etcd::version::{Minor, Version};

/// The tools of a release of etcd whose snapshots kprod handles: of 3.4, 3.5 or 3.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tooling(Version);

/// The first release of each minor version of 3 whose restore can have revisions jump.
/// Source: etcd `CHANGELOG/CHANGELOG-3.4.md` (3.4.27), `CHANGELOG-3.5.md` (3.5.10), `CHANGELOG-3.6.md`.
const BUMP_SINCE: [(u32, u32); 3] = [(4, 27), (5, 10), (6, 0)];

/// How far revisions jump in a restore, where etcd can: further than a cluster gets between a snapshot
/// and its end, so that no client that watches ever sees a revision for the second time.
/// Source: etcd documentation, "Disaster recovery", "Restoring with revision bump".
pub const BUMP_REVISIONS: u64 = 1_000_000_000;

/// What a version of etcd cannot do with a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolingError {
    /// One that kprod was not made for.
    #[error("etcd {0} is none that kprod restores: 3.4, 3.5, 3.6 are")]
    Unknown(Minor),
    /// The epoch asks for what this version does not have.
    #[error(
        "the epoch begins with a jump of revisions, which etcd has since 3.4.27, 3.5.10 and 3.6.0, and \
         this is {0}"
    )]
    NoBump(Version),
}

impl Tooling {
    /// Those of a version.
    ///
    /// # Errors
    /// When it is none that kprod knows.
    pub fn of(version: Version) -> Result<Self, ToolingError> {
        match (version.minor.major, version.minor.minor) {
            (3, 4..=6) => Ok(Self(version)),
            _ => Err(ToolingError::Unknown(version.minor)),
        }
    }

    /// The program that looks into a snapshot and makes data of it.
    pub fn offline_tool(self) -> &'static str {
        if self.0.minor >= Minor::of_three(5) { "etcdutl" } else { "etcdctl" }
    }

    /// How far revisions jump when members of this release begin with a snapshot; not at all where it
    /// cannot do that. All members have to do the same, so the epoch says it.
    pub fn bump(self) -> Option<u64> {
        let Version { minor, patch } = self.0;
        let since = BUMP_SINCE.into_iter().find(|(of, _)| minor == Minor::of_three(*of));
        since.is_some_and(|(_, since)| patch >= since).then_some(BUMP_REVISIONS)
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
    pub fn args(&self, tooling: Tooling) -> Result<Vec<String>, ToolingError> {
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
        match (self.bump_revisions, tooling.bump()) {
            (None, _) => {}
            (Some(_), None) => return Err(ToolingError::NoBump(tooling.0)),
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

    fn release(minor: u32, patch: u32) -> Version {
        Version { minor: Minor::of_three(minor), patch }
    }

    fn tooling(minor: u32, patch: u32) -> Tooling {
        Tooling::of(release(minor, patch)).unwrap()
    }

    #[test]
    fn versions_that_nobody_has_tried_are_refused() {
        for minor in [Minor::of_three(3), Minor::of_three(7), Minor { major: 4, minor: 4 }] {
            let version = Version { minor, patch: 30 };
            assert_eq!(Tooling::of(version), Err(ToolingError::Unknown(minor)));
        }
    }

    #[test]
    fn revisions_jump_where_the_release_can_have_them_jump() {
        for minor in 4..=6 {
            let jumps = |patch: &u32| tooling(minor, *patch).bump().is_some();
            let first = (0..40).find(jumps).unwrap();
            assert_eq!(first, [27, 10, 0][minor as usize - 4], "3.{minor}");
            assert!((first..40).all(|patch| jumps(&patch)), "3.{minor}");
        }
    }

    #[test]
    fn every_member_restores_the_same_cluster_by_the_tool_of_its_version() {
        let place = |name: &str| Place {
            peer_url: format!("https://etcd-{name}:2380"),
            client_url: format!("https://etcd-{name}:4001"),
        };
        let members: BTreeMap<String, Place> =
            ["a", "b"].map(|name| (name.to_owned(), place(name))).into();
        let args = |(minor, patch), member, bump_revisions| {
            let (file, data, token) = ("f.db", "/d", "t");
            let restore = Restore { file, data, member, members: &members, token, bump_revisions };
            restore.args(tooling(minor, patch))
        };
        let old = args((4, 23), "a", None).unwrap().join(" ");
        let wanted = "snapshot restore f.db --data-dir /d --name a \
                      --initial-cluster a=https://etcd-a:2380,b=https://etcd-b:2380 \
                      --initial-cluster-token t --initial-advertise-peer-urls https://etcd-a:2380";
        assert_eq!(old, wanted);
        for able in [(4, 27), (5, 10), (6, 0)] {
            let new = args(able, "b", Some(7)).unwrap().join(" ");
            assert!(
                new.ends_with("https://etcd-b:2380 --bump-revision 7 --mark-compacted"),
                "{new}"
            );
        }
        // Members that jump and members that do not would never agree.
        assert_eq!(args((5, 9), "a", Some(7)), Err(ToolingError::NoBump(release(5, 9))));
        assert!(!args((6, 0), "a", None).unwrap().join(" ").contains("bump"));
        let tools = [4, 5, 6].map(|minor| tooling(minor, 0).offline_tool());
        assert_eq!(tools, ["etcdctl", "etcdutl", "etcdutl"]);
    }
}
