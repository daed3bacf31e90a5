# SPDX-License-Identifier: Apache-2.0
"""Undo gives back what a run took, to the byte, where nobody has touched it since; and it can itself be taken back."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from stackmend.app import plans, runs
from stackmend.cli.shell import main
from stackmend.model.errors import Exit, JournalError, UsageError
from stackmend.model.plan import Plan
from stackmend.model.step import BumpRow, DeleteRow, InsertRow, UpdateRow

from ..support.damaged_cloud import SECRET, Ground, made, secretive

ATTRIBUTES = {"database": "neutron", "table": "standardattributes"}


def attributes(here: Ground, number: int) -> list[dict[str, object]]:
    """Some rows to change."""
    sql = f"SELECT id, description, revision_number FROM standardattributes ORDER BY id LIMIT {number}"
    return here.cloud.rows("neutron", sql)


def describe(row: dict[str, object], old: object, new: object) -> UpdateRow:
    """Change the description of a row."""
    return UpdateRow(**ATTRIBUTES, pk={"id": row["id"]}, before={"description": old}, after={"description": new})


def touch(here: Ground, row: dict[str, object], text: str = "theirs") -> None:
    """Somebody else changes the row."""
    here.cloud.update("neutron", "standardattributes", {"id": row["id"]}, description=text)


def several(here: Ground) -> Plan:
    """Three independent changes."""
    return made(here, *([describe(row, row["description"], f"new {row['id']}")] for row in attributes(here, 3)))


def test_undo_leaves_alone_what_has_moved_on(here: Ground) -> None:
    """One of three rows was changed after the run: that action is refused, the others are taken back, exit 5."""
    planted = here.cloud.dump()
    run = runs.apply(here.config, several(here)).run
    second = attributes(here, 2)[1]
    touch(here, second)
    result = runs.undo(here.config, run)
    assert (result.exit, result.done, result.stale) == (Exit.STOPPED, 2, 1)
    assert attributes(here, 2)[1]["description"] == "theirs"
    here.cloud.update("neutron", "standardattributes", {"id": second["id"]}, description=second["description"])
    touch(here, second, f"new {second['id']}")
    again = runs.undo(here.config, run)
    assert (again.exit, again.done, again.stale) == (Exit.CLEAN, 1, 0)
    assert here.cloud.dump() == planted


def test_undo_twice_does_nothing_more(here: Ground) -> None:
    """The second time nothing is left, and there is no run for it."""
    planted = here.cloud.dump()
    run = runs.apply(here.config, several(here)).run
    assert runs.undo(here.config, run).exit is Exit.CLEAN
    again = runs.undo(here.config, run)
    assert (again.exit, again.run, again.steps) == (Exit.CLEAN, "", 0)
    assert here.cloud.dump() == planted


def every_kind(here: Ground) -> Plan:
    """Steps of all kinds, in one action."""
    row, other = attributes(here, 2)
    here.cloud.insert("neutron", "tags", standard_attr_id=row["id"], tag="old")
    old, new = ({"standard_attr_id": row["id"], "tag": tag} for tag in ("old", "new"))
    return made(
        here,
        [
            describe(row, row["description"], "new"),
            DeleteRow(database="neutron", table="tags", pk=old, before=old),
            InsertRow(database="neutron", table="tags", key=new, values=new),
            BumpRow(**ATTRIBUTES, pk={"id": other["id"]}, column="revision_number"),
        ],
    )


def test_undo_of_an_undo(here: Ground) -> None:
    """It does the work again; and that can be taken back in turn, by its own id or by that of the first run."""
    plan = every_kind(here)
    planted = here.cloud.dump()
    first = runs.apply(here.config, plan).run
    mended = here.cloud.dump()
    back = runs.undo(here.config, first).run
    assert here.cloud.dump() == planted
    redone = runs.undo(here.config, back)
    assert redone.exit is Exit.CLEAN
    assert here.cloud.dump() == mended
    assert runs.undo(here.config, redone.run).exit is Exit.CLEAN
    assert here.cloud.dump() == planted
    assert runs.undo(here.config, first).steps == 0


def test_a_run_that_was_redone_can_be_taken_back(here: Ground) -> None:
    """An undo that was taken back does not count any more: the first run has something to undo again."""
    plan = every_kind(here)
    planted = here.cloud.dump()
    first = runs.apply(here.config, plan).run
    runs.undo(here.config, runs.undo(here.config, first).run)
    result = runs.undo(here.config, first)
    assert (result.exit, result.done) == (Exit.CLEAN, 1)
    assert here.cloud.dump() == planted
    assert runs.undo(here.config, first).steps == 0


def test_a_later_run_on_the_same_rows_comes_first(here: Ground) -> None:
    """Undo of the earlier one refuses while the later one stands; from the last to the first all comes back."""
    planted = here.cloud.dump()
    row = attributes(here, 1)[0]
    first = runs.apply(here.config, made(here, [describe(row, row["description"], "one")])).run
    second = runs.apply(here.config, made(here, [describe(row, "one", "two")])).run
    early = runs.undo(here.config, first)
    assert (early.exit, early.stale) == (Exit.STOPPED, 1)
    assert attributes(here, 1)[0]["description"] == "two"
    assert runs.undo(here.config, second).exit is Exit.CLEAN
    assert runs.undo(here.config, first).exit is Exit.CLEAN
    assert here.cloud.dump() == planted


def test_a_counter_is_counted_back_only_while_nobody_else_has_counted(here: Ground) -> None:
    """A generation never repeats for anybody who has seen it."""
    row = attributes(here, 1)[0]
    start = int(str(row["revision_number"]))
    bump = BumpRow(**ATTRIBUTES, pk={"id": row["id"]}, column="revision_number")
    run = runs.apply(here.config, made(here, [bump])).run
    assert runs.undo(here.config, run).exit is Exit.CLEAN
    assert attributes(here, 1)[0]["revision_number"] == start
    run = runs.apply(here.config, made(here, [bump])).run
    here.cloud.update("neutron", "standardattributes", {"id": row["id"]}, revision_number=start + 2)
    assert runs.undo(here.config, run).exit is Exit.CLEAN
    assert attributes(here, 1)[0]["revision_number"] == start + 3


def test_what_a_plan_found_done_already_is_not_taken_back(here: Ground) -> None:
    """Applied twice, a plan's second run did nothing, and so its undo does nothing."""
    plan = several(here)
    runs.apply(here.config, plan)
    mended = here.cloud.dump()
    second = runs.apply(here.config, plan)
    assert (second.exit, second.already, second.steps) == (Exit.CLEAN, 3, 0)
    assert runs.undo(here.config, second.run).steps == 0
    assert here.cloud.dump() == mended


