"""`make tunnel-demo`: two sites, a tunnel between them, raised and dropped over the API with the official Python SDK.

Two accounts have a gateway each, with two SM2 certificates of one CA. Behind each gateway is a host, a network namespace
of its own; a third namespace is the machine on which the supervisor keeps the gateways, so that nothing of the machine
at hand is changed. Service, supervisor and gateways are the processes that an operator runs. Needs root.

Every line that is shown is compared with what is expected: a demonstration that ends well is a test that passed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import clients
from harness.server import PRINCIPALS, Server, binary, clean_environment

PATIENCE = 60
SITES = ("root", "stranger")
NAMES = ("east", "west")
ROLES = {"Signature": "signature", "Encryption": "encryption"}
SUBJECT = "CN={},OU=vpn,O=example,C=CN"
IKE = {"IkeVersion": "ikev1", "IkeMode": "main", "IkeEncAlg": "sm4", "IkeAuthAlg": "sm3"}
IPSEC = {"IpsecEncAlg": "sm4", "IpsecAuthAlg": "sm3"}


class Failed(Exception):
    """Something is not as the demonstration says."""


def ip(arguments):
    done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"ip {arguments}: {done.stderr.strip()}")
    return done.stdout


def inside(namespace):
    """What goes before a command that runs in a network namespace."""
    return ["nsenter", f"--net=/run/netns/{namespace}"]


def block(site):
    return f"10.{77 + site}.0.0/24"


def host(site):
    return f"10.{77 + site}.0.2"


class Stage:
    """What is shown, and the machinery behind it."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.tag = f"tgd{os.getpid()}"
        self.step_number = 0
        self.socket = self.directory / "supervisor.sock"
        self.supervisor = None
        self.server = None
        self.sdk = None
        self.gateways = [None, None]
        self.namespaces = []

    def step(self, title, why):
        self.step_number += 1
        print(f"\n{self.step_number}. {title}\n   {why}", flush=True)

    def show(self, text):
        for line in text.rstrip().splitlines():
            print(f"   {line}", flush=True)

    def check(self, so, what):
        if not so:
            raise Failed(f"step {self.step_number}: not so: {what}")
        print(f"   \N{CHECK MARK} {what}", flush=True)

    def call(self, site, product, action, quiet=False, **parameters):
        """One call with the SDK's own classes, which waits where the gateway is busy."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                body = self.sdk.call(SITES[site], product, action, {"RegionId": clients.REGION, **parameters}
                                     if product == "Vpc" else parameters)
                break
            except clients.Refusal as refusal:
                if refusal.code not in ("VpnGateway.Configuring", "IncorrectVpcStatus") or time.monotonic() > end:
                    raise
                time.sleep(0.05)
        if not quiet:
            shown = {name: value for name, value in parameters.items() if "BEGIN" not in str(value)}
            print(f"   {NAMES[site]}: {action} {json.dumps(shown)}", flush=True)
        return body

    def until(self, what, so):
        end = time.monotonic() + PATIENCE
        while not so():
            if time.monotonic() > end:
                raise Failed(f"step {self.step_number}: waited in vain for {what}")
            time.sleep(0.1)

    def tell(self, *arguments, **more):
        """What `tongguan` says."""
        done = subprocess.run([binary(), *map(str, arguments)], capture_output=True, text=True, **more)
        if done.returncode != 0:
            raise Failed(f"tongguan {' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    # The machine.

    def namespace(self, name):
        name = f"{self.tag}-{name}"
        ip(f"netns add {name}")
        self.namespaces.append(name)
        ip(f"-n {name} link set lo up")
        return name

    def start(self):
        self.machine = self.namespace("machine")
        command = [*inside(self.machine), binary(), "supervisor", "--socket", self.socket,
                   "--folder", self.directory / "gateways"]
        log = (self.directory / "supervisor.log").open("ab")
        self.supervisor = subprocess.Popen(command, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.until("the supervisor", self.socket.exists)
        self.show(f"# tongguan supervisor --socket {self.socket}")
        arguments = ["--dataplane", f"gateways:{self.socket}"]
        self.server = Server(self.directory / "service", arguments).start()
        self.show(f"$ tongguan serve {' '.join(arguments)}")
        self.sdk = clients.make("py-7.x", self.server.endpoint)

    def stop(self):
        if self.server:
            self.server.stop()
        if self.supervisor:
            self.supervisor.kill()
            self.supervisor.wait()
        left = [f"tg-{gateway['id']}" for gateway in self.gateways if gateway]
        for name in [*left, *self.namespaces]:
            found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
            for process in found.stdout.split():
                subprocess.run(["kill", "-9", process], capture_output=True)
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)

    def host_behind(self, site):
        """A host in the block of a site, and the gateway's leg in it."""
        name, gateway = self.namespace(NAMES[site]), f"tg-{self.gateways[site]['id']}"
        ip(f"link add eth0 netns {name} type veth peer name lan netns {gateway}")
        ip(f"-n {gateway} addr add 10.{77 + site}.0.1/24 dev lan")
        ip(f"-n {gateway} link set lan up")
        ip(f"-n {name} addr add {host(site)}/24 dev eth0")
        ip(f"-n {name} link set eth0 up")
        ip(f"-n {name} route add default via 10.{77 + site}.0.1")

    def ping(self, site, count=1, wait=1):
        command = [*inside(f"{self.tag}-{NAMES[site]}"), "ping", "-n", "-c", count, "-i", "0.2", "-W", wait, host(1 - site)]
        return subprocess.run([str(part) for part in command], capture_output=True, text=True)

    def show_pings(self):
        self.until("packets", lambda: self.ping(0).returncode == 0)
        for site in (0, 1):
            done = self.ping(site, count=3)
            self.show(f"{NAMES[site]}$ ping -c 3 {host(1 - site)}")
            self.show(done.stdout.split("---")[-1])
            self.check(" 0% packet loss" in done.stdout, f"the host behind {NAMES[site]} reaches the other")

    # The API.

    def status(self, site):
        connection = self.gateways[site]["connection"]
        return self.call(site, "Vpc", "DescribeVpnConnection", quiet=True, VpnConnectionId=connection)["Status"]

    def until_status(self, status):
        for site in (0, 1):
            self.until(f"{status} of {NAMES[site]}", lambda site=site: self.status(site) == status)
            self.check(True, f"{NAMES[site]}: DescribeVpnConnection says {status}")

    def active(self, site):
        identifier = self.gateways[site]["id"]
        self.until("the gateway", lambda: self.call(
            site, "Vpc", "DescribeVpnGateway", quiet=True, VpnGatewayId=identifier)["Status"] == "active")

    def bind(self, site, role, action="AssociateVpnGatewayWithCertificate"):
        gateway = self.gateways[site]
        self.call(site, "Vpc", action, VpnGatewayId=gateway["id"], CertificateId=gateway[role], CertificateType=role)


