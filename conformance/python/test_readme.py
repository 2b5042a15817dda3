"""The blocks of the README that want a client's package run as they are pasted, in both languages."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.server import PRINCIPALS, Server

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "README.zh-CN.md"]


def block(page, label):
    found = re.findall(rf"^```{label}\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{page} has {len(found)} blocks labelled {label}"
    return found[0]


def environment():
    root = PRINCIPALS["root"]
    keys = {"ALIBABA_CLOUD_ACCESS_KEY_ID": root["access_key_id"], "ALIBABA_CLOUD_ACCESS_KEY_SECRET": root["access_key_secret"]}
    return os.environ | keys


@pytest.mark.parametrize("page", PAGES)
def test_python_runs_as_it_is_pasted(tmp_path, page):
    with Server(tmp_path) as server:
        endpoint = server.endpoint.split("//")[-1]
        text = block(page, "python").replace("127.0.0.1:8080", endpoint)
        ran = subprocess.run([sys.executable, "-c", text], env=environment(), capture_output=True, text=True, timeout=60)
        assert (ran.returncode, ran.stdout) == (0, "0\n"), ran.stderr


@pytest.mark.parametrize("page", PAGES)
def test_node_runs_as_it_is_pasted(tmp_path, page):
    modules = ROOT / "conformance" / "node" / "node_modules"
    if not modules.exists():
        pytest.skip("the packages of the Node suites are not there: run them first")
    with Server(tmp_path) as server:
        endpoint = server.endpoint.split("//")[-1]
        script = modules.parent / f".readme-{os.getpid()}.cjs"
        script.write_text(block(page, "js").replace("127.0.0.1:8080", endpoint))
        try:
            ran = subprocess.run(["node", script], env=environment(), capture_output=True, text=True, timeout=60)
        finally:
            script.unlink()
        assert (ran.returncode, ran.stdout) == (0, "0\n"), ran.stderr