def test_an_action_that_failed_in_its_second_database(here: Ground) -> None:
    """Its first part was committed and is written down: resume does not repeat it, undo takes just that back."""
    planted = here.cloud.dump()
    row, other = attributes(here, 2)
    (volume,) = here.cloud.rows("cinder", "SELECT id, use_quota FROM volumes WHERE deleted = 0 LIMIT 1")
    refused = UpdateRow(
        database="cinder", table="volumes", pk={"id": volume["id"]}, before={"use_quota": volume["use_quota"]},
        after={"use_quota": None},
    )  # fmt: skip
    plan = made(
        here, [describe(row, row["description"], "new"), refused], [describe(other, other["description"], "too")]
    )
    result = runs.apply(here.config, plan)
    assert (result.exit, result.done, result.failed) == (Exit.STOPPED, 1, 1)
    assert "volumes" in " ".join(result.notes)
    assert [r["description"] for r in attributes(here, 2)] == ["new", "too"]
    half = here.cloud.dump()
    again = runs.resume(here.config, result.run)
    assert (again.exit, again.failed) == (Exit.STOPPED, 1)
    assert here.cloud.dump() == half
    back = runs.undo(here.config, result.run)
    assert (back.exit, back.done) == (Exit.CLEAN, 2)
    assert here.cloud.dump() == planted


def test_an_action_that_is_stale_in_its_second_database(here: Ground) -> None:
    """A row of the second database has moved on: exit 5, and undo takes the first part back."""
    planted = here.cloud.dump()
    row = attributes(here, 1)[0]
    (volume,) = here.cloud.rows("cinder", "SELECT id FROM volumes WHERE deleted = 0 LIMIT 1")
    stale = UpdateRow(
        database="cinder", table="volumes", pk={"id": volume["id"]}, before={"status": "of yesterday"},
        after={"status": "available"},
    )  # fmt: skip
    result = runs.apply(here.config, made(here, [describe(row, row["description"], "new"), stale]))
    assert (result.exit, result.done, result.stale) == (Exit.STOPPED, 0, 1)
    assert runs.undo(here.config, result.run).exit is Exit.CLEAN
    assert here.cloud.dump() == planted


