//! Faults as people choose them: with strengths, for each seed to draw, or by their names among those that
//! a seed has drawn.

use std::collections::BTreeSet;
use std::fmt;

use super::fault::{Fault, Faults, Strength, Unit};
use crate::finding::did_you_mean;

/// Which faults strike in the seeds of a rehearsal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The same in every seed, if any.
    Same(Faults),
    /// Each seed draws its own, of zones among these.
    Random(Vec<String>),
}

/// What people write for [`Choice::Random`].
const RANDOM: &str = "random";

/// A list of faults that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// There is no such fault.
    #[error("`{word}` is no fault")]
    Unknown {
        /// What was written.
        word: String,
        /// What may have been meant.
        meant: Option<&'static str>,
    },
    /// A share that is none.
    #[error("`{fault}={value}`: write a share of the {unit}, from 0 to 1, such as {fault}=0.05")]
    Share {
        /// The fault.
        fault: Fault,
        /// What was written.
        value: String,
        /// Of what it should be a share.
        unit: Unit,
    },
    /// A zone without a name.
    #[error("`{fault}` wants a zone, such as {fault}=eu-west-3b")]
    Zone {
        /// The fault.
        fault: Fault,
    },
    /// A zone that nothing of the cluster is in: a fault there would prove nothing.
    #[error("`{fault}={zone}`: no group of the cluster is in {zone}")]
    Elsewhere {
        /// The fault.
        fault: Fault,
        /// What was written.
        zone: String,
        /// Where the cluster is.
        zones: Vec<String>,
    },
    /// What seeds draw beside what they do not.
    #[error("`random` stands alone: each seed draws its own faults")]
    Beside,
    /// A strength where seeds draw it.
    #[error("`{word}`: each seed draws how strongly a fault strikes")]
    Drawn {
        /// What was written.
        word: String,
        /// The same list without strengths.
        names: String,
    },
}

impl Choice {
    /// Reads `random`, or as [`Faults::parse`] for a cluster in these zones.
    ///
    /// # Errors
    /// As [`Faults::parse`]; when a zone is none of them.
    pub fn parse(text: &str, zones: &BTreeSet<&str>) -> Result<Self, FaultError> {
        let zones: Vec<String> = zones.iter().map(|zone| (*zone).to_owned()).collect();
        let all: Vec<&str> = words(text).collect();
        if all.contains(&RANDOM) {
            return if all.len() == 1 { Ok(Self::Random(zones)) } else { Err(FaultError::Beside) };
        }
        let faults = Faults::parse(text)?;
        for (fault, strength) in faults.iter() {
            if let Strength::Zone(zone) = strength
                && !zones.contains(zone)
            {
                return Err(FaultError::Elsewhere { fault, zone: zone.clone(), zones });
            }
        }
        Ok(Self::Same(faults))
    }

    /// Those that strike in a seed.
    pub fn of(&self, seed: u64) -> Faults {
        match self {
            Self::Same(faults) => faults.clone(),
            Self::Random(zones) => Faults::draw(seed, zones),
        }
    }

    /// Whether nothing goes wrong in any seed.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Same(faults) if faults.is_empty())
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same(faults) => faults.fmt(f),
            Self::Random(_) => f.write_str(RANDOM),
        }
    }
}

impl Faults {
    /// Reads `spot=0.1,az-outage=eu-west-3b`.
    ///
    /// # Errors
    /// When a word names no fault, or a value is no strength of it.
    pub fn parse(text: &str) -> Result<Self, FaultError> {
        words(text).map(parse_one).collect()
    }
}

