# SPDX-License-Identifier: Apache-2.0
"""The catalogue as a whole: every check and repair keeps the promises that the engine and the docs rely on."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import string
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest

import stackmend.checks
import stackmend.repairs
import stackmend.workflows
from stackmend.app import snapshots
from stackmend.config.settings import load
from stackmend.drivers.snapshot.query import DuckQuery, open_snapshot, steps
from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.statements import parsed
from stackmend.model.check import Check
from stackmend.model.finding import finding_of
from stackmend.model.repair import Repair
from stackmend.model.snapshot import UNREADABLE
from stackmend.model.step import Risk
from stackmend.model.workflow import Workflow
from stackmend.tables import ColumnType, tables
from stackmend.tables.nova import VIFS
from stackmend.tables.views import VIEWS
from stackmend_lab.cloud import build

CHECK_SECTIONS = [
    "## What is wrong",
    "## Why it matters",
    "## How it comes about",
    "## How to see it by hand",
    "## Repair and its risk",
]
REPAIR_SECTIONS = ["## What it does", "## Guards", "## Undo"]
SOURCES = {"nova_api", "cells", "neutron", "cinder", "placement", "glance", "keystone"}
SQL_TYPES = {
    ColumnType.TEXT: "VARCHAR",
    ColumnType.INT: "BIGINT",
    ColumnType.FLOAT: "DOUBLE",
    ColumnType.BOOL: "BOOLEAN",
    ColumnType.TIME: "TIMESTAMP",
    ColumnType.DELETED: "BOOLEAN",
    ColumnType.CONNECTION: "VARCHAR",
}
#: what ``network_info`` leaves behind in its own table
DOCUMENT = {"document": "VARCHAR", "vifs": "BIGINT", "length": "BIGINT", "crc32": "BIGINT"}
#: tables that stay small however large the cloud is; all others get as many rows as there are servers
FEW = {
    "nova_api_cell_mappings": 3,
    "nova_api_host_mappings": 2000,
    "nova_api_aggregate_hosts": 2000,
    "nova_api_build_requests": 50,
    "nova_services": 2000,
    "nova_compute_nodes": 2000,
    "nova_instance_actions": 20,
    "nova_instance_actions_events": 20,
    "placement_resource_providers": 2000,
    "placement_compute_traits": 2000,
    "placement_inventories": 6000,
    "placement_projects": 500,
    "placement_users": 500,
    "placement_resource_classes": 30,
    "placement_consumer_types": 3,
    "keystone_project": 500,
    "unreadable_rows": 5,
    "clock": 1,
}
MANY = 50_000
#: joins that compare every row with every row
QUADRATIC = {"NESTED_LOOP_JOIN", "CROSS_PRODUCT", "BLOCKWISE_NL_JOIN", "IE_JOIN", "PIECEWISE_MERGE_JOIN"}


def modules(package: ModuleType) -> Iterator[ModuleType]:
    """Every module below the package."""
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.ispkg:
            yield importlib.import_module(found.name)


CHECKS = {m.__name__: m for m in modules(stackmend.checks) if hasattr(m, "CHECK")}
REPAIRS = {m.__name__: m for m in modules(stackmend.repairs) if hasattr(m, "REPAIR")}
each_check = pytest.mark.parametrize("module", CHECKS.values(), ids=lambda m: m.CHECK.name)
WORKFLOWS = {m.__name__: m for m in modules(stackmend.workflows) if hasattr(m, "WORKFLOW")}
each_workflow = pytest.mark.parametrize("module", WORKFLOWS.values(), ids=lambda m: m.WORKFLOW.name)
each_repair = pytest.mark.parametrize("module", REPAIRS.values(), ids=lambda m: m.REPAIR.name)


def columns() -> dict[str, dict[str, str]]:
    """Label -> column -> type in DuckDB, of every table a check may read."""
    found: dict[str, dict[str, str]] = {"clock": {"now": "TIMESTAMP"}}
    for label, parts in tables().items():
        here: dict[str, str] = {}
        for table in parts:
            for column in table.columns:
                here.update(
                    DOCUMENT if column.kind is ColumnType.NETWORK_INFO else {column.name: SQL_TYPES[column.kind]}
                )
            if table.constant:
                here[table.constant[0]] = "VARCHAR"
            if table.service == "nova":
                here["cell"] = "VARCHAR"
        found[label] = here
    found[VIFS.label] = {c.name: SQL_TYPES[c.kind] for c in VIFS.columns} | {"cell": "VARCHAR"}
    unreadable = ("database", "table_name", "row_key", "column_name", "problem", "resource_type", "resource_id")
    found["unreadable_rows"] = dict.fromkeys(unreadable, "VARCHAR")
    return found


def warehouse(rows: bool) -> duckdb.DuckDBPyConnection:
    """All tables and views; with rows as many as a cloud of MANY servers has, and one clock either way."""
    connection = duckdb.connect()
    for label, types in columns().items():
        number = FEW.get(label, MANY) if rows or label == "clock" else 0
        values = ", ".join(f'{_value(name, kind)} AS "{name}"' for name, kind in types.items())
        connection.execute(f'CREATE TABLE "{label}" AS SELECT {values} FROM range({number}) t(i)')
    for name, view in VIEWS.items():
        connection.execute(f'CREATE VIEW "{name}" AS {view.sql}')
    return connection


def _value(name: str, kind: str) -> str:
    """A column that looks like a cloud's: ids differ and match across tables, words are few, one row in ten is gone.

    Each text column has NULL, the lowest and the highest value, or the planner would prove filters empty and plan
    nothing at all behind them.
    """
    if name == "now" or kind == "TIMESTAMP":
        ago = "0" if name == "now" else "CASE WHEN i % 50 <> 1 THEN i % 100000 END"
        return f"TIMESTAMP '2026-11-21 03:00:00' - INTERVAL ({ago}) SECOND"
    if kind == "BOOLEAN":
        return "CASE i % 10 WHEN 0 THEN TRUE WHEN 1 THEN NULL ELSE FALSE END"
    if kind in {"BIGINT", "DOUBLE"}:
        return f"CASE WHEN i % 50 <> 1 THEN CAST(i AS {kind}) END"
    few = name in {"host", "node", "name", "status", "vm_state", "task_state", "cell", "project_id", "code", "child"}
    word = "'w' || (i % 300)" if few else "md5(CAST(i AS VARCHAR))"
    return f"CASE i % 50 WHEN 1 THEN NULL WHEN 2 THEN '' WHEN 3 THEN '~' ELSE {word} END"


@pytest.fixture(scope="module")
def empty() -> Iterator[duckdb.DuckDBPyConnection]:
    """Every table, without a row."""
    with warehouse(rows=False) as connection:
        yield connection


@pytest.fixture(scope="module")
def full() -> Iterator[duckdb.DuckDBPyConnection]:
    """Every table, with the row counts and value counts of a large cloud."""
    with warehouse(rows=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckQuery]:
    """The snapshot of a cloud, as an audit asks it."""
    folder = tmp_path_factory.mktemp("collected")
    cloud = build(folder / "cloud", servers=3000, seed=11)
    toml = folder / "stackmend.toml"
    toml.write_text(cloud.toml(), encoding="utf-8")
    cloud.close()
    place, manifest = snapshots.create(load(str(toml)), into=str(folder / "snapshot"))
    query = open_snapshot(place, manifest.now)
    yield query
    query.close()


def literal(check: Check) -> str:
    """The SQL of a check with its parameters filled in."""
    bound = dict.fromkeys(("now", *check.ages), "TIMESTAMP '2026-11-21 03:00:00'")
    bound |= {name: str(number) for name, number in check.counts.items()}
    return re.sub(r"\$(\w+)", lambda m: bound.get(m[1], m[0]), check.sql)


def sections(module: ModuleType) -> list[str]:
    """Headings of the page."""
    return [line for line in (module.__doc__ or "").splitlines() if line.startswith("## ")]


def test_the_engine_finds_every_check_and_repair() -> None:
    """What the engine walks is what lies in the folders, under unique names."""
    assert set(catalogue.checks()) == {m.CHECK.name for m in CHECKS.values()}
    assert set(catalogue.repairs()) == {m.REPAIR.name for m in REPAIRS.values()}
    assert len(catalogue.checks()) == len(CHECKS)
    assert len(catalogue.repairs()) == len(REPAIRS)


@each_check
def test_a_check_is_called_as_its_file(module: ModuleType) -> None:
    """The name is kebab-case, the file is the name, and the number is one of the catalogue's, or none is known."""
    check: Check = module.CHECK
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", check.name)
    assert module.__name__.rsplit(".", 1)[1] == check.name.replace("-", "_")
    assert re.fullmatch(r"[A-Z]\d+|R\d|-", check.catalogue)


