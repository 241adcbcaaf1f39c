//! What an answer, or none, means: from the API server's words to kprod's.

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use kube::client::AuthError;
use rustls::{AlertDescription, CertificateError};
use serde::Deserialize;

use super::certificate::Invalidity;
use super::config::Origin;
use crate::kube::{KubeError, KubeErrorKind};

/// How long a message of a server may be: proxies answer with whole pages.
const MESSAGE_CHARS_MAX: usize = 500;

/// What is read of a `Status` object.
/// Source: Kubernetes API reference, `meta/v1` Status.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    kind: String,
    message: String,
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    causes: Vec<Cause>,
    retry_after_seconds: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

/// The cause by which an eviction's 429 says that a budget stands against it; without it, it is the
/// server that is busy.
/// Source: Kubernetes, `policy/v1` types.go, `DisruptionBudgetCause`.
const BUDGET_CAUSE: &str = "DisruptionBudget";

/// An answer that is an error: its code, its `Retry-After` in seconds, its body.
pub(super) fn of_answer(
    operation: &str,
    code: u16,
    retry_after: Option<u64>,
    body: &[u8],
) -> KubeError {
    let status = serde_json::from_slice::<Status>(body).ok().filter(|s| s.kind == "Status");
    let is_status = status.is_some();
    let status = status.unwrap_or_else(|| Status {
        message: String::from_utf8_lossy(body).into_owned(),
        ..Status::default()
    });
    let is_budget = status.details.causes.iter().any(|cause| cause.reason == BUDGET_CAUSE);
    let kind = match code {
        401 => KubeErrorKind::Unauthorized,
        403 => KubeErrorKind::Forbidden,
        404 if is_status => KubeErrorKind::NotFound,
        // Whatever answers there is no API server.
        404 => KubeErrorKind::Config,
        409 => KubeErrorKind::Conflict,
        429 if is_budget => KubeErrorKind::Budget,
        429 => KubeErrorKind::Throttled,
        500..=599 => KubeErrorKind::Server,
        _ => KubeErrorKind::Invalid,
    };
    let causes = status.details.causes.iter().map(|cause| cause.message.trim());
    let mut parts: Vec<&str> = vec![status.message.trim()];
    parts.extend(causes.filter(|cause| is_budget && !cause.is_empty()));
    parts.retain(|part| !part.is_empty());
    let message = match parts.as_slice() {
        [] => format!("HTTP {code} without a word"),
        parts if is_status => parts.join(" "),
        parts => format!("HTTP {code}: {}", parts.join(" ")),
    };
    let asked = Some(status.details.retry_after_seconds).filter(|seconds| *seconds > 0);
    KubeError::new(kind, operation, shortened(&message))
        .retry_after(asked.or(retry_after).map(Duration::from_secs))
}

/// Why a list or a watch came to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// 410: the server has forgotten the version that was asked for. The list is read again.
    Forgotten,
    /// Anything else.
    Failed(KubeError),
}

impl Trouble {
    /// What an error of the client means.
    pub(super) fn of(
        operation: &str,
        error: &kube::Error,
        origin: &Origin,
        now: Timestamp,
    ) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 410 => Trouble::Forgotten,
            error => Trouble::Failed(of_client(operation, error, origin, now)),
        }
    }
}

/// An error of the client: an answer that it has read, or no answer at all.
pub(super) fn of_client(
    operation: &str,
    error: &kube::Error,
    origin: &Origin,
    now: Timestamp,
) -> KubeError {
    match error {
        kube::Error::Api(status) => {
            let body = serde_json::to_vec(&status).unwrap_or_default();
            // The client drops the field `kind`, and notes what it could not read as a reason.
            let body = match status.reason.as_str() {
                "Failed to parse error data" => status.message.clone().into_bytes(),
                _ => with_kind(body),
            };
            explained(of_answer(operation, status.code, None, &body), origin, now)
        }
        kube::Error::Auth(error) => plugin(operation, error, origin),
        kube::Error::SerdeError(error) => KubeError::new(
            KubeErrorKind::Invalid,
            operation,
            format!("{} answers what no API server does: {error}", origin.server),
        ),
        kube::Error::RustlsTls(error) => unusable(operation, error, origin),
        kube::Error::InferKubeconfig(error) => unusable(operation, error, origin),
        error => no_answer(operation, error, origin, now),
    }
}

