//! Changing AWS: a cluster comes, stays as it is, and goes.

use kprod::boot::{Program, lock};
use tempfile::TempDir;

use super::account::{Account, Network, said};
use super::bound::check_first_apply;
use super::read::changes;
use super::{Moto, PROD, STAGING};
use crate::env::kprod;

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

/// Whoever has not the program that machines are to fetch makes nothing; once it is in the bucket nobody
/// needs it any more.
#[test]
fn without_the_program_for_machines_nothing_is_made_until_the_bucket_has_it() {
    let account = Moto::shared().account();
    let network = account.network(STAGING);
    let plan = account.plan(&network, &[]).1;
    let asset = plan["resources"].as_array().unwrap().iter().find(|one| one["kind"] == "asset");
    let address = asset.unwrap()["address"].as_str().unwrap();
    account.calls();
    // What does not begin with the verb gets no file by itself.
    let bare = ["--color", "never", "apply", STAGING, "--yes"];
    let refused = account.kprod(&network, &bare);
    assert_eq!(refused.status.code(), Some(5), "{}", said(&refused));
    assert!(
        super::flat(&refused).contains("name its file with --node-program"),
        "{}",
        said(&refused)
    );
    let changed: Vec<_> = account.calls().into_iter().filter(|call| !call.is_read()).collect();
    assert!(changed.is_empty(), "{changed:#?}");

    let only = account.kprod(&network, &["apply", STAGING, "--yes", "--only", address]);
    assert_eq!(only.status.code(), Some(0), "{}", said(&only));
    let rest = account.kprod(&network, &bare);
    assert_eq!(rest.status.code(), Some(0), "{}", said(&rest));
    is_there(&account, &network).unwrap_or_else(|why| panic!("{why}"));
}

/// What was built for machines lies beside kprod, and is what they get where nobody names another file.
#[test]
fn the_program_beside_kprod_is_pinned() {
    let folder = TempDir::new().unwrap();
    let pinned = kprod(folder.path()).args(["node", "pin"]).output().unwrap();
    assert!(pinned.status.success(), "{}", said(&pinned));
    let lock = std::fs::read_to_string(folder.path().join(lock::FILE)).unwrap();
    let beside = std::fs::read(env!("CARGO_BIN_EXE_kprod-node")).unwrap();
    assert_eq!(lock::parse(&lock).unwrap(), Program::of(&beside, None));
}
