# SPDX-License-Identifier: Apache-2.0
"""Queries are bounded in memory and on disk, and leave nothing behind, whatever becomes of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from stackmend.drivers.snapshot.query import DuckQuery, open_snapshot, steps
from stackmend.drivers.snapshot.shape import labels, schema
from stackmend.engine.auditing.ask import ask, held_back, whatever_their_age
from stackmend.model.audit import CheckOutcome
from stackmend.model.check import Check, Severity
from stackmend.model.errors import StackmendError
from stackmend.model.snapshot import Manifest

NOW = "2026-01-01 00:00:00"
LARGE = (
    "SELECT COUNT(*) AS n FROM (SELECT DISTINCT md5(range::VARCHAR) || md5(range::VARCHAR) AS t FROM range(2000000))"
)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary folders are made."""
    for few in (False, True):  # the engines that all share have folders of their own until the program ends
        DuckQuery(few=few).close()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


#: a row that is too young
HELD = "SELECT 7 AS n FROM clock WHERE now < $idle"


def check(name: str, sql: str) -> Check:
    """A check with no sources."""
    return Check(
        name=name,
        catalogue="-",
        severity=Severity.ERROR,
        message="",
        resource=("row", "n"),
        key=("n",),
        reads={},
        sql=sql,
    )


@pytest.fixture
def small(scratch: Path) -> Iterator[DuckQuery]:
    """A query with little memory and next to no disk."""
    query = DuckQuery(memory="60MB", spill="20MB", threads=1)
    query.ready(NOW, set())
    yield query
    query.close()


def test_a_query_over_the_cap_is_an_error_result_and_no_pass(small: DuckQuery) -> None:
    """The check that asks too much has no answer and says why; the others are not affected."""
    manifest = Manifest(format="", created_at=NOW, now=NOW, skew=0.0, sources=(), cells_known=True)
    checks = [check("first", "SELECT 1 AS n"), check("large", LARGE), check("last", "SELECT 2 AS n")]
    rows, results = ask(checks, small, manifest)
    assert {name: r.outcome for name, r in results.items()} == {
        "first": CheckOutcome.OK,
        "large": CheckOutcome.ERROR,
        "last": CheckOutcome.OK,
    }
    assert "20MB" in results["large"].reason
    assert rows == {"first": [{"n": 1}], "last": [{"n": 2}]}


def test_what_cannot_be_asked_for_its_young_is_said(small: DuckQuery) -> None:
    """A check that fails once nothing is too young for it holds back nobody knows what, not nothing."""
    manifest = Manifest(format="", created_at=NOW, now=NOW, skew=0.0, sources=(), cells_known=True)
    sql = "SELECT 1 AS n FROM clock WHERE CASE WHEN $idle > now THEN error('too much') ELSE 'old' END = 'young'"
    asked = [replace(check("fails", sql), ages={"idle": 600}), replace(check("holds", HELD), ages={"idle": 600})]
    suspects, unasked = whatever_their_age(asked, small, manifest, {})
    rows, _ = ask(asked, small, manifest, {}, suspects)
    assert rows == {"fails": [], "holds": []}
    assert held_back(asked, suspects, rows) == {"holds": [{"n": 7}]}
    assert unasked.keys() == {"fails"}
    assert unasked["fails"].startswith("a query failed: ")


def test_the_same_query_within_the_cap_is_answered(scratch: Path) -> None:
    """It was the cap that refused it: with room on disk the same memory is enough."""
    query = DuckQuery(memory="60MB", spill="1GB", threads=1)
    assert query.rows(LARGE, {}) == [{"n": 2_000_000}]
    query.close()


