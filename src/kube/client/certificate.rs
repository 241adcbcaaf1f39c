//! How long a client certificate is valid.
//!
//! An API server takes an ended one for no credentials at all: the answer is 401, as for a wrong
//! token. Only the certificate itself tells.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    not_before: Timestamp,
    not_after: Timestamp,
}

/// Why a certificate is not valid at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalidity {
    /// It has ended.
    Ended(Timestamp),
    /// It is not valid yet.
    NotYet(Timestamp),
}

impl Validity {
    /// Of the first certificate in a PEM text; none where there is none that can be read.
    pub(super) fn of_pem(pem: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(pem).ok()?;
        let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
        let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
        let body: String = body.split_whitespace().collect();
        Self::of_der(&STANDARD.decode(body).ok()?)
    }

    /// Source: RFC 5280, 4.1: a certificate begins with `tbsCertificate`, whose fields are version
    /// (tagged 0, optional), serial number, signature algorithm, issuer, validity.
    fn of_der(der: &[u8]) -> Option<Self> {
        const SEQUENCE: u8 = 0x30;
        const VERSION: u8 = 0xa0;
        let (certificate, _) = Element::read(der)?.of(SEQUENCE)?;
        let (fields, _) = Element::read(certificate)?.of(SEQUENCE)?;
        let first = Element::read(fields)?;
        let after_version = if first.tag == VERSION { first.rest } else { fields };
        let mut fields = after_version;
        for _serial_algorithm_issuer in 0..3 {
            fields = Element::read(fields)?.rest;
        }
        let (validity, _) = Element::read(fields)?.of(SEQUENCE)?;
        let not_before = Element::read(validity)?;
        let not_after = Element::read(not_before.rest)?;
        Some(Self { not_before: not_before.time()?, not_after: not_after.time()? })
    }

    /// What is wrong with it at a time, if anything is.
    pub(super) fn invalidity(self, now: Timestamp) -> Option<Invalidity> {
        if now > self.not_after {
            return Some(Invalidity::Ended(self.not_after));
        }
        (now < self.not_before).then_some(Invalidity::NotYet(self.not_before))
    }
}

impl Invalidity {
    /// How far from valid a time is.
    pub(super) fn told(self, now: Timestamp) -> String {
        match self {
            Invalidity::Ended(at) => format!("ended at {at}, {} ago", distance(at, now)),
            Invalidity::NotYet(at) => format!("is not valid before {at}, in {}", distance(now, at)),
        }
    }
}

/// The time between two times, in the unit that says most.
fn distance(from: Timestamp, to: Timestamp) -> impl fmt::Display {
    let seconds = to.duration_since(from).as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// One element of DER: what it is, what it holds, what comes after it.
#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Element<'a> {
    /// Source: ITU-T X.690, 8.1.3: a length below 128 is one byte, else the first says how many follow.
    fn read(input: &'a [u8]) -> Option<Self> {
        let (&tag, input) = input.split_first()?;
        let (&first, input) = input.split_first()?;
        let (length, input) = match first {
            0..=0x7f => (usize::from(first), input),
            // A certificate of 16 MiB is none.
            0x81..=0x83 => {
                let (bytes, input) = input.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), input)
            }
            _ => return None,
        };
        let (content, rest) = input.split_at_checked(length)?;
        Some(Self { tag, content, rest })
    }

    fn of(self, tag: u8) -> Option<(&'a [u8], &'a [u8])> {
        (self.tag == tag).then_some((self.content, self.rest))
    }

    /// Source: RFC 5280, 4.1.2.5: two digits of a year below 50 are of this century; the time is UTC
    /// with seconds.
    fn time(self) -> Option<Timestamp> {
        const UTC_TIME: u8 = 0x17;
        const GENERALIZED_TIME: u8 = 0x18;
        let text = std::str::from_utf8(self.content).ok()?;
        let (year, rest) = match self.tag {
            UTC_TIME => {
                let (year, rest) = text.split_at_checked(2)?;
                let century = if year < "50" { "20" } else { "19" };
                (format!("{century}{year}"), rest)
            }
            GENERALIZED_TIME => {
                let (year, rest) = text.split_at_checked(4)?;
                (year.to_owned(), rest)
            }
            _ => return None,
        };
        let part = |at: usize| rest.get(at..at + 2);
        let (month, day, hour) = (part(0)?, part(2)?, part(4)?);
        let (minute, second) = (part(6)?, part(8)?);
        format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z").parse().ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    const ENDED: &[u8] = include_bytes!("fixtures/client-ended.pem");

    #[test]
    fn a_certificate_says_from_when_until_when_it_is_valid() {
        let validity = Validity::of_pem(ENDED).unwrap();
        assert_eq!(validity.not_before, "2019-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(validity.not_after, "2020-01-01T00:00:00Z".parse().unwrap());
        let told = |now: &str| {
            let now = now.parse().unwrap();
            validity.invalidity(now).map(|invalidity| invalidity.told(now))
        };
        assert_eq!(told("2019-06-01T00:00:00Z"), None);
        assert_eq!(
            told("2020-01-03T00:00:00Z").unwrap(),
            "ended at 2020-01-01T00:00:00Z, 2 days ago"
        );
        assert_eq!(
            told("2018-12-31T23:00:00Z").unwrap(),
            "is not valid before 2019-01-01T00:00:00Z, in 60 min"
        );
        // Later than 2049 a certificate writes four digits of the year.
        let server = Validity::of_pem(include_bytes!("fixtures/server.pem")).unwrap();
        assert_eq!(server.not_after, "2126-01-01T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn what_is_no_certificate_is_passed_over_whatever_it_holds() {
        for cut in 0..ENDED.len() {
            let _ = Validity::of_pem(&ENDED[..cut]);
        }
        let der: Vec<u8> = (0..=255).collect();
        for start in 0..der.len() {
            assert_eq!(Validity::of_der(&der[start..]), None);
        }
        assert_eq!(Validity::of_der(&[0x30, 0x83, 0xff, 0xff, 0xff]), None);
    }
}
