"""Every case of `cases/*.json`, by the client that CONFORMANCE_CLIENT names."""

import json
import os

import pytest

import clients
import scenario

NAME = os.environ["CONFORMANCE_CLIENT"]
SERVERS = json.loads(os.environ["CONFORMANCE_SERVERS"])
CONTENTS = {name: scenario.load(name) for name in SERVERS}


@pytest.fixture(scope="module")
def worlds():
    """The prepared world of each scenario, and for chained ones the case that broke the chain."""
    return {}


def prepare(worlds, name):
    if name not in worlds:
        content = CONTENTS[name]
        world = scenario.World(clients.make(NAME, SERVERS[name]), content)
        world.broken = None
        worlds[name] = world
        try:
            world.run(content.get("setup", []))
        except BaseException:
            world.broken = "the setup"
            raise
    return worlds[name]


@pytest.mark.parametrize("name, case", [
    pytest.param(name, case, id=f"{name} > {case['name']}") for name, content in CONTENTS.items() for case in content["cases"]])
def test_case(worlds, name, case):
    if NAME in case.get("not_for", {}):
        pytest.skip(case["not_for"][NAME])
    world = prepare(worlds, name)
    assert not world.broken, f"not run: {world.broken} failed"
    try:
        world.run(case["steps"])
    except BaseException:
        if CONTENTS[name].get("chained"):
            world.broken = case["name"]
        raise
