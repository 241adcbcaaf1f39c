//! Two runs at the same cluster at the same time.
//!
//! `KPROD_RACES=20` races twenty times.

use super::account::Account;
use super::apply::is_there;
use super::calls::Call;
use super::{Moto, STAGING};

/// How many races there are where nobody says otherwise.
const RACES_DEFAULT: u64 = 3;

const APPLY: &[&str] = &["apply", STAGING, "--yes"];

/// Two processes with credentials of their own start together: one does the work, and the other ends
/// with 4 before it changes anything.
fn race(moto: &Moto) -> Result<(), String> {
    let one = moto.account();
    let other = moto.account_numbered(&one.number);
    let network = one.network(STAGING);
    one.calls();
    let runs = [one.start(&network, APPLY), other.start(&network, APPLY)];
    let [(first, _, first_said), (second, _, second_said)] = runs.map(|run| run.finish());
    let loser = match (first, second) {
        (Some(0), Some(4)) => &other,
        (Some(4), Some(0)) => &one,
        codes => return Err(format!("{codes:?}\n{first_said}\n{second_said}")),
    };
    match changes_of(&one.calls(), loser) {
        0 => is_there(&one, &network),
        count => Err(format!("the loser made {count} changes")),
    }
}

fn changes_of(calls: &[Call], account: &Account<'_>) -> usize {
    calls.iter().filter(|call| call.caller == account.key_id() && call.is_change()).count()
}

#[test]
fn of_two_runs_at_a_time_one_does_the_work_and_the_other_nothing() {
    let races = std::env::var("KPROD_RACES").map_or(RACES_DEFAULT, |count| count.parse().unwrap());
    let moto = Moto::start();
    let lost: Vec<String> = (0..races)
        .filter_map(|index| race(&moto).err().map(|why| format!("race {index}: {why}")))
        .collect();
    assert!(lost.is_empty(), "{}", lost.join("\n\n"));
}

/// A run that was killed holds its lease until its end: before that the next one ends with 4, having
/// changed nothing.
#[test]
fn the_lease_of_a_killed_run_keeps_others_out() {
    let one = Moto::shared().account();
    let other = one.moto.account_numbered(&one.number);
    let network = one.network(STAGING);
    one.calls();
    let mut run = one.start(&network, APPLY);
    assert!(one.changes_reach(3), "the run changed nothing");
    run.kill();
    let (code, _, said) = other.start(&network, APPLY).finish();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("kprod unlock"), "{said}");
    assert_eq!(changes_of(&one.calls(), &other), 0);
}
