//! The menu of faults: what may go wrong in a rehearsal, how strongly, and how people name it. How they
//! write a list of them is `choice`'s.
//!
//! Each fault is drawn from its own stream of the seed: with one left out, the others strike as before,
//! so that a failing seed can be narrowed down fault by fault.

use std::collections::BTreeMap;
use std::fmt;

/// One sort of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The process is killed around a call; all its memory is gone, and another one goes on.
    Crash,
    /// A request takes effect and its answer never comes.
    Lost,
    /// A request arrives twice.
    Duplicate,
    /// A request is refused: too many, or the service is down.
    Throttle,
    /// A listing comes in pages, each of its own moment.
    Pages,
    /// The watches of the API server lag.
    Stale,
    /// The credentials end in mid-run.
    Credentials,
    /// The machine that runs kprod sleeps for minutes, or its clock is off by seconds.
    Clock,
    /// The API server cannot be reached for minutes.
    Api,
    /// Spot machines are reclaimed; those of other groups fail.
    Spot,
    /// A new machine ends before it has booted.
    BootFail,
    /// A new machine boots and never joins the cluster.
    JoinFail,
    /// A node is not ready for a while, again and again.
    Flap,
    /// A zone has no machines to give for a while.
    Capacity,
    /// A zone is gone for a while, with all that runs there.
    AzOutage,
    /// The autoscaler changes desired capacities.
    Autoscaler,
    /// People change things by hand.
    Human,
    /// A second kprod rolls or applies at the same time.
    Second,
    /// A disruption budget allows nothing for a while.
    Budget,
    /// Pods that do not end when they are asked to.
    StuckPods,
    /// An etcd member is slow, or not well.
    Etcd,
    /// An etcd member's volume is lost with its machine.
    Volume,
    /// A machine that hosts etcd sleeps, and says what it was about to say when it wakes up.
    Sleep,
}

/// Of what a strength is a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Changing requests.
    Calls,
    /// Reads.
    Reads,
    /// Runs of kprod.
    Runs,
    /// Machines that are there at the start.
    Machines,
    /// Machines that come.
    NewMachines,
    /// Pods.
    Pods,
    /// Disruption budgets.
    Budgets,
    /// Auto scaling groups.
    Groups,
    /// Members of etcd.
    Members,
    /// No share: the zone's name.
    Zone,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Calls => "changing requests",
            Unit::Reads => "reads",
            Unit::Runs => "runs",
            Unit::Machines => "machines",
            Unit::NewMachines => "new machines",
            Unit::Pods => "pods",
            Unit::Budgets => "disruption budgets",
            Unit::Groups => "groups",
            Unit::Members => "etcd members",
            Unit::Zone => "zone",
        })
    }
}

/// A fault as people see it.
struct Item {
    fault: Fault,
    name: &'static str,
    unit: Unit,
    /// Strongest that a seed draws, in thousandths.
    permille_max: u32,
    help: &'static str,
}

const fn item(
    fault: Fault,
    name: &'static str,
    unit: Unit,
    permille_max: u32,
    help: &'static str,
) -> Item {
    Item { fault, name, unit, permille_max, help }
}

const MENU: [Item; 23] = [
    item(Fault::Crash, "crash", Unit::Calls, 60, "kprod is killed and started again"),
    item(Fault::Lost, "lost", Unit::Calls, 100, "answers that never come"),
    item(Fault::Duplicate, "duplicate", Unit::Calls, 100, "requests that arrive twice"),
    item(Fault::Throttle, "throttle", Unit::Calls, 200, "requests that are refused for now"),
    item(Fault::Pages, "pages", Unit::Reads, 300, "listings whose pages do not fit"),
    item(Fault::Stale, "stale", Unit::Reads, 500, "watches that lag"),
    item(Fault::Credentials, "credentials", Unit::Runs, 500, "credentials that end in mid-run"),
    item(Fault::Clock, "clock", Unit::Runs, 500, "kprod's machine sleeps, its clock is off"),
    item(Fault::Api, "api", Unit::Runs, 500, "the API server is away for minutes"),
    item(Fault::Spot, "spot", Unit::Machines, 300, "machines that are reclaimed"),
    item(Fault::BootFail, "boot-fail", Unit::NewMachines, 200, "new machines that never boot"),
    item(Fault::JoinFail, "join-fail", Unit::NewMachines, 200, "new machines that never join"),
    item(Fault::Flap, "flap", Unit::Machines, 200, "nodes that come and go"),
    item(Fault::Capacity, "capacity", Unit::Zone, 0, "a zone without capacity for a while"),
    item(Fault::AzOutage, "az-outage", Unit::Zone, 0, "a zone that is gone for a while"),
    item(Fault::Autoscaler, "autoscaler", Unit::Groups, 800, "desired capacities that change"),
    item(Fault::Human, "human", Unit::Groups, 600, "groups and machines changed by hand"),
    item(Fault::Second, "second", Unit::Runs, 500, "another kprod at the same time"),
    item(Fault::Budget, "pdb", Unit::Budgets, 500, "budgets that allow nothing for a while"),
    item(Fault::StuckPods, "stuck-pods", Unit::Pods, 100, "pods that do not end"),
    item(Fault::Etcd, "etcd", Unit::Members, 600, "members that are slow or not well"),
    item(Fault::Volume, "volume", Unit::Members, 300, "a member whose volume is lost"),
    item(Fault::Sleep, "sleep", Unit::Members, 600, "hosts of etcd that sleep and wake up stale"),
];

