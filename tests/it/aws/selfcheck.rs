//! The emulator against its own word: every mend is seen at work.

use serde_json::Value;

use super::Moto;

/// `tests/moto/selfcheck.py` goes through the mends with AWS's own client library, so that a mend
/// that a new moto undoes is told by its name.
#[test]
fn every_mend_of_the_emulator_works() {
    let moto = Moto::start();
    let account = moto.account();
    let checks = account.python("selfcheck.py", &[], &Value::Null);
    assert!(checks.as_array().unwrap().len() >= 40, "{checks}");
}
