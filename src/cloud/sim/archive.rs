//! Large objects of the simulated account: they are objects of its world like the others, under their
//! whole address.

#![expect(clippy::disallowed_methods, reason = "what is kept comes from files and goes to files")]

use std::fs;
use std::path::Path;

use super::SimCloud;
use crate::cloud::archive::{Address, Archive, Stored};
use crate::cloud::{CloudErrorKind, Condition, StoreError};
use crate::etcd::snapshot::{Content, sha256_of};

impl Archive for SimCloud {
    async fn store(
        &self,
        object: &Address,
        file: &Path,
        content: &Content,
    ) -> Result<(), StoreError> {
        let body = fs::read(file).map_err(|error| unreadable(file, &error))?;
        if sha256_of(&body) != content.sha256 {
            let why = format!("`{}` is not what it was when it was looked at", file.display());
            return Err(StoreError::failed(CloudErrorKind::Invalid, why));
        }
        let key = object.to_string();
        let kept = self.live_or_die(|world| world.put_object(&key, body, &Condition::Any)).await?;
        kept.map(drop)
    }

    async fn fetch(
        &self,
        object: &Address,
        into: &Path,
        bytes_max: u64,
    ) -> Result<bool, StoreError> {
        let key = object.to_string();
        let Some(entry) = self.live(|world| world.get_object(&key)).await? else {
            return Ok(false);
        };
        if entry.body.len() as u64 > bytes_max {
            return Err(StoreError::unusable(format!(
                "`{object}` is larger than {bytes_max} bytes"
            )));
        }
        fs::write(into, entry.body).map_err(|error| unreadable(into, &error))?;
        Ok(true)
    }

    async fn stored(&self, prefix: &Address) -> Result<Vec<Stored>, StoreError> {
        let prefix = prefix.to_string();
        let found = self.live(|world| world.archived(&prefix)).await?;
        let stored = |(address, bytes, written_at): (String, u64, _)| {
            Some(Stored { address: address.parse().ok()?, bytes, written_at })
        };
        Ok(found.into_iter().filter_map(stored).collect())
    }

    async fn discard(&self, object: &Address) -> Result<(), StoreError> {
        let key = object.to_string();
        self.live_or_die(|world| world.remove_object(&key, &Condition::Any)).await?
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::failed(CloudErrorKind::Invalid, format!("`{}`: {error}", path.display()))
}
