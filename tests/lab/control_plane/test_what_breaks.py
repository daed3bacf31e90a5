# SPDX-License-Identifier: Apache-2.0
"""Every check has a break on the lab, and finds exactly what the break damaged."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from stackmend.cli.shell import main
from stackmend.engine.auditing.catalogue import checks
from stackmend.model.errors import Exit, UsageError
from stackmend_lab import breaks

from .proofs import Desk

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


def conforms(text, name):
    """Parse a document that must follow its schema."""
    document = json.loads(text)
    jsonschema.validate(document, json.loads((SCHEMAS / f"{name}.json").read_text()))
    return document


@pytest.fixture
def audit(plane, tmp_path):
    """Run all checks as an operator does; returns (check, key) of each finding."""
    desk = Desk(plane, tmp_path)
    return lambda: {(f["check"], tuple(sorted(f["key"].items()))) for f in desk.audit().values()}


def test_every_check_has_a_break():
    """Every check has a break, and every break names known checks."""
    found = breaks.breaks()
    named = {name for entry in found for name in (entry.check, *entry.also)}
    assert {entry.check for entry in found} == named == set(checks())


def test_breaks_are_listed_without_a_lab(tmp_path, capsys):
    """The list shows what can be broken, how, and which check finds it."""
    assert main(["lab", "break", "--folder", str(tmp_path / "none"), "-f", "json"]) == Exit.CLEAN
    listed = conforms(capsys.readouterr().out, "lab-breaks")
    assert [entry["name"] for entry in listed] == sorted(breaks.modules())


def test_an_unknown_break_is_refused(plane):
    """An unknown break is refused with the command that lists the known ones."""
    with pytest.raises(UsageError, match="there is no break 'everything'"):
        breaks.make(plane, "everything")


#: breaks of the lab, and plants of the embedded cloud that use the same statements here; most of them are left to
#: make test-lab (docs/adr/0078)
BROKEN = (
    "extra-ports-on-server",
    "snapshot-deleted-incompletely:no_time",
    *(
        pytest.param(name, marks=pytest.mark.long)
        for name in (
            "volume-stuck-error-deleting", "volume-stuck-detaching:mapping_gone", "info-cache-empty:plant",
            "allocation-orphan:plant", "port-without-server:plant",
        )
    ),
)  # fmt: skip


def test_a_plant_that_the_lab_cannot_make_is_refused(plane):
    """A plant that the lab cannot make is refused with those that it can."""
    with pytest.raises(UsageError, match="the lab makes no server of the kind ironic: active, deleted"):
        breaks.make(plane, "info-cache-empty:ironic")


@pytest.mark.parametrize("name", BROKEN)
def test_a_break_is_found(plane, audit, capsys, name):
    """Typed by an operator, a break causes exactly that finding, and the services recover (for all: test_proofs)."""
    before = audit()
    assert main(["lab", "break", name, "--folder", str(plane.folder), "-f", "json"]) == Exit.CLEAN
    broken = conforms(capsys.readouterr().out, "lab-break")
    expected = (broken["check"], tuple(sorted(broken["key"].items())))

    new = audit() - before

    assert expected in new
    assert {check for check, _ in new - {expected}} <= set(broken["also"])
    assert {state.state for state in plane.status()} == {"running"}