fn unusable(operation: &str, why: &dyn Error, origin: &Origin) -> KubeError {
    let message = format!("{origin}: the certificates cannot be used: {why}");
    KubeError::new(KubeErrorKind::Config, operation, message)
}

fn with_kind(body: Vec<u8>) -> Vec<u8> {
    let mut value: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    value["kind"] = "Status".into();
    serde_json::to_vec(&value).unwrap_or(body)
}

/// No answer: no connection, TLS that fails, or credentials that could not be got.
pub(super) fn no_answer(
    operation: &str,
    error: &(dyn Error + 'static),
    origin: &Origin,
    now: Timestamp,
) -> KubeError {
    for cause in chain(error) {
        if let Some(error) = cause.downcast_ref::<AuthError>() {
            return plugin(operation, error, origin);
        }
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            let (kind, message) = tls(error, origin, now);
            return KubeError::new(kind, operation, message);
        }
    }
    unreachable(operation, &last(error), origin)
}

/// The server did not answer, for this reason.
pub(super) fn unreachable(operation: &str, why: &str, origin: &Origin) -> KubeError {
    let proxy = match &origin.proxy {
        Some(proxy) => format!(" (HTTPS_PROXY, {proxy}, is not used for API servers)"),
        None => String::new(),
    };
    let message = format!("{} does not answer: {why}{proxy}; {origin}", origin.server);
    KubeError::new(KubeErrorKind::Unreachable, operation, message)
}

/// Adds whom an answer is about, and the way out.
pub(super) fn explained(mut error: KubeError, origin: &Origin, now: Timestamp) -> KubeError {
    let said = error.message;
    error.message = match error.kind {
        KubeErrorKind::Unauthorized => {
            let ended = origin.certificate.and_then(|validity| validity.invalidity(now));
            if let Some(invalidity) = ended {
                error.kind = KubeErrorKind::Certificate;
                let way = client_certificate_way(invalidity, now);
                let told = invalidity.told(now);
                format!("the client certificate {told}: {origin}; {way}")
            } else {
                let renew = match &origin.plugin {
                    Some(plugin) => format!("what {plugin} gives is not taken: log in again there"),
                    None => "renew them, or name another context with --context".to_owned(),
                };
                format!(
                    "{} does not take the credentials ({said}): {origin}; {renew}",
                    origin.server
                )
            }
        }
        KubeErrorKind::Forbidden => format!(
            "{said}: {origin}; `kprod policy CLUSTER --for kubernetes` prints the ClusterRole that is needed"
        ),
        KubeErrorKind::Config => {
            format!("{} is no API server ({said}): {origin}", origin.server)
        }
        _ => said,
    };
    error
}

fn client_certificate_way(invalidity: Invalidity, now: Timestamp) -> String {
    match invalidity {
        Invalidity::Ended(_) => format!("renew it (this machine's clock says {now})"),
        Invalidity::NotYet(_) => format!("set this machine's clock, which says {now}"),
    }
}

