"""Role sessions beyond what every client is told by `ram_sessions.json`: the other signatures, the credentials client
that renews sessions by itself, the command line, and the typed answers as their user reads them."""

import json
import subprocess

import pytest
from alibabacloud_credentials.client import Client as CredentialClient
from alibabacloud_credentials.models import Config as CredentialConfig
from alibabacloud_kms20160120 import models as kms
from alibabacloud_ram20150501 import models as ram
from alibabacloud_resourcemanager20200331 import models as resourcemanager
from alibabacloud_sts20150401 import models as sts
from alibabacloud_tea_openapi.exceptions import ClientException
from alibabacloud_tea_openapi.models import Config
from alibabacloud_vpc20160428 import models as vpc
from alibabacloud_vpc20160428.client import Client as Vpc
from darabonba.exceptions import UnretryableException

import clients
from harness.server import PRINCIPALS, Server, binary, clean_environment, make_certificate
from scenario import World, load

ACCOUNT = PRINCIPALS["root"]["account_id"]
ROLE_ARN = f"acs:ram::{ACCOUNT}:role/operator"
REGION = {"defaults": {"Vpc": {"RegionId": clients.REGION}}}
TRUST = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"RAM": f"acs:ram::{ACCOUNT}:root"}}]}


def prepare(client):
    """A user who may assume roles, and a role that may look at gateways; the user's key."""
    world = World(client, load("ram_sessions"))
    world.run(world.content["setup"])
    return world.variables["alice"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server, the key of its user, and a session of its role."""
    with Server(tmp_path_factory.mktemp("sessions")) as server:
        client = clients.make("py-7.x", server.endpoint)
        key = prepare(client)
        world = World(client, {}, {"key": key})
        world.run([{"call": "Sts.AssumeRole", "as": "${key}", "with": {"RoleArn": ROLE_ARN, "RoleSessionName": "tests"}, "save": {"session": "Credentials"}}])
        yield server, key, world.variables["session"]


@pytest.mark.parametrize("algorithm", ["v2", "ACS3-HMAC-SHA256", "ACS3-HMAC-SM3"])
def test_a_session_in_every_signature(served, algorithm):
    server, _, session = served
    other = {"AccessKeySecret": "not-the-secret"}
    world = World(clients.make("py-7.x", server.endpoint, signature_algorithm=algorithm), REGION)
    world.run([
        {"call": "Sts.GetCallerIdentity", "as": session, "expect": {"IdentityType": "AssumedRoleUser"}},
        {"call": "Vpc.DescribeVpnGateways", "as": session, "expect": {"TotalCount": 0}},
        {"call": "Vpc.CreateVpc", "as": session, "with": {"Description": "a b+c*d~e/f=g&h%25 通关"},
         "refused": {"code": "Forbidden", "detail": {"AuthAction": "vpc:CreateVpc", "AuthPrincipalType": "AssumedRoleUser"}}},
        {"call": "Vpc.DescribeVpnGateways", "as": session | {"SecurityToken": None}, "refused": {"code": "MissingSecurityToken"}},
        {"call": "Vpc.DescribeVpnGateways", "as": session | {"SecurityToken": session["SecurityToken"][:-4]}, "refused": {"code": "InvalidSecurityToken.Malformed"}},
        {"call": "Vpc.DescribeVpnGateways", "as": session | other, "refused": {"code": "SignatureDoesNotMatch"}}])


def test_a_session_under_acs4(served):
    """Only the Kms client can be told to sign so; the role may not look at certificates until it is told."""
    server, _, session = served

    def describe(who, **config):
        client = clients.make("py-7.x", server.endpoint, signature_version="v4", **config).client("Kms", who)
        return client.describe_certificate(kms.DescribeCertificateRequest(certificate_id=made.certificate_id)).body

    root = clients.make("py-7.x", server.endpoint)
    made = root.client("Kms", "root").create_certificate(kms.CreateCertificateRequest(key_spec="EC_SM2", subject="CN=a,OU=b,O=c,C=CN")).body
    wanted = [(session, "Forbidden.NoPermission"), (session | {"SecurityToken": None}, "MissingSecurityToken")]
    for who, code in wanted:
        with pytest.raises(UnretryableException) as seen:
            describe(who)
        assert seen.value.inner_exception.code == code
    reading = {"PolicyType": "System", "PolicyName": "AliyunKMSReadOnlyAccess", "RoleName": "operator"}
    World(root, {}).run([{"call": "Ram.AttachPolicyToRole", "with": reading}])
    assert describe(session).status == "PENDING"


def test_refusals_and_answers_as_python_reads_them(served):
    server, key, session = served
    made = clients.make("py-7.x", server.endpoint)
    root = made.client("Ram", "root")
    user = root.get_user(ram.GetUserRequest(user_name="alice")).body.user
    assert user.user_id.isdigit() and user.user_name == "alice" and user.create_date.endswith("Z")
    role = root.get_role(ram.GetRoleRequest(role_name="operator")).body.role
    assert role.arn == ROLE_ARN and role.role_id.isdigit() and role.max_session_duration == 3600 and role.is_service_linked_role is False
    assert json.loads(role.assume_role_policy_document) == TRUST
    policy = root.get_policy(ram.GetPolicyRequest(policy_name="AliyunVPNGatewayReadOnlyAccess", policy_type="System")).body
    assert policy.policy.attachment_count == 1 and policy.default_policy_version.is_default_version is True
    assert [entry.user_name for entry in root.list_users(ram.ListUsersRequest()).body.users.user] == ["alice", "bob"]
    keys = root.list_access_keys(ram.ListAccessKeysRequest(user_name="alice")).body.access_keys.access_key
    assert [(entry.access_key_id, entry.status) for entry in keys] == [(key["AccessKeyId"], "Active")]
    attached = root.list_policies_for_role(ram.ListPoliciesForRoleRequest(role_name="operator")).body.policies.policy
    assert "AliyunVPNGatewayReadOnlyAccess" in [entry.policy_name for entry in attached]

    linked = made.client("ResourceManager", "root").create_service_linked_role(
        resourcemanager.CreateServiceLinkedRoleRequest(service_name="certificate.vpn.aliyuncs.com")).body.role
    assert linked.is_service_linked_role is True and linked.role_name == "AliyunServiceRoleForVPNCertificate" and linked.role_id

    assumed = made.client("Sts", key).assume_role(sts.AssumeRoleRequest(role_arn=ROLE_ARN, role_session_name="typed", duration_seconds=900)).body
    assert assumed.credentials.access_key_id.startswith("STS.") and assumed.credentials.security_token and assumed.credentials.expiration.endswith("Z")
    assert assumed.assumed_role_user.assumed_role_id == f"{role.role_id}:typed"
    who = made.client("Sts", session).get_caller_identity().body
    assert (who.identity_type, who.role_id, who.user_id) == ("AssumedRoleUser", role.role_id, None)

    with pytest.raises(ClientException) as seen:
        made.client("Vpc", session).create_vpc(vpc.CreateVpcRequest(region_id=clients.REGION))
    assert seen.value.code == "Forbidden" and seen.value.status_code == 403
    detail = seen.value.access_denied_detail
    assert (detail["AuthAction"], detail["AuthPrincipalDisplayName"], detail["NoPermissionType"]) == ("vpc:CreateVpc", f"{role.role_id}:tests", "ImplicitDeny")


def call(server, home, *words, **variables):
    """`tongguan call`: exit code, and the answer or the refusal."""
    done = subprocess.run([binary(), "call", *words, "--endpoint", server.endpoint, "--region", clients.REGION],
                          env=clean_environment() | {"HOME": str(home)} | variables, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("signature", ["hmac-sha1", "hmac-sha256", "acs3-hmac-sha256", "acs3-hmac-sm3"])
def test_the_command_line_takes_a_session(served, tmp_path, signature):
    server, _, session = served
    profile = {"name": "night", "mode": "StsToken", "access_key_id": session["AccessKeyId"],
               "access_key_secret": session["AccessKeySecret"], "sts_token": session["SecurityToken"]}
    (tmp_path / ".aliyun").mkdir()
    (tmp_path / ".aliyun" / "config.json").write_text(json.dumps({"current": "night", "profiles": [profile]}))
    variables = {"ALIBABA_CLOUD_ACCESS_KEY_ID": session["AccessKeyId"], "ALIBABA_CLOUD_ACCESS_KEY_SECRET": session["AccessKeySecret"]}
    token = {"ALIBABA_CLOUD_SECURITY_TOKEN": session["SecurityToken"]}
    for given in ({}, variables | token):
        code, said = call(server, tmp_path, "Sts", "GetCallerIdentity", "--signature", signature, **given)
        assert code == 0 and f"acs:ram::{ACCOUNT}:assumed-role/operator/tests" in said, said
    code, said = call(server, tmp_path, "Vpc", "DescribeVpnGateways", "--signature", signature, **variables)
    assert code == 1 and "MissingSecurityToken" in said, said


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """A server behind TLS, its certificate, and the key of its user."""
    directory = tmp_path_factory.mktemp("encrypted")
    certificate, key = make_certificate(directory)
    with Server(directory, ["--tls-cert", str(certificate), "--tls-key", str(key)]) as server:
        yield server, certificate, prepare(clients.make("py-7.x", server.endpoint, ca=str(certificate)))


def test_the_credentials_client_renews_its_sessions(encrypted, monkeypatch):
    """Type ram_role_arn asks for sessions itself, by HTTPS alone, and trusts what `certifi` names and nothing else."""
    server, certificate, key = encrypted
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate))
    monkeypatch.setattr("certifi.where", lambda: str(certificate))
    credential = CredentialClient(CredentialConfig(
        type="ram_role_arn", access_key_id=key["AccessKeyId"], access_key_secret=key["AccessKeySecret"], role_arn=ROLE_ARN,
        role_session_name="renewed", role_session_expiration=900, sts_endpoint=server.address))
    client = Vpc(Config(credential=credential, region_id=clients.REGION, endpoint=server.address, protocol="HTTPS", ca=str(certificate)))
    seen = set()
    for _ in range(3):
        # It counts a session as stale a quarter of an hour before its end, so each call takes a new one.
        assert client.describe_vpn_gateways(vpc.DescribeVpnGatewaysRequest(region_id=clients.REGION)).body.total_count == 0
        seen.add(credential.get_credential().access_key_id)
    assert len(seen) > 1 and all(name.startswith("STS.") for name in seen)
    with pytest.raises(ClientException) as refused:
        client.create_vpc(vpc.CreateVpcRequest(region_id=clients.REGION))
    assert refused.value.access_denied_detail["AuthPrincipalType"] == "AssumedRoleUser"


def test_the_credentials_client_says_why_it_has_no_session(encrypted, monkeypatch):
    server, certificate, key = encrypted
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate))
    monkeypatch.setattr("certifi.where", lambda: str(certificate))
    credential = CredentialClient(CredentialConfig(
        type="ram_role_arn", access_key_id=key["AccessKeyId"], access_key_secret=key["AccessKeySecret"],
        role_arn=f"acs:ram::{ACCOUNT}:role/none", role_session_name="x1", sts_endpoint=server.address))
    with pytest.raises(Exception, match="http_code: 404, result: .*EntityNotExist.Role"):
        credential.get_credential()
