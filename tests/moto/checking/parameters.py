"""The parameter store: keys and certificates, told by what everybody can know of them."""

import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .machines import tags_of

BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
USE = {ExtendedKeyUsageOID.CLIENT_AUTH: "client", ExtendedKeyUsageOID.SERVER_AUTH: "server"}

# The peers of each etcd cluster, clients of etcd, and Kubernetes' own: with what each may sign for.
ETCDS = ("main", "events")
PEERS = ["client", "server"]
OF_CONTROL_PLANE = {"etcd-clients": ["client"], "front-proxy": ["client"], "kubernetes": []}


class Parameters:
    """Reads parameters into `found`."""

    def read_parameters(self):
        ssm = self.clients["ssm"]
        key_of = {}
        for told in self.pages("ssm", "describe_parameters", "Parameters"):
            name = told["Name"]
            value = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
            tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)
            fields = {"type": told["Type"], "tags": tags_of(tags["TagList"])}
            key_of[name], content = content_of(value)
            self.put("parameter", name, fields | content)
        for name, key in key_of.items():
            twins = sorted(other for other in key_of if other != name and key_of[other] == key)
            self.found["parameter", name]["same key as"] = twins


def content_of(text):
    """The public half of the one key that all of it is of, and what else can be told."""
    blocks = {match[1]: match[0].encode() for match in BLOCK.finditer(text)}
    keys, fields = set(), {"holds": sorted(blocks)}
    if "PRIVATE KEY" in blocks:
        private = serialization.load_pem_private_key(blocks["PRIVATE KEY"], None)
        keys.add(of_public(private.public_key()))
        fields["curve"] = private.curve.name
    if "PUBLIC KEY" in blocks:
        keys.add(of_public(serialization.load_pem_public_key(blocks["PUBLIC KEY"])))
    if "CERTIFICATE" in blocks:
        certificate = x509.load_pem_x509_certificate(blocks["CERTIFICATE"])
        keys.add(of_public(certificate.public_key()))
        fields |= of_certificate(certificate)
    return (keys.pop() if len(keys) == 1 else None), fields


def of_public(key):
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def of_certificate(certificate):
    def named(kind):
        return [each.value for each in certificate.subject.get_attributes_for_oid(kind)]

    try:
        certificate.verify_directly_issued_by(certificate)
        signed = True
    except InvalidSignature:
        signed = False
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return {
        "organization": named(NameOID.ORGANIZATION_NAME),
        "common name": named(NameOID.COMMON_NAME),
        "signs": (constraints.ca, constraints.path_length),
        "signed by itself": signed,
        "for": sorted(USE[use] for use in uses_of(certificate)),
        "days": life.days,
    }


def uses_of(certificate):
    try:
        return certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return []


def authorities(cluster):
    """Two parameters for each authority: the key with its certificate, and what it is trusted by."""
    made = {}
    for etcd in ETCDS:
        name = f"etcd-peers-{etcd}"
        made |= pair(cluster, name, f"etcd/{etcd}/peers", certified(cluster, name, PEERS))
    for name, uses in OF_CONTROL_PLANE.items():
        made |= pair(cluster, name, f"control-plane/{name}", certified(cluster, name, uses))
    return made | pair(cluster, "service-account", "control-plane/service-account", None)


def certified(cluster, name, uses):
    return {
        "organization": [cluster.name],
        "common name": [name],
        "signs": (True, 0),
        "signed by itself": True,
        "for": uses,
        "days": 3650,
    }


def pair(cluster, name, below, certificate):
    """A secret parameter, readable by one role, and the public one; a bare key has no certificate."""
    secret, public = f"/kprod/{cluster.name}/{below}", f"/kprod/{cluster.name}/public/{name}"
    tags = {"KubernetesCluster": cluster.name, "kprod.dev/cluster": cluster.name}
    told = ["CERTIFICATE"] if certificate else ["PUBLIC KEY"]
    beside = told if certificate else []
    return {
        ("parameter", secret): {
            "type": "SecureString",
            "tags": tags,
            "holds": [*beside, "PRIVATE KEY"],
            "curve": "secp256r1",
            "same key as": [public],
            **(certificate or {}),
        },
        ("parameter", public): {
            "type": "String",
            "tags": tags,
            "holds": told,
            "same key as": [secret],
            **(certificate or {}),
        },
    }
