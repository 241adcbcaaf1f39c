//! The check of an account, which knows nothing of kprod, can fail.

use super::{Moto, STAGING};

/// One thing of a sound account is changed at a time, and the check tells exactly that one.
#[test]
fn the_check_of_an_account_tells_every_kind_of_change() {
    let account = Moto::shared().account();
    let network = account.network(STAGING);
    account.seed("plan", &account.plan(&network, &[]).1);
    let told = account.python("check_itself.py", &[STAGING], &serde_json::json!(null));
    assert!(told["changes"].as_u64().unwrap() >= 10, "{told}");
}
