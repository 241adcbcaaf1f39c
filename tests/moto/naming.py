"""Who makes a call, and which: the service, the action and the parameters of a signed request."""

import json
import re
from urllib.parse import parse_qsl, unquote

from moto.iam.models import get_account_id_from

# Services that name the action in the body.
QUERY_SERVICES = {"ec2", "autoscaling", "iam", "sts", "elasticloadbalancing"}

# Route53 knows actions by method and path.
ROUTE53 = [
    ("GET", r"/hostedzone/?", "ListHostedZones"),
    ("POST", r"/hostedzone/?", "CreateHostedZone"),
    ("GET", r"/hostedzonesbyname/?", "ListHostedZonesByName"),
    ("GET", r"/hostedzonesbyvpc/?", "ListHostedZonesByVPC"),
    ("GET", r"/hostedzone/(?P<Id>[^/]+)/?", "GetHostedZone"),
    ("POST", r"/hostedzone/(?P<Id>[^/]+)/?", "UpdateHostedZoneComment"),
    ("DELETE", r"/hostedzone/(?P<Id>[^/]+)/?", "DeleteHostedZone"),
    ("GET", r"/hostedzone/(?P<Id>[^/]+)/rrset/?", "ListResourceRecordSets"),
    ("POST", r"/hostedzone/(?P<Id>[^/]+)/rrset/?", "ChangeResourceRecordSets"),
    ("POST", r"/hostedzone/(?P<Id>[^/]+)/associatevpc/?", "AssociateVPCWithHostedZone"),
    ("POST", r"/hostedzone/(?P<Id>[^/]+)/disassociatevpc/?", "DisassociateVPCFromHostedZone"),
    ("GET", r"/change/(?P<Id>[^/]+)/?", "GetChange"),
    ("GET", r"/tags/hostedzone/(?P<Id>[^/]+)/?", "ListTagsForResource"),
    ("POST", r"/tags/hostedzone/(?P<Id>[^/]+)/?", "ChangeTagsForResource"),
    ("POST", r"/tags/hostedzone/?", "ListTagsForResources"),
]

# S3 knows actions by method, and by a word in the query: of a bucket, and of an object.
S3_BUCKET = {
    "": {"GET": "ListObjects", "PUT": "CreateBucket", "HEAD": "HeadBucket",
         "DELETE": "DeleteBucket"},
    "list-type": {"GET": "ListObjectsV2"},
    "versions": {"GET": "ListObjectVersions"},
    "delete": {"POST": "DeleteObjects"},
    "location": {"GET": "GetBucketLocation"},
    "versioning": {"GET": "GetBucketVersioning", "PUT": "PutBucketVersioning"},
    "encryption": {"GET": "GetBucketEncryption", "PUT": "PutBucketEncryption",
                   "DELETE": "DeleteBucketEncryption"},
    "publicAccessBlock": {"GET": "GetPublicAccessBlock", "PUT": "PutPublicAccessBlock",
                          "DELETE": "DeletePublicAccessBlock"},
    "policy": {"GET": "GetBucketPolicy", "PUT": "PutBucketPolicy",
               "DELETE": "DeleteBucketPolicy"},
    "tagging": {"GET": "GetBucketTagging", "PUT": "PutBucketTagging",
                "DELETE": "DeleteBucketTagging"},
    "ownershipControls": {"GET": "GetBucketOwnershipControls",
                          "PUT": "PutBucketOwnershipControls"},
    "lifecycle": {"GET": "GetBucketLifecycleConfiguration",
                  "PUT": "PutBucketLifecycleConfiguration"},
}  # fmt: skip
S3_OBJECT = {
    "": {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"},
    "tagging": {"GET": "GetObjectTagging", "PUT": "PutObjectTagging"},
}
S3_HEADERS = {
    "HTTP_IF_MATCH": "IfMatch",
    "HTTP_IF_NONE_MATCH": "IfNoneMatch",
    "HTTP_X_AMZ_EXPECTED_BUCKET_OWNER": "ExpectedBucketOwner",
}

# A longer value is cut in the log: user data is the longest, and nobody counts it.
VALUE_MAX = 2000

_accounts = {}


def key_of(environ):
    """The access key that signs the request."""
    match = re.search(r"Credential=([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    return match.group(1) if match else ""


def region_of(environ):
    """The region that the request is signed for."""
    match = re.search(r"Credential=[^/]+/\d+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    return match.group(1) if match else ""


def account_of(environ):
    """The account that signs the request. Unknown keys are moto's default account."""
    key = key_of(environ)
    if key not in _accounts:
        account = get_account_id_from(key)
        if account == get_account_id_from(""):
            return account
        _accounts[key] = account
    return _accounts[key]


def name_call(environ, body):
    """The service, the action and the parameters of a request."""
    match = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    service = match.group(1) if match else "-"
    if service in QUERY_SERVICES:
        action, params = name_query(body)
    elif service == "route53":
        action, params = name_route53(environ, body)
    elif service == "s3":
        action, params = name_s3(environ, body)
    else:
        action, params = name_json(environ, body)
    action = action or f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
    return service, action, {name: value[:VALUE_MAX] for name, value in params.items()}


def name_json(environ, body):
    """Systems Manager. What a parameter holds is not told: it may be a secret."""
    action = environ.get("HTTP_X_AMZ_TARGET", "").split(".")[-1]
    try:
        sent = json.loads(body or b"{}")
    except ValueError:
        return action, {}
    params = {}
    for name, value in sent.items():
        if name == "Tags":
            for number, tag in enumerate(value, 1):
                params[f"Tags.member.{number}.Key"] = tag["Key"]
                params[f"Tags.member.{number}.Value"] = tag["Value"]
        elif name == "Names":
            params |= {f"Names.member.{number}": one for number, one in enumerate(value, 1)}
        elif name != "Value":
            params[name] = str(value)
    return action, params


def name_query(body):
    params = dict(parse_qsl(body.decode("utf8", "replace"), keep_blank_values=True))
    params.pop("Version", None)
    return params.pop("Action", ""), params


def name_route53(environ, body):
    path = environ["PATH_INFO"].removeprefix("/2013-04-01")
    for method, pattern, action in ROUTE53:
        match = re.fullmatch(pattern, path)
        if match and method == environ["REQUEST_METHOD"]:
            query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
            text = {"Body": body.decode("utf8", "replace")} if body else {}
            return action, match.groupdict() | query | text
    return "", {}


def name_s3(environ, body):
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    bucket, _, key = unquote(environ["PATH_INFO"]).lstrip("/").partition("/")
    table = S3_OBJECT if key else S3_BUCKET
    method = environ["REQUEST_METHOD"]
    action = "ListBuckets" if not bucket and method == "GET" else ""
    for word, actions in table.items() if bucket else ():
        if (word == "" or word in query) and method in actions:
            action = actions[method]
    headers = {name: environ[header] for header, name in S3_HEADERS.items() if header in environ}
    params = {"Bucket": bucket, "Key": key} if key else {"Bucket": bucket}
    # What members report, leases and the like; snapshots and programs are no JSON.
    if action == "PutObject" and body.startswith(b"{"):
        params["Body"] = body.decode("utf8", "replace")
    return action, params | query | headers
