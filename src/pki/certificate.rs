//! What a certificate says, and whether a key signed it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use sha2::{Digest, Sha256};
use x509_cert::Certificate as Parsed;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::pem::decode_vec;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, SubjectAltName};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::Time;

use super::{PkiError, Usage};

/// `id-kp-serverAuth`. Source: RFC 5280, 4.2.1.12.
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
/// `id-kp-clientAuth`.
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
/// `id-at-commonName`. Source: RFC 5280, appendix A.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// `id-at-organizationName`.
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");

/// A certificate, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// It is valid from here.
    pub not_before: Timestamp,
    /// It is valid until here.
    pub not_after: Timestamp,
    /// Whom it names.
    pub common_name: String,
    /// The organization it names, if any.
    pub organization: Option<String>,
    /// Its number, in hexadecimal digits.
    pub serial: String,
    /// SHA-256 of the whole, in hexadecimal digits.
    pub fingerprint: String,
    /// Names that it is valid for.
    pub dns_names: BTreeSet<String>,
    /// Addresses that it is valid for.
    pub addresses: BTreeSet<IpAddr>,
    /// What it may be shown for; empty where nothing is said.
    pub usages: BTreeSet<Usage>,
    /// Whether it may sign others.
    pub is_authority: bool,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    public_key: Vec<u8>,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Certificate {
    /// Reads a certificate in PEM.
    ///
    /// # Errors
    /// [`PkiError::Certificate`] when it is none, or holds what kprod never puts into one.
    pub fn parse(pem: &str) -> Result<Self, PkiError> {
        let wrong = |what: &str| PkiError::Certificate(what.to_owned());
        let read = |error: x509_cert::der::Error| PkiError::Certificate(error.to_string());
        let parsed = Parsed::from_der(&unarmoured(pem, "CERTIFICATE")?).map_err(read)?;
        let tbs = &parsed.tbs_certificate;
        let sans = tbs.get::<SubjectAltName>().map_err(read)?;
        let (dns_names, addresses) = match sans {
            Some((_, SubjectAltName(names))) => alternative_names(&names)?,
            None => Default::default(),
        };
        let usages = tbs.get::<ExtendedKeyUsage>().map_err(read)?;
        let usages = usages.map(|(_, ExtendedKeyUsage(all))| all).unwrap_or_default();
        let constraints = tbs.get::<BasicConstraints>().map_err(read)?;
        let signature = parsed.signature.as_bytes().ok_or_else(|| wrong("half a signature"))?;
        let key = tbs.subject_public_key_info.subject_public_key.as_bytes();
        Ok(Self {
            not_before: moment(tbs.validity.not_before)?,
            not_after: moment(tbs.validity.not_after)?,
            common_name: attribute(&tbs.subject, COMMON_NAME).unwrap_or_default(),
            organization: attribute(&tbs.subject, ORGANIZATION),
            serial: hex(tbs.serial_number.as_bytes()),
            fingerprint: hex(&Sha256::digest(parsed.to_der().map_err(read)?)),
            dns_names,
            addresses,
            usages: usages.iter().map(usage).collect::<Result<_, _>>()?,
            is_authority: constraints.is_some_and(|(_, constraints)| constraints.ca),
            issuer: tbs.issuer.to_der().map_err(read)?,
            subject: tbs.subject.to_der().map_err(read)?,
            public_key: key.ok_or_else(|| wrong("half a public key"))?.to_vec(),
            signed: tbs.to_der().map_err(read)?,
            signature: signature.to_vec(),
        })
    }

    /// Whether another certificate's key signed this one, and it says so.
    pub fn is_signed_by(&self, issuer: &Certificate) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &issuer.public_key);
        self.issuer == issuer.subject && key.verify(&self.signed, &self.signature).is_ok()
    }

    /// Whether it is the certificate of a key; the public half of it as an uncompressed point.
    pub(super) fn is_of(&self, public_key: &[u8]) -> bool {
        self.public_key == public_key
    }

    /// Whether it is valid at a moment.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// When a third of its life has passed.
    pub fn renew_at(&self) -> Timestamp {
        let life = self.not_after.as_second() - self.not_before.as_second();
        let third = self.not_before.as_second().saturating_add(life / 3);
        Timestamp::from_second(third).unwrap_or(self.not_after)
    }
}

fn moment(time: Time) -> Result<Timestamp, PkiError> {
    let wrong = || PkiError::Certificate("a date out of range".to_owned());
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).map_err(|_| wrong())?;
    Timestamp::from_second(seconds).map_err(|_| wrong())
}

/// A text of a name; the first, if there are more.
fn attribute(name: &x509_cert::name::Name, kind: ObjectIdentifier) -> Option<String> {
    let mut all = name.0.iter().flat_map(|part| part.0.iter());
    let found = all.find(|attribute| attribute.oid == kind)?;
    String::from_utf8(found.value.value().to_vec()).ok()
}

fn alternative_names(
    names: &[GeneralName],
) -> Result<(BTreeSet<String>, BTreeSet<IpAddr>), PkiError> {
    let (mut dns_names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for name in names {
        match name {
            GeneralName::DnsName(name) => {
                dns_names.insert(name.to_string());
            }
            GeneralName::IpAddress(octets) => {
                addresses.insert(address(octets.as_bytes())?);
            }
            _ => return Err(PkiError::Certificate("a name of another kind".to_owned())),
        }
    }
    Ok((dns_names, addresses))
}

fn address(octets: &[u8]) -> Result<IpAddr, PkiError> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .map_err(|_| PkiError::Certificate("half an address".to_owned()))
}

fn usage(of: &ObjectIdentifier) -> Result<Usage, PkiError> {
    match *of {
        SERVER_AUTH => Ok(Usage::Server),
        CLIENT_AUTH => Ok(Usage::Client),
        other => Err(PkiError::Certificate(format!("a use of another kind: {other}"))),
    }
}

/// The fingerprint of a public key's text: SHA-256, in hexadecimal digits.
pub fn fingerprint(text: &str) -> String {
    hex(&Sha256::digest(text.trim().as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The public key in a `PUBLIC KEY` block, as an uncompressed point.
///
/// # Errors
/// [`PkiError::Certificate`] when it is none.
pub(super) fn public_point(pem: &str) -> Result<Vec<u8>, PkiError> {
    let wrong = |what: String| PkiError::Certificate(what);
    let key = SubjectPublicKeyInfoOwned::from_der(&unarmoured(pem, "PUBLIC KEY")?)
        .map_err(|error| wrong(error.to_string()))?;
    let point = key.subject_public_key.as_bytes().map(<[u8]>::to_vec);
    point.ok_or_else(|| wrong("half a public key".to_owned()))
}

/// The bytes of a PEM block. All of them first: `from_pem`, which reads as it decodes, never ends on a
/// block that is too short (der 0.7.10).
fn unarmoured(pem: &str, wanted: &str) -> Result<Vec<u8>, PkiError> {
    let wrong = |what: String| PkiError::Certificate(what);
    let (label, der) =
        decode_vec(pem.trim().as_bytes()).map_err(|error| wrong(error.to_string()))?;
    if label == wanted {
        Ok(der)
    } else {
        Err(wrong(format!("a {label} where a {wanted} should be")))
    }
}
