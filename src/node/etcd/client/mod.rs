//! etcd's API, over the JSON gateway that every server from 3.4 on has.
//!
//! A gRPC client would bring a code generator and a second HTTP stack for six unary calls. The gateway
//! takes the same requests as JSON over HTTPS, so the HTTP and TLS crates that are in the tree anyway
//! are enough. It has no certificates' names for etcd's own user management, which kprod does not use.
//! Source: etcd documentation, "Why gRPC gateway".

mod answer;
mod http;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::etcd::start::{MemberId, View};
use crate::etcd::{Minor, Version};

pub use answer::Status;
pub use http::Credentials;

/// How long an answer may take: a quorum that is there answers within one election, 1 s.
const LIMIT: Duration = Duration::from_secs(5);
/// What a read asks for to learn whether there is a quorum; whether there is such a key does not matter.
const HEALTH_KEY: &str = "health";
/// Where a member writes that it votes. Kubernetes' keys begin with `/registry`.
const VOTER_KEY: &str = "kprod/voter";

/// Why etcd did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EtcdError {
    /// Certificates or keys that cannot be used.
    #[error("the certificates cannot be used: {0}")]
    Credentials(String),
    /// No answer.
    #[error("{url}: {why}")]
    Unreachable {
        /// The request.
        url: String,
        /// What happened.
        why: String,
    },
    /// It said no.
    #[error("{url}: {message} ({status})")]
    Refused {
        /// The request.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What etcd says.
        message: String,
    },
    /// An answer that is none of etcd's.
    #[error("{url}: the answer makes no sense: {why}")]
    Senseless {
        /// The request.
        url: String,
        /// What is wrong with it.
        why: String,
    },
}

/// A client of etcd's members, by their client URLs.
#[derive(Clone)]
pub struct EtcdClient {
    http: http::Http,
}

impl EtcdClient {
    /// A client that shows these certificates.
    ///
    /// # Errors
    /// [`EtcdError::Credentials`].
    pub fn new(credentials: &Credentials) -> Result<Self, EtcdError> {
        Ok(Self { http: http::Http::new(credentials)? })
    }

    /// The cluster as a member sees it. The read that proves a quorum comes first, so that the list of
    /// a healthy member is not older than the question.
    ///
    /// # Errors
    /// When the member does not answer; that it has no quorum is part of the answer.
    pub async fn view(&self, url: &str) -> Result<View, EtcdError> {
        let is_healthy = self.read_linearizable(url).await.is_ok();
        let list = self.ask(url, "/v3/cluster/member/list", &json!({})).await?;
        let view = answer::view(&list, is_healthy).map_err(|why| senseless(url, why))?;
        // Who gives the list speaks, whether it says its version or not.
        let (program, cluster_version) = self.versions(url).await.unwrap_or_default();
        Ok(View { program, cluster_version, ..view })
    }

    /// The version of a member's program, and the cluster version as it knows it; none while that is not
    /// decided. The gateway does not tell them: they are on a page of their own. Source: etcd
    /// `server/etcdserver/api/etcdhttp/version.go`.
    ///
    /// # Errors
    /// When the member does not answer.
    pub async fn versions(&self, url: &str) -> Result<(Option<Version>, Option<Minor>), EtcdError> {
        let said = self.exchange(url, "/version", None).await?;
        Ok(answer::versions(&said))
    }

    /// Reads something that takes a quorum.
    ///
    /// # Errors
    /// When there is no quorum, or no answer.
    pub async fn read_linearizable(&self, url: &str) -> Result<(), EtcdError> {
        let key = STANDARD.encode(HEALTH_KEY);
        self.ask(url, "/v3/kv/range", &json!({ "key": key, "keys_only": true })).await.map(|_| ())
    }

    /// Writes which member has come to vote last: one key for all of them.
    ///
    /// # Errors
    /// When there is no quorum or no room, or no answer.
    pub async fn write_voter(&self, url: &str, member: &str) -> Result<(), EtcdError> {
        let (key, value) = (STANDARD.encode(VOTER_KEY), STANDARD.encode(member));
        self.ask(url, "/v3/kv/put", &json!({ "key": key, "value": value })).await.map(|_| ())
    }

    /// What a member says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status(&self, url: &str) -> Result<Status, EtcdError> {
        let said = self.ask(url, "/v3/maintenance/status", &json!({})).await?;
        answer::status(&said).map_err(|why| senseless(url, why))
    }

    /// The alarms that are raised in the cluster.
    ///
    /// # Errors
    /// When the member does not answer, or not as etcd does.
    pub async fn alarms(&self, url: &str) -> Result<BTreeSet<String>, EtcdError> {
        let said = self.ask(url, "/v3/maintenance/alarm", &json!({ "action": "GET" })).await?;
        answer::alarms(&said).map_err(|why| senseless(url, why))
    }

    /// Adds a learner at an address.
    ///
    /// # Errors
    /// When etcd refuses, such as for a second learner, or the answer is lost: look again then.
    pub async fn add_learner(&self, url: &str, peer_url: &str) -> Result<MemberId, EtcdError> {
        let body = json!({ "peerURLs": [peer_url], "isLearner": true });
        let said = self.ask(url, "/v3/cluster/member/add", &body).await?;
        answer::added(&said).map_err(|why| senseless(url, why))
    }

    /// Removes a member.
    ///
    /// # Errors
    /// When etcd refuses, such as where the quorum would be lost, or the answer is lost.
    pub async fn remove(&self, url: &str, id: MemberId) -> Result<(), EtcdError> {
        let body = json!({ "ID": id.0.to_string() });
        self.ask(url, "/v3/cluster/member/remove", &body).await.map(|_| ())
    }

    /// Gives a learner its vote.
    ///
    /// # Errors
    /// When etcd refuses: it has not caught up.
    pub async fn promote(&self, url: &str, id: MemberId) -> Result<(), EtcdError> {
        let body = json!({ "ID": id.0.to_string() });
        self.ask(url, "/v3/cluster/member/promote", &body).await.map(|_| ())
    }

    /// Asks a member anything that its API has: a path such as `/v3/kv/range`, and the request.
    ///
    /// # Errors
    /// When it does not answer, or says no.
    pub async fn ask(&self, base: &str, path: &str, body: &Value) -> Result<Value, EtcdError> {
        self.exchange(base, path, Some(body.to_string())).await
    }

    async fn exchange(
        &self,
        base: &str,
        path: &str,
        body: Option<String>,
    ) -> Result<Value, EtcdError> {
        let mut url = base.trim_end_matches('/').to_owned();
        url.push_str(path);
        let answer = tokio::time::timeout(LIMIT, self.http.send(&url, body)).await;
        let (status, text) = answer.unwrap_or_else(|_| {
            let why = format!("no answer within {}s", LIMIT.as_secs());
            Err(EtcdError::Unreachable { url: url.clone(), why })
        })?;
        if status != 200 {
            return Err(EtcdError::Refused { url, status, message: answer::message(&text) });
        }
        serde_json::from_slice(&text).map_err(|error| senseless(&url, error.to_string()))
    }
}

fn senseless(url: &str, why: String) -> EtcdError {
    EtcdError::Senseless { url: url.to_owned(), why }
}

/// An error with everything behind it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        // Writing to a string does not fail.
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}
