//! How what exists stands, and when it is renewed.
//!
//! A leaf is renewed when a third of its life has passed, by the machine that shows it. An authority
//! is never renewed by itself: everything that it signed would be refused from one moment to the next.

use std::fmt;

use jiff::Timestamp;

use super::certificate::Certificate;
use super::issue::{PrivateKey, check_public};
use super::leaf::{LEAF_DAYS, LeafRequest};
use super::{Authority, PkiError};

/// What to do about an authority that ends: nobody replaces one by himself.
const SUCCEED: &str = "make a cluster beside this one and move to it in time; what an authority \
                       signed is refused the moment another takes its place";
/// What to do about an authority whose key is gone.
pub const PUT_KEY_BACK: &str = "put its secret parameter back as it was; what a new key signs would be \
                                refused by all that trust its certificate";

const DAY_SECS: i64 = 86_400;
/// Once so much of an authority is left, its successor is due: in the last year before its end each leaf
/// gets shorter.
const AUTHORITY_NOTICE_SECS: i64 = 2 * LEAF_DAYS * DAY_SECS;
/// A machine renews its leaves every day; after so many days something keeps it from that.
const LATE_SECS: i64 = 7 * DAY_SECS;

/// How an authority or a leaf stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none.
    Missing,
    /// An authority whose key is gone.
    Keyless,
    /// All is well; none of a bare key ever ends.
    Valid {
        /// When it ends.
        until: Option<Timestamp>,
    },
    /// A leaf that its machine renews about now.
    Due {
        /// When it ends.
        until: Timestamp,
    },
    /// It ends too soon: an authority without time for a successor, or a leaf that its machine should
    /// have renewed.
    Ending {
        /// When it ends.
        until: Timestamp,
    },
    /// It has ended.
    Ended {
        /// When.
        at: Timestamp,
    },
    /// It is valid only later: the clock of who made it ran ahead.
    Early {
        /// From when.
        from: Timestamp,
    },
    /// It is not what is wanted: of another authority, or for other names or uses.
    Wrong {
        /// What is wrong.
        why: String,
    },
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Missing => f.write_str("there is none"),
            State::Keyless => f.write_str("its key is gone, and it can sign nothing"),
            State::Valid { until: Some(until) } => write!(f, "it is valid until {until}"),
            State::Valid { until: None } => f.write_str("it has no end"),
            State::Due { until } => write!(f, "it is renewed about now, valid until {until}"),
            State::Ending { until } => write!(f, "it ends at {until}"),
            State::Ended { at } => write!(f, "it ended at {at}"),
            State::Early { from } => write!(f, "it is valid only from {from}"),
            State::Wrong { why } => write!(f, "it is not what it should be: {why}"),
        }
    }
}

impl State {
    /// One word for it, in output; machine-readable as well.
    pub fn word(&self) -> &'static str {
        match self {
            State::Missing => "missing",
            State::Keyless => "keyless",
            State::Valid { .. } => "valid",
            State::Due { .. } => "due",
            State::Ending { .. } => "ending",
            State::Ended { .. } => "ended",
            State::Early { .. } => "early",
            State::Wrong { .. } => "wrong",
        }
    }

    /// Whether its time is over, or too short.
    pub fn ends(&self) -> bool {
        matches!(self, State::Ending { .. } | State::Ended { .. })
    }

    /// What to do about an authority that does not stand well.
    pub fn authority_way_out(&self) -> &'static str {
        match self {
            State::Missing => {
                "`kprod apply CLUSTER` makes it; if it was there before, put its parameters back instead"
            }
            State::Keyless => PUT_KEY_BACK,
            State::Wrong { .. } => {
                "somebody wrote over it: put back what was there, which the parameter's history has"
            }
            State::Early { .. } => "set the clock of whoever made it, and of who refuses it",
            State::Valid { .. }
            | State::Due { .. }
            | State::Ending { .. }
            | State::Ended { .. } => SUCCEED,
        }
    }

    /// When it ends, or ended, where that is known.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            State::Valid { until } => *until,
            State::Due { until } | State::Ending { until } => Some(*until),
            State::Ended { at } => Some(*at),
            State::Missing | State::Keyless | State::Early { .. } | State::Wrong { .. } => None,
        }
    }

    /// Whether nobody has to do anything.
    pub fn is_well(&self) -> bool {
        matches!(self, State::Valid { .. } | State::Due { .. })
    }
}

