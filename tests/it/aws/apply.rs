//! Changing AWS: a cluster comes, stays as it is, and goes.

use super::account::{Account, Network, said};
use super::bound::check_first_apply;
use super::read::changes;
use super::{Moto, PROD, STAGING};

/// Makes a cluster in an account that has none.
///
/// # Errors
/// When the run does not end with 0, or what is there afterwards is not what was wanted.
pub(super) fn apply(account: &Account<'_>, network: &Network) -> Result<(), String> {
    let run = account.kprod(network, &["apply", network.cluster, "--yes"]);
    if run.status.code() != Some(0) {
        return Err(said(&run));
    }
    is_there(account, network)
}

/// Whether a cluster is there as wanted, whoever looks.
///
/// # Errors
/// What differs.
pub(super) fn is_there(account: &Account<'_>, network: &Network) -> Result<(), String> {
    for depth in [&[][..], &["--deep"]] {
        let (code, plan) = account.plan(network, depth);
        if code != 0 {
            return Err(format!("plan {depth:?} ends with {code}: {:#?}", changes(&plan)));
        }
    }
    account.check(&[network.cluster])
}

/// Removes a cluster.
///
/// # Errors
/// When the run does not end with 0, or something is left.
pub(super) fn destroy(account: &Account<'_>, network: &Network) -> Result<(), String> {
    let run = account.kprod(network, &["destroy", network.cluster, "--confirm", network.cluster]);
    if run.status.code() != Some(0) {
        return Err(said(&run));
    }
    account.check(&["empty"])
}

/// From an empty account to a cluster that is as wanted, and back to an empty account; and once more
/// from there.
fn comes_and_goes(cluster: &'static str) {
    let account = Moto::shared().account();
    let network = account.network(cluster);
    let (_, plan) = account.plan(&network, &[]);
    account.calls();
    let run = account.kprod(&network, &["apply", cluster, "--yes"]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    check_first_apply(&plan, &account.calls());

    let rest = || {
        is_there(&account, &network)?;
        destroy(&account, &network)?;
        // Nothing is left to do.
        destroy(&account, &network)?;
        apply(&account, &network)
    };
    rest().unwrap_or_else(|why: String| panic!("{why}"));
}

#[test]
fn staging_comes_for_few_calls_and_goes_and_comes_again() {
    comes_and_goes(STAGING);
}

#[test]
fn prod_comes_for_few_calls_and_goes_and_comes_again() {
    comes_and_goes(PROD);
}
