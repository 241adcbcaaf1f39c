//! What a rolling update notes on a group ([`super::ROLL_TAG`]), so that whoever comes next can go on, and
//! a plan knows what is the roll's.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a roll notes on a group.
///
/// Written as `key=value` words: a tag's value takes letters, digits, spaces and `+-=._:/@`, at most
/// 256 characters (Auto Scaling API reference, `Tag`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollMark {
    /// The roll's id.
    pub id: String,
    /// When this roll began to work on the group.
    pub began_at: Timestamp,
    /// The pin before this roll moved it: where an automatic rollback goes.
    pub from: Option<u64>,
    /// Processes that this roll suspended, and nobody else.
    pub suspended: BTreeSet<String>,
    /// The desired capacity before this roll raised it for its surge, and by how much.
    pub raised: Option<Raised>,
    /// Machines of `raised` that take their place with them, by the [`tail`]s of their ids, at most
    /// [`RollMark::GIVING_MAX`]. They are noted before the call that ends them: whoever comes next sees by
    /// them whether it was made, whatever others have made of the desired capacity since.
    pub giving: BTreeSet<String>,
}

impl RollMark {
    /// Most machines that are noted to take their place with them: a tag's value has no room for more.
    pub const GIVING_MAX: usize = 8;
}

/// The end of an instance id, by which a note tells the machines of one group apart.
pub fn tail(instance_id: &str) -> &str {
    const LENGTH: usize = 6;
    let start = instance_id.char_indices().rev().nth(LENGTH - 1).map_or(0, |(at, _)| at);
    instance_id.get(start..).unwrap_or(instance_id)
}

/// A desired capacity that a roll raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    /// What it was.
    pub base: i32,
    /// By how much it was raised, at most.
    pub by: i32,
    /// How much of that is known to have been done. It is noted before, and a run that is killed in between
    /// may not have come to it.
    pub made: i32,
}

impl Raised {
    /// What is noted of it once so much was given back.
    pub fn less(self, given: i32) -> Self {
        let less = |of: i32| of.saturating_sub(given).max(0);
        Self { by: less(self.by), made: less(self.made), ..self }
    }

    /// How much of it is still there, at a desired capacity. What an autoscaler has added above is
    /// its own, and so is all that it has made of one that nobody knows to have been raised so far.
    pub fn outstanding(self, desired: i32) -> i32 {
        let more = desired.saturating_sub(self.base);
        let most = if more == self.by { self.by } else { self.made };
        more.clamp(0, most.max(0))
    }
}

impl fmt::Display for RollMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "id={} began={}", self.id, self.began_at)?;
        if let Some(from) = self.from {
            write!(f, " from={from}")?;
        }
        if !self.suspended.is_empty() {
            let names: Vec<&str> = self.suspended.iter().map(String::as_str).collect();
            write!(f, " suspended={}", names.join("/"))?;
        }
        if let Some(raised) = self.raised {
            let word = if raised.made > 0 { "raised" } else { "raising" };
            write!(f, " {word}={}/{}", raised.base, raised.by)?;
            if (1..raised.by).contains(&raised.made) {
                write!(f, " made={}", raised.made)?;
            }
        }
        if !self.giving.is_empty() {
            let names: Vec<&str> = self.giving.iter().map(String::as_str).collect();
            write!(f, " giving={}", names.join("/"))?;
        }
        Ok(())
    }
}

impl FromStr for RollMark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no mark of a roll");
        let (mut id, mut began_at) = (None, None);
        let (mut from, mut raised, mut made) = (None, None, None);
        let (mut suspended, mut giving) = (BTreeSet::new(), BTreeSet::new());
        for word in text.split_whitespace() {
            let (key, value) = word.split_once('=').ok_or_else(wrong)?;
            match key {
                "id" => id = Some(value.to_owned()),
                "began" => began_at = Some(value.parse().map_err(|_| wrong())?),
                "from" => from = Some(value.parse().map_err(|_| wrong())?),
                "suspended" => suspended = value.split('/').map(str::to_owned).collect(),
                "giving" => giving = value.split('/').map(str::to_owned).collect(),
                "raised" | "raising" => {
                    let (base, by) = value.split_once('/').ok_or_else(wrong)?;
                    let number = |text: &str| text.parse().map_err(|_| wrong());
                    let (base, by) = (number(base)?, number(by)?);
                    raised = Some(Raised { base, by, made: if key == "raised" { by } else { 0 } });
                }
                "made" => made = Some(value.parse().map_err(|_| wrong())?),
                // A newer kprod may know more.
                _ => {}
            }
        }
        let id = id.ok_or_else(wrong)?;
        let raised = raised.map(|known| Raised { made: made.unwrap_or(known.made), ..known });
        Ok(Self { id, began_at: began_at.ok_or_else(wrong)?, from, suspended, raised, giving })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::collections::BTreeSet;

    use super::{Raised, RollMark, tail};

    fn mark() -> RollMark {
        RollMark {
            id: "20261121T101112Z-0f".to_owned(),
            began_at: "2026-11-21T10:11:12Z".parse().unwrap(),
            from: Some(3),
            suspended: ["AZRebalance", "AlarmNotification"].map(str::to_owned).into(),
            raised: Some(Raised { base: 3, by: 1, made: 1 }),
            giving: BTreeSet::new(),
        }
    }

    /// The longest that there can be.
    fn long_mark() -> RollMark {
        let all = ["AZRebalance", "AlarmNotification", "InstanceRefresh", "ScheduledActions"];
        let id = |number: usize| format!("i-0123456789a{number:06x}");
        RollMark {
            id: "20261121T101112Z-0123456789abcdef".to_owned(),
            began_at: "2026-11-21T10:11:12.123456789Z".parse().unwrap(),
            from: Some(10_000),
            suspended: all.map(str::to_owned).into(),
            raised: Some(Raised { base: 1_000, by: 1_000, made: 1_000 }),
            giving: (0..RollMark::GIVING_MAX).map(|number| tail(&id(number)).to_owned()).collect(),
        }
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_and_fits_a_tag() {
        let raising = Some(Raised { base: 3, by: 1, made: 0 });
        let more = Some(Raised { base: 1_000, by: 1_000, made: 999 });
        for mark in [
            mark(),
            long_mark(),
            RollMark { raised: raising, ..mark() },
            // While more of a surge is noted none of it is given back.
            RollMark { raised: more, giving: [].into(), ..long_mark() },
            RollMark { from: None, suspended: [].into(), raised: None, ..mark() },
        ] {
            let text = mark.to_string();
            assert!(text.len() <= 256, "{text}");
            assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || " +-=._:/@".contains(c)));
            assert_eq!(text.parse::<RollMark>().unwrap(), mark);
        }
    }

    #[test]
    fn what_an_autoscaler_added_is_not_the_rolls() {
        let known = Raised { base: 3, by: 2, made: 2 };
        let noted = Raised { made: 0, ..known };
        let more = Raised { made: 1, ..known };
        let outstanding = |raised: Raised| [2, 3, 4, 5, 9].map(|at| raised.outstanding(at));
        assert_eq!(outstanding(known), [0, 0, 1, 2, 2]);
        assert_eq!(outstanding(more), [0, 0, 1, 2, 1], "more of it may not have come");
        assert_eq!(outstanding(noted), [0, 0, 0, 2, 0], "it may have come before the surge");
    }
}
