//! A wish to pause: an object of the state bucket that anybody may write and remove, whoever holds the
//! lease. A roll that sees it begins with no further machine.

use super::Pause;
use super::note::Note;
use crate::cloud::Cloud;
use crate::error::Failure;

/// The object that holds a cluster's wish.
pub fn key(cluster: &str) -> String {
    format!("pause/{cluster}")
}

fn note(cluster: &str) -> Note<'_> {
    Note { cluster, key: key(cluster) }
}

/// Reads who asked for a pause. What cannot be read asks for one all the same: somebody meant
/// something.
///
/// # Errors
/// When the state bucket cannot be read (exit 1).
pub async fn read<C: Cloud>(cloud: &C, cluster: &str) -> Result<Option<Pause>, Failure> {
    let note = note(cluster);
    Ok(note.read(cloud).await?.map(|entry| {
        serde_json::from_slice(&entry.body).unwrap_or_else(|_| Pause {
            by: format!("whoever wrote `{}`", note.key),
            at: entry.written_at,
            why: String::new(),
        })
    }))
}

/// Asks rolls of a cluster to pause; the newest wish counts.
///
/// # Errors
/// When the state bucket cannot be written (exit 1).
pub async fn set<C: Cloud>(cloud: &C, cluster: &str, pause: &Pause) -> Result<(), Failure> {
    note(cluster).write(cloud, pause).await
}

/// Takes the wish back, whoever had it.
///
/// # Errors
/// When the state bucket cannot be written (exit 1).
pub async fn clear<C: Cloud>(cloud: &C, cluster: &str) -> Result<(), Failure> {
    note(cluster).clear(cloud).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::cloud::Condition;
    use crate::cloud::sim::SimCloud;

    #[tokio::test]
    async fn a_pause_is_read_as_it_was_written_until_it_is_taken_back() {
        let cloud = SimCloud::in_memory(1);
        assert_eq!(read(&cloud, "c").await.unwrap(), None);
        clear(&cloud, "c").await.unwrap();
        let pause = |by: &str| {
            let (at, why) = ("2026-11-21T08:00:00Z".parse().unwrap(), "w".to_owned());
            Pause { by: by.to_owned(), at, why }
        };
        for who in ["ann", "ben"] {
            set(&cloud, "c", &pause(who)).await.unwrap();
            assert_eq!(read(&cloud, "c").await.unwrap(), Some(pause(who)));
        }
        clear(&cloud, "c").await.unwrap();
        assert_eq!(read(&cloud, "c").await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_nobody_can_read_is_a_pause_all_the_same() {
        let cloud = SimCloud::in_memory(1);
        cloud.put(&key("c"), b"stop!".to_vec(), Condition::Any).await.unwrap();
        assert!(read(&cloud, "c").await.unwrap().unwrap().by.contains("pause/c"));
    }
}
