//! A wish to pause: an object of the state bucket that anybody may write and remove, whoever holds the
//! lease. A roll that sees it begins with no further machine.

use super::Pause;
use crate::apply::store::{PATIENT, persist};
use crate::apply::store_failure;
use crate::cloud::{Cloud, Condition};
use crate::error::Failure;

/// The object that holds a cluster's wish.
pub fn key(cluster: &str) -> String {
    format!("pause/{cluster}")
}

/// Reads who asked for a pause. What cannot be read asks for one all the same: somebody meant
/// something.
///
/// # Errors
/// When the state bucket cannot be read (exit 1).
pub async fn read<C: Cloud>(cloud: &C, cluster: &str) -> Result<Option<Pause>, Failure> {
    let key = key(cluster);
    let found = persist(cloud, PATIENT, || cloud.get(&key)).await;
    let entry = found.map_err(|error| store_failure(&error, cluster))?;
    Ok(entry.map(|entry| {
        serde_json::from_slice(&entry.body).unwrap_or_else(|_| Pause {
            by: format!("whoever wrote `{key}`"),
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
    let key = key(cluster);
    let body = serde_json::to_vec_pretty(pause)
        .map_err(|error| Failure::error(format!("the pause cannot be written: {error}")))?;
    let put = || cloud.put(&key, body.clone(), Condition::Any);
    let written = persist(cloud, PATIENT, put).await;
    written.map(|_| ()).map_err(|error| store_failure(&error, cluster))
}

/// Takes the wish back, whoever had it.
///
/// # Errors
/// When the state bucket cannot be written (exit 1).
pub async fn clear<C: Cloud>(cloud: &C, cluster: &str) -> Result<(), Failure> {
    let key = key(cluster);
    let removed = persist(cloud, PATIENT, || cloud.remove(&key, Condition::Any)).await;
    removed.map_err(|error| store_failure(&error, cluster))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
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
