"""Fetches the program of node.json by the machine's role, and keeps what has its digest."""
import hashlib, hmac, json, os, sys, time, urllib.parse, urllib.request as http

FILE, env = "/var/lib/kprod/bin/kprod", os.environ.get
node = json.load(open("/etc/kprod/node.json"))
region, key = node["region"], node["program"]["key"]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def metadata(path, method="GET", **header):
    base = env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
    header = {f"x-aws-ec2-metadata-{name}": value for name, value in header.items()}
    call = http.Request(f"{base}/latest/{path}", None, header, method=method)
    return http.build_opener(http.ProxyHandler({})).open(call, timeout=5).read().decode()


def fetch():
    token = metadata("api/token", "PUT", **{"token-ttl-seconds": "60"})
    roles = "meta-data/iam/security-credentials/"
    role = json.loads(metadata(roles + metadata(roles, token=token).strip(), token=token))
    s3 = f"https://s3.{region}.amazonaws.com" + ".cn" * region.startswith("cn-")
    s3 = (env("AWS_ENDPOINT_URL_S3") or env("AWS_ENDPOINT_URL") or s3).rstrip("/")
    path = "/" + urllib.parse.quote(f"{node['config_base'][5:].rstrip('/')}/{key}")
    # AWS Signature Version 4
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    header = {
        "host": s3.split("//")[1],
        "x-amz-content-sha256": sha256(b""),
        "x-amz-date": now,
        "x-amz-security-token": role["Token"],
    }
    names, lines = ";".join(header), "".join(f"{k}:{v}\n" for k, v in header.items())
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    asked = sha256(f"GET\n{path}\n\n{lines}\n{names}\n{sha256(b'')}".encode())
    way, seal = "AWS4-HMAC-SHA256", b"AWS4" + role["SecretAccessKey"].encode()
    for part in [*scope.split("/"), f"{way}\n{now}\n{scope}\n{asked}"]:
        seal = hmac.new(seal, part.encode(), "sha256").digest()
    by = f"Credential={role['AccessKeyId']}/{scope},SignedHeaders={names}"
    header["authorization"] = f"{way} {by},Signature={seal.hex()}"
    call = http.Request(s3 + path, None, header)
    return http.urlopen(call, timeout=60).read(node["program"]["size"] + 1)


if os.path.exists(FILE) and sha256(open(FILE, "rb").read()) == key[-64:]:
    sys.exit()
data, new = fetch(), FILE + ".new"
if sha256(data) != key[-64:]:
    sys.exit(f"{key} is not what its name says")
os.makedirs(os.path.dirname(FILE), exist_ok=True)
with open(new, "wb") as file:
    file.write(data)
os.chmod(new, 0o755)
os.replace(new, FILE)