/// The names in a list, for choosing among those that seeds draw.
///
/// # Errors
/// When a word names no fault, or says how strongly one is to strike, which nobody would heed.
pub fn names(text: &str) -> Result<Vec<Fault>, FaultError> {
    let of = |word: &str| named(word.split('=').next().unwrap_or_default());
    let faults: Vec<Fault> = words(text).map(of).collect::<Result<_, _>>()?;
    match words(text).find(|word| word.contains('=')) {
        None => Ok(faults),
        Some(word) => {
            let names: Vec<&str> = faults.iter().map(|fault| fault.name()).collect();
            Err(FaultError::Drawn { word: word.to_owned(), names: names.join(",") })
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn parse_one(word: &str) -> Result<(Fault, Strength), FaultError> {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let fault = named(name)?;
    if fault.unit() == Unit::Zone {
        let zone = value.to_owned();
        return match value.is_empty() {
            true => Err(FaultError::Zone { fault }),
            false => Ok((fault, Strength::Zone(zone))),
        };
    }
    let share: Option<f64> = value.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    let wrong = || FaultError::Share { fault, value: value.to_owned(), unit: fault.unit() };
    // A share from 0 to 1 in thousandths fits.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    let permille = (share.ok_or_else(wrong)? * 1000.0).round() as u32;
    Ok((fault, Strength::Permille(permille)))
}

fn named(name: &str) -> Result<Fault, FaultError> {
    Fault::named(name).ok_or_else(|| FaultError::Unknown {
        word: name.to_owned(),
        meant: did_you_mean(name, Fault::all().map(Fault::name))
            .and_then(Fault::named)
            .map(Fault::name),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::collections::BTreeSet;

    use super::{Choice, FaultError, names};
    use crate::rehearsal::fault::{Fault, Faults};

    #[test]
    fn a_list_is_read_as_it_is_written() {
        let text = "spot=0.1,boot-fail=0.05,az-outage=eu-west-3b";
        let faults = Faults::parse(text).unwrap();
        assert_eq!(faults.permille(Fault::Spot), 100);
        assert_eq!(faults.zone(Fault::AzOutage), Some("eu-west-3b"));
        assert_eq!(Faults::parse(&faults.to_string()).unwrap(), faults);
    }

    #[test]
    fn a_word_that_is_none_is_told_with_its_neighbour() {
        let error = Faults::parse("sport=0.1").unwrap_err();
        assert_eq!(error, FaultError::Unknown { word: "sport".into(), meant: Some("spot") });
        assert!(matches!(Faults::parse("spot=2"), Err(FaultError::Share { .. })));
        assert!(matches!(Faults::parse("spot"), Err(FaultError::Share { .. })));
        assert!(matches!(Faults::parse("az-outage"), Err(FaultError::Zone { .. })));
    }

    /// A fault where the cluster is not would strike nobody, and look as if all were well.
    #[test]
    fn a_zone_is_one_of_the_cluster_s() {
        let zones = BTreeSet::from(["eu-west-3a", "eu-west-3b"]);
        for name in ["az-outage", "capacity"] {
            let there = format!("spot=0.1,{name}=eu-west-3b");
            assert_eq!(Choice::parse(&there, &zones).unwrap().to_string(), there);
            let error = Choice::parse(&format!("{name}=eu-west-3z"), &zones).unwrap_err();
            let FaultError::Elsewhere { zone, zones, .. } = error else { panic!("{error}") };
            assert_eq!(
                (zone, zones.join(" ")),
                ("eu-west-3z".into(), "eu-west-3a eu-west-3b".into())
            );
        }
    }

    #[test]
    fn random_is_what_each_seed_draws_and_stands_alone() {
        let zones = BTreeSet::from(["eu-west-3a"]);
        let random = Choice::parse("random", &zones).unwrap();
        let drawn: BTreeSet<String> = (1..=20).map(|seed| random.of(seed).to_string()).collect();
        assert!(drawn.len() > 10 && !random.is_empty(), "{drawn:?}");
        assert_eq!(random.of(7), Faults::draw(7, &["eu-west-3a".to_owned()]));
        assert!(matches!(Choice::parse("random,spot=0.1", &zones), Err(FaultError::Beside)));
        let none = Choice::parse("", &zones).unwrap();
        assert!(none.is_empty() && none.of(7).is_empty());
    }

    #[test]
    fn among_drawn_ones_nobody_says_how_strongly() {
        assert_eq!(names("spot, crash").unwrap(), [Fault::Spot, Fault::Crash]);
        let error = names("spot,crash=0.5,az-outage=foo").unwrap_err();
        let names = "spot,crash,az-outage".to_owned();
        assert_eq!(error, FaultError::Drawn { word: "crash=0.5".into(), names });
    }
}
