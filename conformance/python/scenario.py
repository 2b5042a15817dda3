"""The interpreter of the scenario files in `cases/` for the Python clients. The words are explained in README.md."""

import json
import os
import re
import time
from pathlib import Path

from harness import results
from harness.authority import Authority

CASES = Path(os.environ["CONFORMANCE_CASES"])
ERRORS = json.loads((CASES / "errors.json").read_text())
POLL_DEADLINE = 30.0
POLL_PAUSE = 0.01


class Refusal(Exception):
    """What the user of a client sees when the server refuses.

    `status`, and `detail` (the AccessDeniedDetail), are None where the client hides them.
    """

    def __init__(self, code, status, message, request_id, detail=None):
        super().__init__(f"{status} {code}: {message} ({request_id})")
        self.code, self.status, self.message, self.request_id, self.detail = code, status, message, request_id, detail


def load(name):
    return json.loads((CASES / f"{name}.json").read_text())


def substitute(value, variables):
    if isinstance(value, str):
        if whole := re.fullmatch(r"\$\{([\w.]+)\}", value):
            return lookup(variables, whole[1])  # a number stays a number
        return re.sub(r"\$\{([\w.]+)\}", lambda found: str(lookup(variables, found[1])), value)
    if isinstance(value, list):
        return [substitute(item, variables) for item in value]
    if isinstance(value, dict):
        return {key: substitute(item, variables) for key, item in value.items()}
    return value


def lookup(value, path):
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def difference(expected, actual, path=""):
    """None when `actual` is as expected, else a sentence that says where it is not."""
    where = path or "the answer"
    if isinstance(expected, dict):
        special = next((key for key in expected if key.startswith("$")), None)
        if special:
            return _special(special, expected[special], actual, where)
        if not isinstance(actual, dict):
            return f"{where}: expected an object, got {actual!r}"
        for key, item in expected.items():
            if found := difference(item, actual.get(key), f"{path}.{key}" if path else key):
                return found
        return None
    if isinstance(expected, list):
        if not isinstance(actual, list) or len(actual) != len(expected):
            return f"{where}: expected {len(expected)} elements, got {actual!r}"
        return next((found for index, item in enumerate(expected)
                     if (found := difference(item, actual[index], f"{path}[{index}]"))), None)
    # True == 1 in Python; on the wire they differ.
    same = expected == actual and isinstance(expected, bool) == isinstance(actual, bool)
    return None if same else f"{where}: expected {expected!r}, got {actual!r}"


def _special(name, operand, actual, where):
    def matching(item, candidates):
        return any(difference(item, candidate) is None for candidate in candidates)

    good = {
        "$any": lambda: actual not in (None, "", [], {}),
        "$none": lambda: actual in (None, "", [], {}),
        "$not": lambda: difference(operand, actual) is not None,
        "$like": lambda: actual is not None and re.search(operand, str(actual)) is not None,
        "$has": lambda: all(matching(item, actual or []) for item in operand),
        "$set": lambda: len(actual or []) == len(operand) and all(matching(item, actual or []) for item in operand),
    }[name]()
    return None if good else f"{where}: expected {name} {operand!r}, got {actual!r}"


class World:
    """One scenario against one server: its variables, and the client that speaks."""

    def __init__(self, client, content, variables=None):
        self.client = client
        self.content = content
        self.variables = {} if variables is None else variables

    def run(self, steps):
        for step in steps:
            if self.client.name in step.get("not_for", {}):
                continue
            try:
                self.issue(step) if "issue" in step else self.call(step)
            except AssertionError as error:
                raise AssertionError(f"{step.get('call', 'issue')} {json.dumps(step.get('with', {}))}: {error}") from None

    def issue(self, step):
        authority = Authority(os.environ["CONFORMANCE_AUTHORITY"], step.get("authority", "ca"), step.get("curve", "SM2"))
        self.variables[step["issue"]] = authority.issue(
            substitute(step["request"], self.variables), step["role"], step.get("forget_distid", False))

    def call(self, step):
        step = substitute(step, self.variables)
        if "until" in step or "until_refused" in step:
            answer = self._poll(step)
        elif "refused" in step:
            wanted = step.get("seen_by", {}).get(self.client.name, step["refused"])
            self._check_refusal(wanted, self._send(step))
            return
        else:
            answer = self._send(step)
            if isinstance(answer, Refusal):
                raise AssertionError(f"refused: {answer}")
            self._check(step.get("expect", {}), answer)
        for name, path in step.get("save", {}).items():
            self.variables[name] = lookup(answer, path)

    def _send(self, step):
        product, action = step["call"].split(".")
        parameters = self.content.get("defaults", {}).get(product, {}) | step.get("with", {})
        parameters = {key: value for key, value in parameters.items() if value is not None}
        try:
            answer = self.client.call(step.get("as", "root"), product, action, parameters, step.get("version"))
        except Refusal as refusal:
            results.covered(step["call"], "refusal", self.client.name, refusal.code)
            return refusal
        results.covered(step["call"], "success", self.client.name)
        return answer

    def _check(self, expected, answer):
        if found := difference({"RequestId": {"$any": True}} | expected, answer):
            raise AssertionError(found)

    def _check_refusal(self, wanted, answer):
        if not isinstance(answer, Refusal):
            raise AssertionError(f"expected a refusal, got {answer!r}")
        wanted = {"code": wanted} if isinstance(wanted, str) else wanted
        known = ERRORS.get(wanted["code"], {}) if isinstance(wanted["code"], str) else {}
        wanted = {"message": {"$any": True}} | known | wanted | {"request_id": {"$any": True}}
        seen = vars(answer)
        if answer.status is None:
            wanted.pop("status", None)
        if self.client.hides_detail:
            wanted.pop("detail", None)
        if found := difference(wanted, seen):
            raise AssertionError(f"{found}; the refusal was: {answer}")

    def _poll(self, step):
        deadline = time.monotonic() + POLL_DEADLINE
        while True:
            answer = self._send(step)
            if isinstance(answer, Refusal):
                if "until_refused" not in step:
                    raise AssertionError(f"refused: {answer}")
                self._check_refusal(step["until_refused"], answer)
                return None
            if "until" in step:
                still = difference(step["until"], answer)
                if still is None:
                    self._check({}, answer)
                    return answer
            else:
                still = "still there"
            if "passing" in step and (strange := difference(step["passing"], answer)):
                raise AssertionError(f"on the way: {strange}; wanted in the end: {still}")
            if time.monotonic() > deadline:
                raise AssertionError(f"after {POLL_DEADLINE:.0f} s: {still}; last answer {answer!r}")
            time.sleep(POLL_PAUSE)
