//! Versions of etcd, and which may follow on which: up by one minor version at a time, and never down.
//!
//! A cluster works at its *cluster version*: the lowest minor version of its members, which the leader
//! raises once the last of them is there. While members are mixed, those of the newer version speak as
//! the older one does, so that each may still go back to it; once the cluster version has risen, none may.
//! Source: etcd documentation, "Upgrading etcd clusters and applications" ("Upgrade policy": upgrades
//! that skip a minor version are not supported) and "Upgrade etcd from 3.4 to 3.5" ("Mixed versions");
//! etcd `server/etcdserver/version/downgrade.go`, `MustDetectDowngrade`, and
//! `server/etcdserver/cluster_util.go`, `isCompatibleWithVers`.
//!
//! etcd itself refuses to go below the cluster version, and lets versions be skipped, which its data does
//! not always outlive. `etcdctl downgrade`, which 3.6 has, is not followed: whoever uses it is refused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A version of etcd's program, such as `3.4.30`. What a build adds to it is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    /// Its minor version.
    pub minor: Minor,
    /// The release of that.
    pub patch: u32,
}

/// A minor version, such as `3.4`: what data and members have to agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Minor {
    /// 3.
    pub major: u32,
    /// The number after it.
    pub minor: u32,
}

/// The first release of 3.5 whose data 3.6 may begin with. 3.6 goes by a list of members that the releases
/// before do not keep as it should be: who was removed is back in it, and who was promoted is a learner.
/// Source: etcd documentation, "Upgrade etcd from v3.5 to v3.6" ("Update 3.5"); etcd's blog, "Avoiding
/// Zombie Cluster Members When Upgrading to etcd v3.6".
const READY_FOR_3_6: Version = Version { minor: Minor::of_three(5), patch: 26 };

/// Not a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version, such as 3.4.30")]
pub struct NoVersion(String);

/// Why a program may not follow on what a cluster has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// It is older.
    Below,
    /// It is newer by more than one minor version.
    Beyond,
}

/// What of versions is known about a member's data: a file beside it, written before etcd starts on it
/// and whenever the cluster version has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataVersion {
    /// Version of this form.
    pub format_version: u32,
    /// The program that wrote the data last.
    pub program: Version,
    /// The cluster version that the member saw last; before it saw any, the program's.
    pub cluster: Minor,
}

impl Minor {
    /// A minor version of etcd 3.
    pub const fn of_three(minor: u32) -> Self {
        Self { major: 3, minor }
    }

    /// The cluster version that etcd starts with while it does not know all members: it says nothing of
    /// any of them. Source: etcd `api/version/version.go`, `MinClusterVersion`.
    const UNDECIDED: Self = Self::of_three(0);

    /// What etcd says its cluster version is; none while it has not decided.
    pub fn decided(text: &str) -> Option<Self> {
        let said = text.parse::<Version>().ok()?.minor;
        (said != Self::UNDECIDED).then_some(said)
    }

    /// Whether a program of this minor version may run where `reached` is the cluster version.
    ///
    /// # Errors
    /// In which direction it is too far.
    pub fn may_follow(self, reached: Self) -> Result<(), Gap> {
        if self < reached {
            return Err(Gap::Below);
        }
        let is_near = self.major == reached.major && self.minor - reached.minor <= 1;
        if is_near { Ok(()) } else { Err(Gap::Beyond) }
    }
}

impl Version {
    /// What `etcd --version` says of its program: a line `etcd Version: 3.4.30`, among others.
    ///
    /// # Errors
    /// When there is no such line.
    pub fn said_by_program(said: &str) -> Result<Self, NoVersion> {
        let line = said.lines().find_map(|line| line.trim().strip_prefix("etcd Version:"));
        line.ok_or_else(|| NoVersion(said.chars().take(80).collect()))?.trim().parse()
    }

    /// The release that has to have the data first, where this program may not begin with what another
    /// one has written.
    pub fn needs_first(self, wrote: Self) -> Option<Self> {
        let is_step = self.minor > READY_FOR_3_6.minor && wrote.minor == READY_FOR_3_6.minor;
        (is_step && wrote < READY_FOR_3_6).then_some(READY_FOR_3_6)
    }
}

impl DataVersion {
    /// Raised when an older kprod could no longer read it.
    pub const FORMAT_VERSION: u32 = 1;

