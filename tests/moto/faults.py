"""Calls that go wrong on request, and errors in the form that each service gives them.

A rule is {"service", "action", "skip", "times", "mode", ...}: it strikes a call of the service
(default: any) whose action matches the regular expression (default: any), after letting `skip`
such calls pass (default: 0), `times` times (default: for ever). The first rule that strikes wins.

    mode      what befalls the call
    error     not done; answered with `status` (400), `code` (Throttling) and `message`
    delay     done after `delay_ms`
    late      done at once, and answered after `delay_ms`
    lost      done, and the connection cut instead of an answer
    reset     not done; the connection is cut
"""

import json
import re
from xml.sax.saxutils import escape

MODES = {"error", "delay", "late", "lost", "reset"}
FIELDS = {
    "service", "action", "skip", "times", "mode", "status", "code", "message", "delay_ms"
}  # fmt: skip


class Faults:
    """The rules of all accounts."""

    def __init__(self):
        self.rules = {}

    def replace(self, account, rules):
        for rule in rules:
            unknown = set(rule) - FIELDS
            if unknown or rule.get("mode", "error") not in MODES:
                raise ValueError(f"not a rule: {rule}")
            re.compile(rule.get("action", ""))
        self.rules[account] = [dict(rule) for rule in rules]

    def strike(self, account, service, action):
        """The rule that strikes this call, which is counted thereby."""
        for rule in self.rules.get(account, []) + self.rules.get(None, []):
            if rule.get("service", service) != service or rule.get("times") == 0:
                continue
            if not re.fullmatch(rule.get("action", ".*"), action):
                continue
            if rule.get("skip", 0) > 0:
                rule["skip"] -= 1
                continue
            if "times" in rule:
                rule["times"] -= 1
            return {"mode": "error", "delay_ms": 0, **rule}
        return None


def wire(service, environ, code, message):
    """An error's body and content type in the service's own form."""
    if environ.get("HTTP_X_AMZ_TARGET"):
        body = json.dumps({"__type": code, "message": message})
        return body.encode(), "application/x-amz-json-1.1"
    error = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    if service == "ec2":
        body = (
            f"<Response><Errors><Error>{error}</Error></Errors><RequestID>0</RequestID></Response>"
        )
    elif service == "s3":
        body = f"<Error>{error}<RequestId>0</RequestId></Error>"
    else:
        error = f"<Error><Type>Sender</Type>{error}</Error>"
        body = f"<ErrorResponse>{error}<RequestId>0</RequestId></ErrorResponse>"
    return body.encode(), "text/xml"
