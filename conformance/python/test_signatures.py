"""The other ways the newest Python client can sign, and what a wrong signature looks like in each."""

import asyncio
import base64
import json
import os

import pytest

import clients
from harness.authority import openssl
from scenario import World

ENDPOINT = json.loads(os.environ["CONFORMANCE_SERVERS"])["others"]
DEFAULTS = {"defaults": {"Vpc": {"RegionId": "cn-hangzhou"}}}

# Read and write, lists and structures, empty values, and characters that are encoded differently here and there.
STEPS = [
    {"call": "Sts.GetCallerIdentity", "expect": {"AccountId": "1234567890123456"}},
    {"call": "Vpc.CreateVpc", "with": {"CidrBlock": "10.9.0.0/16", "Description": "a b+c*d~e/f=g&h%25 通关"}, "save": {"vpc": "VpcId"}},
    {"call": "Vpc.DescribeVpcAttribute", "with": {"VpcId": "${vpc}"}, "until": {"Status": "Available", "Description": "a b+c*d~e/f=g&h%25 通关"}},
    {"call": "Vpc.TagResources", "with": {"ResourceType": "VPC", "ResourceId": ["${vpc}"], "Tag": [{"Key": "a b", "Value": "+*~"}, {"Key": "c", "Value": ""}]}},
    {"call": "Vpc.ListVpnCertificateAssociations", "with": {"CertificateId": ["x"], "MaxResults": 20}, "expect": {"TotalCount": 0, "MaxResults": 20}},
    {"call": "Vpc.DissociateVpnGatewayWithCertificate", "with": {"VpnGatewayId": "vpn-bp1nonexistent000000", "CertificateId": "x", "CertificateType": "Encryption", "DryRun": True},
     "refused": "InvalidVpnGatewayInstanceId.NotFound"},
    {"call": "Vpc.DeleteVpc", "with": {"VpcId": "${vpc}"}},
]


def private_key():
    """Base64 of a PKCS #8 key that the server has never heard of."""
    pem = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    return "".join(line for line in pem.splitlines() if not line.startswith("-----"))


def options(algorithm):
    rsa = clients.rsa_credentials() if algorithm == "ACS3-RSA-SHA256" else {}
    return {"signature_algorithm": algorithm} | rsa


@pytest.mark.parametrize("algorithm", ["v2", "ACS3-HMAC-SHA256", "ACS3-HMAC-SM3", "ACS3-RSA-SHA256"])
def test_accepted(algorithm):
    World(clients.make("py-7.x", ENDPOINT, **options(algorithm)), DEFAULTS).run(STEPS)


@pytest.mark.parametrize("algorithm", ["v2", "ACS3-HMAC-SHA256", "ACS3-HMAC-SM3", "ACS3-RSA-SHA256"])
def test_wrong_secret(algorithm):
    wrong = options(algorithm) | {"access_key_secret": private_key() if "RSA" in algorithm else "not-the-secret"}
    World(clients.make("py-7.x", ENDPOINT, **wrong), DEFAULTS).run([
        {"call": "Vpc.DescribeVpcs", "refused": "SignatureDoesNotMatch"},
        {"call": "Sts.GetCallerIdentity", "refused": "SignatureDoesNotMatch"}])


def test_rsa_key_is_no_hmac_secret():
    """The public half is no secret: it must not be accepted as one under an HMAC algorithm."""
    public = openssl("pkey", "-in", os.environ["CONFORMANCE_RSA_KEY"], "-pubout")
    key = clients.rsa_credentials()["access_key_id"]
    for secret in (public, public.strip(), base64.b64encode(public.encode()).decode(), "x"):
        client = clients.make("py-7.x", ENDPOINT, access_key_id=key, access_key_secret=secret)
        World(client, DEFAULTS).run([{"call": "Vpc.DescribeVpcs", "refused": {"code": {"$any": True}, "status": 400}}])


def test_endpoint_written_with_its_scheme():
    """A careless endpoint: the client connects all the same, and signs `http://127.0.0.1:1234` as the Host."""
    client = clients.make("py-7.x", ENDPOINT)
    client.host = ENDPOINT
    World(client, DEFAULTS).run([{"call": "Vpc.DescribeVpcs"}, {"call": "Kms.DescribeCertificate", "with": {"CertificateId": "x"}, "refused": "Certificate.NotFound"}])


def test_async_client():
    """aiohttp below: it adds a content type to the empty body of a POST, after the signature."""
    from alibabacloud_vpc20160428 import models
    client = clients.make("py-7.x", ENDPOINT).client("Vpc", "root")
    answer = asyncio.run(client.describe_vpcs_async(models.DescribeVpcsRequest(region_id="cn-hangzhou")))
    assert answer.status_code == 200 and answer.body.total_count >= 1


def test_acs4_of_the_kms_client():
    """The newest scheme; only clients of products behind the newer gateway can be told to use it."""
    from alibabacloud_kms20160120 import models
    from darabonba.exceptions import UnretryableException

    def kms(**config):
        return clients.make("py-7.x", ENDPOINT, signature_version="v4", **config).client("Kms", "root")

    made = kms().create_certificate(models.CreateCertificateRequest(key_spec="EC_SM2", subject="CN=a b*~/c,OU=b,O=c,C=CN")).body
    request = models.DescribeCertificateRequest(certificate_id=made.certificate_id)
    assert kms().describe_certificate(request).body.status == "PENDING"
    # In this mode the client wraps the refusal once more.
    with pytest.raises(UnretryableException) as seen:
        kms(access_key_secret="not-the-secret").describe_certificate(request)
    assert seen.value.inner_exception.code == "SignatureDoesNotMatch"
