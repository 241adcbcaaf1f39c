//! Several futures at once, never more than a given number.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// A future that the pool may hold.
pub(crate) type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs the tasks, at most `limit` at a time, begun in their order; results come in that order too.
pub(crate) async fn bounded<T>(limit: usize, tasks: Vec<Task<'_, T>>) -> Vec<T> {
    let mut results: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
    let mut waiting = tasks.into_iter().enumerate();
    let mut active: Vec<(usize, Task<'_, T>)> = waiting.by_ref().take(limit.max(1)).collect();
    poll_fn(|context| {
        // A finished task makes room for a new one, which wants its first poll in the same turn.
        loop {
            let before = active.len();
            active.retain_mut(|(index, task)| match task.as_mut().poll(context) {
                Poll::Ready(result) => {
                    if let Some(slot) = results.get_mut(*index) {
                        *slot = Some(result);
                    }
                    false
                }
                Poll::Pending => true,
            });
            let freed = before - active.len();
            active.extend(waiting.by_ref().take(freed));
            if active.is_empty() {
                return Poll::Ready(());
            }
            if freed == 0 {
                return Poll::Pending;
            }
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn never_more_than_the_limit_and_results_in_order() {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let tasks: Vec<Task<'_, usize>> = (0..50usize)
            .map(|n| {
                let (running, most) = (&running, &most);
                Box::pin(async move {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    for _ in 0..=n % 7 {
                        tokio::task::yield_now().await;
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    n
                }) as Task<'_, usize>
            })
            .collect();
        let results = bounded(8, tasks).await;
        assert_eq!(results, (0..50usize).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), 8);
    }
}
