//! The laws that replace a fencing token, and a lease's life on the simulator.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use proptest::prelude::*;

use super::misled::{Misled, try_take_on};
use super::*;
use crate::cloud::sim::SimCloud;
use crate::sim::{CallFault, World};

fn record(taken_at: Timestamp) -> LeaseRecord {
    LeaseRecord {
        format_version: 1,
        holder: "ann@host 1".to_owned(),
        token: "t".to_owned(),
        taken_at,
        expires_at: later(taken_at, TERM),
    }
}

proptest! {
    /// The law that replaces a fencing token: a call that began under the old lease is over when
    /// another run may take it, even with clocks apart.
    #[test]
    fn no_call_outlives_the_lease_it_began_under(
        begins_secs in 0..=110u64,
        skew_secs in 0..=10u64,
    ) {
        let lease = record(Timestamp::UNIX_EPOCH);
        let begins = later(Timestamp::UNIX_EPOCH, Duration::from_secs(begins_secs));
        prop_assert!(lease.covers_a_call(begins));
        let ends = later(begins, LONGEST_CALL + Duration::from_secs(skew_secs));
        prop_assert!(ends <= lease.expires_at);
        prop_assert!(later(ends, LONGEST_CALL) <= lease.free_at());
    }

    /// A fresh renewal always covers a call, so a run that renews in time never stalls.
    #[test]
    fn what_need_not_be_renewed_covers_a_call(at_secs in 0..600u64) {
        let lease = record(Timestamp::UNIX_EPOCH);
        let now = later(Timestamp::UNIX_EPOCH, Duration::from_secs(at_secs));
        prop_assert!(lease.is_due(now) || lease.covers_a_call(now));
    }
}

/// What befalls two holders of one lease: each works, sleeps, loses and takes it as it comes.
#[derive(Clone, Debug)]
enum Act {
    /// Takes the lease, if it is to be had.
    Take,
    /// Makes a call of so many seconds, if the lease allows it.
    Call(u64),
    /// Gives it back.
    Release,
    /// Nobody does anything for so many seconds.
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act)>> {
    let act = prop_oneof![
        3 => Just(Act::Take),
        3 => (0..=60u64).prop_map(Act::Call),
        1 => Just(Act::Release),
        3 => (0..=300u64).prop_map(Act::Pass),
    ];
    prop::collection::vec((0..2usize, act), 1..40)
}

fn request(holder: usize) -> LeaseRequest {
    LeaseRequest {
        cluster: "c".to_owned(),
        holder: format!("holder {holder}"),
        token: format!("token {holder}"),
        wait_max: Duration::ZERO,
    }
}

async fn try_take(cloud: &SimCloud, holder: usize) -> Result<Lease, LeaseError> {
    take(cloud, &request(holder), &StopSignal::new(), &|_, _| ()).await
}

/// Plays the acts and gives each call: whose it was, when it began, when it was over at the latest.
async fn play(acts: &[(usize, Act)]) -> Vec<(usize, Timestamp, Timestamp)> {
    let cloud = SimCloud::in_memory(1);
    let mut leases: [Option<Lease>; 2] = [None, None];
    let mut calls = Vec::new();
    for (holder, act) in acts {
        let lease = &mut leases[*holder];
        match act {
            Act::Take if lease.is_none() => *lease = try_take(&cloud, *holder).await.ok(),
            Act::Take => {}
            Act::Call(secs) => {
                let Some(held) = lease else { continue };
                match held.ensure(&cloud, Duration::from_secs(5)).await {
                    Ok(()) => {
                        let begins = cloud.now();
                        calls.push((*holder, begins, later(begins, Duration::from_secs(*secs))));
                    }
                    Err(_) => *lease = None,
                }
            }
            Act::Release => {
                if let Some(held) = lease.take() {
                    // Whoever gives it back has no call under way.
                    let mine = calls.iter().filter(|(who, ..)| who == holder);
                    let over = mine.map(|(.., ends)| *ends).max().unwrap_or(cloud.now());
                    cloud.sleep(Duration::try_from(over - cloud.now()).unwrap_or_default()).await;
                    held.release(&cloud).await;
                }
            }
            Act::Pass(secs) => cloud.sleep(Duration::from_secs(*secs)).await,
        }
    }
    calls
}

