//! A real API server, by the kube crate: credentials as `kubectl` finds them, one list and one watch
//! of each kind, one request for each call.
//!
//! No type of the kube crate or of k8s-openapi leaves this room.

#![expect(clippy::disallowed_methods, reason = "real time")]

mod call;
mod certificate;
mod config;
mod connection;
mod convert;
mod error;
mod limits;
mod picture;
mod ready;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::policy::v1 as policy;
use tokio::sync::watch::Sender;
use tokio::task::JoinSet;

use self::connection::Connection;
pub use self::limits::KubeLimits;
use self::picture::{Feed, Look, Picture};
use super::{Kube, KubeAccess, KubeCall, KubeError, KubeErrorKind, KubeView};
use crate::cloud::aws::boot_ms;

/// How often a first look is taken again that nobody has woken.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Changes that come closer together than this are told as one.
const GATHERED: Duration = Duration::from_millis(500);

/// One cluster's API server.
pub struct KubeClient {
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    /// End with the client.
    _watches: JoinSet<()>,
}

/// The picture, with a pulse at each change.
struct Shared {
    picture: Mutex<Picture>,
    pulse: Sender<u64>,
}

impl KubeClient {
    /// Reads the settings, gets the credentials and begins to watch. The API server's first words
    /// come with [`Kube::view`].
    ///
    /// # Errors
    /// When the kubeconfig or the credentials cannot be used; the message names the file and the
    /// way out.
    pub async fn connect(access: KubeAccess, limits: KubeLimits) -> Result<Self, KubeError> {
        let connection = Arc::new(Connection::open(access, limits).await?);
        let picture = Mutex::new(Picture::new(boot_ms()));
        let shared = Arc::new(Shared { picture, pulse: Sender::new(0) });
        let mut watches = JoinSet::new();
        watches.spawn(watch::keep::<core::Node>(connection.clone(), shared.clone()));
        watches.spawn(watch::keep::<core::Pod>(connection.clone(), shared.clone()));
        watches
            .spawn(watch::keep::<policy::PodDisruptionBudget>(connection.clone(), shared.clone()));
        Ok(Self { connection, shared, _watches: watches })
    }
}

impl Shared {
    /// Changes the picture and tells whoever waits.
    fn change(&self, change: impl FnOnce(&mut Picture)) {
        change(&mut self.picture.lock().unwrap_or_else(PoisonError::into_inner));
        self.pulse.send_modify(|pulse| *pulse += 1);
    }

    /// Notes that the server said something; nobody waits for that.
    fn hear(&self, feed: Feed) {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner).heard(feed, boot_ms());
    }

    fn look(&self) -> Look {
        let mut picture = self.picture.lock().unwrap_or_else(PoisonError::into_inner);
        picture.look(boot_ms(), Timestamp::now())
    }

    fn generation(&self) -> u64 {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner).generation()
    }
}

impl Kube for KubeClient {
    async fn view(&self) -> Result<Arc<KubeView>, KubeError> {
        let mut pulse = self.shared.pulse.subscribe();
        let mut trouble = None;
        let look = async {
            loop {
                match self.shared.look() {
                    Look::Seen(view) => return Ok(view),
                    Look::Failed(error) => return Err(error),
                    Look::NotYet(error) => trouble = error.or(trouble.take()),
                }
                let _ = tokio::time::timeout(LOOK_AGAIN, pulse.changed()).await;
            }
        };
        let first_look = self.connection.limits().first_look;
        match tokio::time::timeout(first_look, look).await {
            Ok(seen) => seen,
            Err(_) => Err(trouble.unwrap_or_else(|| {
                let message = format!("the lists were not read in {first_look:?}");
                KubeError::new(KubeErrorKind::Unreachable, "Watch", message)
            })),
        }
    }

    async fn changed(&self, seen: u64, at_most: Duration) {
        let mut pulse = self.shared.pulse.subscribe();
        let another = async {
            while self.shared.generation() == seen {
                if pulse.changed().await.is_err() {
                    return;
                }
            }
            tokio::time::sleep(GATHERED).await;
        };
        let _ = tokio::time::timeout(at_most, another).await;
    }

    async fn call(&self, call: &KubeCall) -> Result<(), KubeError> {
        call::make(&self.connection, call).await
    }

    async fn ready(&self) -> Result<(), KubeError> {
        ready::ask(&self.connection).await
    }
}
