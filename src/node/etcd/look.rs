//! Gathering what a starting member has to know.

use std::collections::BTreeMap;

use super::client::EtcdClient;
use super::layout::Layout;
use super::machine::{Machine, NodeCloud, NodeError};
use super::volume::Attached;
use crate::epoch::{self, Known};
use crate::etcd::epoch::{Phase, snapshots_key};
use crate::etcd::report::{MemberReport, report_key};
use crate::etcd::start::{Answer, Identity, Sight};
use crate::etcd::version::Version;
use crate::node::host::{off_thread, version_said};

/// What was seen, with what an act needs besides.
pub(super) struct Look {
    /// What the decision is made by.
    pub(super) sight: Sight,
    /// The epoch as it was read.
    pub(super) known: Option<Known>,
}

/// Looks at everything: first at the epoch, so that whatever else is seen is not older than it.
///
/// # Errors
/// When something could not be looked at: then nothing is known, and nothing is to be decided.
pub(super) async fn look<C: NodeCloud>(
    machine: &Machine<C>,
    identity: &Identity,
    layout: &Layout,
    volume: &Attached,
    client: &EtcdClient,
) -> Result<Look, NodeError> {
    let Identity { cluster, etcd, .. } = identity;
    let known = epoch::read(&machine.cloud, cluster, etcd).await?;
    let sight = Sight {
        identity: identity.clone(),
        volume: volume.inspect(layout).await?,
        program: program(machine).await?,
        epoch: known.as_ref().map(|known| known.epoch.clone()),
        others: match &known {
            Some(known) => ask(client, identity, known).await,
            None => BTreeMap::new(),
        },
        has_reported: match &known {
            Some(known) => has_reported(machine, identity, known).await?,
            None => false,
        },
        has_snapshots: machine.cloud.get(&snapshots_key(cluster, etcd)).await?.is_some(),
    };
    Ok(Look { sight, known })
}

/// The version of the program that would run: it may have been exchanged since the last look.
async fn program<C: NodeCloud>(machine: &Machine<C>) -> Result<Version, NodeError> {
    let program = machine.settings.etcd_program.clone();
    let said = off_thread({
        let program = program.clone();
        move || version_said(&program)
    });
    Version::said_by_program(&said.await?).map_err(|why| NodeError::Program { program, why })
}

/// Asks every other member of the epoch, all at once.
pub(super) async fn ask(
    client: &EtcdClient,
    identity: &Identity,
    known: &Known,
) -> BTreeMap<String, Answer> {
    let mut asked = tokio::task::JoinSet::new();
    for (name, place) in &known.epoch.members {
        if *name == identity.member {
            continue;
        }
        let (client, name, url) = (client.clone(), name.clone(), place.client_url.clone());
        asked.spawn(async move {
            let answer = client.view(&url).await.map_or(Answer::Silent, Answer::Speaks);
            (name, answer)
        });
    }
    asked.join_all().await.into_iter().collect()
}

/// Whether a member, this one's former machine among them, has said since the epoch was opened that it
/// knows a leader. Of a closed epoch nobody needs to know.
async fn has_reported<C: NodeCloud>(
    machine: &Machine<C>,
    identity: &Identity,
    known: &Known,
) -> Result<bool, NodeError> {
    if known.epoch.phase != Phase::Open {
        return Ok(false);
    }
    for member in known.epoch.members.keys() {
        let key = report_key(&identity.cluster, &identity.etcd, member);
        let Some(entry) = machine.cloud.get(&key).await? else { continue };
        // A report that cannot be read may say just that.
        let knows_leader = serde_json::from_slice::<MemberReport>(&entry.body)
            .map_or(true, |report| report.leader.is_some());
        if knows_leader && entry.written_at >= known.written_at {
            return Ok(true);
        }
    }
    Ok(false)
}
