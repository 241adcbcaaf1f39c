//! From what the user names to a connection's settings, with an error for each way to be wrong.

#![expect(clippy::disallowed_methods, reason = "reads the files that a kubeconfig names")]

use std::fmt;
use std::io::{ErrorKind, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderValue, USER_AGENT};
use kube::config::{
    AuthInfo, Config, Context, ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError,
};

use super::certificate::Validity;
use crate::kube::{KubeAccess, KubeError, KubeErrorKind, KubeSource};

/// How long a connection may take to stand: a packet lost twice is sent again within 3 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a server's logs and its priority levels know kprod by.
const AGENT: &str = concat!("kprod/", env!("CARGO_PKG_VERSION"));

/// The name of the step in messages.
const CONNECT: &str = "Connect";

/// A connection's settings, and where they come from.
#[derive(Debug)]
pub(super) struct Settings {
    /// For the client.
    pub(super) config: Config,
    /// For messages.
    pub(super) origin: Origin,
}

/// Where a connection's settings come from, for messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    /// The files, or that it is a pod's service account.
    pub(super) place: String,
    /// The context; none in a pod.
    pub(super) context: Option<String>,
    /// The user of that context.
    pub(super) user: Option<String>,
    /// The cluster of that context.
    pub(super) cluster: Option<String>,
    /// The API server's address.
    pub(super) server: String,
    /// The program that gives the credentials.
    pub(super) plugin: Option<String>,
    /// How long the client certificate is valid, where there is one.
    pub(super) certificate: Option<Validity>,
    /// A proxy of the environment, which is passed by.
    pub(super) proxy: Option<String>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.context {
            Some(context) => write!(f, "context `{context}` of {}", self.place)?,
            None => f.write_str(&self.place)?,
        }
        if let Some(user) = &self.user {
            write!(f, ", user `{user}`")?;
        }
        Ok(())
    }
}

/// Reads the settings.
///
/// # Errors
/// [`KubeErrorKind::Config`]; the message names the file, and what to do.
pub(super) async fn load(access: &KubeAccess) -> Result<Settings, KubeError> {
    let source = access.source(|file| file.exists());
    let mut settings = match &source {
        KubeSource::File(file) => from_files(access, std::slice::from_ref(file)).await?,
        KubeSource::Merged(files) => from_files(access, files).await?,
        KubeSource::Pod => from_pod(access)?,
    };
    let config = &mut settings.config;
    settings.origin.server = config.cluster_url.to_string();
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // An eviction that a budget refuses is 429: the client would ask again for hours.
    config.default_retry = false;
    config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
    Ok(settings)
}

fn wrong(message: impl fmt::Display) -> KubeError {
    KubeError::new(KubeErrorKind::Config, CONNECT, message.to_string())
}

/// The service account of the pod that this runs in.
fn from_pod(access: &KubeAccess) -> Result<Settings, KubeError> {
    let looked = match access.home_file() {
        Some(file) => format!("{} is not there", file.display()),
        None => "there is no home folder".to_owned(),
    };
    if let Some(context) = &access.context {
        return Err(wrong(format!(
            "--context {context} needs a kubeconfig, and {looked}; name one with --kubeconfig"
        )));
    }
    let config = Config::incluster().map_err(|error| match error {
        kube::config::InClusterError::ReadEnvironmentVariable(_) => wrong(format!(
            "no kubeconfig: KUBECONFIG is not set, {looked}, and this is no pod; name the cluster's \
             with --kubeconfig"
        )),
        error => wrong(format!(
            "the service account of this pod cannot be used: {error}; give the pod one that is \
             mounted (automountServiceAccountToken), or name a kubeconfig with --kubeconfig"
        )),
    })?;
    let place = "the service account of this pod".to_owned();
    Ok(Settings { config, origin: Origin { place, ..Origin::default() } })
}

/// A context of one or more kubeconfigs.
async fn from_files(access: &KubeAccess, files: &[PathBuf]) -> Result<Settings, KubeError> {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let place = names.join(":");
    let mut kubeconfig = read(files)?;
    let (context_name, context) = choose(&kubeconfig, access.context.as_deref(), &place)?;
    let said = |message: String| wrong(format!("context `{context_name}` of {place} {message}"));
    let cluster = kubeconfig.clusters.iter().find(|cluster| cluster.name == context.cluster);
    let Some(cluster) = cluster.and_then(|named| named.cluster.as_ref()) else {
        let there = listed(kubeconfig.clusters.iter().map(|cluster| cluster.name.as_str()));
        return Err(said(format!(
            "names the cluster `{}`, which is not there; there is {there}",
            context.cluster
        )));
    };
    let is_set = |proxy: &Option<String>| proxy.as_ref().is_some_and(|proxy| !proxy.is_empty());
    if is_set(&cluster.proxy_url) {
        return Err(said(format!(
            "reaches its cluster through the proxy {}; kprod knows no proxy for API servers: use a \
             context without proxy-url, through a tunnel for instance",
            cluster.proxy_url.as_deref().unwrap_or_default()
        )));
    }
    let user = context.user.clone().filter(|user| !user.is_empty());
    let origin = Origin {
        place: place.clone(),
        context: Some(context_name.clone()),
        user: user.clone(),
        cluster: Some(context.cluster.clone()),
        ..Origin::default()
    };
    let origin = credentials(&mut kubeconfig, origin)?;
    let options =
        KubeConfigOptions { context: Some(context_name.clone()), ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| said(told(&error)))?;
    // What the environment says is for the Internet; API servers are reached without it.
    let proxy = config.proxy_url.take().map(|proxy| proxy.to_string());
    Ok(Settings { config, origin: Origin { proxy, ..origin } })
}

