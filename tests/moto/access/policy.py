"""Whether statements of policies allow one action on one resource in one context."""

import enum
import re
from dataclasses import dataclass, field


@dataclass
class Ask:
    """One thing that a call needs leave for."""

    action: str
    resource: str
    # Condition keys with the values that the request has; a key without values is absent.
    context: dict = field(default_factory=dict)


class Verdict(enum.Enum):
    ALLOWED = 1
    UNSAID = 2
    DENIED = 3


def judge(statements, ask):
    """IAM User Guide, "Policy evaluation logic"."""
    effects = {one["Effect"] for one in statements if concerns(one, ask)}
    if "Deny" in effects:
        return Verdict.DENIED
    return Verdict.ALLOWED if "Allow" in effects else Verdict.UNSAID


def concerns(statement, ask):
    actions = [action.lower() for action in listed(statement["Action"])]
    return (
        any(like(pattern, ask.action.lower()) for pattern in actions)
        and any(like(pattern, ask.resource) for pattern in listed(statement["Resource"]))
        and holds(statement.get("Condition", {}), ask.context)
    )


def listed(value):
    return value if isinstance(value, list) else [value]


def like(pattern, text):
    parts = re.split(r"([*?])", pattern)
    wild = {"*": ".*", "?": "."}
    return re.fullmatch("".join(wild.get(p, re.escape(p)) for p in parts), text, re.S) is not None


def holds(condition, context):
    """All operators, all keys. IAM JSON policy reference, "Condition operators"."""
    context = {key.lower(): listed(values) for key, values in context.items()}
    return all(
        key_holds(operator, context.get(key.lower(), []), [str(value) for value in listed(wanted)])
        for operator, keys in condition.items()
        for key, wanted in keys.items()
    )


def key_holds(operator, values, wanted):
    if operator == "Null":
        return (not values) == (wanted == ["true"])
    quantifier, _, operator = operator.rpartition(":")
    if operator.endswith("IfExists"):
        operator = operator.removesuffix("IfExists")
        if not values:
            return True
    matches = OPERATORS[operator]
    fits = [any(matches(one, value) for one in wanted) for value in values]
    if quantifier == "ForAllValues":
        return all(fits)
    if quantifier == "ForAnyValue":
        return any(fits)
    return len(fits) == 1 and fits[0]


OPERATORS = {
    "StringEquals": lambda wanted, value: wanted == value,
    "StringLike": like,
    "ArnLike": like,
    "Bool": lambda wanted, value: wanted.lower() == value.lower(),
}