impl Fault {
    /// Every fault, in the order of the enum.
    pub fn all() -> impl Iterator<Item = Fault> {
        MENU.iter().map(|item| item.fault)
    }

    fn item(self) -> &'static Item {
        // Every fault is on the menu: `every_fault_is_on_the_menu_once` sees to it.
        MENU.iter().find(|item| item.fault == self).unwrap_or(&MENU[0])
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.item().name
    }

    /// Of what its strength is a share.
    pub fn unit(self) -> Unit {
        self.item().unit
    }

    /// What happens, for people.
    pub fn help(self) -> &'static str {
        self.item().help
    }

    /// The one of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        MENU.iter().find(|item| item.name == name).map(|item| item.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How strongly a fault strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strength {
    /// In thousandths of its [`Unit`].
    Permille(u32),
    /// This zone.
    Zone(String),
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strength::Permille(permille) => write!(f, "{}", f64::from(*permille) / 1000.0),
            Strength::Zone(zone) => f.write_str(zone),
        }
    }
}

/// Which faults strike, and how strongly. None by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(BTreeMap<Fault, Strength>);

impl Faults {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// Faults drawn from a seed: each one is on in a third of all seeds, weak more often than strong.
    pub fn draw(seed: u64, zones: &[String]) -> Self {
        let drawn = Fault::all().filter_map(|fault| {
            let mut rng = stream(seed, fault.name());
            if rng.u32(0..3) > 0 {
                return None;
            }
            let strength = match fault.unit() {
                Unit::Zone => Strength::Zone(zones.get(rng.usize(0..zones.len().max(1)))?.clone()),
                _ => {
                    let most = fault.item().permille_max;
                    Strength::Permille(rng.u32(1..=most).min(rng.u32(1..=most)))
                }
            };
            Some((fault, strength))
        });
        Self(drawn.collect())
    }

    /// Only those of these that are named.
    #[must_use]
    pub fn only(mut self, names: &[Fault]) -> Self {
        self.0.retain(|fault, _| names.contains(fault));
        self
    }

    /// Without one of them.
    #[must_use]
    pub fn without(&self, fault: Fault) -> Self {
        Self(self.0.iter().filter(|(f, _)| **f != fault).map(|(f, s)| (*f, s.clone())).collect())
    }

    /// Those that are on.
    pub fn iter(&self) -> impl Iterator<Item = (Fault, &Strength)> {
        self.0.iter().map(|(fault, strength)| (*fault, strength))
    }

    /// How often a fault strikes, in thousandths of its unit; 0 when it is off.
    pub fn permille(&self, fault: Fault) -> u32 {
        match self.0.get(&fault) {
            Some(Strength::Permille(permille)) => *permille,
            _ => 0,
        }
    }

    /// The zone that a fault is about.
    pub fn zone(&self, fault: Fault) -> Option<&str> {
        match self.0.get(&fault) {
            Some(Strength::Zone(zone)) => Some(zone),
            _ => None,
        }
    }

    /// Whether nothing goes wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> =
            self.0.iter().map(|(fault, strength)| format!("{fault}={strength}")).collect();
        f.write_str(&words.join(","))
    }
}

impl FromIterator<(Fault, Strength)> for Faults {
    fn from_iter<T: IntoIterator<Item = (Fault, Strength)>>(iter: T) -> Self {
        Self(iter.into_iter().collect())
    }
}

/// A stream of numbers for one purpose: what others draw does not move it.
pub(super) fn stream(seed: u64, purpose: &str) -> fastrand::Rng {
    let mixed = purpose.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    fastrand::Rng::with_seed(mixed.rotate_left(17) ^ seed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::collections::BTreeSet;

    use super::{Fault, Faults, Strength};

    #[test]
    fn every_fault_is_on_the_menu_once() {
        let names: BTreeSet<&str> = Fault::all().map(Fault::name).collect();
        assert_eq!(names.len(), Fault::all().count());
        let last = Fault::Sleep as usize;
        let places: BTreeSet<usize> = Fault::all().map(|fault| fault as usize).collect();
        assert_eq!(places, (0..=last).collect());
    }

    /// What is left out does not move what stays: a failing seed can be narrowed down.
    #[test]
    fn faults_are_drawn_apart_from_each_other() {
        let zones = ["a".to_owned(), "b".to_owned()];
        for seed in 0..50 {
            let all = Faults::draw(seed, &zones);
            for (fault, strength) in all.iter() {
                let rest = all.without(fault);
                assert_eq!(rest.iter().count() + 1, all.iter().count());
                assert_ne!(strength, &Strength::Permille(0));
            }
        }
        let on: usize = (0..300).map(|seed| Faults::draw(seed, &zones).iter().count()).sum();
        assert!((1800..2500).contains(&on), "{on}");
    }
}