/// Reads files and merges them: the first one that says a thing wins.
fn read(files: &[PathBuf]) -> Result<Kubeconfig, KubeError> {
    let mut merged = Kubeconfig::default();
    for file in files {
        let name = file.display();
        let one = Kubeconfig::read_from(file).map_err(|error| match error {
            KubeconfigError::ReadConfig(error, _) if error.kind() == ErrorKind::NotFound => wrong(
                format!("there is no kubeconfig {name}; name the cluster's with --kubeconfig"),
            ),
            KubeconfigError::ReadConfig(error, _) => {
                wrong(format!("cannot read the kubeconfig {name}: {error}"))
            }
            error => wrong(format!("{name} is no kubeconfig: {}", told(&error))),
        })?;
        merged = merged.merge(one).map_err(|error| {
            wrong(format!("{name} does not go with the files before it: {error}"))
        })?;
    }
    Ok(merged)
}

/// The context that is asked for, or the current one.
fn choose(
    kubeconfig: &Kubeconfig,
    asked: Option<&str>,
    place: &str,
) -> Result<(String, Context), KubeError> {
    let there = || listed(kubeconfig.contexts.iter().map(|context| context.name.as_str()));
    let current = kubeconfig.current_context.as_deref().filter(|name| !name.is_empty());
    let Some(name) = asked.or(current) else {
        return Err(wrong(format!(
            "{place} has no current-context; name one with --context: there is {}",
            there()
        )));
    };
    let context = kubeconfig.contexts.iter().find(|context| context.name == name);
    match context.and_then(|named| named.context.clone()) {
        Some(context) => Ok((name.to_owned(), context)),
        None => Err(wrong(format!(
            "{place} has no context `{name}`; name one with --context: there is {}",
            there()
        ))),
    }
}

/// Looks at the credentials of the context's user: who gives them, how long they are valid.
fn credentials(kubeconfig: &mut Kubeconfig, mut origin: Origin) -> Result<Origin, KubeError> {
    let Some(name) = origin.user.clone() else { return Ok(origin) };
    let there = listed(kubeconfig.auth_infos.iter().map(|user| user.name.as_str()));
    let user = kubeconfig.auth_infos.iter_mut().find(|user| user.name == name);
    let Some(user) = user.and_then(|named| named.auth_info.as_mut()) else {
        return Err(wrong(format!("{origin}: this user is not there; there is {there}")));
    };
    origin.certificate = certificate(user).and_then(|pem| Validity::of_pem(&pem));
    let Some(exec) = &mut user.exec else { return Ok(origin) };
    let command = exec.command.clone().unwrap_or_default();
    // As client-go does it: a program that may ask does so where somebody can answer.
    if !std::io::stdin().is_terminal() {
        if exec.interactive_mode == Some(ExecInteractiveMode::Always) {
            return Err(wrong(format!(
                "{origin}: the credential program `{command}` has to ask (interactiveMode: Always), \
                 and there is no terminal; use credentials that need no answer"
            )));
        }
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
    }
    let hint = exec.install_hint.as_deref().map(|hint| format!(" ({})", hint.trim()));
    origin.plugin = Some(format!("`{command}`{}", hint.unwrap_or_default()));
    Ok(origin)
}

/// The client certificate, as the client will read it: data win over a file.
fn certificate(user: &AuthInfo) -> Option<Vec<u8>> {
    match (&user.client_certificate_data, &user.client_certificate) {
        (Some(data), _) => STANDARD.decode(data).ok(),
        (None, Some(file)) => std::fs::read(Path::new(file)).ok(),
        (None, None) => None,
    }
}

/// An error of the kubeconfig with all that it says.
fn told(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::MissingClusterUrl => {
            "names a cluster without `server`, the API server's address".to_owned()
        }
        error => error.to_string(),
    }
}

/// Names for people, at most so many that they can be read.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const NAMES_MAX: usize = 12;
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        names if names.len() > NAMES_MAX => {
            format!("{} and {} more", names[..NAMES_MAX].join(", "), names.len() - NAMES_MAX)
        }
        names => names.join(", "),
    }
}
