//! Every way in which a kubeconfig can be wrong has a message that names it.

#![allow(clippy::disallowed_methods, reason = "writes kubeconfigs of its own")]

use std::path::PathBuf;

use crate::kube::client::config::{Settings, load};
use crate::kube::client::{KubeClient, KubeLimits};
use crate::kube::{KubeAccess, KubeError, KubeErrorKind};

const SOUND: &str = "
apiVersion: v1
kind: Config
current-context: prod
contexts:
- {name: prod, context: {cluster: c, user: u}}
- {name: other, context: {cluster: gone, user: u}}
- {name: nobody, context: {cluster: c, user: gone}}
- {name: anonymous, context: {cluster: c}}
- {name: tunnel, context: {cluster: behind-a-proxy, user: u}}
clusters:
- {name: c, cluster: {server: 'https://api.example.com'}}
- {name: behind-a-proxy, cluster: {server: 'https://api.example.com', proxy-url: 'socks5://localhost:1080'}}
- {name: nowhere, cluster: {}}
users:
- {name: u, user: {token: secret-token}}
";

/// A folder with one file `config`.
struct Home(tempfile::TempDir);

impl Home {
    fn with(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config"), text).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("config")
    }

    async fn settings(&self, context: Option<&str>) -> Settings {
        load(&self.access(context)).await.unwrap()
    }

    /// The message of a kubeconfig that cannot be used; it names the file.
    async fn refused(&self, context: Option<&str>) -> String {
        let error = load(&self.access(context)).await.unwrap_err();
        assert_eq!(error.kind, KubeErrorKind::Config);
        assert!(error.message.contains(self.file().to_str().unwrap()), "{error}");
        error.message
    }

    fn access(&self, context: Option<&str>) -> KubeAccess {
        KubeAccess {
            kubeconfig: Some(self.file()),
            context: context.map(str::to_owned),
            ..KubeAccess::default()
        }
    }
}

async fn connect(access: KubeAccess) -> Result<KubeClient, KubeError> {
    KubeClient::connect(access, KubeLimits::default()).await
}

fn holds(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert!(!message.contains("secret"), "{message}");
}

#[tokio::test]
async fn a_sound_one_names_the_agent_and_never_asks_again_by_itself() {
    let settings = Home::with(SOUND).settings(None).await;
    assert!(!settings.config.default_retry, "an eviction's 429 would be asked again for hours");
    let agent = settings.config.headers.iter().find(|(name, _)| name == "user-agent").unwrap();
    assert!(agent.1.to_str().unwrap().starts_with("kprod/"));
    assert_eq!(settings.origin.server, "https://api.example.com/");
    let told = settings.origin.to_string();
    holds(&told, &["context `prod`", "user `u`", "config"]);
}

#[tokio::test]
async fn a_context_may_be_chosen_and_may_go_without_a_user() {
    let home = Home::with(SOUND);
    let settings = home.settings(Some("anonymous")).await;
    assert_eq!(settings.origin.user, None);
    assert_eq!(settings.origin.context.as_deref(), Some("anonymous"));
}

#[tokio::test]
async fn a_file_that_is_missing_or_no_kubeconfig() {
    let home = Home::with(SOUND);
    let missing =
        KubeAccess { kubeconfig: Some(home.0.path().join("no")), ..KubeAccess::default() };
    let error = load(&missing).await.unwrap_err();
    holds(&error.message, &["there is no kubeconfig", "/no", "--kubeconfig"]);
    let folder = KubeAccess { kubeconfig: Some(home.0.path().into()), ..KubeAccess::default() };
    holds(&load(&folder).await.unwrap_err().message, &["cannot read the kubeconfig"]);
    holds(&Home::with("contexts: {").refused(None).await, &["is no kubeconfig"]);
    holds(&Home::with("contexts: 5").refused(None).await, &["is no kubeconfig"]);
    holds(&Home::with("").refused(None).await, &["no current-context", "there is none"]);
}