SPILLING = """
import sys
from dataclasses import replace
from pathlib import Path
from stackmend.drivers.snapshot.query import DuckQuery, QueryTooLarge
from stackmend.model.errors import StackmendError
query = DuckQuery(memory="60MB", spill="20MB", threads=1)
(folder,) = Path(sys.argv[1]).iterdir()
print(oct(folder.stat().st_mode & 0o777))
for sql in (sys.argv[2], "SELECT 1 FROM nothing_here"):
    try:
        query.rows(sql, {})
    except QueryTooLarge as problem:
        print(bool(problem.hint), sum(file.stat().st_size for file in folder.rglob("*")) <= 20_000_000)
    except StackmendError as problem:
        print("nothing_here" in problem.message)
query.close()
"""


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """The private folder is there while the program runs, and gone afterwards, also after errors."""
    done = subprocess.run(
        [sys.executable, "-c", SPILLING, tmp_path, LARGE],
        capture_output=True, text=True, check=True, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["0o700", "True True", "True"]
    assert list(tmp_path.iterdir()) == []


def test_a_parameter_is_bound_and_no_text(small: DuckQuery) -> None:
    """Values go beside the statement; those that it does not name are left out."""
    assert small.rows("SELECT $a AS a", {"a": "'; DROP TABLE clock; --", "b": 1}) == [{"a": "'; DROP TABLE clock; --"}]
    assert len(small.rows("SELECT now FROM clock", {})) == 1


def snapshot(folder: Path, content: bytes | None) -> Path:
    """A folder with one good table and one file of another."""
    (folder / "nova_api_host_mappings").mkdir(parents=True)
    parquet.write_table(schema("nova_api_host_mappings").empty_table(), folder / "nova_api_host_mappings" / "a.parquet")
    (folder / "neutron_ports").mkdir()
    if content is not None:
        (folder / "neutron_ports" / "a.parquet").write_bytes(content)
    return folder


def test_a_snapshot_is_opened(scratch: Path) -> None:
    """A table with a folder is there, empty or not; one that was not collected is absent, not empty."""
    query = open_snapshot(snapshot(scratch / "snap", None), NOW)
    assert query.rows("SELECT COUNT(*) AS n FROM neutron_ports", {}) == [{"n": 0}]
    with pytest.raises(StackmendError, match="nova_instances"):
        query.rows("SELECT COUNT(*) FROM nova_instances", {})
    query.close()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all, but long enough to look at" * 10])
def test_a_damaged_snapshot_is_an_error_and_leaves_nothing(scratch: Path, content: bytes) -> None:
    """A file that is cut short is named to the operator; it is never an empty table."""
    folder = snapshot(scratch / "snap", content)
    with pytest.raises(StackmendError, match="neutron_ports") as caught:
        open_snapshot(folder, NOW)
    assert caught.value.hint
    assert [path.name for path in scratch.iterdir()] == ["snap"]


def test_a_quote_in_a_path_is_a_quote(scratch: Path) -> None:
    """Snapshots may be kept anywhere."""
    folder = scratch / "it's here"
    (folder / "clockwork").mkdir(parents=True)
    file = folder / "clockwork" / "a.parquet"
    parquet.write_table(pa.table({"n": [1, 2]}), file)
    query = DuckQuery()
    query.add_files("numbers", [file])
    assert query.rows("SELECT SUM(n) AS n FROM numbers", {}) == [{"n": 3}]
    query.close()


def test_nothing_is_fetched_from_anywhere() -> None:
    """DuckDB neither installs nor loads extensions by itself; asking for one is an error, not a download."""
    program = (
        "from stackmend.drivers.snapshot.query import DuckQuery\n"
        "q = DuckQuery()\n"
        "names = ('autoinstall_known_extensions', 'autoload_known_extensions')\n"
        "print([q.rows(f\"SELECT current_setting('{n}') AS v\", {})[0]['v'] for n in names])\n"
        "q.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ, "HOME": "/"}
    )
    assert done.stdout.strip() == "[False, False]"


STEPS = """
    WITH few AS (SELECT range AS n, ')' AS "(" FROM range(9) WHERE range < $limit), fewer AS (
        SELECT n FROM few WHERE "(" = ')' AND n > $least)
    SELECT n, $least AS least FROM fewer ORDER BY n"""


def test_steps_are_told_apart() -> None:
    """Every query under WITH is a step, whatever brackets its texts and names hold; the rest is the last one."""
    named, last = steps(STEPS)
    assert [name for name, _ in named] == ["few", "fewer"]
    assert named[0][1] == "SELECT range AS n, ')' AS \"(\" FROM range(9) WHERE range < $limit"
    assert last.strip() == "SELECT n, $least AS least FROM fewer ORDER BY n"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS n",
        "EXPLAIN WITH a AS (SELECT 1 AS n) SELECT n FROM a",
        "WITH RECURSIVE a AS (SELECT 1 AS n) SELECT n FROM a",
        "WITH a AS (SELECT (1 AS n",
    ],
)
def test_a_statement_without_steps_stays_whole(sql: str) -> None:
    """What has no plain WITH in front, or does not close it, goes to the database as it is."""
    assert steps(sql) == ([], sql)


def test_a_statement_in_steps_is_answered(small: DuckQuery) -> None:
    """Each step gets the parameters it names, and sees the steps before it."""
    parameters = {"limit": 4, "least": 1, "other": 0}
    assert small.rows(STEPS, parameters) == [{"n": 2, "least": 1}, {"n": 3, "least": 1}]
    assert small.rows(STEPS, parameters | {"limit": 3}) == [{"n": 2, "least": 1}]


def test_a_parameter_is_what_duckdb_takes_for_one(small: DuckQuery) -> None:
    """No word in a text or a comment is."""
    sql = "SELECT '$other' AS word, $limit AS n -- $least"
    assert small.rows(sql, {"limit": 4, "least": 1, "other": 0}) == [{"word": "$other", "n": 4}]


@pytest.mark.parametrize("last", ["SELECT n FROM few", "SELECT nothing FROM few", LARGE])
def test_steps_leave_no_table_behind(small: DuckQuery, last: str) -> None:
    """The tables of the steps are gone after the answer, and after a failure."""
    try:
        small.rows(f"WITH few AS (SELECT 1 AS n) {last}", {})
    except StackmendError:
        assert last != "SELECT n FROM few"
    assert small.rows("SELECT table_name FROM duckdb_tables() WHERE temporary", {}) == []


@pytest.mark.parametrize("label", sorted(labels()))
def test_an_empty_table_is_like_a_full_one(label: str) -> None:
    """The same columns of the same types, and text compares as in MariaDB, whether there are rows or none."""
    fields = schema(label)
    query = DuckQuery()
    try:
        query.add("bare", fields.empty_table())
        query.add("filled", pa.Table.from_pylist([dict.fromkeys(fields.names)], fields))
        types = [query.rows(f"DESCRIBE FROM {name}", {}) for name in ("bare", "filled")]
        assert types[0] == types[1]
        for field in (field for field in fields if pa.types.is_string(field.type)):
            for name in ("bare", "filled"):
                query.rows(f"INSERT INTO {name} (\"{field.name}\") VALUES ('Ab')", {})
                assert query.rows(f'SELECT "{field.name}" AS t FROM {name} WHERE "{field.name}" = \'aB\'', {})
    finally:
        query.close()
