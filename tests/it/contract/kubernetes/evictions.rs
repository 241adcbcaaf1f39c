//! Evictions, and what disruption budgets say to them: codes, words, and how long to wait.
//!
//! Sources: Kubernetes, `pkg/registry/core/pod/storage/eviction.go`, and a real server's answers.

use std::time::Duration;

use kprod::kube::KubeErrorKind;

use super::{Ground, Scene, evict};

const PROCESSED: &str = "still being processed by the server";

pub(super) async fn without_budget<G: Ground>(scene: &Scene<'_, G>) {
    let pod = scene.running("p", "without-budget").await;
    scene.make(evict(&pod)).await;
    scene.leaves(&pod).await;
}

/// A budget that allows none says so, names its numbers, and does not say when to come back.
pub(super) async fn held<G: Ground>(scene: &Scene<'_, G>) {
    let (one, two) = (scene.running("p-1", "held").await, scene.running("p-2", "held").await);
    let budget = scene.budget("b", "held", 2, 2).await;
    assert_eq!((budget.disruptions_allowed, budget.desired_healthy), (0, 2));
    assert!(budget.selects(&one) && budget.selects(&two));
    for pod in [&one, &two] {
        let error = scene.refused(evict(pod), KubeErrorKind::Budget).await;
        assert!(error.message.contains("needs 2 healthy pods and has 2 currently"), "{error}");
        assert!(error.message.contains(&budget.id.name), "{error}");
        assert_eq!(error.retry_after, None);
    }
    let seen = scene.pod_is(&one.id, |_| true).await;
    assert_eq!(seen.deleted_until, None, "nothing has happened to it");
    scene.ground().remove_budget(&budget.id).await;
    scene.see("no budget", |view| (!view.budgets.contains_key(&budget.id)).then_some(())).await;
    scene.make(evict(&one)).await;
    scene.leaves(&one).await;
}

/// The server itself takes what a budget allows: the next one waits, however late the controller is.
pub(super) async fn one_at_a_time<G: Ground>(scene: &Scene<'_, G>) {
    let app = "one-at-a-time";
    let (one, two) = (scene.running("p-1", app).await, scene.running("p-2", app).await);
    let budget = scene.budget("b", app, 2, 1).await;
    assert_eq!(budget.disruptions_allowed, 1);
    scene.make(evict(&one)).await;
    let error = scene.refused(evict(&two), KubeErrorKind::Budget).await;
    assert_eq!(error.retry_after, None, "{error}");
    scene.leaves(&one).await;
    let allows_none = |view: &kprod::kube::KubeView| {
        let budget = view.budgets.get(&budget.id)?;
        (budget.disruptions_allowed == 0).then_some(())
    };
    scene.see("a budget that allows none", allows_none).await;
}

/// A budget whose status nobody has written yet: come back in ten seconds. A fast controller may have
/// written it, and then it is simply held.
pub(super) async fn not_processed<G: Ground>(scene: &Scene<'_, G>) {
    let pod = scene.running("p", "not-processed").await;
    scene.ground().make_budget(&scene.id("b"), "not-processed", 1).await;
    let error = scene.refused(evict(&pod), KubeErrorKind::Budget).await;
    let wait = error.message.contains(PROCESSED).then_some(Duration::from_secs(10));
    assert_eq!(error.retry_after, wait, "{error}");
}

/// The eviction API takes no pod with two budgets: that is 500, for ever.
pub(super) async fn two_budgets<G: Ground>(scene: &Scene<'_, G>) {
    let pod = scene.running("p", "two-budgets").await;
    scene.budget("b-1", "two-budgets", 1, 0).await;
    scene.budget("b-2", "two-budgets", 1, 0).await;
    let error = scene.refused(evict(&pod), KubeErrorKind::Server).await;
    assert!(error.message.contains("more than one PodDisruptionBudget"), "{error}");
    assert_eq!(error.retry_after, None);
}

/// A pod that does not run disturbs nobody, whatever its budget says.
pub(super) async fn idle_pods<G: Ground>(scene: &Scene<'_, G>) {
    let pending = scene.pod("pending", "idle-pods").await;
    let succeeded = scene.pod("succeeded", "idle-pods").await;
    let failed = scene.pod("failed", "idle-pods").await;
    scene.ground().write_pod(&succeeded.id, "Succeeded", false).await;
    scene.ground().write_pod(&failed.id, "Failed", false).await;
    for pod in [&succeeded, &failed] {
        scene.pod_is(&pod.id, |seen| seen.phase != pending.phase).await;
    }
    let budget = scene.budget("b", "idle-pods", 0, 1).await;
    assert_eq!(budget.disruptions_allowed, 0);
    for pod in [pending, succeeded, failed] {
        scene.make(evict(&pod)).await;
        scene.leaves(&pod).await;
    }
}

/// A pod that is on its way out already is let go once more.
pub(super) async fn leaving_pods<G: Ground>(scene: &Scene<'_, G>) {
    let pod = scene.running("p", "leaving-pods").await;
    scene.make(evict(&pod)).await;
    scene.leaves(&pod).await;
    let budget = scene.budget("b", "leaving-pods", 0, 1).await;
    assert_eq!(budget.disruptions_allowed, 0);
    let still_there = scene.view().await;
    if super::find_pod(&still_there, &pod.id).is_some_and(|seen| seen.uid == pod.uid) {
        scene.make(evict(&pod)).await;
    }
}