#[tokio::test]
async fn a_context_cluster_or_user_that_is_not_there() {
    let home = Home::with(SOUND);
    let context = home.refused(Some("prd")).await;
    holds(&context, &["no context `prd`", "--context", "`prod`", "`other`"]);
    let cluster = home.refused(Some("other")).await;
    holds(&cluster, &["context `other`", "cluster `gone`", "`c`"]);
    let user = home.refused(Some("nobody")).await;
    holds(&user, &["context `nobody`", "user `gone`", "there is `u`"]);
    let unnamed = Home::with(&SOUND.replace("current-context: prod", "")).refused(None).await;
    holds(&unnamed, &["no current-context", "--context", "`prod`"]);
}

#[tokio::test]
async fn a_cluster_without_a_server_or_behind_a_proxy() {
    let nowhere = SOUND.replace("cluster: c, user: u", "cluster: nowhere, user: u");
    holds(&Home::with(&nowhere).refused(None).await, &["context `prod`", "without `server`"]);
    let bad = SOUND.replace(
        "'https://api.example.com'}}\n- {name: behind",
        "'https://a b'}}\n- {name: behind",
    );
    holds(&Home::with(&bad).refused(None).await, &["context `prod`", "url"]);
    let proxy = Home::with(SOUND).refused(Some("tunnel")).await;
    holds(&proxy, &["socks5://localhost:1080", "kprod knows no proxy"]);
}

#[tokio::test]
async fn certificates_that_cannot_be_read() {
    let with = |user: &str| SOUND.replace("token: secret-token", user);
    let authority =
        SOUND.replace("{server: 'https", "{certificate-authority: /no/ca.crt, server: 'https");
    holds(&Home::with(&authority).refused(None).await, &["/no/ca.crt"]);
    let certificate = Home::with(&with("client-certificate: /no/tls.crt, client-key: /no/tls.key"));
    let error = connect(certificate.access(None)).await;
    let error = error.err().unwrap();
    assert_eq!(error.kind, KubeErrorKind::Config);
    holds(&error.message, &["context `prod`", "/no/tls.crt"]);
}

#[tokio::test]
async fn a_credential_program_that_is_missing_fails_or_talks_nonsense() {
    let with = |exec: &str| {
        let exec = format!("exec: {{apiVersion: client.authentication.k8s.io/v1, {exec}}}");
        Home::with(&SOUND.replace("token: secret-token", &exec))
    };
    let refused = async |exec: &str| {
        let home = with(exec);
        let connected = connect(home.access(None)).await;
        let error = connected.err().unwrap();
        assert_eq!(error.kind, KubeErrorKind::Config);
        holds(&error.message, &["context `prod`", "user `u`", "credential program"]);
        error.message
    };
    let hint = "command: kprod-no-such-program, installHint: get it at example.com, \
                interactiveMode: Never";
    let missing = refused(hint).await;
    holds(&missing, &["`kprod-no-such-program`", "get it at example.com", "cannot be run"]);
    let failing = "command: sh, interactiveMode: Never, \
                   args: ['-c', 'echo secret; echo the session has ended >&2; exit 3']";
    holds(&refused(failing).await, &["the session has ended", "3"]);
    let nonsense = "command: sh, interactiveMode: Never, args: ['-c', 'echo []']";
    holds(&refused(nonsense).await, &["something else than an ExecCredential"]);
}

#[tokio::test]
async fn files_of_the_environment_are_merged_and_nothing_at_all_is_said() {
    let (first, second) = (Home::with("current-context: anonymous"), Home::with(SOUND));
    let access = KubeAccess {
        environment: vec![first.file(), "/no/such/file".into(), second.file()],
        ..KubeAccess::default()
    };
    let settings = load(&access).await.unwrap();
    assert_eq!(settings.origin.context.as_deref(), Some("anonymous"));
    let nothing = KubeAccess { home: Some("/no/home".into()), ..KubeAccess::default() };
    let error = load(&nothing).await.unwrap_err();
    holds(&error.message, &["no kubeconfig", "/no/home/.kube/config", "--kubeconfig"]);
    let context = KubeAccess { context: Some("x".to_owned()), ..nothing };
    holds(&load(&context).await.unwrap_err().message, &["--context x needs a kubeconfig"]);
}
