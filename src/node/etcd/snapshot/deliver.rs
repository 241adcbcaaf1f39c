//! Into the archive: what a snapshot consists of is uploaded, read back and compared, all of it, before it
//! counts. What did not arrive as it was is taken back.

use std::path::PathBuf;

use super::SnapshotError;
use crate::cloud::archive::{Address, Archive, OBJECT_BYTES_MAX};
use crate::etcd::snapshot::{Content, sum};
use crate::node::host::{HostError, off_thread, open};

/// A file on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it goes: `s3://bucket/key`.
    pub(super) object: String,
    /// Where it is, in a folder that has room for it once more.
    pub(super) file: PathBuf,
    /// What it holds.
    pub(super) content: Content,
}

/// Delivers all parts, or none.
pub(super) async fn deliver(archive: &impl Archive, parts: &[Part]) -> Result<(), SnapshotError> {
    for part in parts {
        if let Err(error) = deliver_one(archive, part).await {
            take_back(archive, parts).await;
            return Err(error);
        }
    }
    Ok(())
}

async fn deliver_one(archive: &impl Archive, part: &Part) -> Result<(), SnapshotError> {
    let Part { object, file, content } = part;
    let address: Address = object.parse()?;
    archive.store(&address, file, content).await?;
    let again = file.with_extension("again");
    if !archive.fetch(&address, &again, OBJECT_BYTES_MAX).await? {
        return Err(SnapshotError::Missing { object: object.clone() });
    }
    let found = off_thread(move || {
        sum(open(&again)?).map_err(|cause| HostError::file("cannot read", again, cause))
    });
    let found = found.await?;
    if found != *content {
        let (found, wanted) = (found.sha256, content.sha256.clone());
        return Err(SnapshotError::Changed { object: object.clone(), found, wanted });
    }
    Ok(())
}

/// Nothing lists it yet, and nothing will. What cannot be removed is told by the error that led here.
async fn take_back(archive: &impl Archive, parts: &[Part]) {
    for part in parts.iter().rev() {
        if let Ok(address) = part.object.parse::<Address>() {
            drop(archive.discard(&address).await);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;
    use crate::cloud::StoreError;
    use crate::cloud::archive::Stored;

    /// An archive in which a byte of one object changes as soon as it is written, or which loses it.
    #[derive(Default)]
    struct Bad {
        objects: Mutex<BTreeMap<Address, Vec<u8>>>,
        flips: &'static str,
        loses: &'static str,
    }

    impl Archive for Bad {
        async fn store(&self, at: &Address, file: &Path, _: &Content) -> Result<(), StoreError> {
            let mut body = fs::read(file).unwrap();
            if at.key.ends_with(self.flips) {
                body[0] ^= 1;
            }
            if !at.key.ends_with(self.loses) {
                self.objects.lock().unwrap().insert(at.clone(), body);
            }
            Ok(())
        }

        async fn fetch(&self, at: &Address, into: &Path, _: u64) -> Result<bool, StoreError> {
            let body = self.objects.lock().unwrap().get(at).cloned();
            Ok(body.map(|body| fs::write(into, body).unwrap()).is_some())
        }

        async fn stored(&self, _: &Address) -> Result<Vec<Stored>, StoreError> {
            Ok(Vec::new())
        }

        async fn discard(&self, at: &Address) -> Result<(), StoreError> {
            self.objects.lock().unwrap().remove(at);
            Ok(())
        }
    }

    #[tokio::test]
    async fn each_part_is_read_back_and_nothing_stays_of_what_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let part = |name: &str| {
            let file = folder.path().join(name);
            fs::write(&file, name).unwrap();
            let content = sum(open(&file).unwrap()).unwrap();
            Part { object: format!("s3://b/c/{name}"), file, content }
        };
        let parts = ["certificates.json", "snapshot.db"].map(part);
        let good = Bad { flips: "-", loses: "-", ..Bad::default() };
        deliver(&good, &parts).await.unwrap();
        assert_eq!(good.objects.lock().unwrap().len(), 2);
        for name in ["certificates.json", "snapshot.db"] {
            let bad = Bad { flips: name, loses: "-", ..Bad::default() };
            let told = deliver(&bad, &parts).await;
            let is_told = |object: &str| object.ends_with(name);
            assert!(
                matches!(&told, Err(SnapshotError::Changed { object, .. }) if is_told(object)),
                "{told:?}"
            );
            assert!(bad.objects.lock().unwrap().is_empty(), "{name}");
            let bad = Bad { flips: "-", loses: name, ..Bad::default() };
            let told = deliver(&bad, &parts).await;
            assert!(
                matches!(&told, Err(SnapshotError::Missing { object }) if is_told(object)),
                "{told:?}"
            );
            assert!(bad.objects.lock().unwrap().is_empty(), "{name}");
        }
    }
}