@each_check
def test_a_check_has_its_page(module: ModuleType) -> None:
    """The docstring opens with a one-line summary and has the five sections, in order, none of them empty."""
    text = module.__doc__ or ""
    summary, blank, *_ = text.splitlines()
    assert summary.strip().endswith(".")
    assert blank == ""
    assert sections(module) == CHECK_SECTIONS
    parts = re.split(r"^## .*$", text, flags=re.M)[1:]
    assert all(len(part.strip()) > 20 for part in parts)


@each_check
def test_the_ages_of_a_check_are_used(module: ModuleType) -> None:
    """Every age and every count is a parameter of the SQL, and the SQL has no other parameter but now."""
    check: Check = module.CHECK
    parameters = set(re.findall(r"\$(\w+)", check.sql))
    assert parameters - {"now"} == {*check.ages, *check.counts}
    assert not set(check.ages) & set(check.counts)
    assert all(number > 0 for number in check.counts.values())
    assert all(0 < seconds <= 366 * 86400 for seconds in check.ages.values())


@each_check
def test_a_check_names_what_it_reads(module: ModuleType) -> None:
    """``reads`` names columns that are there, from sources that are known by then."""
    check: Check = module.CHECK
    assert check.needs <= SOURCES
    known = columns()
    seen: set[str] = set()
    for label, scope in check.reads.items():
        for column, source in scope.items():
            assert column in known[label], f"{label} has no {column}"
            if "." in source:
                table, other = source.split(".")
                assert table in seen, f"{source} is not read before {label}"
                assert other in known[table], f"no {source}"
        seen.add(label)


