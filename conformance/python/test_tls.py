"""HTTPS with a certificate of the operator's own making."""

import pytest
from alibabacloud_tea_openapi.models import Config
from alibabacloud_vpc20160428 import models
from alibabacloud_vpc20160428.client import Client
from darabonba.runtime import RuntimeOptions

from harness.server import PRINCIPALS, Server, make_certificate


# A server per test: the client keeps its connections by address, with the trust they were made with.
@pytest.fixture
def served(tmp_path):
    certificate, key = make_certificate(tmp_path)
    with Server(tmp_path, ["--apply-delay", "polls:2", "--tls-cert", str(certificate), "--tls-key", str(key)]) as server:
        yield server, certificate


def client(server, **config):
    root = PRINCIPALS["root"]
    return Client(Config(access_key_id=root["access_key_id"], access_key_secret=root["access_key_secret"], region_id="cn-hangzhou",
                         endpoint=server.address, protocol="HTTPS", **config))


def regions(answer):
    return [region.region_id for region in answer.body.regions.region]


def test_endpoint_says_https(served):
    assert served[0].endpoint.startswith("https://")


def test_certificate_as_trust_anchor(served):
    server, certificate = served
    assert "cn-hangzhou" in regions(client(server, ca=str(certificate)).describe_regions(models.DescribeRegionsRequest()))


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_ignore_ssl(served):
    runtime = RuntimeOptions(ignore_ssl=True)
    assert "cn-hangzhou" in regions(client(served[0]).describe_regions_with_options(models.DescribeRegionsRequest(), runtime))


def test_untrusted_certificate_is_the_clients_refusal(served):
    with pytest.raises(Exception, match="(?i)certificate verify failed"):
        client(served[0]).describe_regions(models.DescribeRegionsRequest())
