//! Tags as kprod's: what a spec sets apart from what kprod notes there.

use crate::resource::{DIGEST_TAG, FAILED_TAG, ROLL_TAG, TARGET_TAG, Tags, VERSION_TAG};

/// A resource's tags, kprod's own notes taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TagSet {
    /// What a spec sets, the owner included.
    pub tags: Tags,
    /// [`DIGEST_TAG`].
    pub digest: Option<String>,
    /// [`VERSION_TAG`].
    pub version: Option<String>,
    /// [`TARGET_TAG`].
    pub target: Option<String>,
    /// [`FAILED_TAG`].
    pub failed: Option<String>,
    /// [`ROLL_TAG`].
    pub mark: Option<String>,
}

impl TagSet {
    /// Sorts tags. Those under `aws:` are AWS's own, which nobody else may set or remove.
    pub(super) fn new<'a>(pairs: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>) -> Self {
        let mut set = TagSet::default();
        for (key, value) in pairs {
            let Some(key) = key else { continue };
            let value = value.unwrap_or_default().to_owned();
            match key {
                DIGEST_TAG => set.digest = Some(value),
                VERSION_TAG => set.version = Some(value),
                TARGET_TAG => set.target = Some(value),
                FAILED_TAG => set.failed = Some(value),
                ROLL_TAG => set.mark = Some(value),
                _ if key.starts_with("aws:") => {}
                _ => {
                    set.tags.insert(key.to_owned(), value);
                }
            }
        }
        set
    }

    /// Tags of an EC2 resource.
    pub(super) fn ec2(tags: &[aws_sdk_ec2::types::Tag]) -> Self {
        Self::new(tags.iter().map(|tag| (tag.key(), tag.value())))
    }
}

/// Whether a tag's key is one that kprod keeps for itself.
pub(super) fn is_note(key: &str) -> bool {
    matches!(key, DIGEST_TAG | VERSION_TAG | TARGET_TAG | FAILED_TAG | ROLL_TAG)
        || key.starts_with("aws:")
}