    /// What is true once a program starts on the data, where a cluster version is known before.
    pub fn begun(program: Version, reached: Option<Minor>) -> Self {
        let cluster = reached.unwrap_or(program.minor);
        Self { format_version: Self::FORMAT_VERSION, program, cluster }
    }
}

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let wrong = || NoVersion(text.chars().take(80).collect());
        let released = text.split(['-', '+']).next().unwrap_or(text);
        let (minor, patch) = released.rsplit_once('.').ok_or_else(wrong)?;
        let minor = minor.parse().map_err(|_: NoVersion| wrong())?;
        Ok(Self { minor, patch: number(patch).ok_or_else(wrong)? })
    }
}

impl FromStr for Minor {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let wrong = || NoVersion(text.chars().take(80).collect());
        let (major, minor) = text.split_once('.').ok_or_else(wrong)?;
        let (major, minor) = (number(major).ok_or_else(wrong)?, number(minor).ok_or_else(wrong)?);
        Ok(Self { major, minor })
    }
}

/// Digits and nothing else: no sign, no blank.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.minor, self.patch)
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl TryFrom<String> for Version {
    type Error = NoVersion;

    fn try_from(text: String) -> Result<Self, NoVersion> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for Minor {
    type Error = NoVersion;

    fn try_from(text: String) -> Result<Self, NoVersion> {
        text.parse()
    }
}

impl From<Minor> for String {
    fn from(minor: Minor) -> Self {
        minor.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn minors() -> impl Iterator<Item = Minor> {
        (2..=4).flat_map(|major| (0..=8).map(move |minor| Minor { major, minor }))
    }

    #[test]
    fn a_program_follows_on_its_own_minor_version_and_on_the_one_below() {
        for reached in minors() {
            let follow: Vec<Minor> =
                minors().filter(|program| program.may_follow(reached).is_ok()).collect();
            let next = Minor { minor: reached.minor + 1, ..reached };
            let wanted: Vec<Minor> =
                [reached, next].into_iter().filter(|minor| minor.minor <= 8).collect();
            assert_eq!(follow, wanted, "{reached}");
        }
    }

    /// What may run beside a cluster version may run beside each other, and back again.
    #[test]
    fn a_gap_names_its_direction() {
        for (program, reached) in minors().flat_map(|a| minors().map(move |b| (a, b))) {
            match program.may_follow(reached) {
                Ok(()) => assert!(program >= reached),
                Err(Gap::Below) => assert!(program < reached),
                Err(Gap::Beyond) => {
                    assert!(program > reached);
                    assert_eq!(reached.may_follow(program), Err(Gap::Below));
                }
            }
        }
    }

    #[test]
    fn only_the_step_from_3_5_to_3_6_asks_for_a_release() {
        let version = |minor, patch| Version { minor, patch };
        for (program, wrote) in minors().flat_map(|a| minors().map(move |b| (a, b))) {
            let is_step = wrote == Minor::of_three(5) && program > wrote;
            for patch in 0..40 {
                let needed = version(program, 0).needs_first(version(wrote, patch));
                let wanted = (is_step && patch < 26).then(|| version(wrote, 26));
                assert_eq!(needed, wanted, "{program} on {wrote}.{patch}");
            }
        }
    }

    #[test]
    fn versions_are_read_as_they_are_written() {
        for text in ["3.4.30", "3.5.0", "3.10.1"] {
            let version: Version = text.parse().unwrap();
            assert_eq!(version.to_string(), text);
            let json = serde_json::to_string(&version).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Version>(&json).unwrap(), version);
        }
        assert!("3.10.0".parse::<Version>().unwrap() > "3.9.9".parse().unwrap());
        let candidate: Version = "3.6.0-rc.1".parse().unwrap();
        assert_eq!(candidate, "3.6.0+git".parse().unwrap());
        for wrong in
            ["", "3", "3.4", "3.4.", "3..4", "v3.4.1", "3.4.x", "+3.4.1", "3.4.99999999999"]
        {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_program_and_a_cluster_say_their_versions() {
        let said = "etcd Version: 3.4.23\nGit SHA: Not provided\nGo Version: go1.19.8\n";
        assert_eq!(Version::said_by_program(said), "3.4.23".parse());
        assert!(Version::said_by_program("etcdctl version: 3.4.23").is_err());
        assert_eq!(Minor::decided("3.4.0"), Some(Minor::of_three(4)));
        // Two of three members were there when etcd first decided.
        assert_eq!(Minor::decided("3.0.0"), None);
        assert_eq!(Minor::decided("not_decided"), None);
    }
}