def test_a_run_that_has_not_ended_is_not_taken_back(on_sqlite: Ground) -> None:
    """First it is resumed."""
    here = on_sqlite
    plans.save(several(here), here.folder / "plan.json")
    here.run("apply", here.folder / "plan.json", deadly=3, when="after")
    run = here.last()
    assert run is not None
    with pytest.raises(UsageError, match="was cut off"):
        runs.undo(here.config, run.id)


# -- secrets


def purged(here: Ground) -> tuple[Plan, str]:
    """The plan to purge a server that has secrets, and the server."""
    server = secretive(here.cloud)
    return here.request("purge-server", server=server), server


def test_secrets_come_back_and_are_nowhere_else(
    here: Ground, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Deleted rows come back with their secrets, byte for byte; no file, log or output ever holds one in the clear."""
    caplog.set_level(logging.DEBUG)
    plan, server = purged(here)
    planted = here.cloud.dump()
    assert SECRET in str(planted)
    file = here.folder / "purge.json"
    plans.save(plan, file)
    code = main(["--config", str(here.toml), "plan", "apply", str(file), "--yes", "--accept", "all", "-f", "json"])
    printed = capsys.readouterr()
    assert code == Exit.REPAIRED
    run = json.loads(printed.out)["run"]
    assert server not in str(here.cloud.dump()[("cell:cell1", "instances")])
    assert SECRET not in str(here.cloud.dump())
    assert main(["--config", str(here.toml), "run", "show", run, "-f", "json"]) == 0
    shown = capsys.readouterr()
    assert main(["--config", str(here.toml), "run", "undo", run, "--yes"]) == 0
    undone = capsys.readouterr()
    assert here.cloud.dump() == planted
    said = [printed.out, printed.err, shown.out, shown.err, undone.out, undone.err, caplog.text, file.read_text()]
    assert SECRET not in "".join(said)
    assert SECRET.encode() not in file.read_bytes() + _state(here)
    assert len(_state(here)) > 10_000


def _state(here: Ground) -> bytes:
    """Every byte of journal, key and whatever else lies in the state folder."""
    return b"".join(path.read_bytes() for path in sorted(here.cloud.state.rglob("*")) if path.is_file())


def test_an_error_does_not_quote_secrets(here: Ground) -> None:
    """A purged row's place is taken again: undo refuses that, and does not say what it would have written."""
    plan, server = purged(here)
    run = runs.apply(here.config, plan, accept=("all",)).run
    step = next(s for s in plan.runnable[0].steps if isinstance(s, DeleteRow) and s.table == "instances")
    values = {name: value for name, value in step.before.items() if value is not None}
    here.cloud.insert(step.database, "instances", **{**values, "display_name": "taken"})
    result = runs.undo(here.config, run)
    assert result.exit is Exit.STOPPED
    assert result.notes
    assert SECRET not in repr(result)
    assert SECRET.encode() not in _state(here)
    assert server


def test_files_with_secrets_are_their_owner_s_alone(on_sqlite: Ground) -> None:
    """Journal, key and plan are readable by nobody else."""
    here = on_sqlite
    plan, _ = purged(here)
    plans.save(plan, here.folder / "purge.json")
    runs.apply(here.config, plan, accept=("all",))
    for path in (here.cloud.state / "journal.db", here.cloud.state / "journal.key", here.folder / "purge.json"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("what", ["gone", "another", "readable"])
def test_without_its_key_nothing_is_put_back(on_sqlite: Ground, what: str) -> None:
    """The key is gone, another one, or others can read it: undo changes nothing and says what to do."""
    here = on_sqlite
    plan, _ = purged(here)
    planted = here.cloud.dump()
    run = runs.apply(here.config, plan, accept=("all",)).run
    mended = here.cloud.dump()
    key: Path = here.cloud.state / "journal.key"
    kept = key.read_bytes()
    if what == "gone":
        key.unlink()
    elif what == "another":
        key.write_bytes(b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    else:
        key.chmod(0o644)
    with pytest.raises(JournalError, match="key") as refused:
        runs.undo(here.config, run)
    assert refused.value.hint
    assert here.cloud.dump() == mended
    key.write_bytes(kept)
    key.chmod(0o600)
    assert runs.undo(here.config, run).exit is Exit.CLEAN
    assert here.cloud.dump() == planted
