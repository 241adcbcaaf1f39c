//! One request over HTTPS: connect, ask, read the answer within limits. Members are asked seldom, and
//! by few, so that a connection is not kept.

use std::path::PathBuf;
use std::sync::Arc;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{EtcdError, with_causes};

/// A list of members takes kilobytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What a client of etcd shows and trusts: files of PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Who signs members' certificates.
    pub trusted: PathBuf,
    /// The client's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

#[derive(Clone)]
pub(super) struct Http {
    tls: Arc<ClientConfig>,
}

impl Http {
    pub(super) fn new(credentials: &Credentials) -> Result<Self, EtcdError> {
        config(credentials).map(|tls| Self { tls: Arc::new(tls) }).map_err(EtcdError::Credentials)
    }

    /// Sends a JSON document, or asks for one if there is none to send; gives the status and the answer.
    pub(super) async fn send(
        &self,
        url: &str,
        body: Option<String>,
    ) -> Result<(u16, Vec<u8>), EtcdError> {
        let sent = self.try_send(url, body).await;
        sent.map_err(|why| EtcdError::Unreachable { url: url.to_owned(), why })
    }

    async fn try_send(&self, url: &str, body: Option<String>) -> Result<(u16, Vec<u8>), String> {
        let uri: Uri = url.parse().map_err(|error| format!("no URL: {error}"))?;
        let (Some("https"), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err("no https:// URL with a host".to_owned());
        };
        let (host, port) = (host.to_owned(), uri.port_u16().unwrap_or(443));
        let told = |error: std::io::Error| with_causes(&error);
        let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(told)?;
        let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
        let tls = TlsConnector::from(self.tls.clone()).connect(name, tcp).await.map_err(told)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, format!("{host}:{port}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|error| error.to_string())?;
        let told = |error: hyper::Error| with_causes(&error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(told)?;
        // The connection does its work while the answer is waited for, and ends with it.
        let answer = async {
            let answer = sender.send_request(request).await.map_err(told)?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| with_causes(error.as_ref()))?;
            Ok((status, body.to_bytes().to_vec()))
        };
        tokio::pin!(answer);
        tokio::select! {
            done = &mut answer => done,
            ended = connection => match ended {
                // What is read already may still be complete.
                Ok(()) => answer.await,
                Err(error) => Err(told(error)),
            },
        }
    }
}

fn config(credentials: &Credentials) -> Result<ClientConfig, String> {
    let told = |path: &PathBuf, error: rustls::pki_types::pem::Error| {
        format!("{}: {error}", path.display())
    };
    let read = |path: &PathBuf| -> Result<Vec<CertificateDer<'static>>, String> {
        let certificates =
            CertificateDer::pem_file_iter(path).map_err(|error| told(path, error))?;
        certificates.collect::<Result<_, _>>().map_err(|error| told(path, error))
    };
    let mut roots = RootCertStore::empty();
    for certificate in read(&credentials.trusted)? {
        roots
            .add(certificate)
            .map_err(|error| format!("{}: {error}", credentials.trusted.display()))?;
    }
    let key = PrivateKeyDer::from_pem_file(&credentials.key)
        .map_err(|error| told(&credentials.key, error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_client_auth_cert(read(&credentials.certificate)?, key)
        .map_err(|error| error.to_string())
}
