"""What machines that boot have to do with an account, asked as AWS's API tells it.

    python boot.py parts           what stands ready for machines: the user data of each launch template,
                                   volumes and addresses by name, machines by group, records of the zones
    python boot.py put             < {"bucket", "object", "file"}: makes the object of a file
    python boot.py parameters      < {"names": [...]}: what these parameters hold, by name
    python boot.py strangers       < {"bucket"}: a volume, a key and an object of another cluster, made;
                                   prints them
    python boot.py trespass        < {"instance", "volume", "parameter", "bucket", "object"}: what AWS says
                                   to whoever asks for these
    python boot.py snapshots       < {"bucket", "object"}: what AWS says to whoever asks for this snapshot
    python boot.py signature       < {"head", "access_key_id", "secret_access_key"}: of a request's head
                                   the signature that it has, and the one that the AWS SDK gives it
"""

import base64
import json
import os
import sys

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

REGION = os.environ.get("AWS_REGION", "eu-west-3")
ec2 = boto3.client("ec2", REGION)
ssm = boto3.client("ssm", REGION)
s3 = boto3.client("s3", REGION)
route53 = boto3.client("route53", REGION)


def named(things):
    tags = ((thing, thing.get("Tags") or thing.get("TagSet") or []) for thing in things)
    for thing, tags in tags:
        yield {tag["Key"]: tag["Value"] for tag in tags}.get("Name"), thing


def parts(_asked):
    user_data = {}
    for template in ec2.describe_launch_templates()["LaunchTemplates"]:
        name = template["LaunchTemplateName"]
        [latest] = ec2.describe_launch_template_versions(
            LaunchTemplateName=name, Versions=["$Latest"]
        )["LaunchTemplateVersions"]
        coded = latest["LaunchTemplateData"].get("UserData", "")
        user_data[name] = base64.b64decode(coded).decode()
    machines = {}
    alive = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    for reservation in ec2.describe_instances(Filters=alive)["Reservations"]:
        for machine in reservation["Instances"]:
            tags = {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
            machines[tags["aws:autoscaling:groupName"]] = machine["InstanceId"]
    records = []
    for zone in route53.list_hosted_zones()["HostedZones"]:
        page = route53.list_resource_record_sets(HostedZoneId=zone["Id"])
        for each in page["ResourceRecordSets"]:
            values = [value["Value"] for value in each.get("ResourceRecords", [])]
            records.append([each["Name"].rstrip("."), each["Type"], values])
    interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
    volumes = ec2.describe_volumes()["Volumes"]
    return {
        "user_data": user_data,
        "volumes": {name: one["VolumeId"] for name, one in named(volumes) if name},
        "addresses": {name: one["PrivateIpAddress"] for name, one in named(interfaces) if name},
        "machines": machines,
        "records": records,
    }


def parameters(asked):
    found = ssm.get_parameters(Names=asked["names"], WithDecryption=True)["Parameters"]
    return {one["Name"]: one["Value"] for one in found}


def strangers(asked):
    tag = [{"Key": "kprod.dev/cluster", "Value": "other.example.com"}]
    volume = ec2.create_volume(
        AvailabilityZone=f"{REGION}a",
        Size=1,
        TagSpecifications=[{"ResourceType": "volume", "Tags": tag}],
    )["VolumeId"]
    parameter = "/kprod/other.example.com/etcd/main/peers"
    ssm.put_parameter(Name=parameter, Type="SecureString", Value="a key")
    bucket = asked["bucket"]
    key = "other.example.com/etcd/other.example.com/main/epoch"
    s3.put_object(Bucket=bucket, Key=key, Body=b"{}")
    return {"volume": volume, "parameter": parameter, "bucket": bucket, "object": key}


def trespass(asked):
    volume, place = asked["volume"], {"Bucket": asked["bucket"], "Key": asked["object"]}
    attach = {"VolumeId": volume, "InstanceId": asked["instance"], "Device": "/dev/sdf"}
    tag = [{"Key": "kprod.dev/formatted", "Value": "mine"}]
    path = asked["parameter"].rsplit("/", 3)[0]
    return {
        "attach": code_of(ec2.attach_volume, **attach),
        "tag": code_of(ec2.create_tags, Resources=[volume], Tags=tag),
        "key": code_of(ssm.get_parameter, Name=asked["parameter"], WithDecryption=True),
        "keys": code_of(ssm.get_parameters_by_path, Path=path, Recursive=True),
        "read": code_of(s3.get_object, **place),
        "write": code_of(s3.put_object, **place, Body=b"{}"),
    }


def put(asked):
    with open(asked["file"], "rb") as file:
        s3.put_object(Bucket=asked["bucket"], Key=asked["object"], Body=file)


def snapshots(asked):
    bucket, place = asked["bucket"], {"Bucket": asked["bucket"], "Key": asked["object"]}
    return {
        "list": code_of(s3.list_objects_v2, Bucket=bucket, Prefix=asked["object"]),
        "read": code_of(s3.get_object, **place),
        "write": code_of(s3.put_object, **place, Body=b"{}"),
        "remove": code_of(s3.delete_object, **place),
    }


def code_of(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def signature(asked):
    first, *lines = asked["head"].strip().split("\r\n")
    headers = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in lines}
    fields = dict(part.split("=", 1) for part in headers["authorization"].split(" ", 1)[1].split(","))
    names = fields["SignedHeaders"].split(";")
    url = f"http://{headers['host']}{first.split(' ')[1]}"
    request = AWSRequest("GET", url, {name: headers[name] for name in names})
    request.context["timestamp"] = headers["x-amz-date"]
    credentials = Credentials(asked["access_key_id"], asked["secret_access_key"])
    signer = S3SigV4Auth(credentials, "s3", REGION)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    amazons = {name for name in headers if name.startswith("x-amz-")}
    return {
        "found": fields["Signature"],
        "right": signer.signature(text, request),
        # AWS refuses a request with headers of its own that are not signed.
        "unsigned": sorted(amazons - set(names)),
    }


if __name__ == "__main__":
    known = [parts, put, parameters, strangers, trespass, snapshots, signature]
    part = {each.__name__: each for each in known}[sys.argv[1]]
    print(json.dumps(part(json.load(sys.stdin))))