def story(stage):
    stage.step("The processes", "The supervisor is the only one with rights; the service has none.")
    stage.start()

    stage.step("Two gateways", "One of each account, for SM2, SM3 and SM4; each is a process in a namespace of its own.")
    for site in (0, 1):
        vpc = stage.call(site, "Vpc", "CreateVpc", CidrBlock="10.0.0.0/8")["VpcId"]
        place = {"VpcId": vpc, "ZoneId": f"{clients.REGION}-h", "CidrBlock": "10.1.0.0/16"}
        vswitch = stage.call(site, "Vpc", "CreateVSwitch", **place)["VSwitchId"]
        made = stage.call(site, "Vpc", "CreateVpnGateway", VpcId=vpc, VSwitchId=vswitch, VpnType="NationalStandard",
                          Bandwidth=10, InstanceChargeType="POSTPAY")
        stage.gateways[site] = {"id": made["VpnGatewayId"]}
        stage.active(site)
        described = stage.call(site, "Vpc", "DescribeVpnGateway", quiet=True, VpnGatewayId=made["VpnGatewayId"])
        stage.gateways[site]["address"] = described["InternetIp"]
        stage.show(f"{NAMES[site]}: {made['VpnGatewayId']} is active at {described['InternetIp']}")
        stage.host_behind(site)

    stage.step("Two certificates for each", "Keys are made in the service and stay there; a CA outside certifies them.")
    authority = stage.directory / "ca"
    stage.tell("ca", "new", authority)
    chain = (authority / "ca.pem").read_text()
    for site in (0, 1):
        for role, usage in ROLES.items():
            made = stage.call(site, "Kms", "CreateCertificate", KeySpec="EC_SM2", Subject=SUBJECT.format(NAMES[site]),
                              ExportablePrivateKey=False)
            leaf = stage.tell("ca", "issue", "--ca", authority, "--usage", usage, input=made["Csr"])
            stage.call(site, "Kms", "UploadCertificate", CertificateId=made["CertificateId"], Certificate=leaf,
                       CertificateChain=chain)
            stage.gateways[site][role] = made["CertificateId"]
            stage.bind(site, role)
        stage.active(site)

    stage.step("A connection from each to the other", "It trusts the peer's CA; SM4 and SM3 in both phases.")
    for site in (1, 0):
        peer = stage.call(site, "Vpc", "CreateCustomerGateway", IpAddress=stage.gateways[1 - site]["address"])
        made = stage.call(site, "Vpc", "CreateVpnConnection", VpnGatewayId=stage.gateways[site]["id"],
                          CustomerGatewayId=peer["CustomerGatewayId"], LocalSubnet=block(site), RemoteSubnet=block(1 - site),
                          RemoteCaCertificate=chain, EffectImmediately=True, IkeConfig=json.dumps(IKE),
                          IpsecConfig=json.dumps(IPSEC))
        stage.gateways[site]["connection"] = made["VpnConnectionId"]
    stage.until_status("ipsec_sa_established")

    stage.step("Packets", "From a host behind one gateway to one behind the other, and back.")
    stage.show_pings()
    stage.show("$ tongguan tunnel status")
    stage.show(stage.tell("tunnel", "status", "--data-dir", stage.server.data))

    stage.step("Without a certificate", "Both SAs are deleted, and the peer is told.")
    stage.bind(0, "Signature", action="DissociateVpnGatewayWithCertificate")
    begun = last = time.monotonic()
    while stage.ping(0, wait=0.3).returncode == 0:
        last = time.monotonic()
    stage.check(last - begun < 2, f"ping stops after {last - begun:.1f} s")
    stage.until_status("ike_sa_not_established")
    connection = stage.gateways[0]["connection"]
    stage.show(f"$ tongguan tunnel why {connection}")
    why = stage.tell("tunnel", "why", connection, "--data-dir", stage.server.data)
    stage.show(why)
    stage.check("no certificate is bound as Signature" in why, "the reason is said")

    stage.step("And with it again", "The tunnel comes back by itself.")
    stage.bind(0, "Signature")
    stage.until_status("ipsec_sa_established")
    stage.show_pings()

    stage.step("Clearing away", "Connections and gateways are deleted: no process, namespace or device is left.")
    for site in (0, 1):
        stage.call(site, "Vpc", "DeleteVpnConnection", VpnConnectionId=stage.gateways[site]["connection"])
        stage.active(site)
        stage.call(site, "Vpc", "DeleteVpnGateway", VpnGatewayId=stage.gateways[site]["id"])
    gone = [Path("/run/netns") / f"tg-{gateway['id']}" for gateway in stage.gateways]
    stage.until("the namespaces to be gone", lambda: not any(path.exists() for path in gone))
    left = ip(f"-n {stage.machine} -o link show master tongguan0")
    stage.check(not left.strip(), "nothing is left of the gateways")


def main():
    with tempfile.TemporaryDirectory(prefix="tongguan-tunnel-demo-") as directory:
        stage = Stage(directory)
        try:
            story(stage)
        except (Failed, clients.Refusal) as error:
            print(f"\n{error}", file=sys.stderr)
            if stage.server:
                print(stage.server.story(20), file=sys.stderr)
            return 1
        finally:
            stage.stop()
    print("\nAll of it was as it should be.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
