"""S3: whose bucket it is, and where it lives. Both are told before moto sees the call."""

import re

from moto.s3.models import s3_backends


def refusal(call):
    """Why S3 refuses a call, as (status, code, message, headers); None if it does not.

    Amazon S3 User Guide, "Verifying bucket ownership with bucket owner condition": AccessDenied for
    another owner than expected. A bucket without a policy is its owner's alone. "Error responses",
    PermanentRedirect: a bucket is reached in its own region, which `x-amz-bucket-region` names.
    moto serves every bucket to everybody, everywhere.
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
    return None
