"""S3: whose bucket it is, and where it lives, both told before moto sees the call; and how a bucket
speaks of itself."""

import base64
import hashlib
import json
import re

from moto.s3.models import FakeBucket, s3_backends
from moto.s3.responses import S3Response


def refusal(call):
    """Why S3 refuses a call, as (status, code, message, headers); None if it does not.

    Amazon S3 User Guide, "Verifying bucket ownership with bucket owner condition": AccessDenied for
    another owner than expected. A bucket without a policy is its owner's alone. "Error responses",
    PermanentRedirect: a bucket is reached in its own region, which `x-amz-bucket-region` names.
    "Checking object integrity", BadDigest: what arrives is compared with the sum that comes with it.
    moto serves every bucket to everybody, everywhere, and keeps whatever arrives.
    """
    bucket = call.params.get("Bucket")
    if not bucket or call.action == "CreateBucket" or bucket not in s3_backends.bucket_accounts:
        return None
    partition, owner = s3_backends.bucket_accounts[bucket]
    expected = call.params.get("ExpectedBucketOwner", owner)
    if owner != call.account or expected != owner:
        return 403, "AccessDenied", "Access Denied", []
    region = s3_backends[owner][partition].buckets[bucket].region_name
    signed = re.search(r"Credential=[^/]+/\d+/([^/]+)/", call.environ.get("HTTP_AUTHORIZATION", ""))
    headers = [("x-amz-bucket-region", region)]
    if signed and signed.group(1) != region and call.action != "GetBucketLocation":
        message = (
            "The bucket you are attempting to access must be addressed using the specified "
            "endpoint. Please send all future requests to this endpoint."
        )
        return 301, "PermanentRedirect", message, headers
    if call.action == "PutObject" and not has_its_sum(call.environ):
        return 400, "BadDigest", "The SHA256 you specified did not match what we received.", []
    return None


def has_its_sum(environ):
    """Whether a body is what the sum in its header says; one without such a header is."""
    wanted = environ.get("HTTP_X_AMZ_CHECKSUM_SHA256")
    if not wanted or "aws-chunked" in environ.get("HTTP_CONTENT_ENCODING", ""):
        return True
    found = hashlib.sha256(environ["wsgi.input"].getvalue()).digest()
    return base64.b64encode(found).decode() == wanted


def take_every_request_for_a_secure_one():
    """A policy that denies requests without TLS denies none of these: the launcher stands for AWS's
    own endpoints, which the tests reach without it.

    IAM User Guide, "AWS global condition context keys", `aws:SecureTransport`. moto leaves conditions
    of a bucket's policy out, and so denies everything.
    """
    decide = FakeBucket.get_permission

    def decide_securely(self, action, resource):
        kept = self.policy
        if kept:
            policy = json.loads(kept)
            statements = policy["Statement"]
            statements = statements if isinstance(statements, list) else [statements]
            policy["Statement"] = [item for item in statements if not is_about_tls(item)]
            self.policy = json.dumps(policy).encode() if policy["Statement"] else None
        try:
            return decide(self, action, resource)
        finally:
            self.policy = kept

    FakeBucket.get_permission = decide_securely


def name_the_versioning_as_s3_does():
    """The root of GetBucketVersioning's answer is `VersioningConfiguration`.

    Amazon S3 API Reference, GetBucketVersioning, "Response Syntax". moto names it after the
    operation, which strict clients do not take.
    """
    answer = S3Response.get_bucket_versioning

    def answer_rightly(self):
        status, headers, body = answer(self)
        wrong, right = "GetBucketVersioningResponse", "VersioningConfiguration"
        return status, headers, body.replace(wrong, right)

    S3Response.get_bucket_versioning = answer_rightly


def is_about_tls(statement):
    return "aws:SecureTransport" in statement.get("Condition", {}).get("Bool", {})


MENDS = [take_every_request_for_a_secure_one, name_the_versioning_as_s3_does]
