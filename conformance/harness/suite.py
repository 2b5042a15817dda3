"""Runs one suite: a server per scenario file, then the suite's command, then the servers' logs if it failed.

    python3 -m harness.suite NAME -- COMMAND…

A NAME that ends with `@nodes` has three nodes that share a database, before which every call goes to another one, and the
scenarios in SHARED alone.

The command finds in its environment:

* CONFORMANCE_CLIENT     NAME without `@nodes`, the client it must be
* CONFORMANCE_CASES      folder of the scenario files
* CONFORMANCE_SERVERS    {"story": "http://127.0.0.1:1234", …}, one server per scenario file, all fresh
* CONFORMANCE_ENCRYPTED  a further server like these, behind TLS, for the suites in ENCRYPTED; its certificate is where Node
                         and Go look for trust anchors
* CONFORMANCE_AUTHORITY  folder of the certificate authorities, first argument of `harness.authority`
* CONFORMANCE_WORK       a folder of its own, removed afterwards
* CONFORMANCE_RSA_KEY    private key of the principal "rsa"
* CONFORMANCE_COVERAGE, CONFORMANCE_RESULTS  see harness/results.py
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import results
from harness.nodes import Nodes
from harness.server import CASES, Server, clean_environment, make_certificate, make_rsa_key

# One per language: the credentials client of the language is the same for all its clients.
ENCRYPTED = ("node-7.x", "go-tea")
# Its programs tell a story of their own, each to a server of its own.
WITHOUT_SCENARIOS = ("examples",)
SHARED = ("story",)

STEP_WORDS = {"call", "version", "as", "with", "expect", "refused", "seen_by", "until", "until_refused", "passing", "save",
              "issue", "request", "role", "authority", "curve", "forget_distid", "not_for", "why"}


def scenarios():
    """Every scenario file, by name: those with cases."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(CASES.glob("*.json"))}
    chosen = {name: content for name, content in found.items() if "cases" in content}
    for name, content in chosen.items():
        for step in [*content.get("setup", []), *(step for case in content["cases"] for step in case["steps"])]:
            # A misspelt word would make a step check nothing.
            if unknown := set(step) - STEP_WORDS:
                raise ValueError(f"{name}.json: unknown word {unknown} in {step}")
    return chosen


def run(name, command, work, before):
    """`before`: how many results there were when this suite began."""
    key, _ = make_rsa_key(work)
    servers = {}
    client, at, _ = name.partition("@")
    kind, wanted = (Nodes, SHARED) if at else (Server, scenarios() if name not in WITHOUT_SCENARIOS else ())
    try:
        for scenario, content in scenarios().items():
            if scenario not in wanted:
                continue
            directory = work / scenario
            directory.mkdir()
            for file in ("rsa.pem", "rsa.pub.pem"):
                shutil.copy(work / file, directory)
            server = servers[scenario] = kind(directory, content["server"])
            server.start()
        trust = {}
        if name in ENCRYPTED:
            (work / "encrypted").mkdir()
            certificate, private = make_certificate(work / "encrypted")
            server = servers["encrypted"] = Server(work / "encrypted", ["--tls-cert", str(certificate), "--tls-key", str(private)])
            trust = {"CONFORMANCE_ENCRYPTED": server.start().endpoint, "NODE_EXTRA_CA_CERTS": str(certificate), "SSL_CERT_FILE": str(certificate)}
        environment = clean_environment() | trust | {
            "CONFORMANCE_CLIENT": client,
            "CONFORMANCE_CASES": str(CASES),
            "CONFORMANCE_SERVERS": json.dumps({scenario: server.endpoint for scenario, server in servers.items() if scenario != "encrypted"}),
            "CONFORMANCE_AUTHORITY": str(work / "authority"),
            "CONFORMANCE_WORK": str(work),
            "CONFORMANCE_RSA_KEY": str(key),
            "PYTHONPATH": str(CASES.parent),
        }
        code = subprocess.run(command, env=environment).returncode
        failed = {line["suite"] for line in results.read()[before:] if not line["passed"]}
        for scenario in failed & set(servers):
            print(f"=== {name}: the server of {scenario}\n{servers[scenario].story()}", file=sys.stderr)
        return code
    finally:
        for server in servers.values():
            server.stop()


def main():
    name, separator, *command = sys.argv[1:]
    if separator != "--" or not command:
        sys.exit(__doc__)
    work = Path(tempfile.mkdtemp(prefix=f"conformance-{name}-"))
    before = len(results.read())
    try:
        code = run(name, command, work, before)
    except Exception as error:  # a server that does not start must count as a failure, not as silence
        print(f"=== {name}: {error}", file=sys.stderr)
        code = 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    mine = results.read()[before:]
    if not mine or (code and all(line["passed"] for line in mine)):
        # It died before, between or after its cases.
        results.finished(name, "suite", f"exit code {code}", False)
        code = code or 1
    sys.exit(code)


if __name__ == "__main__":
    main()
