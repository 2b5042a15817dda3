"""Where suites write what happened, and the verdict over all of them.

Two files of JSON lines, named by the environment:

* CONFORMANCE_COVERAGE: one line per answered call, {"operation", "kind": "success" | "refusal", "client", "code"}
* CONFORMANCE_RESULTS:  one line per case, {"client", "suite", "case", "passed"}

As a program (the end of `conformance/run`): `python3 -m harness.results` prints what operation lacks a success or a
refusal case, and the total as `N passed, M failed`; exits 1 when anything failed, is missing, or nothing ran.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict


# There is nothing here that they could remove: every answer of theirs is a refusal.
NEVER_SUCCEED = {"Ram.DeleteLoginProfile", "Ram.UnbindMFADevice"}


def _append(variable, record):
    path = os.environ.get(variable)
    if not path:
        return
    # One write per line in append mode: suites may run side by side.
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")


def covered(operation, kind, client, code=None):
    _append("CONFORMANCE_COVERAGE", {"operation": operation, "kind": kind, "client": client, "code": code})


def finished(client, suite, case, passed):
    _append("CONFORMANCE_RESULTS", {"client": client, "suite": suite, "case": case, "passed": passed})


def read(variable="CONFORMANCE_RESULTS"):
    try:
        with open(os.environ[variable], encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.strip()]
    except FileNotFoundError:
        return []


def _operations():
    listed = subprocess.run([os.environ["TONGGUAN_BIN"], "operations", "--format", "json"],
                            capture_output=True, text=True, check=True).stdout
    return sorted(f"{entry['product']}.{entry['action']}" for entry in json.loads(listed))


def gaps(operations, coverage):
    seen = defaultdict(set)
    for line in coverage:
        seen[line["operation"]].add(line["kind"])
    return [(operation, kind) for operation in operations for kind in ("success", "refusal")
            if kind not in seen[operation] and not (kind == "success" and operation in NEVER_SUCCEED)]


def main():
    results = read()
    failed = [line for line in results if not line["passed"]]
    by_client = defaultdict(lambda: [0, 0])
    for line in results:
        by_client[line["client"]][not line["passed"]] += 1
    for client, (good, bad) in sorted(by_client.items()):
        print(f"  {client:<12} {good:4} passed {bad:4} failed")
    for line in failed:
        print(f"FAILED {line['client']} {line['suite']}: {line['case']}")
    missing = gaps(_operations(), read("CONFORMANCE_COVERAGE")) if "--no-coverage" not in sys.argv else []
    for operation, kind in missing:
        print(f"UNCOVERED {operation}: no {kind} case in any suite")
    print(f"{len(results) - len(failed)} passed, {len(failed) + len(missing)} failed")
    return 1 if failed or missing or not results else 0


if __name__ == "__main__":
    sys.exit(main())
