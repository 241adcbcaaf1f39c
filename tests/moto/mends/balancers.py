"""Elastic Load Balancing v2."""

import re

from moto.elbv2 import models


def any_hyphens_in_names():
    """A target group's name may hold two hyphens in a row.

    Elastic Load Balancing API reference, CreateTargetGroup, `Name`: "can have a maximum of 32
    characters, must contain only alphanumeric characters or hyphens, and must not begin or end with
    a hyphen". moto refuses `--`, which kops' names have wherever they are cut at a hyphen.
    """

    class Patterns:
        """Python's `re` as moto's module uses it, without that one clause."""

        def match(self, pattern, text):
            return re.match(pattern.replace("(?!.*--)", ""), text)

        def __getattr__(self, name):
            return getattr(re, name)

    models.re = Patterns()


MENDS = [any_hyphens_in_names]