/// How an authority stands, by the content of its public parameter.
pub fn state_of_authority(
    authority: &Authority,
    cluster: &str,
    public: Option<&str>,
    now: Timestamp,
) -> (State, Option<Certificate>) {
    let Some(public) = public else { return (State::Missing, None) };
    match check_public(authority, cluster, public) {
        Err(error) => (State::Wrong { why: error.to_string() }, None),
        Ok(None) => (State::Valid { until: None }, None),
        Ok(Some(certificate)) => {
            let state = validity(&certificate, now).unwrap_or_else(|| {
                let until = certificate.not_after;
                if until.as_second() - now.as_second() < AUTHORITY_NOTICE_SECS {
                    State::Ending { until }
                } else {
                    State::Valid { until: Some(until) }
                }
            });
            (state, Some(certificate))
        }
    }
}

/// How a leaf stands that should be as requested, under its authority's certificate.
pub fn state_of_leaf(
    request: &LeafRequest,
    authority: &Certificate,
    pem: Option<&str>,
    now: Timestamp,
) -> (State, Option<Certificate>) {
    let Some(pem) = pem else { return (State::Missing, None) };
    let leaf = match Certificate::parse(pem) {
        Ok(leaf) => leaf,
        Err(error) => return (State::Wrong { why: error.to_string() }, None),
    };
    let state = difference(request, authority, &leaf)
        .map(|why| State::Wrong { why: why.to_owned() })
        .or_else(|| validity(&leaf, now))
        .unwrap_or_else(|| {
            let (until, due) = (leaf.not_after, leaf.renew_at().as_second());
            match now.as_second() {
                now if now < due => State::Valid { until: Some(until) },
                // What ends with its authority cannot get any longer.
                _ if until >= authority.not_after => State::Valid { until: Some(until) },
                now if now < due.saturating_add(LATE_SECS) => State::Due { until },
                _ => State::Ending { until },
            }
        });
    (state, Some(leaf))
}

/// Why a machine makes a leaf anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Renewal {
    /// There is none.
    #[error("there is none yet")]
    Missing,
    /// A third of its life has passed, or all of it, or none.
    #[error("a third of its life has passed")]
    Due,
    /// It differs from what is asked for.
    #[error("{0}")]
    Differs(String),
}

/// Whether a machine makes a leaf anew, given the one that it has: certificate and key.
///
/// # Errors
/// [`PkiError`] when the authority's own certificate cannot sign now: what there is stays in use.
pub fn renewal(
    request: &LeafRequest,
    authority: &Certificate,
    held: Option<(&str, &PrivateKey)>,
    now: Timestamp,
) -> Result<Option<Renewal>, PkiError> {
    if !authority.is_valid_at(now) {
        return Err(PkiError::Ended(request.authority.clone()));
    }
    let Some((pem, key)) = held else { return Ok(Some(Renewal::Missing)) };
    let (state, leaf) = state_of_leaf(request, authority, Some(pem), now);
    if leaf.is_some_and(|leaf| !key.is_of(&leaf)) {
        return Ok(Some(Renewal::Differs(PkiError::Mismatch.to_string())));
    }
    Ok(match state {
        State::Valid { .. } => None,
        State::Missing | State::Keyless => Some(Renewal::Missing),
        State::Wrong { why } => Some(Renewal::Differs(why)),
        State::Due { .. } | State::Ending { .. } | State::Ended { .. } | State::Early { .. } => {
            Some(Renewal::Due)
        }
    })
}

fn validity(certificate: &Certificate, now: Timestamp) -> Option<State> {
    if now > certificate.not_after {
        Some(State::Ended { at: certificate.not_after })
    } else if now < certificate.not_before {
        Some(State::Early { from: certificate.not_before })
    } else {
        None
    }
}

/// What differs from the request, if anything.
fn difference(
    request: &LeafRequest,
    authority: &Certificate,
    leaf: &Certificate,
) -> Option<&'static str> {
    if leaf.is_authority {
        Some("it is an authority's certificate")
    } else if !leaf.is_signed_by(authority) {
        Some("another authority signed it")
    } else if leaf.common_name != request.common_name || leaf.organization != request.organization {
        Some("it names somebody else")
    } else if leaf.dns_names != request.dns_names || leaf.addresses != request.addresses {
        Some("it is for other names or addresses")
    } else if leaf.usages != request.usages {
        Some("it is for another use")
    } else {
        None
    }
}
