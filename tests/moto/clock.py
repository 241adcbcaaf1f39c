"""The time that passes in an account: real time, and as much more as a test lets pass.

Machines start and end, hooks run out and lags end by this clock, so no test has to wait for them.
The time of signatures and of the `Date` header is another matter: `clock_offset_seconds`.
"""

import time

_passed = {}


def now(account):
    """Seconds since an arbitrary moment."""
    return time.monotonic() + _passed.get(account, 0.0)


def let_pass(account, seconds):
    """Lets time pass in an account at once."""
    _passed[account] = _passed.get(account, 0.0) + float(seconds)