@each_check
def test_a_check_runs_and_returns_what_it_promises(module: ModuleType, empty: duckdb.DuckDBPyConnection) -> None:
    """On empty tables the SQL runs, finds nothing, and returns key, resource, message and scope columns."""
    check: Check = module.CHECK
    cursor = empty.execute(literal(check))
    returned = {column[0] for column in cursor.description or ()}
    assert cursor.fetchall() == []
    texts = (check.message, *check.codes.values())
    fields = {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name}
    scope = {source for where in check.reads.values() for source in where.values() if "." not in source}
    causes = {column for columns_ in check.explained_by.values() for column in columns_}
    assert {*check.key, check.resource[1], *fields, *scope, *causes} <= returned


@each_check
def test_a_message_is_one_readable_line(module: ModuleType) -> None:
    """A message can be formatted from any row, without braces left over and without a full stop."""
    check: Check = module.CHECK
    names = {name for _, name, _, _ in string.Formatter().parse(check.message) if name}
    names |= {name for words in check.codes.values() for _, name, _, _ in string.Formatter().parse(words) if name}
    row: dict[str, Any] = dict.fromkeys({*names, *check.key, check.resource[1]}, "x")
    for code in check.codes or ("",):
        text = finding_of(check, row | {"code": code} if code else row).message
        assert "\n" not in text
        assert not text.endswith(".")
        assert not set("{}") & set(text)


@each_check
def test_a_code_never_stands_alone_in_a_message(module: ModuleType) -> None:
    """Every code that the SQL can return has its words, and no word is left over."""
    check: Check = module.CHECK
    if "{code}" not in check.message:
        assert not check.codes
        return
    statement = re.sub(r"\$\w+", "TIMESTAMP '2026-11-21 03:00:00'", check.sql)
    shown = duckdb.execute("SELECT json_serialize_sql(?::VARCHAR)", [statement]).fetchall()[0][0]
    assert set(_codes(json.loads(shown))) == {*check.codes}


def _codes(tree: Any, *, inside: bool = False) -> Iterator[str]:
    """The texts that a column called ``code`` may have, in a statement as DuckDB parses it."""
    if isinstance(tree, list):
        for one in tree:
            yield from _codes(one, inside=inside)
    elif isinstance(tree, dict):
        inside = inside or tree.get("alias") == "code"
        if inside and tree.get("class") == "CONSTANT":
            yield tree["literal"]["text"]
        for name, one in tree.items():
            yield from _codes(one, inside=inside and name != "when_expr")


