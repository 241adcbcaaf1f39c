"""Sees every mend at work, through AWS's own client library.

    python selfcheck.py [NAME...]    runs the checks, or those whose names contain one of the words;
                                     prints their names as a JSON list

It needs an empty account of the launcher. Each check makes what it needs under names of its own.
"""

import json
import sys

from seeing import ec2, front, groups, limits, lives, moves, names, others, targets
from seeing.world import World


def main():
    checks = {}
    for module in (groups, lives, moves, targets, ec2, limits, names, others, front):
        checks |= {name: run for name, run in vars(module).items() if name.startswith("check_")}
    if sys.argv[1:]:
        checks = {n: run for n, run in checks.items() if any(word in n for word in sys.argv[1:])}
    world = World()
    for name, run in checks.items():
        try:
            run(world)
        except Exception:
            print(f"{name} failed", file=sys.stderr)
            raise
    print(json.dumps(list(checks)))


if __name__ == "__main__":
    main()
