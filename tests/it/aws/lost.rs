//! Answers that never come: each change that a run makes to the account has its answer lost once.
//! The call took effect, and nobody heard so.
//!
//! By default some of them, spread evenly over the run; all of them when `KPROD_LONG` is set.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::json;

use super::account::{Account, Network, said};
use super::apply::{apply, destroy, is_there};
use super::calls::Call;
use super::{Moto, STAGING};

/// How many losses a short test tries.
const SHORT: usize = 6;

/// Accounts that are worked on at the same time; the emulator answers one call at a time.
const AT_ONCE: usize = 3;

/// Which answer is lost: that to the call of this operation before which so many were answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Loss {
    service: String,
    action: String,
    skip: usize,
}

/// The calls of a run that change something, by operation and turn.
fn losses(calls: &[Call]) -> Vec<Loss> {
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut losses = Vec::new();
    for call in calls.iter().filter(|call| !call.is_read()) {
        let skip = seen.entry((&call.service, &call.action)).or_default();
        let (service, action) = (call.service.clone(), call.action.clone());
        losses.push(Loss { service, action, skip: *skip });
        *skip += 1;
    }
    losses
}

/// All of them, or some that are spread evenly.
fn chosen(losses: Vec<Loss>) -> Vec<Loss> {
    let count = if std::env::var_os("KPROD_LONG").is_some() { losses.len() } else { SHORT };
    let step = losses.len().div_ceil(count.max(1)).max(1);
    losses.into_iter().step_by(step).collect()
}

/// Runs a verb with one answer lost, and once more if it says that a re-run goes on.
///
/// # Errors
/// When it ends in any other way, or the answer was not lost.
fn run_with(
    account: &Account<'_>,
    network: &Network,
    arguments: &[&str],
    loss: &Loss,
) -> Result<i32, String> {
    account.calls();
    let Loss { service, action, skip } = loss;
    let rule = json!({
        "service": service, "action": action, "skip": skip, "times": 1, "mode": "lost",
    });
    account.faults(json!([rule]));
    let run = account.kprod(network, arguments);
    // The bucket's objects are written by the clock too, so their number differs from run to run.
    let is_struck = account.calls().iter().any(|call| call.fault.is_some());
    if !is_struck && service != "s3" {
        return Err(format!("no such call: {}", said(&run)));
    }
    match run.status.code() {
        Some(0) => Ok(0),
        Some(6) => {
            let again = account.kprod(network, arguments);
            let code = again.status.code();
            if code == Some(0) { Ok(6) } else { Err(format!("re-run: {}", said(&again))) }
        }
        code => Err(format!("exit {code:?}: {}", said(&run))),
    }
}

/// Loses every answer in turn, each in an account of its own, and tells how the runs ended.
#[expect(clippy::print_stdout, reason = "`--nocapture` tells the figures")]
fn each(
    losses: Vec<Loss>,
    one: impl Fn(&Account<'_>, &Network, &Loss) -> Result<i32, String> + Sync,
) {
    let moto = Moto::start();
    let count = losses.len();
    let waiting = Mutex::new(losses);
    let ended: Mutex<BTreeMap<i32, Vec<String>>> = Mutex::default();
    let wrong: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(loss) = next(&waiting) {
                    let account = moto.account();
                    let network = account.network(STAGING);
                    match one(&account, &network, &loss) {
                        Ok(code) => {
                            let name = format!("{}:{}", loss.service, loss.action);
                            ended.lock().unwrap().entry(code).or_default().push(name);
                        }
                        Err(why) => wrong.lock().unwrap().push(format!("{loss:?}: {why}")),
                    }
                }
            });
        }
    });
    let (ended, wrong) = (ended.into_inner().unwrap(), wrong.into_inner().unwrap());
    println!("{count} answers lost; by exit code: {ended:#?}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n\n"));
}

fn next(waiting: &Mutex<Vec<Loss>>) -> Option<Loss> {
    waiting.lock().unwrap().pop()
}

/// Nothing is made twice, nothing forgotten.
#[test]
fn an_apply_survives_the_loss_of_any_answer() {
    let account = Moto::shared().account();
    let network = account.network(STAGING);
    account.calls();
    apply(&account, &network).unwrap();
    let losses = chosen(losses(&account.calls()));
    each(losses, |account, network, loss| {
        let code = run_with(account, network, &["apply", STAGING, "--yes"], loss)?;
        is_there(account, network)?;
        Ok(code)
    });
}

/// Nothing is left, and what is gone already is no error.
#[test]
fn a_destroy_survives_the_loss_of_any_answer() {
    let account = Moto::shared().account();
    let network = account.network(STAGING);
    apply(&account, &network).unwrap();
    account.calls();
    destroy(&account, &network).unwrap();
    let losses = chosen(losses(&account.calls()));
    each(losses, |account, network, loss| {
        apply(account, network)?;
        let arguments = ["destroy", STAGING, "--confirm", STAGING];
        let code = run_with(account, network, &arguments, loss)?;
        account.check(&["empty"])?;
        Ok(code)
    });
}