@each_check
def test_a_root_cause_is_a_check_with_those_columns(module: ModuleType) -> None:
    """``explained_by`` names other checks and columns of their keys."""
    known = catalogue.tabled()
    for cause, pairs in module.CHECK.explained_by.items():
        assert cause in known
        assert cause != module.CHECK.name
        assert pairs
        assert set(pairs.values()) <= set(known[cause].key) | {known[cause].resource[1]}


@each_check
def test_a_root_cause_does_not_come_up_later(module: ModuleType) -> None:
    """Else what it explains would stand alone for minutes, and be mended as if it were the damage."""
    known = catalogue.tabled()
    waits = {cause: known[cause].ages.get("idle", 0) for cause in module.CHECK.explained_by}
    own = module.CHECK.ages.get("idle")
    assert own is None or {cause: age for cause, age in waits.items() if age > own} == {}


def plan_of(connection: duckdb.DuckDBPyConnection | DuckQuery, sql: str) -> list[dict[str, Any]]:
    """DuckDB's plan of the statement, as a tree."""
    statement = f"EXPLAIN (FORMAT json) {sql}"
    if isinstance(connection, DuckQuery):
        text = connection.rows(statement, {})[0]["explain_value"]
    else:
        text = connection.execute(statement).fetchall()[0][1]
    found: list[dict[str, Any]] = json.loads(text)
    return found


def names(node: dict[str, Any]) -> set[str]:
    """Operators of a plan."""
    return {str(node.get("name", "")).strip()}.union(*(names(child) for child in node.get("children", ())))


def scans(node: dict[str, Any]) -> set[str]:
    """Tables read below a node of a plan."""
    info = node.get("extra_info") or {}
    here = {str(info["Table"]).rsplit(".", 1)[-1]} if "Table" in info else set()
    here |= {str(info["Function"])} if "Function" in info else set()
    return here.union(*(scans(child) for child in node.get("children", ())))


def quadratic(node: dict[str, Any]) -> list[str]:
    """Joins below the node that have no equality, unless one side is a single row such as the clock's."""
    children = node.get("children", [])
    name = str(node.get("name", "")).strip()
    found = [line for child in children for line in quadratic(child)]
    if name in QUADRATIC and not any(scans(child) <= {"clock"} for child in children):
        found.append(f"{name}: {node.get('extra_info')}")
    return found


@each_check
def test_a_check_joins_by_equality(module: ModuleType, full: duckdb.DuckDBPyConnection) -> None:
    """At the size of a large cloud no join of the plan compares every row with every row."""
    plan = plan_of(full, literal(module.CHECK))
    assert [line for node in plan for line in quadratic(node)] == []
    assert "EMPTY_RESULT" not in set().union(*(names(node) for node in plan)), "the planner saw no rows to join"


@each_check
def test_a_check_joins_by_equality_on_what_was_collected(module: ModuleType, collected: DuckQuery) -> None:
    """On the Parquet files of a cloud the planner knows less, and must not be led to another way of joining."""
    plan = plan_of(collected, literal(module.CHECK))
    assert [line for node in plan for line in quadratic(node)] == []


@pytest.mark.parametrize("where", ["full", "collected"])
def test_a_join_without_equality_is_seen(where: str, request: pytest.FixtureRequest) -> None:
    """The tests above would notice: an inequality between two large tables is named, one with the clock is not."""
    tables_ = request.getfixturevalue(where)
    bad = "SELECT a.id FROM nova_instances a JOIN neutron_ports b ON a.uuid < b.id"
    good = "SELECT a.id FROM nova_instances a JOIN clock c ON a.updated_at < c.now"
    assert [line for node in plan_of(tables_, bad) for line in quadratic(node)] != []
    assert [line for node in plan_of(tables_, good) for line in quadratic(node)] == []


@each_repair
def test_a_repair_is_called_as_its_file_and_has_its_page(module: ModuleType) -> None:
    """Name, file and page belong together, and the page says what is done, under which guards, and how undone."""
    repair: Repair = module.REPAIR
    assert module.__name__.rsplit(".", 1)[1] == repair.name.replace("-", "_")
    assert (module.__doc__ or "").splitlines()[0].endswith(".")
    assert sections(module)[: len(REPAIR_SECTIONS)] == REPAIR_SECTIONS


