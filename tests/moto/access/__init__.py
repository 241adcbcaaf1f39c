"""IAM's checks of what a user may do: every action that a call needs, its resource, its condition.

IAM User Guide, "Policy evaluation logic": a request is denied unless a policy allows it, and an
explicit deny wins. Service Authorization Reference: the actions, the types of resources and the
condition keys of each call. moto has checks of its own (`/moto-api/reset-auth`), which look at one
action a call with `*` for its resource and take any condition for unmet; with a policy that names
resources they deny everything. So these stand in their place. They concern IAM users, of whom
`POST /kprod/users` makes one with policies; the other credentials of the launcher may do all.

Left out: KMS, since moto's volumes need no key; tags that machines get at their launch; policies
other than those of the user itself.
"""

import base64
import json

from moto.iam.models import iam_backends
from moto.iam.policy_validation import IAMPolicyDocumentValidator

from access.calls import asks_of
from access.policy import Verdict, judge

# IAM User Guide, "IAM and AWS STS quotas": characters of a managed policy without white space, and
# managed policies of a user.
POLICY_CHARS_MAX = 6144
POLICIES_MAX = 10

# Statements of each user's policies, by account and name.
_statements = {}


def make_user(account, name, documents):
    """A user with managed policies of these documents, and its keys. The policies are kept here:
    they are no part of what a test finds in the account."""
    backend = iam_backends[account]["aws"]
    if len(documents) > POLICIES_MAX:
        raise ValueError(f"{len(documents)} policies are more than {POLICIES_MAX}")
    for document in documents:
        IAMPolicyDocumentValidator(document).validate()
        if len("".join(document.split())) > POLICY_CHARS_MAX:
            raise ValueError(f"a policy is longer than {POLICY_CHARS_MAX} characters")
    backend.create_user("us-east-1", name)
    _statements[account, name] = [
        one for document in documents for one in json.loads(document)["Statement"]
    ]
    key = backend.create_access_key(name)
    return {"access_key_id": key.access_key_id, "secret_access_key": key.secret_access_key}


def refusal(call):
    """Why a call is denied, as an error's code and message; none where it is allowed."""
    user = user_of(call)
    if user is None:
        return None
    statements = _statements.get((call.account, user), [])
    for ask in asks_of(call):
        verdict = judge(statements, ask)
        if verdict is not Verdict.ALLOWED:
            return denial(call, user, ask, verdict)
    return None


def user_of(call):
    backend = iam_backends[call.account]["aws"]
    key = backend.access_keys.get(call.caller)
    return key.user_name if key else None


def denial(call, user, ask, verdict):
    """AWS's words for it. IAM User Guide, "Troubleshoot access denied error messages"; EC2 API
    Reference, "Error codes", UnauthorizedOperation: an encoded message comes along."""
    if verdict is Verdict.DENIED:
        why = "with an explicit deny in an identity-based policy"
    else:
        why = f"because no identity-based policy allows the {ask.action} action"
    arn = f"arn:aws:iam::{call.account}:user/{user}"
    text = f"User: {arn} is not authorized to perform: {ask.action} on resource: {ask.resource} {why}"
    if call.service != "ec2":
        return "AccessDenied", text
    encoded = base64.b64encode(json.dumps(ask.context).encode() * 4).decode()
    text = f"You are not authorized to perform this operation. {text}."
    return "UnauthorizedOperation", f"{text} Encoded authorization failure message: {encoded}"
