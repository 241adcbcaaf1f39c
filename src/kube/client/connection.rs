//! One connection to an API server: credentials that are renewed, a limit on every request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use http::header::RETRY_AFTER;
use jiff::Timestamp;
use kube::Client;
use kube::config::Config;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::config::{self, Origin, Settings};
use super::error::{self, Trouble};
use super::limits::KubeLimits;
use crate::cloud::aws::boot_ms;
use crate::kube::{KubeAccess, KubeError, KubeErrorKind};

/// How soon credentials that were refused are read again.
const RENEWAL_PAUSE_MS: i64 = 30_000;

/// Credentials that end so soon are renewed first.
const RENEWAL_MARGIN: Duration = Duration::from_secs(60);

/// A connection.
pub(super) struct Connection {
    access: KubeAccess,
    limits: KubeLimits,
    current: Mutex<Current>,
    /// One renewal at a time.
    renewal: tokio::sync::Mutex<()>,
    was_refused: AtomicBool,
}

/// A client and what it was built from.
#[derive(Clone)]
struct Current {
    client: Client,
    origin: Arc<Origin>,
    built_ms: i64,
    /// Why the last renewal failed.
    failure: Option<String>,
}

/// What an API server answered, when it was no error.
pub(super) struct Answer {
    /// Its body.
    pub(super) body: Vec<u8>,
}

impl Connection {
    /// Reads the settings and gets the credentials; the API server is not asked yet.
    ///
    /// # Errors
    /// [`KubeErrorKind::Config`].
    pub(super) async fn open(access: KubeAccess, limits: KubeLimits) -> Result<Self, KubeError> {
        let current = build(&access, &limits).await?;
        Ok(Self {
            access,
            limits,
            current: Mutex::new(current),
            renewal: tokio::sync::Mutex::default(),
            was_refused: AtomicBool::new(false),
        })
    }

    /// How patient it is.
    pub(super) fn limits(&self) -> &KubeLimits {
        &self.limits
    }

    /// The client, with credentials that were renewed where that was due.
    pub(super) async fn client(&self) -> (Client, Arc<Origin>) {
        if self.wants_renewal() {
            let _one_at_a_time = self.renewal.lock().await;
            if self.wants_renewal() {
                self.renew().await;
            }
        }
        let current = self.current();
        (current.client, current.origin)
    }

