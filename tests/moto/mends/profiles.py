"""When instance profiles came to be: EC2 learns of them late."""

import clock
import settings

_changed = {}


def changed(account, name):
    """A profile was made, or got its role, just now."""
    _changed[(account, name)] = clock.now(account)


def is_fresh(account, name):
    """Whether EC2 and Auto Scaling do not know of the profile yet.

    IAM User Guide, "Troubleshoot IAM", "Changes that I make are not always immediately visible".
    """
    age = clock.now(account) - _changed.get((account, name), float("-inf"))
    return age < settings.of(account, "iam_lag_seconds")
