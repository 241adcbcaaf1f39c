//! The cluster a run works on, chosen once: every request goes to the one inside.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "aws")]
use super::client::KubeClient;
use super::sim::SimKube;
use super::{Kube, KubeCall, KubeError, KubeView};

/// Either cluster.
pub enum AnyKube {
    /// One of the embedded simulator.
    Sim(Box<SimKube>),
    /// A real API server.
    #[cfg(feature = "aws")]
    Client(Box<KubeClient>),
}

/// Hands a request to the cluster inside.
macro_rules! inside {
    ($any:expr, $kube:ident => $call:expr) => {
        match $any {
            AnyKube::Sim($kube) => $call,
            #[cfg(feature = "aws")]
            AnyKube::Client($kube) => $call,
        }
    };
}

impl Kube for AnyKube {
    async fn view(&self) -> Result<Arc<KubeView>, KubeError> {
        inside!(self, kube => kube.view().await)
    }

    async fn changed(&self, seen: u64, at_most: Duration) {
        inside!(self, kube => kube.changed(seen, at_most).await);
    }

    async fn call(&self, call: &KubeCall) -> Result<(), KubeError> {
        inside!(self, kube => kube.call(call).await)
    }

    async fn ready(&self) -> Result<(), KubeError> {
        inside!(self, kube => kube.ready().await)
    }
}
