# SPDX-License-Identifier: Apache-2.0
"""Levers of the fakes are files: they can be pulled, released and inspected without any service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stackmend.model.errors import UsageError
from stackmend_lab.control_plane import Plane, configuration, layout, services
from stackmend_lab.mariadb import LabError

OBEY = "import sys; from lab_levers import obey; obey(*sys.argv[1:3], RuntimeError('as told')); print('went on')"


@pytest.fixture
def still(tmp_path):
    """A lab that was configured but never started."""
    lab = layout.create(tmp_path / "lab", None, None, Path("/opt/services"))
    configuration.write(lab)
    return Plane(lab.folder)


@pytest.fixture
def obey(still):
    """Run an action of a fake in a process of its own."""

    def running(place, action):
        return subprocess.run(
            [sys.executable, "-c", OBEY, place, action],
            env={
                **os.environ,
                "PYTHONPATH": str(services.FAKE_BACKENDS),
                "STACKMEND_LAB_STATE": f"{still.folder}/state",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return running


def test_an_action_goes_on_by_itself(obey):
    """An action continues if no lever is pulled."""
    assert obey("c01", "spawn").stdout == "went on\n"


def test_an_action_fails_as_told(still, obey):
    """An action fails as the lever says, and works again once the lever is released."""
    still.lever("cinder", "delete", "fail")
    assert "as told" in obey("cinder", "delete").stderr
    assert obey("cinder", "create").stdout == "went on\n"
    still.release("cinder", "delete")
    assert obey("cinder", "delete").stdout == "went on\n"


def test_an_action_waits_until_it_is_released(still, obey):
    """A held action is known to wait; once released, it continues."""
    still.lever("c01", "spawn", "hold")
    outcome = []
    waiting = threading.Thread(target=lambda: outcome.append(obey("c01", "spawn").stdout))
    waiting.start()
    still.wait_held("c01", "spawn")
    assert outcome == []
    assert still.release_all() == ["c01/spawn"]
    waiting.join(30)
    assert outcome == ["went on\n"]


def test_who_was_killed_while_held_is_forgotten(still):
    """A process killed while held is forgotten: otherwise the next would seem held before it is."""
    still.lever("c01", "spawn", "hold")
    (still.folder / "state" / "levers" / "c01" / "spawn.held").touch()
    still.lever("c01", "spawn", "hold")
    with pytest.raises(LabError, match="spawn of c01 to be held"):
        still.wait_held("c01", "spawn", seconds=0.1)


def test_a_host_forgets_a_guest(still):
    """A host forgets one guest with its interfaces; the other guests stay."""
    guests = {"a": {"name": "a", "state": 1, "vifs": ["p1"]}, "b": {"name": "b", "state": 1, "vifs": ["p2"]}}
    (still.folder / "state" / "nova" / "c01" / "guests.json").write_text(json.dumps(guests))
    for port in ("p1", "p2"):
        (still.folder / "state" / "plugged" / "c01" / port).touch()
    still.forget_guest("c01", "a")
    assert set(still.guests("c01")) == {"b"}
    assert still.plugged("c01") == {"p2"}


def test_options_are_for_services_that_read_them(still):
    """Options for other services are refused; options that were set can be reset."""
    still.configure("compute-c01", {"DEFAULT": {"debug": True}})
    with pytest.raises(LabError, match="has no options of its own"):
        still.configure("keystone", {})
    assert still.reset_options() == ["compute-c01"]
    assert still.reset_options() == []


def test_an_unknown_service_is_refused_with_those_that_there_are(still):
    """An unknown service is refused with the known ones, for start, stop and kill alike."""
    for act in (still.start, still.stop, still.kill):
        with pytest.raises(UsageError, match="no service apache") as caught:
            act("apache")
        assert "nova-scheduler" in caught.value.hint


def test_what_does_not_run_cannot_be_killed(still):
    """A service that does not run cannot be killed: such a break would break nothing."""
    with pytest.raises(LabError, match="nova-scheduler does not run"):
        still.kill("nova-scheduler")
