//! Assets: made once whoever comes second, seen by their length, and gone when they are removed.

use kprod::boot::Program;
use kprod::cloud::{Call, Cloud, CloudErrorKind, asset};
use kprod::resource::Kind;

use super::Scene;

/// The content of the one asset of these laws; on AWS a file that the cloud was offered has it.
pub(super) const CONTENT: &[u8] = b"a program of the contract\n";

pub(super) async fn assets<C: Cloud>(scene: &Scene<'_, C>) {
    let cluster = scene.cluster.clone();
    let Program { sha256, size, .. } = Program::of(CONTENT, None);
    let name = asset::name(&sha256, &cluster);
    let make = || Call::CreateAsset { cluster: cluster.clone(), sha256: sha256.clone(), size };
    scene.gone(Kind::Asset, &name).await;
    let wanted = asset::resource(&cluster, &sha256, size);
    for _ in 0..2 {
        scene.make(make()).await;
        let again = scene.stage.cloud.call(&make()).await.unwrap_err();
        assert_eq!(again.kind, CloudErrorKind::AlreadyExists, "{again}");
        scene.shows(&name, &wanted).await;
        for _ in 0..2 {
            scene.make(Call::DeleteObject { key: asset::key(&cluster, &sha256) }).await;
        }
        scene.gone(Kind::Asset, &name).await;
    }
}
