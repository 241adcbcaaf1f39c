"""Checks an account against what was written down by hand, with nothing of kprod's in between.

    python check.py CLUSTER [CLUSTER ...]     exactly these clusters are there, and nothing else
    python check.py empty                     no cluster is there, nor a lease on one

It asks AWS's API as the environment says (AWS_ENDPOINT_URL and credentials). It prints a count by
kind and exits 0, or lists everything that is missing, extra or different and exits 1.
"""

import re
import sys
from collections import Counter

from checking.account import Account
from checking.fleet import CLUSTERS
from checking.wanted import wanted


def differences(expected, found, path):
    """Where two values differ, down to the key."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys()):
            inner = f"{path}.{key}" if path else key
            yield from differences(expected.get(key), found.get(key), inner)
    elif isinstance(expected, re.Pattern):
        if not (isinstance(found, str) and expected.fullmatch(found)):
            yield f"{path}: expected {expected.pattern}, found {found!r}"
    elif expected != found:
        yield f"{path}: expected {expected!r}, found {found!r}"


def compare(expected, found):
    """Every difference, one a line."""
    lines = []
    for kind, name in sorted(expected.keys() | found.keys()):
        if (kind, name) not in found:
            lines.append(f"missing: {kind} {name}")
        elif (kind, name) not in expected:
            lines.append(f"extra: {kind} {name}")
        else:
            here = differences(expected[kind, name], found[kind, name], "")
            lines += [f"differs: {kind} {name}: {line}" for line in here]
    return lines


def main(names):
    expected = {}
    if names != ["empty"]:
        for name in names:
            expected |= wanted(CLUSTERS[name])
    found = Account().read()
    lines = compare(expected, found)
    if lines:
        print("\n".join(lines))
        sys.exit(1)
    for kind, count in sorted(Counter(kind for kind, _ in found).items()):
        print(f"{count:4} {kind}")


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    main(sys.argv[1:])
