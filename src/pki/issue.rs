//! Making keys, and signing with them. The moment is an argument; randomness is the operating
//! system's, and only in [`PrivateKey::generate`] (signatures use it, too, and do not depend on it).

use std::fmt;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use time::OffsetDateTime;

use super::authority::AUTHORITY_DAYS;
use super::certificate::{Certificate, public_point};
use super::leaf::{LEAF_DAYS, LeafRequest, Usage};
use super::{Authority, PkiError, Secret};

/// A certificate is valid from so long before it was made: clocks of machines differ.
pub const TOLERANCE_SECS: i64 = 3600;

const DAY_SECS: i64 = 86_400;

/// A private key: ECDSA on P-256.
pub struct PrivateKey(KeyPair);

impl PrivateKey {
    /// A new one.
    ///
    /// # Errors
    /// [`PkiError::Issue`] when the operating system gives no randomness.
    pub fn generate() -> Result<Self, PkiError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self).map_err(unissued)
    }

    /// Reads a key in PEM (PKCS #8).
    ///
    /// # Errors
    /// [`PkiError::Key`] when it is none, or one of another kind.
    pub fn parse(pem: &Secret) -> Result<Self, PkiError> {
        KeyPair::from_pkcs8_pem_and_sign_algo(pem.expose(), &PKCS_ECDSA_P256_SHA256)
            .map(Self)
            .map_err(|_| PkiError::Key)
    }

    /// The key in PEM (PKCS #8).
    pub fn to_pem(&self) -> Secret {
        Secret::new(self.0.serialize_pem())
    }

    /// Its public half in PEM.
    pub fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }

    /// Whether a certificate is of this key.
    pub fn is_of(&self, certificate: &Certificate) -> bool {
        certificate.is_of(self.0.public_key_raw())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(not shown)")
    }
}

/// An authority that can sign: its key, and its certificate if it has one.
#[derive(Debug)]
pub struct Signer {
    cluster: String,
    authority: Authority,
    key: PrivateKey,
    certificate: Option<(String, Certificate)>,
}

/// A signed certificate with its key.
#[derive(Debug)]
pub struct Leaf {
    /// The private key in PEM.
    pub key: Secret,
    /// The certificate in PEM.
    pub certificate: String,
}

impl Signer {
    /// A new authority with a new key.
    ///
    /// # Errors
    /// [`PkiError::Issue`].
    pub fn make(
        authority: &Authority,
        cluster: &str,
        key: PrivateKey,
        now: Timestamp,
    ) -> Result<Self, PkiError> {
        let certificate = if authority.has_certificate() {
            let mut params = authority_params(authority, cluster);
            (params.not_before, params.not_after) = validity(now, AUTHORITY_DAYS)?;
            let pem = params.self_signed(&key.0).map_err(unissued)?.pem();
            let read = Certificate::parse(&pem)?;
            Some((pem, read))
        } else {
            None
        };
        Ok(Self { cluster: cluster.to_owned(), authority: authority.clone(), key, certificate })
    }

    /// Reads an authority from its SecureString: the key, then its certificate.
    ///
    /// # Errors
    /// [`PkiError::Key`], [`PkiError::Certificate`] when they cannot be read; [`PkiError::Mismatch`]
    /// when one is not of the other; [`PkiError::NotOurs`] when it is another authority's.
    pub fn parse(authority: &Authority, cluster: &str, stored: &Secret) -> Result<Self, PkiError> {
        let key = block(stored.expose(), "PRIVATE KEY").ok_or(PkiError::Key)?;
        let key = PrivateKey::parse(&Secret::new(key.to_owned()))?;
        let certificate = if authority.has_certificate() {
            let pem = block(stored.expose(), "CERTIFICATE");
            let missing = || PkiError::Certificate("there is none beside the key".to_owned());
            let pem = format!("{}\n", pem.ok_or_else(missing)?);
            let read = check_certificate(authority, cluster, &pem)?;
            if !key.is_of(&read) {
                return Err(PkiError::Mismatch);
            }
            Some((pem, read))
        } else {
            None
        };
        Ok(Self { cluster: cluster.to_owned(), authority: authority.clone(), key, certificate })
    }

    /// The content of its SecureString.
    pub fn to_secret(&self) -> Secret {
        let certificate = self.certificate.as_ref().map_or("", |(pem, _)| pem.as_str());
        let key = self.key.to_pem();
        Secret::new(format!("{}\n{certificate}", key.expose().trim_end()))
    }