proptest! {
    /// However two holders sleep and wake, their calls are never under way at the same time.
    #[test]
    fn calls_of_two_holders_never_meet(acts in acts()) {
        let calls = block_on(play(&acts));
        for (who, begins, ends) in &calls {
            for (other, since, until) in &calls {
                prop_assert!(who == other || ends <= since || until <= begins, "{calls:#?}");
            }
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The requests to the bucket so far.
fn requests(cloud: &SimCloud) -> Vec<(String, String)> {
    let logged = |world: &mut World| {
        world.log.iter().map(|call| (call.operation.clone(), call.outcome.clone())).collect()
    };
    cloud.with_world(logged).unwrap()
}

/// From now on `count` writes to the bucket meet this fault.
fn break_writes(cloud: &SimCloud, count: u64, fault: CallFault) {
    let plan = |world: &mut World| {
        let next = world.store_count + 1;
        world.faults.on_store_write = (next..next + count).map(|n| (n, fault)).collect();
    };
    cloud.with_world(plan).unwrap();
}

#[tokio::test]
async fn a_free_lease_costs_one_request_and_giving_it_back_another() {
    let cloud = SimCloud::in_memory(1);
    try_take(&cloud, 0).await.unwrap().release(&cloud).await;
    let ok = |operation: &str| (operation.to_owned(), "ok".to_owned());
    assert_eq!(requests(&cloud), [ok("PutObject"), ok("DeleteObject")]);
}

#[tokio::test]
async fn lost_answers_are_recognised_by_the_own_token() {
    let cloud = SimCloud::in_memory(1);
    break_writes(&cloud, 1, CallFault::AnswerLost);
    let mut lease = try_take(&cloud, 0).await.unwrap();
    cloud.sleep(TERM / 2 + Duration::from_secs(1)).await;
    let before = lease.record().expires_at;
    break_writes(&cloud, 1, CallFault::AnswerLost);
    lease.keep(&cloud).await.unwrap();
    lease.ensure(&cloud, Duration::ZERO).await.unwrap();
    assert!(lease.record().expires_at > before);
    break_writes(&cloud, 1, CallFault::AnswerLost);
    lease.release(&cloud).await;
    assert_eq!(read(&cloud, "c").await, Ok(None));
}

#[tokio::test]
async fn a_store_that_is_down_stops_nobody_for_the_longest_call_and_everybody_when_the_lease_ends()
{
    let cloud = SimCloud::in_memory(1);
    let mut lease = try_take(&cloud, 0).await.unwrap();
    let free_at = lease.record().free_at();
    cloud.sleep(LONGEST_CALL - Duration::from_secs(5)).await;
    break_writes(&cloud, 100_000, CallFault::Unavailable);
    let down_at = cloud.now();
    lease.ensure(&cloud, Duration::ZERO).await.unwrap();
    assert!(cloud.now() < later(down_at, Duration::from_secs(5)), "it was ours a moment ago");
    cloud.sleep(Duration::from_secs(30)).await;
    let lost = lease.ensure(&cloud, Duration::ZERO).await;
    assert!(matches!(lost, Err(LeaseError::Lost { .. })), "{lost:?}");
    let waited = cloud.now();
    assert!(waited <= free_at && later(waited, Duration::from_secs(10)) > free_at, "{waited}");
}

/// Somebody breaks the lease, and the store fails when that would be seen: a minute after the last look
/// it is asked again until it answers.
#[tokio::test]
async fn a_lease_that_was_not_seen_for_a_minute_is_looked_at_before_a_call() {
    let cloud = SimCloud::in_memory(1);
    let mut lease = try_take(&cloud, 0).await.unwrap();
    cloud.with_world(|world| world.objects.remove(&key("c"))).unwrap();
    cloud.sleep(LONGEST_CALL + Duration::from_secs(1)).await;
    break_writes(&cloud, 3, CallFault::Unavailable);
    let lost = lease.ensure(&cloud, Duration::from_secs(1)).await;
    assert!(matches!(lost, Err(LeaseError::Lost { .. })), "{lost:?}");
}

/// The store comes back before anybody else may take the lease: nothing was lost.
#[tokio::test]
async fn a_renewal_that_comes_late_is_in_time_while_nobody_may_take_over() {
    let cloud = SimCloud::in_memory(1);
    let mut lease = try_take(&cloud, 0).await.unwrap();
    cloud.sleep(TERM).await;
    break_writes(&cloud, 5, CallFault::Unavailable);
    lease.ensure(&cloud, Duration::ZERO).await.unwrap();
    assert!(lease.record().covers_a_call(cloud.now()));
}

#[tokio::test]
async fn a_dead_holders_lease_is_taken_over_at_its_end_plus_the_longest_call_and_not_before() {
    let cloud = SimCloud::in_memory(1);
    let free_at = try_take(&cloud, 0).await.unwrap().record().free_at();
    let until_free = Duration::try_from(free_at - cloud.now()).unwrap();
    cloud.sleep(until_free - Duration::from_secs(2)).await;
    let locked = try_take(&cloud, 1).await;
    assert!(matches!(locked, Err(LeaseError::Locked { .. })), "{locked:?}");
    let patient = LeaseRequest { wait_max: Duration::from_secs(60), ..request(1) };
    let told = std::sync::Mutex::new(Vec::new());
    let on_wait = |record: &LeaseRecord, _: Timestamp| {
        told.lock().unwrap().push(record.holder.clone());
    };
    let taken = take(&cloud, &patient, &StopSignal::new(), &on_wait).await.unwrap();
    assert!(taken.record().taken_at >= free_at);
    assert_eq!(*told.lock().unwrap(), ["holder 0"], "told once");
}

#[tokio::test]
async fn who_wakes_up_to_find_it_taken_makes_no_call() {
    for (is_done, why) in [
        (false, "holder 1 holds it now"),
        (true, "somebody removed it, or took it over and is done"),
    ] {
        let cloud = SimCloud::in_memory(1);
        let mut asleep = try_take(&cloud, 0).await.unwrap();
        cloud.sleep(TERM + LONGEST_CALL + CLOCK_MARGIN).await;
        let other = try_take(&cloud, 1).await.unwrap();
        let held = if is_done {
            other.release(&cloud).await;
            None
        } else {
            Some(other)
        };
        let lost = asleep.ensure(&cloud, Duration::from_secs(1)).await.unwrap_err().to_string();
        assert!(lost.contains(why), "{lost}");
        // What it gives back is not its own any more.
        let other = match held {
            Some(other) => other,
            None => try_take(&cloud, 1).await.unwrap(),
        };
        asleep.release(&cloud).await;
        assert_eq!(read(&cloud, "c").await.unwrap().as_ref(), Some(other.record()));
    }
}

/// The answer to a renewal was waiting when the process woke up, and somebody had broken the lease
/// since: the answer says what was, not what is.
#[tokio::test]
async fn who_wakes_up_to_an_answer_asks_again() {
    let cloud = Misled::by(0);
    let mut asleep = try_take_on(&cloud).await.unwrap();
    cloud.sleep(Duration::from_secs(5)).await;
    cloud.falls_asleep_in_the_next_write(Duration::from_secs(12));
    let lost = asleep.ensure(&cloud, Duration::from_secs(1)).await.unwrap_err().to_string();
    assert!(lost.contains("somebody removed it"), "{lost}");
}

/// Tasks share a lease. The look of one fails, then finds it lost; the next one's comes within the
/// time for which a failed look is not repeated.
#[tokio::test]
async fn what_is_lost_stays_lost() {
    let cloud = SimCloud::in_memory(1);
    let mut lease = try_take(&cloud, 0).await.unwrap();
    break_lease(&cloud, "c").await.unwrap();
    break_writes(&cloud, 1, CallFault::Unavailable);
    lease.ensure(&cloud, Duration::ZERO).await.unwrap();
    cloud.sleep(Duration::from_secs(2)).await;
    for age_max in [1, 3_600].map(Duration::from_secs) {
        let lost = lease.ensure(&cloud, age_max).await.unwrap_err().to_string();
        assert!(lost.contains("somebody removed it"), "{lost}");
    }
}

#[tokio::test]
async fn a_broken_lease_is_noticed_before_the_next_call() {
    let cloud = SimCloud::in_memory(1);
    let mut lease = try_take(&cloud, 0).await.unwrap();
    break_lease(&cloud, "c").await.unwrap();
    cloud.sleep(Duration::from_secs(1)).await;
    assert!(lease.ensure(&cloud, Duration::from_millis(500)).await.is_err());
}

#[tokio::test]
async fn breaking_a_lease_breaks_the_one_that_was_looked_at() {
    let cloud = SimCloud::in_memory(1);
    let mut lease = try_take(&cloud, 0).await.unwrap();
    let found = find(&cloud, "c").await.unwrap().unwrap();
    lease.ensure(&cloud, Duration::ZERO).await.unwrap();
    cloud.sleep(Duration::from_secs(1)).await;
    lease.ensure(&cloud, Duration::ZERO).await.unwrap();
    assert_eq!(found.remove(&cloud, "c").await, Err(LeaseError::Moved("c".to_owned())));
    // What is no lease can be removed as well.
    cloud.put(&key("c"), b"{}".to_vec(), Condition::Any).await.unwrap();
    assert!(matches!(read(&cloud, "c").await, Err(LeaseError::Damaged { .. })));
    assert_eq!(break_lease(&cloud, "c").await, Ok(None));
    assert_eq!(read(&cloud, "c").await, Ok(None));
}

/// A machine's clock counts until the bucket has answered: what it wrote is mended at once.
#[tokio::test]
async fn a_lease_written_by_a_wrong_clock_is_mended_before_it_counts() {
    for offset_secs in [-240, 240] {
        let cloud = Misled::by(offset_secs);
        let lease = try_take_on(&cloud).await.unwrap();
        let now = cloud.now();
        assert!(lease.record().covers_a_call(now), "{offset_secs}");
        let stored = read(&cloud, "c").await.unwrap().unwrap();
        assert!(stored.expires_at <= later(now, TERM + CLOCK_MARGIN), "{offset_secs}");
    }
}
