"""What was answered survives SIGKILL: changes under way, idempotency tokens, used nonces, certificates."""

import base64
import hashlib
import hmac
import http.client
import json
import time
import uuid
from urllib.parse import quote

import pytest

import clients
from harness.server import PRINCIPALS, Server
from scenario import World, load

QUICK = ["--apply-delay", "polls:1"]
SLOW = ["--apply-delay", "2s"]


@pytest.fixture
def server(tmp_path):
    with Server(tmp_path, QUICK) as server:
        yield server
    # A test that failed shows what the server said; pytest prints this with the failure only.
    print(server.story())


def world(server, variables=None):
    """A client speaks to one endpoint, and a restarted server has another port."""
    return World(clients.make("py-7.x", server.endpoint), load("bindings"), variables)


def prepared(server):
    """A gateway with its encryption certificate bound."""
    made = world(server)
    made.run(made.content["setup"])
    return made


def kill_and_restart(server, arguments, variables):
    server.kill()
    server.arguments = arguments
    server.restart()
    return world(server, variables)


def test_binding_under_way_when_killed(server):
    variables = prepared(server).variables
    server.stop()
    server.arguments = SLOW
    server.restart()
    associate = {"call": "Vpc.AssociateVpnGatewayWithCertificate", "with": {
        "VpnGatewayId": "${gateway}", "CertificateId": "${sig}", "CertificateType": "Signature", "ClientToken": "before-the-kill"}}
    status = {"call": "Vpc.DescribeVpnGateway", "with": {"VpnGatewayId": "${gateway}"}}
    world(server, variables).run([associate, status | {"expect": {"Status": "updating"}}])

    kill_and_restart(server, SLOW, variables).run([
        # Whatever the state: the repeat of an accepted call is answered like the first.
        associate,
        status | {"passing": {"Status": "updating"}, "until": {"Status": "active"}},
        {"call": "Vpc.ListVpnCertificateAssociations", "expect": {"TotalCount": 2, "VpnCertificateRelations": {"$set": [
            {"CertificateId": "${enc}", "CertificateType": "Encryption"}, {"CertificateId": "${sig}", "CertificateType": "Signature"}]}}}])


def test_unbinding_under_way_when_killed_twice(server):
    variables = prepared(server).variables
    server.stop()
    server.arguments = SLOW
    server.restart()
    status = {"call": "Vpc.DescribeVpnGateway", "with": {"VpnGatewayId": "${gateway}"}}
    world(server, variables).run([
        {"call": "Vpc.DissociateVpnGatewayWithCertificate", "with": {"VpnGatewayId": "${gateway}", "CertificateId": "${enc}", "CertificateType": "Encryption"}},
        status | {"expect": {"Status": "updating"}}])
    server.kill()
    server.restart()
    kill_and_restart(server, SLOW, variables).run([
        status | {"passing": {"Status": "updating"}, "until": {"Status": "active"}},
        {"call": "Vpc.ListVpnCertificateAssociations", "expect": {"TotalCount": 0}},
        {"call": "Kms.DeleteCertificate", "with": {"CertificateId": "${enc}"}}])


def test_gateway_being_built_when_killed(server):
    variables = prepared(server).variables
    server.stop()
    server.arguments = SLOW
    server.restart()
    create = {"call": "Vpc.CreateVpnGateway", "with": {
        "VpcId": "${vpc}", "VSwitchId": "${vswitch_a}", "DisasterRecoveryVSwitchId": "${vswitch_b}", "Bandwidth": 10,
        "VpnType": "NationalStandard", "InstanceChargeType": "POSTPAY", "ClientToken": "built-once"}}
    before = world(server, variables)
    before.run([create | {"save": {"second": "VpnGatewayId"}}])

    kill_and_restart(server, SLOW, variables).run([
        create | {"expect": {"VpnGatewayId": "${second}"}},
        {"call": "Vpc.DescribeVpnGateway", "with": {"VpnGatewayId": "${second}"},
         "passing": {"Status": {"$like": "^(init|provisioning)$"}}, "until": {"Status": "active"}},
        {"call": "Vpc.DescribeVpnGateways", "expect": {"TotalCount": 3}}])


def test_answered_changes_are_there_after_a_kill(server):
    """Killed in the moment of the answer, again and again: nothing that was answered may be lost."""
    variables = {}
    for number in range(5):
        world(server, variables).run([
            {"call": "Kms.CreateCertificate", "with": {"KeySpec": "EC_SM2", "Subject": f"CN=c{number},OU=b,O=c,C=CN"}, "save": {f"c{number}": "CertificateId"}}])
        after = kill_and_restart(server, QUICK, variables)
        after.run([{"call": "Kms.DescribeCertificate", "with": {"CertificateId": f"${{c{seen}}}"}, "expect": {"Status": "PENDING"}} for seen in range(number + 1)])


def old_signature(parameters):
    """The query of a V1 request, signed: raw, because no client can be made to repeat a nonce."""
    root = PRINCIPALS["root"]
    encode = lambda text: quote(text, safe="-_.~")  # noqa: E731
    parameters = parameters | {
        "Format": "JSON", "AccessKeyId": root["access_key_id"], "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0",
        "SignatureNonce": uuid.uuid4().hex, "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    query = "&".join(f"{encode(key)}={encode(value)}" for key, value in sorted(parameters.items()))
    digest = hmac.new(f"{root['access_key_secret']}&".encode(), f"GET&%2F&{encode(query)}".encode(), hashlib.sha1).digest()
    return f"{query}&Signature={encode(base64.b64encode(digest).decode())}"


def get(server, query):
    connection = http.client.HTTPConnection(server.address, timeout=10)
    connection.request("GET", f"/?{query}")
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body.get("Code"), body.get("Message")


def test_a_replayed_request_is_refused_also_after_a_kill(server):
    query = old_signature({"Action": "DescribeRegions", "Version": "2016-04-28"})
    used = (400, "SignatureNonceUsed", "Specified signature nonce was used already.")
    assert get(server, query) == (200, None, None)
    assert get(server, query) == used
    server.kill()
    server.restart()
    assert get(server, query) == used


def test_a_refused_signature_does_not_burn_the_nonce(server):
    """Else anybody could make a key's requests fail by sending their nonces first."""
    query = old_signature({"Action": "DescribeRegions", "Version": "2016-04-28"})
    forged = query.rpartition("=")[0] + "=" + 27 * "A" + "%3D"
    assert get(server, forged)[1] == "SignatureDoesNotMatch"
    assert get(server, query)[0] == 200


def test_no_file_holds_a_secret_in_the_clear(server):
    """Keys at rest are encrypted; neither the log nor the database shows the root secret or a private key."""
    prepared(server)
    server.stop()
    for path in [server.log, *server.data.rglob("*")]:
        if path.is_file():
            content = path.read_bytes()
            assert PRINCIPALS["root"]["access_key_secret"].encode() not in content, path.name
            assert b"PRIVATE KEY" not in content, path.name
