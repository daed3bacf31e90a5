# SPDX-License-Identifier: Apache-2.0
"""A journal that cannot be written: before a commit nothing is changed, after it a human is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackmend.app import plans, runs
from stackmend.config.settings import load
from stackmend.model.errors import Exit, JournalError
from stackmend.model.plan import Plan
from stackmend.model.step import UpdateRow

from ..support.damaged_cloud import Ground, made

#: commits of the plan below
STAGES = 3


def plan_of(here: Ground) -> Plan:
    """A change of three rows in three transactions; and its file."""
    rows = here.cloud.rows("neutron", "SELECT id, description FROM standardattributes ORDER BY id LIMIT 3")
    actions = [
        [
            UpdateRow(
                database="neutron", table="standardattributes", pk={"id": row["id"]},
                before={"description": row["description"]}, after={"description": "x"},
            )
        ]
        for row in rows
    ]  # fmt: skip
    found = made(here, *actions, stages=range(STAGES))
    plans.save(found, here.folder / "plan.json")
    return found


def changed(here: Ground) -> int:
    """How many of the rows read as planned."""
    sql = "SELECT id FROM standardattributes WHERE description = 'x'"
    return len(here.cloud.rows("neutron", sql))


def test_failing_at_any_write(here: Ground) -> None:
    """Before its commit a transaction is rolled back, exit 5; after it exit 6; no other begins; resume ends it.

    The writes are: lock, begin, then intent and outcome for each of three transactions, end, unlock.
    """
    plan_of(here)
    file = here.folder / "plan.json"
    writes = here.run("apply", file)["writes"]
    assert writes == ["lock", "begin", *["note intent", "note done"] * STAGES, "end", "unlock"]
    for number, name in enumerate(writes[:-1], 1):
        here.fresh()
        failed = here.run("apply", file, fails=number)
        committed = writes[: number - 1].count("note intent")
        assert changed(here) == committed, name
        expected = ("InDoubtError", Exit.IN_DOUBT) if name == "note done" else ("JournalError", Exit.STOPPED)
        assert (failed["error"][0], failed["error"][3]) == expected, name
        run = here.last()
        if run is None:
            assert committed == 0
            continue
        if committed and name != "note done":
            assert f"stopped after {committed} change" in failed["error"][1]
            assert "Nothing is changed" not in failed["error"][2]
        if name == "note done":
            assert run.id in failed["error"][1] + failed["error"][2]
        result = here.run("resume", run.id)["result"]
        assert (result["exit"], result["done"], changed(here)) == (Exit.REPAIRED, STAGES, STAGES), name
        assert here.run("undo", run.id)["result"]["exit"] == Exit.CLEAN
        assert changed(here) == 0


def test_an_unlock_that_fails_is_no_failure(here: Ground) -> None:
    """The work is done and written down; the lease is that of a dead process soon."""
    plan_of(here)
    file = here.folder / "plan.json"
    last = len(here.run("apply", file)["writes"])
    here.fresh()
    assert here.run("apply", file, fails=last)["result"]["exit"] == Exit.REPAIRED
    assert here.run("apply", file)["result"]["already"] == STAGES


def test_a_full_disk(on_mariadb: Ground) -> None:
    """Wherever the disk gets full: no half transaction, an error that says so, and a resume with room ends the run.

    The cloud is on a server, so that the journal is the only file that the run writes.
    """
    here = on_mariadb
    plan_of(here)
    file = here.folder / "plan.json"
    seen = set()
    for kilobytes in (0.01, 24, 40, 48, 56, 64, 72, 80, 96, 240):
        here.fresh()
        with here.journal() as journal:
            journal.runs()  # the tables are there: what fails is the run's own writing
        failed = here.run("apply", file, fsize=int(kilobytes * 1024))
        if failed["result"]:
            seen.add("done")
            continue
        kind, message, hint, code = failed["error"]
        assert (kind, code) in (("JournalError", Exit.STOPPED), ("InDoubtError", Exit.IN_DOUBT))
        assert "journal" in message
        assert hint
        tried = [name for name in failed["writes"] if name != "unlock"]
        assert changed(here) == tried.count("note intent") - (tried[-1] == "note intent")
        seen.add(kind)
        run = here.last()
        again = here.run("resume", run.id) if run else here.run("apply", file)
        assert (again["result"]["exit"], changed(here)) == (Exit.REPAIRED, STAGES)
    assert seen >= {"JournalError", "done"}


def test_a_journal_that_cannot_be_opened(on_sqlite: Ground, tmp_path: Path) -> None:
    """Without a journal nothing is changed: a folder stands where its file should be."""
    here = on_sqlite
    plan = plan_of(here)
    text = here.toml.read_text().replace("[state]", f'[state]\njournal = "sqlite:///{tmp_path}"')
    (tmp_path / "stackmend.toml").write_text(text)
    with pytest.raises(JournalError, match="cannot be"):
        runs.apply(load(str(tmp_path / "stackmend.toml")), plan)
    assert changed(here) == 0