/// What TLS says is wrong.
fn tls(error: &rustls::Error, origin: &Origin, now: Timestamp) -> (KubeErrorKind, String) {
    let server = &origin.server;
    let cluster = origin.cluster.as_deref().unwrap_or("this pod");
    let certificate = format!("the certificate of {server}");
    let clock = format!("this machine's clock says {now}");
    let message = match error {
        rustls::Error::InvalidCertificate(what) => match what {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!(
                "{certificate} has ended{}: renew it on the control plane (kubeadm certs renew), or \
                 set the clock where it is wrong: {clock}",
                when(what)
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => format!(
                "{certificate} is not valid yet{}: the clock is wrong, here or where it was made: \
                 {clock}",
                when(what)
            ),
            CertificateError::UnknownIssuer => format!(
                "{certificate} comes from an authority that {origin} does not know: \
                 certificate-authority-data of cluster `{cluster}` is out of date or of another \
                 cluster; get the kubeconfig anew"
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!(
                    "{certificate} is for another name: mend `server` or `tls-server-name` of \
                     cluster `{cluster}` in {}",
                    origin.place
                )
            }
            other => format!("{certificate} cannot be trusted ({other}): {origin}"),
        },
        rustls::Error::AlertReceived(alert) => return alerted(*alert, origin, now),
        rustls::Error::InvalidMessage(_) => {
            let message = format!(
                "what answers at {server} does not speak TLS: mend `server` of cluster `{cluster}` \
                 in {}",
                origin.place
            );
            return (KubeErrorKind::Config, message);
        }
        other => format!("no secure connection to {server}: {other}; {origin}"),
    };
    (KubeErrorKind::Certificate, message)
}

/// When a server's certificate began or ended, where TLS says so.
fn when(error: &CertificateError) -> String {
    let at = match error {
        CertificateError::ExpiredContext { not_after, .. } => not_after,
        CertificateError::NotValidYetContext { not_before, .. } => not_before,
        _ => return String::new(),
    };
    let seconds = i64::try_from(at.as_secs()).ok();
    let at = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map(|at| format!(" ({at})")).unwrap_or_default()
}

/// What the server says against this side, which is about the client certificate.
fn alerted(alert: AlertDescription, origin: &Origin, now: Timestamp) -> (KubeErrorKind, String) {
    let invalidity = origin.certificate.and_then(|validity| validity.invalidity(now));
    let message = match invalidity {
        Some(invalidity) => {
            let way = client_certificate_way(invalidity, now);
            format!("the client certificate {}: {origin}; {way}", invalidity.told(now))
        }
        None => format!(
            "{} refuses the client certificate ({alert:?}): {origin}; get the kubeconfig anew",
            origin.server
        ),
    };
    (KubeErrorKind::Certificate, message)
}

/// Credentials that could not be got.
fn plugin(operation: &str, error: &AuthError, origin: &Origin) -> KubeError {
    let program = origin.plugin.as_deref().unwrap_or("the kubeconfig");
    let message = match error {
        AuthError::AuthExecStart(error) => {
            format!("{origin}: the credential program {program} cannot be run: {error}")
        }
        // What it wrote may be a secret: only its complaints are shown.
        AuthError::AuthExecRun { out, .. } => {
            let complaint = String::from_utf8_lossy(&out.stderr);
            let complaint = complaint.trim();
            let told = if complaint.is_empty() { "without a word" } else { complaint };
            format!("{origin}: the credential program {program} failed ({}): {told}", out.status)
        }
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => format!(
            "{origin}: the credential program {program} gave something else than an ExecCredential"
        ),
        AuthError::MissingCommand => {
            format!("{origin}: the credential program has no `command`")
        }
        error => format!("{origin}: no credentials: {error}"),
    };
    KubeError::new(KubeErrorKind::Config, operation, shortened(&message))
}

/// An error with everything behind it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    /// No error is wrapped so often; a chain that bites its tail ends here.
    const DEPTH_MAX: usize = 16;
    std::iter::successors(Some(error), |error| behind(*error)).take(DEPTH_MAX)
}

/// What an error was made from; an I/O error does not give what it holds as its source.
fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(held) => Some(held),
        None => error.source(),
    }
}

/// The innermost reason, which is the one that tells.
fn last(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        None => message.to_owned(),
        Some((end, _)) => format!("{}…", &message[..end]),
    }
}
