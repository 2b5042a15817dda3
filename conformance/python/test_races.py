"""Many callers at once. Changes take 200 ms here, so that the race is for the gateway and not for the poll."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import clients
from harness.server import Server
from scenario import Refusal, World, load

CALLERS = 12
REGION = {"RegionId": "cn-hangzhou"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("races"), ["--apply-delay", "200ms"]) as server:
        world = World(clients.make("py-7.x", server.endpoint), load("bindings"))
        world.run(world.content["setup"])
        yield world
    print(server.story())


def at_once(world, action, *parameters):
    """The answers of CALLERS calls sent together; the parameters take turns."""
    def call(number):
        try:
            return world.client.call("root", "Vpc", action, REGION | parameters[number % len(parameters)])
        except Refusal as refusal:
            return refusal

    world.client.client("Vpc", "root")  # made once, before the threads would each make one
    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(call, range(CALLERS)))


def settle(world):
    world.run([{"call": "Vpc.DescribeVpnGateway", "with": {"VpnGatewayId": "${gateway}"}, "until": {"Status": "active"}}])


def refusals(answers):
    return [answer for answer in answers if isinstance(answer, Refusal)]


def test_one_change_of_many_wins(world):
    gateway, sig, spare = (world.variables[name] for name in ("gateway", "sig", "spare"))
    bind = {"VpnGatewayId": gateway, "CertificateType": "Signature"}
    answers = at_once(world, "AssociateVpnGatewayWithCertificate", bind | {"CertificateId": sig}, bind | {"CertificateId": spare})
    refused = refusals(answers)
    assert len(refused) == CALLERS - 1, answers
    assert {refusal.code for refusal in refused} == {"VpnGateway.Configuring"}
    settle(world)
    relations = world.client.call("root", "Vpc", "ListVpnCertificateAssociations", REGION | {"CertificateType": "Signature"})
    assert relations["TotalCount"] == 1
    bound = relations["VpnCertificateRelations"][0]["CertificateId"]

    answers = at_once(world, "DissociateVpnGatewayWithCertificate", bind | {"CertificateId": bound})
    assert len(refusals(answers)) == CALLERS - 1, answers
    assert {refusal.code for refusal in refusals(answers)} == {"VpnGateway.Configuring"}
    settle(world)
    assert world.client.call("root", "Vpc", "ListVpnCertificateAssociations", REGION)["TotalCount"] == 1


def test_one_token_makes_one_gateway(world):
    names = world.variables
    order = {"VpcId": names["vpc"], "VSwitchId": names["vswitch_a"], "DisasterRecoveryVSwitchId": names["vswitch_b"], "Bandwidth": 10,
             "VpnType": "NationalStandard", "InstanceChargeType": "POSTPAY", "ClientToken": "all-together"}
    before = world.client.call("root", "Vpc", "DescribeVpnGateways", REGION)["TotalCount"]
    answers = at_once(world, "CreateVpnGateway", order)
    # LastTokenProcessing would be allowed by the documentation; a second gateway would not.
    assert {refusal.code for refusal in refusals(answers)} <= {"LastTokenProcessing"}, answers
    made = {answer["VpnGatewayId"] for answer in answers if not isinstance(answer, Refusal)}
    assert len(made) == 1, answers
    assert world.client.call("root", "Vpc", "DescribeVpnGateways", REGION)["TotalCount"] == before + 1


def test_gateways_do_not_hold_each_other_up(world):
    """While one gateway is updating, another takes a change."""
    names = world.variables
    settle(world)
    world.run([
        {"call": "Vpc.DescribeVpnGateway", "with": {"VpnGatewayId": "${normal}"}, "until": {"Status": "active"}},
        {"call": "Vpc.ModifyVpnGatewayAttribute", "with": {"VpnGatewayId": "${gateway}", "Name": "one"}},
        {"call": "Vpc.ModifyVpnGatewayAttribute", "with": {"VpnGatewayId": "${normal}", "Name": "two"}},
        {"call": "Vpc.DescribeVpnGateway", "with": {"VpnGatewayId": names["gateway"]}, "until": {"Status": "active", "Name": "one"}},
        {"call": "Vpc.DescribeVpnGateway", "with": {"VpnGatewayId": names["normal"]}, "until": {"Status": "active", "Name": "two"}}])
