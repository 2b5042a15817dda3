"""The programs of `examples/`, as a reader runs them: each ends well and prints what the README there shows.

The suite `examples` of `conformance/run`, which prepares what they need: packages of the Python and Node suites, and
programs built of the folders' own go.mod and pom.xml.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.server import PRINCIPALS, Server, binary, clean_environment

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
CONFORMANCE = ROOT / "conformance"
CACHE = CONFORMANCE / ".cache"
AUTHORITY = str(EXAMPLES / "authority")
PATIENCE = 120


def command(name, folder):
    """How the README says that a program is run; `folder` is where it lies."""
    return {
        "shell": ["bash", folder / "gateway.sh"],
        "python": [sys.executable, folder / "gateway.py"],
        "node": ["node", folder / "gateway.mjs"],
        "go": [CACHE / "example-go", AUTHORITY],
        "java": ["java", "-cp", f"{CACHE}/example-java/classes:{CACHE}/example-java/lib/*", "Gateway", AUTHORITY],
    }[name]


# A job, three nodes, which want a database (`shared.rs` runs them), a configuration for Terraform, whose provider no package
# registry has, and what tests are helped by (test_fixtures.py).
NO_PROGRAMS = {"ci", "cluster", "fixtures", "terraform"}
NAMES = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name not in NO_PROGRAMS)


def environment(endpoint):
    """What a user has set: the key, the endpoint, and `tongguan` on the path."""
    root = PRINCIPALS["root"]
    return clean_environment() | {
        "ALIBABA_CLOUD_ACCESS_KEY_ID": root["access_key_id"],
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": root["access_key_secret"],
        "TONGGUAN_ENDPOINT": endpoint,
        "PATH": f"{Path(binary()).parent}:{os.environ['PATH']}",
    }


def normal(text):
    """Ids are any, but the same one is the same everywhere."""
    known = {}

    def name(found):
        return known.setdefault(found.group(), f"id {len(known) + 1}")

    return re.sub(r"vpn-[0-9a-z]{8,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", name, text)


def shown():
    """The output in the README of the examples."""
    blocks = re.findall(r"^```text\n(.*?)^```$", (EXAMPLES / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, f"{len(blocks)} blocks"
    return blocks[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_program_prints_what_the_readme_shows(tmp_path, name):
    folder = EXAMPLES / name
    if name == "node":
        # Node finds packages by walking up from the source, past any link.
        folder = tmp_path / "examples" / name
        shutil.copytree(EXAMPLES, tmp_path / "examples")
        (folder / "node_modules").symlink_to(CACHE / "node" / "node_modules")
    with Server(tmp_path / "server", ["--apply-delay", "0"]) as server:
        ran = subprocess.run(command(name, folder), env=environment(server.address), cwd=tmp_path,
                             capture_output=True, text=True, timeout=PATIENCE)
        assert ran.returncode == 0, ran.stderr + server.story()
        assert normal(ran.stdout) == normal(shown())


def steps(page):
    """Name and script of each step of a CI job that runs something."""
    text = re.split(r"^    steps:\n", page, flags=re.MULTILINE)[1]
    for step in re.split(r"^      - ", text, flags=re.MULTILINE)[1:]:
        if script := re.search(r"^        run: \|\n((?:          .*\n)+)", step, re.MULTILINE):
            name = re.search(r"name: (.*)", step).group(1)
            yield name, re.sub(r"^          ", "", script.group(1), flags=re.MULTILINE)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_the_ci_job_passes(tmp_path):
    page = (EXAMPLES / "ci" / "github-actions.yml").read_text()
    for port in ("8080", "8081"):
        page = page.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    own = dict(re.findall(r"^      ([A-Z_]+): (.+)$", page, re.MULTILINE))
    place = {"PATH": f"{Path(sys.executable).parent}:{Path(binary()).parent}:{os.environ['PATH']}", "RUNNER_TEMP": str(tmp_path)}
    ran, pid = [], tmp_path / "tongguan.pid"
    try:
        for name, script in steps(page):
            if name.startswith("Install"):
                continue  # they are installed
            # As the runner does it; in a session of its own, since the service outlives the step.
            done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], env=clean_environment() | own | place, cwd=ROOT,
                                  capture_output=True, text=True, timeout=PATIENCE, start_new_session=True)
            assert done.returncode == 0, f"{name}: {done.stderr}"
            ran.append(name)
            if name == "Test":
                assert normal(done.stdout) == normal(shown())
    finally:
        if pid.exists():
            try:
                os.kill(int(pid.read_text()), signal.SIGKILL)
            except ProcessLookupError:
                pass
    assert len(ran) == 3, ran


@pytest.mark.parametrize("page", ["gitlab-ci.yml", "Jenkinsfile", "flow.yml"])
def test_the_script_of_other_ci_runs_a_command(page):
    """What each of them calls, as it calls it."""
    command = re.search(r"examples/ci/with-tongguan\.sh [^'\n]+", (EXAMPLES / "ci" / page).read_text()).group(0)
    path = f"{Path(sys.executable).parent}:{Path(binary()).parent}:{os.environ['PATH']}"
    done = subprocess.run(["sh", "-c", command], env=clean_environment() | {"PATH": path}, cwd=ROOT, capture_output=True, text=True,
                          timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert normal(done.stdout) == normal(shown())


def test_a_command_that_fails_in_ci_is_told_of_with_what_was_refused():
    path = f"{Path(binary()).parent}:{os.environ['PATH']}"
    call = "tongguan call Vpc DescribeVpnGateway --VpnGatewayId vpn-none --endpoint \"$TONGGUAN_ENDPOINT\"; exit 7"
    done = subprocess.run([EXAMPLES / "ci" / "with-tongguan.sh", "sh", "-c", call], env=clean_environment() | {"PATH": path}, cwd=ROOT,
                          capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 7, done.stderr
    refused = json.loads(done.stderr.strip().splitlines()[-1])
    assert (refused["action"], refused["code"]) == ("DescribeVpnGateway", "InvalidVpnGatewayInstanceId.NotFound"), refused


def test_the_examples_want_what_the_suites_prove():
    """Packages and their versions are those that the suites run with."""
    requirements = (CONFORMANCE / "python" / "requirements-7.x.txt").read_text().splitlines()
    wanted = (EXAMPLES / "python" / "requirements.txt").read_text().splitlines()
    assert wanted and set(wanted) <= set(requirements)
    packages = [json.loads((folder / "package.json").read_text())["dependencies"].items()
                for folder in (EXAMPLES / "node", CONFORMANCE / "node")]
    assert packages[0] and packages[0] <= packages[1]
    modules = [set(re.findall(r"(\S+/\S+) (v\S+)(?! // indirect)", (folder / "go.mod").read_text().replace("require ", "")))
               for folder in (EXAMPLES / "go", CONFORMANCE / "go")]
    assert ("github.com/aliyun/alibaba-cloud-sdk-go" in dict(modules[0])) and modules[0] <= modules[1]
    artifacts = [set(re.findall(r"<artifactId>(.*?)</artifactId>\s*<version>(.*?)</version>", (folder / "pom.xml").read_text()))
                 for folder in (EXAMPLES / "java", CONFORMANCE / "java")]
    assert artifacts[0] - {("example", "1")} <= artifacts[1]
