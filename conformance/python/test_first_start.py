"""The very first start, without credentials in the environment: the server makes the root key and says where it is.

Its output is a pipe here, which somebody may keep: the secret is in the file alone. crates/server/tests/newcomer/ looks
at a terminal, where it is shown as well.
"""

import re
import stat

import clients
from harness.server import PRINCIPALS, Server
from scenario import World


def secret_files(directory):
    """Files of the data directory that only the owner may read."""
    return [path for path in directory.rglob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) == 0o600]


def root_key(server):
    """Id and secret, wherever in the 0600 files they are."""
    for path in secret_files(server.data):
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        identity = re.search(r"(?im)access_?key_?id\W+([\w-]{8,})", text)
        secret = re.search(r"(?im)access_?key_?secret\W+([\w+/=-]{8,})", text)
        if identity and secret:
            return path, identity[1], secret[1]
    raise AssertionError(f"no root key in any 0600 file of {[str(path) for path in server.data.rglob('*')]}\n{server.story()}")


def test_root_key_is_made_once_and_works(tmp_path):
    server = Server(tmp_path, credentials=False, config=False)
    with server:
        path, identity, secret = root_key(server)
        assert path.name in server.stdout, f"the operator must be told where the key is: {server.stdout}"
        assert secret not in server.stdout, "what is piped is kept by somebody"
        assert secret not in server.log.read_text(), "logs are collected and kept"
        who = {"call": "Sts.GetCallerIdentity", "expect": {"IdentityType": "Account"}}
        World(clients.make("py-7.x", server.endpoint, access_key_id=identity, access_key_secret=secret), {}).run([who])
    with server:
        assert root_key(server) == (path, identity, secret)
        assert secret not in server.stdout, "nor is it said later"
        World(clients.make("py-7.x", server.endpoint, access_key_id=identity, access_key_secret=secret), {}).run([
            {"call": "Vpc.DescribeVpcs", "with": {"RegionId": "cn-hangzhou"}, "expect": {"TotalCount": 0}}])


def test_keys_are_the_owners_alone(tmp_path):
    with Server(tmp_path, credentials=False, config=False) as server:
        loose = [path for path in server.data.iterdir() if "key" in path.name and stat.S_IMODE(path.stat().st_mode) != 0o600]
        assert not loose, loose
        assert len(secret_files(server.data)) >= 2, "the master key and the root key"


def test_given_root_key_is_the_root(tmp_path):
    root = PRINCIPALS["root"]
    with Server(tmp_path, config=False) as server:
        World(clients.make("py-7.x", server.endpoint), {}).run([
            {"call": "Sts.GetCallerIdentity", "expect": {"AccountId": root["account_id"], "IdentityType": "Account"}}])
