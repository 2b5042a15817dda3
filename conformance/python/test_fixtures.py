"""The fixtures of `examples/fixtures`, each as its user has it: copied beside a suite, which its language's runner runs.

Part of the suite `examples` of `conformance/run`, which prepares what they need.
"""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness.server import binary, clean_environment

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "examples" / "fixtures"
# Those in compiled languages are prepared by `conformance/run`, with their suites.
SUITES = ROOT / "conformance" / "fixtures"
CACHE = ROOT / "conformance" / ".cache"
PATIENCE = 300


def place(tmp_path, *files):
    """A folder with these files, and one for what is temporary."""
    for file in files:
        shutil.copy(file, tmp_path)
    (tmp_path / "tmp").mkdir()
    return tmp_path


def run(folder, command):
    environment = clean_environment() | {"TONGGUAN_BIN": binary(), "TMPDIR": str(folder / "tmp")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def left(folder):
    """What a service that has ended has left of its store; one that still ends has a moment."""
    for _ in range(500):
        there = [path.name for path in (folder / "tmp").iterdir() if path.name.startswith("tongguan-dev-")]
        if not there:
            break
        time.sleep(0.02)
    return there


def test_pytest(tmp_path):
    folder = place(tmp_path, FIXTURES / "tongguan_fixture.py", SUITES / "fixture_suite.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "fixture_suite.py"]
    assert "51 passed" in run(folder, command)
    assert left(folder) == []


def test_go(tmp_path):
    folder = place(tmp_path)
    assert run(folder, [CACHE / "fixture-go" / "fixture.test"]).startswith("PASS")
    assert left(folder) == []


def test_node(tmp_path):
    folder = place(tmp_path, FIXTURES / "tongguan.mjs", SUITES / "fixture.test.mjs")
    assert "pass 7" in run(folder, ["node", "--test", "--test-reporter=tap", "fixture.test.mjs"])
    assert left(folder) == []


def test_junit(tmp_path):
    folder = place(tmp_path)
    libraries = f"{CACHE}/fixture-java/classes:{CACHE}/fixture-java/lib/*"
    command = ["java", "-cp", libraries, "org.junit.platform.console.ConsoleLauncher", "execute",
               "--select-class", "FixtureTest", "--disable-banner", "--details", "summary"]
    assert "7 tests successful" in run(folder, command)
    assert left(folder) == []


def test_a_service_ends_with_a_test_that_is_killed(tmp_path):
    folder = place(tmp_path, FIXTURES / "tongguan_fixture.py")
    script = "from tongguan_fixture import Tongguan\nimport time\nservice = Tongguan()\nprint('ready', flush=True)\ntime.sleep(600)\n"
    environment = clean_environment() | {"TONGGUAN_BIN": binary(), "TMPDIR": str(folder / "tmp")}
    test = subprocess.Popen([sys.executable, "-c", script], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    assert test.stdout.readline() == "ready\n"
    test.send_signal(signal.SIGKILL)
    test.wait()
    assert left(folder) == []
