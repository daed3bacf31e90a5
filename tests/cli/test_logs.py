# SPDX-License-Identifier: Apache-2.0
"""The log of a command: what it asked of whom, how long that took and what it decided; never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from stackmend.cli.logs import logging_to
from stackmend.model.errors import Exit
from stackmend.model.events import Events
from stackmend_lab.cloud import Cloud

from .conftest import Ran

#: an event of each of the stages of an audit, a plan and a run
STAGES = {
    "source collected": {"source", "rows"},
    "collected": {"sources", "failed", "skew"},
    "check asked": {"check", "rows", "seconds"},
    "looked again": {"check", "before", "rows"},
    "audited": {"findings", "checks", "exit"},
    "repair planned": {"repair", "check", "resource", "strategy"},
    "planned": {"plan", "actions", "not_repaired"},
    "run begun": {"run", "kind", "actions"},
    "transaction": {"database", "groups", "written", "seconds"},
    "action went on": {"run", "action"},
    "run ended": {"run", "state", "exit"},
}


def test_a_log_tells_of_every_stage(
    broken_cloud: Cloud, cloud_config: Path, run: Callable[..., Ran], tmp_path: Path
) -> None:
    """In JSON lines, with the facts beside the event; what `plan create` and `plan apply` do is all in there."""
    log, plan = tmp_path / "log.jsonl", tmp_path / "plan.json"
    front = ("--config", cloud_config, "--log-file", log, "--log-format", "json")
    made = run(*front, "plan", "create", "--allow-db", "--out", plan)
    assert plan.exists(), made.err
    applied = run(*front, "plan", "apply", plan, "--yes", "--accept", "all")
    assert applied.code in (Exit.REPAIRED, Exit.STOPPED), applied.err
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert all({"at", "level", "logger"} <= line.keys() for line in lines)
    seen = {line["event"]: line for line in lines if "event" in line}
    lacking = {event: facts - seen.get(event, {}).keys() for event, facts in STAGES.items()}
    assert {event: facts for event, facts in lacking.items() if facts} == {}
    assert {line["level"] for line in lines if line.get("event") in ("collected", "planned", "run ended")} == {"info"}


def test_milestones_are_seen_with_v(cloud: Cloud, cloud_config: Path, run: Callable[..., Ran]) -> None:
    """And nothing of it without: stderr is for what somebody has to know."""
    assert "INFO: audited findings=0" in run("--config", cloud_config, "-v", "audit").err
    assert "INFO" not in run("--config", cloud_config, "audit").err


def test_each_statement_is_seen_with_vv(cloud: Cloud, cloud_config: Path, run: Callable[..., Ran]) -> None:
    """Also each check, with how long it took."""
    assert "DEBUG: check asked check=allocation-orphan rows=0 seconds=" in run(
        "--config", cloud_config, "-vv", "audit"
    ).err  # fmt: skip


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_in_an_event(form: str, tmp_path: Path) -> None:
    """Wherever in the facts it is, and though the line has to remain JSON."""
    file = tmp_path / "log"
    with logging_to(io.StringIO(), 1, str(file), form):
        Events("stackmend.test").milestone(
            "asked", url="mysql://a:b%40c@host/x", words=["password=hunter2", 'token: "hunter2"'], inner={"a": "x"}
        )
        logging.getLogger("other").warning("password=%s", "hunter2")
    text = file.read_text()
    assert "hunter2" not in text
    assert "b%40c" not in text
    if form == "json":
        first, second = (json.loads(line) for line in text.splitlines())
        assert (first["event"], first["inner"]) == ("asked", {"a": "x"})
        assert second["message"] == "password=***"


def test_what_fails_is_in_the_log_with_its_reason(tmp_path: Path) -> None:
    """A timed event is written although what it times failed, and the failure goes on."""
    file = tmp_path / "log"
    events = Events("stackmend.test")
    with (
        logging_to(io.StringIO(), 1, str(file), "json"),
        pytest.raises(ValueError, match="odd"),
        events.timed("asked", whom="nova"),
    ):
        raise ValueError("odd")
    (line,) = map(json.loads, file.read_text().splitlines())
    assert (line["event"], line["whom"], line["error"]) == ("asked", "nova", "ValueError")
    assert line["seconds"] >= 0
