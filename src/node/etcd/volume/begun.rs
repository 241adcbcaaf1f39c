//! A file system that a machine is about to make, noted on the machine's own disk.
//!
//! The volume's tag comes before the file system and says for good that there was to be one. Where the tag's
//! answer is lost, mkfs fails or the program ends in between, the volume is as blank as it was, and for
//! everybody else one that somebody has emptied. Only the machine itself can tell the two apart: its note is
//! there before the tag, and gone before anything starts on the file system. So a volume with its note on it
//! has never held data.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::etcd::start::Volume;
use crate::node::host::{HostError, read_if_there, remove_whole, write_whole};

/// Which volume, by which machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begun {
    /// The volume.
    pub(super) volume_id: String,
    /// The machine, which is also the value of the volume's tag.
    pub(super) instance_id: String,
}

impl Begun {
    /// Notes it.
    pub(super) fn write(&self, path: &Path) -> Result<(), HostError> {
        write_whole(path, &serde_json::to_vec_pretty(self).unwrap_or_default(), 0o644)
    }

    /// What is noted; a note that makes no sense says nothing.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, HostError> {
        let body = read_if_there(path)?;
        Ok(body.and_then(|body| serde_json::from_slice(&body).ok()))
    }

    /// Takes the note back, for good.
    pub(super) fn forget(path: &Path) -> Result<(), HostError> {
        remove_whole(path)
    }

    /// What a volume is on which nothing is, by its tag and by what this machine has noted.
    pub(super) fn nothing_on_it(&self, formatted_by: Option<&str>, noted: Option<&Self>) -> Volume {
        match formatted_by {
            None => Volume::Blank,
            Some(by) if by == self.instance_id && noted == Some(self) => Volume::Blank,
            Some(_) => Volume::Emptied,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn begun(volume_id: &str, instance_id: &str) -> Begun {
        Begun { volume_id: volume_id.to_owned(), instance_id: instance_id.to_owned() }
    }

    #[test]
    fn only_the_machine_that_has_just_begun_takes_a_marked_volume_for_blank() {
        let mine = begun("vol-1", "i-1");
        let notes =
            [None, Some(mine.clone()), Some(begun("vol-2", "i-1")), Some(begun("vol-1", "i-2"))];
        for noted in &notes {
            let look = |by| mine.nothing_on_it(by, noted.as_ref());
            // A volume that nobody was ever to format is blank for everybody.
            assert_eq!(look(None), Volume::Blank);
            let is_begun = noted.as_ref() == Some(&mine);
            let wanted = if is_begun { Volume::Blank } else { Volume::Emptied };
            assert_eq!(look(Some("i-1")), wanted, "{noted:?}");
            assert_eq!(look(Some("i-2")), Volume::Emptied, "{noted:?}");
        }
    }

    #[test]
    fn a_note_is_there_until_it_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below").join("main.json");
        let mine = begun("vol-1", "i-1");
        Begun::forget(&path).unwrap();
        assert_eq!(Begun::read(&path).unwrap(), None);
        mine.write(&path).unwrap();
        assert_eq!(Begun::read(&path).unwrap(), Some(mine.clone()));
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(Begun::read(&path).unwrap(), None);
        mine.write(&path).unwrap();
        Begun::forget(&path).unwrap();
        assert_eq!(Begun::read(&path).unwrap(), None);
    }
}
