//! The lives of a machine's members, side by side, and the machine's launch over them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::begin::Beginner;
use super::client::EtcdClient;
use super::layout::Layout;
use super::leaves;
use super::machine::{Machine, NodeCloud, NodeError};
use super::snapshot::{Keeper, Shared};
use super::volume::Attached;
use super::watch::Watch;
use crate::etcd::snapshot::CLAIM_SECS_MAX;
use crate::etcd::start::Identity;
use crate::node::host::{off_thread, remove_folder};
use crate::node::time::sleep;

/// How often a life may fail before the program ends, and how long it rests in between; systemd then
/// begins anew.
const FAILURES_MAX: usize = 20;
const PAUSE: Duration = Duration::from_secs(10);
/// How long a snapshot that is under way is waited for: as long as its claim holds.
const TAKING_SECS_MAX: i64 = CLAIM_SECS_MAX;

/// Brings up every member that the machine hosts and looks after them; ends only when none is left
/// to look after. Dropped, it leaves etcd running.
///
/// # Errors
/// What kept the last of the members from its life.
pub async fn run<C: NodeCloud + 'static>(machine: Arc<Machine<C>>) -> Result<(), NodeError> {
    let (ready, mut readies) = mpsc::unbounded_channel();
    let mut lives = JoinSet::new();
    for index in 0..machine.members().len() {
        lives.spawn(life(machine.clone(), index, ready.clone()));
    }
    drop(ready);
    let launch = async {
        let mut waiting: Vec<Identity> = machine.members();
        while let Some(identity) = readies.recv().await {
            waiting.retain(|other| *other != identity);
            if waiting.is_empty() {
                return machine.complete_launch().await;
            }
        }
    };
    let ends = async {
        let mut last = Ok(());
        while let Some(end) = lives.join_next().await {
            // A life that panicked has said so itself.
            last = end.unwrap_or(Ok(())).and(last);
        }
        last
    };
    let ((), last) = tokio::join!(launch, ends);
    last
}

/// A member's life; begun again after what may pass.
async fn life<C: NodeCloud>(
    machine: Arc<Machine<C>>,
    index: usize,
    ready: mpsc::UnboundedSender<Identity>,
) -> Result<(), NodeError> {
    let Some(identity) = machine.members().into_iter().nth(index) else { return Ok(()) };
    let mut failures = 0;
    loop {
        // That etcd has ended, or takes long to come up, is part of a life.
        if let Err(error) = live(&machine, &identity, index, &ready).await {
            machine.tell(&identity, &error.to_string());
            failures += 1;
            if failures == FAILURES_MAX || matches!(error, NodeError::Refused { .. }) {
                return Err(error);
            }
        }
        sleep(PAUSE).await;
    }
}

/// Watches, and takes snapshots beside it. A snapshot that is under way when the watch ends is finished
/// first, since each begins with all of the database; not where the member is refused, which serves what
/// others have left behind for as long as it runs.
async fn beside(
    watching: impl Future<Output = Result<(), NodeError>>,
    keeping: impl Future<Output = ()>,
    shared: &Shared,
) -> Result<(), NodeError> {
    tokio::pin!(watching, keeping);
    let ended = tokio::select! {
        ended = &mut watching => ended,
        () = &mut keeping => watching.await,
    };
    if let Err(NodeError::Refused { .. }) = ended {
        return ended;
    }
    for _ in 0..TAKING_SECS_MAX {
        if !shared.is_taking() {
            break;
        }
        tokio::select! {
            () = &mut keeping => break,
            () = sleep(Duration::from_secs(1)) => {}
        }
    }
    ended
}

async fn live<C: NodeCloud>(
    machine: &Machine<C>,
    identity: &Identity,
    index: usize,
    ready: &mpsc::UnboundedSender<Identity>,
) -> Result<(), NodeError> {
    let Some(hosted) = machine.settings.members.get(index) else { return Ok(()) };
    let layout = &Layout::of(identity);
    let mut volume = Attached::find(machine, identity, index).await?;
    machine.note_progress().await;
    leaves::provide(machine, identity, layout)
        .await
        .map_err(|why| NodeError::Leaves { identity: identity.clone(), why: Box::new(why) })?;
    let client = &EtcdClient::new(&layout.credentials())?;
    let beginner = Beginner { machine, identity, hosted, layout, client };
    let started = &beginner.begin(&mut volume).await?;
    let shared = &Shared::default();
    let watch = Watch { machine, identity, layout, client, shared, started };
    // Nobody listens any more once the launch is over.
    let watching = watch.watch(|| drop(ready.send(identity.clone())));
    let ended = match &hosted.snapshots {
        None => watching.await,
        Some(store) => {
            let keeper = Keeper { machine, identity, layout, store, shared };
            beside(watching, keeper.keep(), shared).await
        }
    };
    if let Err(NodeError::Refused { .. }) = ended {
        beginner.stop().await?;
        // A snapshot may have been under way.
        let folder = layout.snapshots.clone();
        off_thread(move || remove_folder(&folder)).await?;
    }
    ended
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::future::{pending, ready};

    use super::*;
    use crate::etcd::start::RefuseReason;

    #[tokio::test]
    async fn who_is_refused_waits_for_no_snapshot_and_who_lives_on_does() {
        let shared = &Shared::default();
        shared.set_taking(true);
        let identity =
            Identity { cluster: "c".to_owned(), etcd: "main".to_owned(), member: "a".to_owned() };
        let reason = Box::new(RefuseReason::Removed);
        let refused = Err(NodeError::Refused { identity, reason });
        let wait = |ended| {
            let watched = beside(ready(ended), pending(), shared);
            tokio::time::timeout(Duration::from_millis(300), watched)
        };
        assert!(matches!(wait(refused).await, Ok(Err(NodeError::Refused { .. }))));
        assert!(wait(Ok(())).await.is_err(), "a snapshot is under way");
        shared.set_taking(false);
        assert!(matches!(wait(Ok(())).await, Ok(Ok(()))));
    }
}
