"""Reports every test to the shared results file under the name of the client it ran with."""

import os

import pytest

from harness import results

CLIENT = os.environ["CONFORMANCE_CLIENT"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    # A setup that fails never reaches the call.
    if report.when == "call" or (report.when == "setup" and report.failed):
        if not report.skipped:
            suite, case = item.path.stem.removeprefix("test_"), item.name
            if suite == "scenarios":
                suite, _, case = item.callspec.id.partition(" > ")
            results.finished(CLIENT, suite, case, report.passed)
    return report
