//! How a cluster's API server is reached.

#![cfg_attr(
    feature = "aws",
    expect(clippy::disallowed_methods, reason = "KUBECONFIG and HOME, as kubectl reads them")
)]

use std::path::PathBuf;

use clap::Args;

use crate::cloud::any::AnyCloud;
use crate::error::{ExitCode, Failure};
use crate::kube::any::AnyKube;
use crate::kube::sim::SimKube;

/// Which API server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(super) struct KubeArgs {
    /// The cluster's kubeconfig [default: KUBECONFIG, ~/.kube/config, or the pod's own account]
    #[arg(long, value_name = "FILE", help_heading = "Kubernetes")]
    kubeconfig: Option<PathBuf>,

    /// The context in it [default: the current one]
    #[arg(long, value_name = "NAME", help_heading = "Kubernetes")]
    context: Option<String>,
}

impl KubeArgs {
    /// Opens the cluster's API server: the simulated one with the simulated cloud, which needs no
    /// kubeconfig.
    ///
    /// # Errors
    /// When the kubeconfig or its credentials cannot be used, or there is no use for a kubeconfig.
    pub(super) async fn connect(&self, cloud: &AnyCloud, cluster: &str) -> anyhow::Result<AnyKube> {
        match cloud {
            AnyCloud::Sim(_) if self.kubeconfig.is_some() || self.context.is_some() => {
                let message = "a simulated cluster has an API server of its own";
                let hint = "leave --kubeconfig and --context out";
                Err(Failure::new(ExitCode::Usage, message).hint(hint).into())
            }
            AnyCloud::Sim(sim) => {
                let kube = SimKube::new(sim.as_ref().clone(), cluster);
                Ok(AnyKube::Sim(Box::new(kube)))
            }
            #[cfg(feature = "aws")]
            AnyCloud::Aws(_) => {
                use crate::kube::client::{KubeClient, KubeLimits};
                let kube = KubeClient::connect(self.access(), KubeLimits::default()).await;
                let kube = kube.map_err(|error| crate::roll::driver::kube_failure(&error))?;
                Ok(AnyKube::Client(Box::new(kube)))
            }
        }
    }

    #[cfg(feature = "aws")]
    fn access(&self) -> crate::kube::KubeAccess {
        let environment = std::env::var_os("KUBECONFIG").filter(|files| !files.is_empty());
        let environment = environment.iter().flat_map(std::env::split_paths);
        crate::kube::KubeAccess {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            environment: environment.filter(|file| !file.as_os_str().is_empty()).collect(),
            home: std::env::var_os("HOME").map(PathBuf::from),
        }
    }
}
