"""Three nodes of the service over one PostgreSQL of their own, and one address before them: every call goes to another node
than the one before it, whoever makes it.

As [`harness.server.Server`], for the scenarios that need nothing that nodes together do not offer.
"""

import http.client
import itertools
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness.server import Server, binary

NODES = 3
# What belongs to a connection, and is not passed on.
OF_A_CONNECTION = {"connection", "keep-alive", "proxy-connection", "transfer-encoding"}
DEADLINE = 60


def databases():
    """The program that starts PostgreSQL, beside the service."""
    return Path(binary()).parent / "tongguan-cluster"


class Before(ThreadingHTTPServer):
    """Passes each call on to the next node."""

    daemon_threads = True

    def __init__(self, addresses):
        super().__init__(("127.0.0.1", 0), Passing)
        self.turns = itertools.cycle(addresses)


class Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(pieces)

    def pass_on(self):
        body = self.body()
        node = http.client.HTTPConnection(next(self.server.turns), timeout=DEADLINE)
        # As it came: names, order and Host are part of what was signed.
        node.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in OF_A_CONNECTION:
                node.putheader(name, value)
        if "Transfer-Encoding" in self.headers:
            node.putheader("Content-Length", str(len(body)))
        node.endheaders(body or None)
        answer = node.getresponse()
        content = answer.read()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in OF_A_CONNECTION:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        node.close()

    do_GET = do_POST = pass_on

    def log_message(self, *_):
        """The nodes say what there is to say."""


class Nodes:
    """What suites ask of a server, of three."""

    def __init__(self, directory, _arguments):
        self.directory = Path(directory)
        self.nodes = []
        self.database = self.before = None

    def start(self):
        # Whose standard input ends, it clears away.
        self.database = subprocess.Popen([databases(), "single"], stdout=subprocess.PIPE, text=True)
        url = self.database.stdout.readline().split()[0]
        shared = {"TONGGUAN_DATABASE": url, "TONGGUAN_MASTER_KEY_FILE": str(self.directory / "master.key")}
        for number in range(NODES):
            directory = self.directory / f"node-{number}"
            directory.mkdir()
            for file in ("rsa.pem", "rsa.pub.pem"):
                shutil.copy(self.directory / file, directory)
            node = Node(directory, shared)
            if number == 0:
                subprocess.run([binary(), "database", "init", "--data-dir", str(directory / "operator")], check=True,
                               env=node.environment(), stdout=subprocess.DEVNULL)
            self.nodes.append(node.start())
        self.before = Before([node.address for node in self.nodes])
        threading.Thread(target=self.before.serve_forever, daemon=True).start()
        return self

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.before.server_port}"

    def stop(self):
        if self.before:
            self.before.shutdown()
            self.before.server_close()
        for node in self.nodes:
            node.stop()
        if self.database:
            self.database.terminate()
            self.database.wait()

    def story(self):
        return "\n".join(node.story() for node in self.nodes)


class Node(Server):
    def __init__(self, directory, shared):
        # A change takes so long that it is seen under way: nodes together do not count looks.
        super().__init__(directory, ("--apply-delay", "500ms"))
        self.shared = shared

    def environment(self):
        return super().environment() | self.shared
