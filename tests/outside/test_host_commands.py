# SPDX-License-Identifier: Apache-2.0
"""Hypervisors on the command line: ``audit --hosts``, ``snapshot create --hosts``, ``plan create --hosts``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stackmend.cli.shell import main
from stackmend.engine.auditing import catalogue
from stackmend.model.errors import Exit

from .host_plants import Scene, twice, undefined

Type = Callable[..., tuple[int, str, str]]
MISSING = "server-active-domain-missing"


@pytest.fixture
def typed(scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Type:
    """Run a command: (exit code, stdout, stderr)."""
    toml = tmp_path / "stackmend.toml"
    mine = scene.cloud.toml().partition("[state]")[0]
    toml.write_text(f'{mine}[state]\ndirectory = "{tmp_path}/state"\n{scene.standing.toml}')

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--config", str(toml), *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_an_audit_names_what_is_lost_and_where_to_go_on(scene: Scene, typed: Type) -> None:
    """The finding for people, and the command that shows what to do, with the same option."""
    key = undefined(scene)
    code, out, err = typed("audit", "--hosts", "--settle", "0", "--check", MISSING)
    assert code == Exit.FINDINGS
    assert key["server"] in out
    assert f"plan create --check {MISSING} --hosts --allow-db" in err


def test_a_plan_looks_at_them_too(typed: Type) -> None:
    """The same option; without it, a check that needs it cannot be planned for."""
    assert typed("plan", "create", "--check", MISSING)[0] == Exit.USAGE
    code, _, err = typed("plan", "create", "--hosts", "all", "--check", MISSING)
    assert (code, "warning" in err) == (Exit.CLEAN, False)


def test_a_check_that_needs_hosts_says_so(typed: Type) -> None:
    """By name without the option: an error with the option; `check list` has it, in the area of hosts."""
    code, _, err = typed("audit", "--check", MISSING)
    assert code == Exit.USAGE
    assert "needs hypervisors" in err
    assert "--hosts" in err
    code, out, _ = typed("check", "list", "--area", "hosts", "-f", "json")
    assert code == Exit.CLEAN
    assert MISSING in {one["name"] for one in json.loads(out)}


def test_a_selection_by_severity_or_area_runs_what_can_be_run(scene: Scene, typed: Type) -> None:
    """Without the option such checks are left away; with it they are among the others."""
    key = twice(scene)
    code, out, _ = typed("audit", "--severity", "error", "--settle", "0", "-f", "json")
    assert (code, json.loads(out)) == (Exit.CLEAN, [])
    code, out, _ = typed("audit", "--severity", "error", "--hosts", "--settle", "0", "-f", "json")
    assert code == Exit.FINDINGS
    assert [(one["check"], one["key"]) for one in json.loads(out)] == [("domain-on-two-hosts", key)]
    code, out, _ = typed("audit", "--area", "hosts", "--hosts", "--settle", "0", "-f", "json")
    assert [one["check"] for one in json.loads(out)] == ["domain-on-two-hosts"]


def test_a_dead_hypervisor_on_the_screen(scene: Scene, typed: Type) -> None:
    """It is named with its reason, which checks have no full answer, and the exit code says so."""
    host = min(scene.standing.guests)
    scene.standing.file(host).unlink()
    code, _, err = typed("audit", "--hosts", "--settle", "0")
    assert code == Exit.INCOMPLETE
    assert f"hypervisor {host} could not be read" in err
    assert "INCOMPLETE, not proven clean" in err
    assert f"no findings in {len(catalogue.tabled())} of" not in err


def test_a_snapshot_lists_its_hypervisors(scene: Scene, typed: Type, tmp_path: Path) -> None:
    """Each with its rows; audited later, it finds the same."""
    key = undefined(scene)
    place = str(tmp_path / "snapshot")
    code, out, _ = typed("snapshot", "create", "--hosts", "--out", place)
    assert code == Exit.CLEAN
    assert all(f"host:{host}: " in out for host in scene.standing.guests)
    code, out, _ = typed("audit", "--snapshot", place, "-f", "json")
    assert [(one["check"], one["key"]) for one in json.loads(out)] == [(MISSING, key)]
    code, out, _ = typed("audit", "--snapshot", place, "--severity", "error", "-f", "json")
    assert [(one["check"], one["key"]) for one in json.loads(out)] == [(MISSING, key)]
    code, _, err = typed("audit", "--snapshot", place, "--hosts")
    assert code == Exit.USAGE
    assert "a snapshot cannot be read together with hypervisors" in err
