# SPDX-License-Identifier: Apache-2.0
"""A host is drained and returned on the real services, whatever happens to the tool, to nova-api and to a target."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.model.errors import Exit
from stackmend_lab.control_plane import Plane

from .draining import MOVES, Scene, Tool, moody

#: seeds the moments at which the tool is killed; printed on failure
SEED = random.randrange(10**6)
DRAIN = ("host", "drain", "c01", "--cold", "--wake", "--parallel", "4", "--yes", "--accept", "drain-host")


@pytest.fixture(scope="module")
def scene(plane: Plane) -> Iterator[Scene]:
    """Twenty servers in all states on the first host; at the end they are deleted and all settings are restored."""
    made = Scene(plane)
    try:
        yield made
    finally:
        plane.release_all()
        made.enable()
        made.close()


@pytest.fixture
def tool(plane: Plane) -> Tool:
    """The stackmend command."""
    return Tool(plane)


def assert_whole(scene: Scene, before: dict[str, str], since: int) -> None:
    """Assert that no server is lost or changed, none was moved twice, and each is in only one place."""
    assert scene.states() == before
    moved = {server: [m for m in moves if m[0] in ("completed", "confirmed")] for server, moves in
             scene.moves(since).items()}  # fmt: skip
    assert {server: moves for server, moves in moved.items() if len(moves) > 1} == {}
    for server, state in scene.servers.items():
        if state not in ("resized", "moved") or before[server] == "active":
            scene.whole(server)


def assert_journal_complete(tool: Tool, run: str) -> None:
    """Assert that every step that was begun has an outcome."""
    steps = tool.shown("run", "show", run)["steps"]
    last = {step["step"]: step["state"] for step in steps}
    assert {step: state for step, state in last.items() if state in ("intent", "in doubt")} == {}


def test_a_drain_that_is_killed_ten_times_moves_each_server_once(scene: Scene, tool: Tool, tmp_path: Path) -> None:
    """Killed with -9 at ten random moments and resumed: what can move has moved once; the rest is explained."""
    dice, before, since, older = random.Random(SEED), scene.states(), scene.newest_move(), tool.last_run()
    tool.run(*DRAIN[:-3], "--out", str(tmp_path / "plan.json"))
    apply, kills = ("plan", "apply", str(tmp_path / "plan.json"), *DRAIN[-3:]), 0
    while (run := tool.last_run()) == older:
        kills += tool.killed(*apply, after=dice.uniform(3, 8))
    for _ in range(30):
        if kills >= 10:
            break
        kills += tool.killed("run", "resume", run, after=dice.uniform(2, 7))
    code = tool.run("run", "resume", run)
    assert code == Exit.STOPPED, f"seed {SEED}: {tool.said}"
    stay = {server for server, state in scene.servers.items() if state not in MOVES}
    there = {server for server, host in scene.where().items() if host == scene.host}
    assert there == stay - set(scene.of("moved")), f"seed {SEED}: {tool.said}"
    assert_whole(scene, before, since)
    assert_journal_complete(tool, run)
    assert kills >= 10, "the drain was over before it had been killed ten times"


def test_what_a_human_has_settled_goes_too_and_then_the_host_is_empty(scene: Scene, tool: Tool) -> None:
    """The second drain moves the rest, and every service shows that nothing is left."""
    scene.settle()
    before, since = scene.states(), scene.newest_move()
    assert tool.run(*DRAIN) in (Exit.REPAIRED, Exit.CLEAN), tool.said
    assert scene.host not in scene.where().values()
    assert scene.held(scene.host) == []
    assert set(scene.servers) & set(scene.plane.guests(scene.host)) == set()
    assert_whole(scene, before, since)
    assert tool.run(*DRAIN) == Exit.CLEAN, tool.said


def test_a_host_returns_after_a_canary_and_gets_its_servers_back(scene: Scene, tool: Tool) -> None:
    """The canary has a port and a volume, and is deleted; the drained servers are back, each as it was."""
    scene.settle()
    scene.gather()
    assert tool.run(*DRAIN) == Exit.REPAIRED, tool.said
    run, before = tool.last_run(), scene.states()
    network = scene.network()
    words = ("host", "return", scene.host, "--network", network, "--volume", "1", "--back-from", run)
    code = tool.run(*words, "--parallel", "4", "--yes")
    assert code == Exit.REPAIRED, tool.said
    asleep = set(scene.of("suspended"))
    assert {s for s, host in scene.where().items() if host == scene.host} == set(scene.servers) - asleep
    assert scene.states() == before
    for server in scene.servers:
        scene.whole(server)
    assert scene.canaries() == []
    assert scene.service() == ("enabled", None)


def test_a_host_on_which_no_server_starts_is_closed_again(scene: Scene, tool: Tool, plane: Plane) -> None:
    """The canary fails and is deleted; the host is disabled with its previous reason, and no server moves there."""
    scene.disable("a broken fan")
    plane.lever(scene.host, "spawn", "fail")
    try:
        assert tool.run("host", "return", scene.host, "--yes") == Exit.STOPPED, tool.said
    finally:
        plane.release(scene.host, "spawn")
    assert scene.service() == ("disabled", "a broken fan")
    assert scene.canaries() == []
    assert "Exceeded maximum number of retries" in tool.said
    scene.enable()


def test_a_drain_through_an_api_that_fails_every_tenth_call(scene: Scene, plane: Plane, tmp_path: Path) -> None:
    """An API that breaks down, is busy or hangs up: in the end the host is empty, if need be after resumes."""
    scene.settle()
    scene.gather()
    before, since = scene.states(), scene.newest_move()
    with moody(plane, tmp_path) as (server, config):
        tool = Tool(plane, config)
        code = tool.run(*DRAIN)
        for _ in range(10):
            if code != Exit.IN_DOUBT:
                break
            code = tool.run("run", "resume", tool.last_run())
        # whatever failed for good is in the next plan
        for _ in range(5):
            if code in (Exit.REPAIRED, Exit.CLEAN):
                break
            code = tool.run(*DRAIN)
        assert server.failed > 5
    assert code in (Exit.REPAIRED, Exit.CLEAN), tool.said
    assert scene.host not in scene.where().values()
    assert_whole(scene, before, since)


def test_a_target_that_dies_in_the_middle_keeps_no_server(scene: Scene, plane: Plane, tool: Tool) -> None:
    """Servers on their way there go elsewhere, or stay and leave with the next drain."""
    scene.settle()
    scene.gather()
    before, since = scene.states(), scene.newest_move()
    plane.lever(scene.other, "pre_live_migration", "hold")
    process = tool.begin(*DRAIN)
    plane.wait_held(scene.other, "pre_live_migration", 120)
    plane.kill(f"nova-compute-{scene.other}")
    plane.release(scene.other, "pre_live_migration")
    process.wait(900)
    plane.start(f"nova-compute-{scene.other}")
    plane.wait()
    for _ in range(3):
        if tool.run(*DRAIN) in (Exit.REPAIRED, Exit.CLEAN):
            break
    assert scene.host not in scene.where().values(), tool.said
    assert scene.held(scene.host) == []
    assert_whole(scene, before, since)
