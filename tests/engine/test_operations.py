# SPDX-License-Identifier: Apache-2.0
"""Calls as types, and as plan files and journals hold them: version 0.1 wrote golden/calls-0.1.json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.operations import describe, implementations
from stackmend.model.errors import ApiError
from stackmend.model.operations import Foreign, operation_of, types
from stackmend.model.operations.compute import LiveMigrate
from stackmend.model.plan import step_dict, step_of
from stackmend.model.step import ApiCall
from stackmend_lab.simulated import Cloud

GOLDEN = Path(__file__).parent / "golden"
WRITTEN = json.loads((GOLDEN / "calls-0.1.json").read_text(encoding="utf-8"))
#: the same calls as this version describes them: the words of 0.1 are in the file above, beside each call
IN_WORDS = json.loads((GOLDEN / "calls-in-words.json").read_text(encoding="utf-8"))


def named(one: Any) -> str:
    """An id for a test."""
    return f"{one['step']['service']} {one['step']['operation']}"


@pytest.mark.parametrize(("one", "words"), list(zip(WRITTEN, IN_WORDS, strict=True)), ids=map(named, WRITTEN))
def test_a_call_that_version_0_1_wrote_is_read_and_written_again_byte_for_byte(one: Any, words: str) -> None:
    """Its arguments, its guards, its inverse, in their order. This version may describe it in other words."""
    call = step_of(one["step"])
    assert isinstance(call, ApiCall)
    assert call.fault == ""
    assert call.inverse is None or call.inverse.fault == ""
    assert json.dumps(step_dict(call)) == json.dumps(one["step"])
    assert describe(call) == words


def test_every_operation_is_carried_out_by_somebody() -> None:
    """Types and implementations are found by walking, each on its own."""
    assert set(implementations()) == set(types().values())


MOVE = {"server": "s", "from": "c01", "to": None, "elsewhere": [], "limit": 60, "stall": 30.5, "on_stall": "abort"}


def test_numbers_stay_as_they_were_written() -> None:
    """60 is not 60.0: the hash of a plan is over its text."""
    move = operation_of("compute", "live-migrate", MOVE)
    assert isinstance(move, LiveMigrate)
    assert json.dumps(move.arguments) == json.dumps(MOVE)
    assert (move.changes, move.seconds) == (("server", "s"), 60.0)


@pytest.mark.parametrize(
    ("name", "changed", "why"),
    [
        ("live-migrat", {}, "there is no operation live-migrat of compute"),
        ("live-migrate", {"to": 7}, "live-migrate of compute: Expected `str | null`, got `int` - at `$.to`"),
        ("live-migrate", {"by": "me"}, "live-migrate of compute: Object contains unknown field `by`"),
        ("start", {}, "start of compute: Object contains unknown field `from`"),
        ("revert-resize", {}, "revert-resize of compute: Object contains unknown field `to`"),
    ],
)
def test_what_this_version_does_not_know_is_named(name: str, changed: dict[str, object], why: str) -> None:
    """It is kept and shown as it was found, and nobody carries it out."""
    call = operation_of("compute", name, {**MOVE, **changed}).call()
    assert isinstance(call.operation, Foreign)
    assert (call.fault, call.name, call.service) == (why, name, "compute")
    assert step_of(step_dict(call)) == call
    assert describe(call).startswith(f"[compute API] {name}(server='s', from='c01', to=")
    cloud = Cloud(hosts=1)
    with pytest.raises(ApiError, match=re.escape(why)):
        ApiExecutor(lambda: cloud, cloud.clock).begin(call, "")


@pytest.mark.parametrize(
    ("expect", "why"),
    [
        ({"server.hots": "c01"}, "it does not take server.hots 'c01'"),
        ({"server.host": 1}, "Expected `str | null`, got `int` - at `$.server.host`"),
        ({"server": "gone"}, "Invalid enum value 'gone' - at `$.server`"),
    ],
)
def test_a_guard_that_the_operation_never_finds_is_named(expect: dict[str, object], why: str) -> None:
    """It would never hold."""
    call = LiveMigrate(server="s", from_="c01", to=None, elsewhere=()).call(expect)  # type: ignore[arg-type]
    assert call.fault == f"a guard of live-migrate of compute: {why}"


def test_a_value_of_a_port_that_nothing_sets_is_named() -> None:
    """What is not an attribute of it is not passed on."""
    call = operation_of("network", "update-port", {"port": "p", "values": {"admin_state_up": False}}).call()
    assert call.fault == "update-port of network: it does not take values {'admin_state_up': False}"
