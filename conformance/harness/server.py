"""One `tongguan serve` process under a test's control.

Each server gets its own directory (data, configuration, keys, log) and a port the system picks, so that suites never
meet. The log is kept in a file and shown when something fails.
"""

import json
import os
import re
import selectors
import signal
import subprocess
import time
from pathlib import Path

from harness.authority import openssl

CASES = Path(__file__).resolve().parent.parent / "cases"
PRINCIPALS = json.loads((CASES / "principals.json").read_text())
START_DEADLINE = 20.0
STOP_DEADLINE = 10.0
LISTENING = re.compile(r"listening on (https?://\S+:\d+)")


def binary():
    return os.environ["TONGGUAN_BIN"]


def make_rsa_key(directory):
    """A key pair for ACS3-RSA-SHA256: `rsa.pem` (PKCS #8) for the client, `rsa.pub.pem` for the server."""
    private, public = directory / "rsa.pem", directory / "rsa.pub.pem"
    if not public.exists():
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private)
        openssl("pkey", "-in", private, "-pubout", "-out", public)
    return private, public


def make_certificate(directory):
    """A certificate for TLS on the loopback address that signs itself, and its key."""
    certificate, key = directory / "server.pem", directory / "server.key"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    return certificate, key


def config_toml(directory):
    """The configuration file: every principal of `principals.json` except root, which the environment gives."""
    blocks = []
    for name, principal in PRINCIPALS.items():
        if name == "root" or principal.get("unconfigured"):
            continue
        lines = ["[[principal]]"]
        # TOML basic strings and arrays of strings are written as JSON writes them.
        lines += [f"{key} = {json.dumps(value)}" for key, value in principal.items() if key != "why"]
        blocks.append("\n".join(lines))
    path = directory / "tongguan.toml"
    path.touch(mode=0o600)
    path.write_text("\n\n".join(blocks) + "\n")
    return path


def clean_environment():
    """No proxy (clients obey it even for loopback) and no credentials but those given explicitly."""
    dropped = re.compile(r"(?i)^(https?_proxy|all_proxy|no_proxy|tongguan_(?!bin$).*|alibaba_?cloud_.*)$")
    return {key: value for key, value in os.environ.items() if not dropped.match(key)}


class Server:
    """`arguments` come after `serve --listen … --data-dir …`; `credentials=False` starts without the root key."""

    def __init__(self, directory, arguments=("--apply-delay", "polls:2"), credentials=True, config=True):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.arguments = list(arguments)
        self.credentials = credentials
        self.config = config
        self.process = None
        self.endpoint = None
        self.stdout = ""

    @property
    def address(self):
        """host:port, as the Tea clients want it."""
        return self.endpoint.split("://", 1)[1]

    def command(self):
        command = [binary(), "serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir", str(self.data)]
        if self.config:
            make_rsa_key(self.directory)
            command += ["--config", str(config_toml(self.directory))]
        return command + self.arguments

    def environment(self):
        environment = clean_environment() | {"TONGGUAN_LOG": "debug"}
        if self.credentials:
            root = PRINCIPALS["root"]
            environment["TONGGUAN_ACCESS_KEY_ID"] = root["access_key_id"]
            environment["TONGGUAN_ACCESS_KEY_SECRET"] = root["access_key_secret"]
            environment["TONGGUAN_ACCOUNT_ID"] = root["account_id"]
        return environment

    def start(self):
        log = self.log.open("ab")
        self.process = subprocess.Popen(
            self.command(), cwd=self.directory, env=self.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=log)
        log.close()
        self._await_listening()
        return self

    def _await_listening(self):
        deadline = time.monotonic() + START_DEADLINE
        descriptor = self.process.stdout.fileno()
        os.set_blocking(descriptor, False)
        self.stdout = ""
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while not (found := LISTENING.search(self.stdout)):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self.kill()
                    raise RuntimeError(f"no 'listening on' line within {START_DEADLINE:.0f} s\n{self.story()}")
                piece = os.read(descriptor, 65536)
                if not piece:
                    self.process.wait()
                    raise RuntimeError(f"server ended with {self.process.returncode}\n{self.story()}")
                self.stdout += piece.decode(errors="replace")
        self.endpoint = found.group(1)

    def stop(self):
        """An orderly end; a server that does not obey SIGTERM is an error."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"server ignored SIGTERM for {STOP_DEADLINE:.0f} s\n{self.story()}") from None

    def kill(self):
        """SIGKILL: what is not on disk now is lost."""
        self.process.kill()
        self.process.wait()

    def restart(self):
        """Again on the same data; the port may differ."""
        return self.start()

    def story(self, lines=60):
        """What the server said: for the report of a failure."""
        said = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"--- server log, last {lines} of {len(said)} lines ---", *said[-lines:],
                          "--- server stdout ---", self.stdout.rstrip()])

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        self.stop()