    /// The content of its String: what others trust it by.
    pub fn to_public(&self) -> String {
        match &self.certificate {
            Some((pem, _)) => pem.clone(),
            None => self.key.public_pem(),
        }
    }

    /// Its certificate, read.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref().map(|(_, certificate)| certificate)
    }

    /// Signs what is asked for. No certificate is valid for longer than its authority's.
    ///
    /// # Errors
    /// [`PkiError::WrongAuthority`] when another authority is asked, or for a use that this one does
    /// not sign for; [`PkiError::Ended`] when its own certificate is not valid any more, or not yet.
    pub fn sign(
        &self,
        request: &LeafRequest,
        key: &PrivateKey,
        now: Timestamp,
    ) -> Result<Leaf, PkiError> {
        let Some(own) = self.certificate().filter(|_| request.authority == self.authority) else {
            return Err(PkiError::WrongAuthority(request.authority.clone()));
        };
        let allowed = self.authority.usages();
        if !allowed.is_empty() && !request.usages.iter().all(|usage| allowed.contains(usage)) {
            return Err(PkiError::WrongAuthority(request.authority.clone()));
        }
        if !own.is_valid_at(now) {
            return Err(PkiError::Ended(self.authority.clone()));
        }
        let mut params = leaf_params(request)?;
        (params.not_before, params.not_after) = validity(now, LEAF_DAYS)?;
        params.not_before = params.not_before.max(date(own.not_before)?);
        params.not_after = params.not_after.min(date(own.not_after)?);
        let issuer = Issuer::new(authority_params(&self.authority, &self.cluster), &self.key.0);
        let certificate = params.signed_by(&key.0, &issuer).map_err(unissued)?;
        Ok(Leaf { key: key.to_pem(), certificate: certificate.pem() })
    }
}

/// Reads an authority's certificate, or its public key, as its String holds it.
///
/// # Errors
/// As [`Signer::parse`].
pub fn check_public(
    authority: &Authority,
    cluster: &str,
    text: &str,
) -> Result<Option<Certificate>, PkiError> {
    if authority.has_certificate() {
        return check_certificate(authority, cluster, text).map(Some);
    }
    public_point(text).map(|_| None)
}

/// Reads a certificate that should be an authority's.
fn check_certificate(
    authority: &Authority,
    cluster: &str,
    pem: &str,
) -> Result<Certificate, PkiError> {
    let read = Certificate::parse(pem)?;
    let (organization, common_name) = authority.subject(cluster);
    let is_named = read.common_name == common_name && read.organization == Some(organization);
    if !read.is_authority || !is_named || !read.is_signed_by(&read) {
        return Err(PkiError::NotOurs { common_name: read.common_name });
    }
    Ok(read)
}

fn authority_params(authority: &Authority, cluster: &str) -> CertificateParams {
    let (organization, common_name) = authority.subject(cluster);
    let mut params = CertificateParams::default();
    params.distinguished_name = name(Some(&organization), &common_name);
    // What it signs signs nothing.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    params.extended_key_usages = authority.usages().iter().map(|usage| purpose(*usage)).collect();
    params
}

fn leaf_params(request: &LeafRequest) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(request.organization.as_deref(), &request.common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = request.usages.iter().map(|usage| purpose(*usage)).collect();
    for dns_name in &request.dns_names {
        let dns_name = dns_name.as_str().try_into().map_err(unissued)?;
        params.subject_alt_names.push(SanType::DnsName(dns_name));
    }
    params.subject_alt_names.extend(request.addresses.iter().copied().map(SanType::IpAddress));
    Ok(params)
}

fn name(organization: Option<&str>, common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn purpose(usage: Usage) -> ExtendedKeyUsagePurpose {
    match usage {
        Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
        Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
    }
}

/// From a little before now, for so many days.
fn validity(now: Timestamp, days: i64) -> Result<(OffsetDateTime, OffsetDateTime), PkiError> {
    let at = |seconds: i64| OffsetDateTime::from_unix_timestamp(seconds).map_err(unissued);
    let now = now.as_second();
    Ok((at(now - TOLERANCE_SECS)?, at(now + days * DAY_SECS)?))
}

fn date(at: Timestamp) -> Result<OffsetDateTime, PkiError> {
    OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(unissued)
}

fn unissued(error: impl fmt::Display) -> PkiError {
    PkiError::Issue(error.to_string())
}

/// The first PEM block of a label, with its lines of beginning and end.
fn block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let begin = text.find(&format!("-----BEGIN {label}-----"))?;
    let last = format!("-----END {label}-----");
    let end = text[begin..].find(&last)? + begin + last.len();
    text.get(begin..end)
}