@each_workflow
def test_a_workflow_says_what_it_does(module: ModuleType) -> None:
    """Its page has the sections of a repair's in their order, and its file its name."""
    workflow: Workflow = module.WORKFLOW
    assert module.__name__.rsplit(".", 1)[1] == workflow.name.replace("-", "_")
    assert (module.__doc__ or "").splitlines()[0].endswith(".")
    assert [title for title in sections(module) if title in REPAIR_SECTIONS] == REPAIR_SECTIONS
    assert bool(workflow.why) is (workflow.risk is not Risk.SAFE)


@each_repair
def test_a_repair_says_what_may_be_lost(module: ModuleType) -> None:
    """Consent is asked with a reason: whatever is not safe has one, and what is safe has none."""
    repair: Repair = module.REPAIR
    assert bool(repair.why) is (repair.risk is not Risk.SAFE)
    assert repair.strategies
    assert set(repair.strategies) <= {"api", "db", "host"}


@each_repair
def test_a_repair_is_for_checks_that_exist(module: ModuleType) -> None:
    """The checks of a repair are in the catalogue."""
    assert set(module.REPAIR.checks) <= {m.CHECK.name for m in CHECKS.values()}


@each_repair
def test_a_safe_repair_says_what_it_may_remove(module: ModuleType) -> None:
    """And where else that is recorded; one that wants consent says what may be lost instead (``why``)."""
    repair: Repair = module.REPAIR
    assert bool(repair.removes) is (repair.risk is Risk.SAFE)
    assert all(re.fullmatch(r"[a-z0-9_]+([.:][a-z0-9_-]+)?", what) for what in repair.removes)
    assert all(len(where.split()) > 3 for where in repair.removes.values())


def test_of_several_repairs_of_a_finding_none_is_safe() -> None:
    """Where the operator has to say which one is right, whatever he says wants consent by name."""
    for check in catalogue.checks():
        for code in {None, *(code for module in REPAIRS.values() for code in module.REPAIR.codes)}:
            fit = [repair for repair in catalogue.offered(check, code) if not repair.by_name]
            rivals = [repair for repair in fit if bool(repair.codes) == bool(fit[0].codes)]
            assert fit or not catalogue.offered(check, code)
            assert len(rivals) < 2 or all(repair.risk is not Risk.SAFE for repair in rivals), (check, code)


def test_no_statement_takes_all_columns() -> None:
    """Columns are named wherever a service's rows are read, so that no secret comes along.

    drivers/snapshot/query.py is apart: what it takes whole are the collected tables, of allow-listed columns alone.
    """
    root = Path(next(iter(stackmend.checks.__path__))).parent
    greedy = re.compile(r"SELECT\s+(DISTINCT\s+)?(\w+\.)?\*", re.I)
    found = [
        f"{path.relative_to(root)}:{node.lineno}"
        for folder in ("drivers", "checks", "repairs", "workflows", "hosts", "cloud", "engine", "app")
        for path in sorted((root / folder).rglob("*.py"))
        if path != root / "drivers" / "snapshot" / "query.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and greedy.search(node.value)
    ]
    assert found == []


@each_check
def test_steps_have_names_of_their_own(module: ModuleType) -> None:
    """What stands under WITH becomes a table: by the name of a collected table or a view it would hide that one."""
    named = {step for step, _ in steps(module.CHECK.sql)[0]}
    assert named & {*tables(), *VIEWS, VIFS.label, UNREADABLE, "clock"} == set()


@each_check
def test_steps_are_those_that_a_parser_finds(module: ModuleType) -> None:
    """Each query under WITH is run by itself, and is what it would be in the statement (docs/adr/0039)."""
    named, last = steps(module.CHECK.sql)
    tree = parsed(module.CHECK.sql)
    under = tree.args.get("with_") or tree.args.get("with")
    parts = under.expressions if under else []
    if under:
        under.pop()
    assert [(name, parsed(step)) for name, step in named] == [(part.alias, part.this) for part in parts]
    assert parsed(last) == tree
