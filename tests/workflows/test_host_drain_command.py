# SPDX-License-Identifier: Apache-2.0
"""``host drain`` and ``host return``: what is asked for, how it is typed again, and which servers a run has moved."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from stackmend.app import runs
from stackmend.app.session import CloudSession
from stackmend.cli.commands.host.drain import DrainHost, ReturnHost
from stackmend.cli.manager import Commands
from stackmend.cli.request import Working
from stackmend.config.settings import Config, load
from stackmend.drivers.journal.lease import stamp
from stackmend.engine.auditing import catalogue
from stackmend.model.errors import UsageError
from stackmend.model.journal import JournalEntry, RunRecord
from stackmend.model.operations import operation_of
from stackmend.model.plan import Action
from stackmend.model.step import ApiCall, Risk, StepState

WATCHED = {"timeout": 3600, "stall": 900, "on_stall": "abort"}
DRAIN = {"host": "c01", "to": None, "cold": False, "wake": False, "reason": None, "agents": False, **WATCHED}
RETURN = {
    "host": "c01", "flavor": None, "image": None, "network": None, "volume": None, "canary": True, "back": [],
    **WATCHED,
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "line", "target"),
    [
        (DrainHost, "c01", DRAIN),
        (DrainHost, "c01 --to c02 --reason 'CHG 7' --cold --wake --agents",
         DRAIN | {"to": "c02", "reason": "CHG 7", "cold": True, "wake": True, "agents": True}),
        (DrainHost, "c01 --timeout 60.0 --stall 5.0 --on-stall force-complete",
         DRAIN | {"timeout": 60, "stall": 5, "on_stall": "force-complete"}),
        (ReturnHost, "c01", RETURN),
        (ReturnHost, "c01 --no-canary", RETURN | {"canary": False}),
        (ReturnHost, "c01 --flavor f --image i --network n --volume 2",
         RETURN | {"flavor": "f", "image": "i", "network": "n", "volume": 2}),
    ],
)  # fmt: skip
def test_what_is_asked_for_and_how_it_is_typed_again(
    command: type[Working], line: str, target: dict[str, object]
) -> None:
    """The next step that is shown asks for the same."""
    one = command(None, None)
    parsed = one.get_parser("x").parse_args(shlex.split(line))
    assert one.target(parsed) == target
    assert one.target(one.get_parser("x").parse_args(one.words(parsed))) == target


def test_who_looks_for_findings_first_can_be_told_not_to() -> None:
    """Every command of a workflow that does something to servers which a finding hinders; no other."""
    known = catalogue.workflows()
    every = [entry.load() for _, entry in Commands()]
    commands = [found for found in every if issubclass(found, Working)]
    assert (
        {command.workflow for command in commands if known[command.workflow].deed}
        == {command.workflow for command in commands if command.audits}
        == {name for name, workflow in known.items() if workflow.deed}
    )
    deeds = {workflow.deed for workflow in known.values()}
    assert {deed for check in catalogue.checks().values() for deed in check.hinders} == deeds - {""}
    one = DrainHost(None, None)
    one.cmd_name = "host drain"
    parsed = one.get_parser("x").parse_args(["c01", "--no-audit"])
    assert one._again(parsed)[-1] == "--no-audit"


def _move(operation: str, server: str, host: str = "c01") -> ApiCall:
    arguments = {"server": server, "from": host, "to": None, "elsewhere": [None], "limit": 3600.0}
    return operation_of("compute", operation, arguments).call()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """An account and a journal: no database is needed for any of it."""
    path = tmp_path / "stackmend.toml"
    path.write_text(f'[api]\ncloud = "nobody asks it"\n[state]\ndirectory = "{tmp_path}"\n')
    return load(str(path))


def test_the_servers_that_a_run_has_moved(config: Config) -> None:
    """Its own moves from that host: not those that failed, were never begun, or were found done."""
    calls = [_move("live-migrate", "s1"), _move("cold-migrate", "s2"), _move("live-migrate", "s3"),
             _move("live-migrate", "s4"), _move("live-migrate", "s5", "c09")]  # fmt: skip
    actions = [
        Action(
            id=f"a{number}", check="", key={}, fingerprint="", resource_type="server", resource_id=str(number),
            message="", target={}, repair="drain-host", strategy="api", risk=Risk.SAFE, stage=1, steps=(call,),
        )
        for number, call in enumerate(calls)
    ]  # fmt: skip
    record = RunRecord(
        id="r1", kind="apply", plan="p", sha256="", cloud="c", version="", operator="", host="", pid=1,
        created_at=stamp(),
    )  # fmt: skip
    begun = [JournalEntry(number, StepState.INTENT, None, "") for number in (0, 1, 2, 3, 4)]
    ended = [
        JournalEntry(0, StepState.DONE, None, ""), JournalEntry(1, StepState.DONE, None, ""),
        JournalEntry(2, StepState.FAILED, None, ""), JournalEntry(3, StepState.DONE, {"already": True}, ""),
        JournalEntry(4, StepState.DONE, None, ""),
    ]  # fmt: skip
    with CloudSession.looking(config).journal() as journal:
        journal.begin(record, actions)
        journal.note("r1", [*begun, *ended])
    assert runs.moved_from(config, "r1", "c01") == ["s1", "s2"]
    assert [run.id for run in runs.list_runs(config)] == ["r1"]
    with pytest.raises(UsageError, match="moved no server from c07"):
        runs.moved_from(config, "r1", "c07")