    fn current(&self) -> Current {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether credentials were refused, or end soon; not again right after a renewal.
    fn wants_renewal(&self) -> bool {
        let current = self.current();
        let ends_soon = current.client.valid_until().is_some_and(|end| {
            let left = end.duration_since(Timestamp::now());
            left < RENEWAL_MARGIN.try_into().unwrap_or_default()
        });
        let is_due = self.was_refused.load(Ordering::SeqCst) || ends_soon;
        is_due && boot_ms().saturating_sub(current.built_ms) >= RENEWAL_PAUSE_MS
    }

    /// Reads everything anew. Where that fails, the old client goes on, and its refusals say why.
    async fn renew(&self) {
        let renewed = build(&self.access, &self.limits).await;
        self.was_refused.store(false, Ordering::SeqCst);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match renewed {
            Ok(renewed) => *current = renewed,
            Err(error) => {
                current.built_ms = boot_ms();
                current.failure = Some(error.message);
            }
        }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// Whatever the API server says, or that it says nothing in time.
    pub(super) async fn send(
        &self,
        operation: &str,
        request: Request<Vec<u8>>,
    ) -> Result<Answer, KubeError> {
        let (client, origin) = self.client().await;
        let exchange = async {
            let answer = client.send(request.map(Into::into)).await?;
            let (head, body) = answer.into_parts();
            Ok((head, body.collect_bytes().await?))
        };
        let answer = in_time(operation, self.limits.request, &origin, exchange).await?;
        let (head, body) = answer.map_err(|error: kube::Error| {
            self.noted(error::of_client(operation, &error, &origin, Timestamp::now()))
        })?;
        if head.status.is_success() {
            return Ok(Answer { body: body.to_vec() });
        }
        let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let seconds = seconds.and_then(|seconds| seconds.trim().parse().ok());
        let error = error::of_answer(operation, head.status.as_u16(), seconds, &body);
        Err(self.noted(error::explained(error, &origin, Timestamp::now())))
    }

    /// Waits for the client for so long at most.
    ///
    /// # Errors
    /// The client's own, in kprod's words; [`KubeErrorKind::Unreachable`] when the time is over.
    pub(super) async fn limited<T>(
        &self,
        operation: &str,
        at_most: Duration,
        origin: &Origin,
        exchange: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Trouble> {
        match in_time(operation, at_most, origin, exchange).await {
            Ok(result) => result.map_err(|error| self.told(operation, &error, origin)),
            Err(error) => Err(Trouble::Failed(error)),
        }
    }

    /// An error of the client in kprod's words; a refusal is noted.
    pub(super) fn told(&self, operation: &str, error: &kube::Error, origin: &Origin) -> Trouble {
        match Trouble::of(operation, error, origin, Timestamp::now()) {
            Trouble::Forgotten => Trouble::Forgotten,
            Trouble::Failed(error) => Trouble::Failed(self.noted(error)),
        }
    }

    /// Notes a refusal, so that the credentials are read again before the next request.
    fn noted(&self, mut error: KubeError) -> KubeError {
        if matches!(error.kind, KubeErrorKind::Unauthorized | KubeErrorKind::Certificate) {
            self.was_refused.store(true, Ordering::SeqCst);
            if let Some(failure) = self.current().failure {
                error.message = format!("{}; read again: {failure}", error.message);
            }
        }
        error
    }
}

/// Waits for so long at most.
async fn in_time<T>(
    operation: &str,
    at_most: Duration,
    origin: &Origin,
    exchange: impl Future<Output = T>,
) -> Result<T, KubeError> {
    tokio::time::timeout(at_most, exchange).await.map_err(|_| {
        let why = format!("nothing in {at_most:?}");
        error::unreachable(operation, &why, origin)
    })
}

/// Builds a client. A credential program runs on a thread of its own: one that hangs is left behind
/// there, and does not keep the process from ending.
async fn build(access: &KubeAccess, limits: &KubeLimits) -> Result<Current, KubeError> {
    const OPERATION: &str = "Connect";
    let Settings { config, origin } = config::load(access).await?;
    let (tell, hear) = oneshot::channel();
    let runtime = Handle::current();
    let work = move || {
        let _inside = runtime.enter();
        // Nobody listens any more when it took too long.
        let _ = tell.send(make(config));
    };
    let hung = |why: String| {
        let program = origin.plugin.as_deref().unwrap_or("the kubeconfig");
        KubeError::new(KubeErrorKind::Config, OPERATION, format!("{origin}: {program}: {why}"))
    };
    std::thread::Builder::new()
        .name("credentials".to_owned())
        .spawn(work)
        .map_err(|error| hung(format!("no thread could be started: {error}")))?;
    match tokio::time::timeout(limits.program, hear).await {
        Ok(Ok(Ok(client))) => {
            let origin = Arc::new(origin);
            Ok(Current { client, origin, built_ms: boot_ms(), failure: None })
        }
        Ok(Ok(Err(error))) => Err(error::of_client(OPERATION, &error, &origin, Timestamp::now())),
        Ok(Err(_)) => Err(hung("no client could be made of it".to_owned())),
        Err(_) => Err(hung(format!("no credentials in {:?}", limits.program))),
    }
}

fn make(config: Config) -> Result<Client, kube::Error> {
    Client::try_from(config)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "writes its own kubeconfig")]

    use super::*;

    fn kubeconfig(user: &str) -> String {
        format!(
            "current-context: c\ncontexts:\n- {{name: c, context: {{cluster: c, user: {user}}}}}\n\
             clusters:\n- {{name: c, cluster: {{server: 'http://localhost:1'}}}}\n\
             users:\n- {{name: {user}, user: {{token: t}}}}\n"
        )
    }

    async fn user(connection: &Connection) -> String {
        connection.client().await.1.user.clone().unwrap()
    }

    /// As if the client had been built so long ago.
    fn age(connection: &Connection, ms: i64) {
        connection.current.lock().unwrap().built_ms -= ms;
    }

    #[tokio::test]
    async fn refused_credentials_are_read_again_after_a_pause() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, kubeconfig("old")).unwrap();
        let access = KubeAccess { kubeconfig: Some(file.clone()), ..KubeAccess::default() };
        let connection = Connection::open(access, KubeLimits::default()).await.unwrap();
        std::fs::write(&file, kubeconfig("new")).unwrap();
        age(&connection, RENEWAL_PAUSE_MS);
        assert_eq!(user(&connection).await, "old", "nobody has refused it");

        let refused = || KubeError::new(KubeErrorKind::Unauthorized, "ListNodes", "who are you");
        assert_eq!(connection.noted(refused()), refused());
        assert_eq!(user(&connection).await, "new");
        connection.noted(refused());
        std::fs::write(&file, "nonsense: [").unwrap();
        assert_eq!(user(&connection).await, "new", "not so soon");

        age(&connection, RENEWAL_PAUSE_MS);
        assert_eq!(user(&connection).await, "new", "what cannot be read changes nothing");
        let told = connection.noted(refused()).message;
        assert!(told.contains("who are you; read again: ") && told.contains("config"), "{told}");
    }
}
