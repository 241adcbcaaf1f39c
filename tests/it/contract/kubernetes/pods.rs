//! Pods: what is seen of them, and their removal whatever budgets say.

use kprod::kube::{KubeCall, KubeErrorKind, Pod, PodPhase};

use super::{GRACE_SECS, Ground, Scene, evict, labels};

pub(super) async fn seen<G: Ground>(scene: &Scene<'_, G>) {
    let pod = scene.pod("p", "seen").await;
    assert_eq!(pod.node, Some(scene.name("node")));
    assert_eq!((pod.phase, pod.is_ready), (PodPhase::Pending, false));
    assert_eq!((pod.grace_secs, pod.deleted_until), (GRACE_SECS, None));
    assert_eq!((pod.owner.as_ref(), pod.is_mirror, pod.has_empty_dir), (None, false, false));
    assert_eq!(pod.labels.get("app"), labels("seen").get("app"));
    assert!(scene.view().await.pods_on(&scene.name("node")).any(|seen| seen.id == pod.id));
    scene.ground().write_pod(&pod.id, "Running", true).await;
    let running = scene.pod_is(&pod.id, |pod| pod.is_ready).await;
    assert_eq!((running.phase, running.uid), (PodPhase::Running, pod.uid));
}

fn delete(pod: &Pod, uid: &str, grace_secs: Option<u32>) -> KubeCall {
    KubeCall::DeletePod { pod: pod.id.clone(), uid: uid.to_owned(), grace_secs }
}

pub(super) async fn deletion<G: Ground>(scene: &Scene<'_, G>) {
    let pod = scene.running("p", "deletion").await;
    scene.budget("b", "deletion", 1, 1).await;
    scene.refused(evict(&pod), KubeErrorKind::Budget).await;
    scene.make(delete(&pod, &pod.uid, None)).await;
    scene.leaves(&pod).await;
    scene.make(delete(&pod, &pod.uid, Some(0))).await;
    let is_gone =
        |view: &kprod::kube::KubeView| super::find_pod(view, &pod.id).is_none().then_some(());
    scene.see("no pod", is_gone).await;
}

pub(super) async fn missing<G: Ground>(scene: &Scene<'_, G>) {
    let mut pod = scene.pod("p", "missing").await;
    pod.id = scene.id("nobody");
    let gone = scene.refused(evict(&pod), KubeErrorKind::NotFound).await;
    assert!(gone.message.contains("not found"), "{gone}");
    scene.refused(delete(&pod, &pod.uid, None), KubeErrorKind::NotFound).await;
}

/// A pod of the same name that came since stays.
pub(super) async fn of_another_time<G: Ground>(scene: &Scene<'_, G>) {
    let pod = scene.running("p", "of-another-time").await;
    let other = "00000000-0000-0000-0000-000000000000";
    scene.refused(delete(&pod, other, None), KubeErrorKind::Conflict).await;
    let evict_other = evict(&Pod { uid: other.to_owned(), ..pod.clone() });
    scene.refused(evict_other, KubeErrorKind::Conflict).await;
    let seen = scene.pod_is(&pod.id, |_| true).await;
    assert_eq!((seen.uid, seen.deleted_until), (pod.uid, None));
}
