# SPDX-License-Identifier: Apache-2.0
"""The verdict on a key does not depend on rows outside the scope that its check names.

That is what allows a finding to be confirmed by reading a handful of rows again instead of the whole cloud. The
property is proved against a cloud in which everything the catalogue knows is broken at once, among look-alikes, and
against torn views of it, from which rows are missing at random: those yield candidates that the whole cloud does not
bear out.
"""

from __future__ import annotations

import dataclasses
import random
import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackmend.app import discovery
from stackmend.config import settings as configuration
from stackmend.drivers.snapshot.collector import DatabaseCollector
from stackmend.engine.auditing import catalogue
from stackmend.model.check import Check, Scope
from stackmend.model.protocols import Query
from stackmend.model.snapshot import UNREADABLE
from stackmend.tables.views import VIEWS
from stackmend_lab.cloud import build
from stackmend_lab.plants import broken, healthy

from ..support.crowds import touched

#: candidates looked at in one example
CANDIDATES = 4
Row = dict[str, Any]
each_check = pytest.mark.parametrize("name", sorted(catalogue.checks()))
#: what a torn view lacks and what comes along with the scope, in percent, each with the seed of its choice
percent = st.tuples(st.integers(0, 60), st.integers(0, 2**31))


class Landscape:
    """All collected tables of a cloud in one DuckDB: whole in ``base``, and in ``work`` as a check is to see them."""

    def __init__(self, query: Query, labels: set[str]) -> None:
        self.db = duckdb.connect()
        self.db.execute("CREATE SCHEMA base; CREATE SCHEMA work; SET search_path = 'work'")
        self.columns: dict[str, list[str]] = {}
        self._whole: dict[str, list[Row]] = {}
        for label in sorted({*labels, "clock"}):
            types = {c["column_name"]: c["column_type"] for c in query.rows(f'DESCRIBE FROM "{label}"', {})}
            self.columns[label] = list(types)
            listed = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
            self.db.execute(f'CREATE TABLE base."{label}" ({listed})')
            self._fill(label, query)
            self._show(label, "TRUE")
        for name, view in VIEWS.items():
            if labels.issuperset(view.needs):
                self.db.execute(f'CREATE VIEW work."{name}" AS {view.sql}')

    def _fill(self, label: str, query: Query) -> None:
        names = ", ".join(f'"{name}"' for name in self.columns[label])
        # in one order, so that a seed leaves out the same rows in every run
        rows = query.rows(f'SELECT {names} FROM "{label}" ORDER BY ALL', {})
        if rows:
            arrived = pa.Table.from_pylist(rows)
            self.db.register("arrived", arrived)
            self.db.execute(f'INSERT INTO base."{label}" ({names}) SELECT {names} FROM arrived')
            self.db.unregister("arrived")

    def whole(self, check: Check) -> list[Row]:
        """Findings on the whole tables."""
        if check.name not in self._whole:
            for label in check.reads:
                self._show(label, "TRUE")
            self._whole[check.name] = self._run(check)
        return self._whole[check.name]

    def torn(self, check: Check, lacking: tuple[int, int]) -> list[Row]:
        """Findings on tables from which so many percent of the rows are missing."""
        for number, label in enumerate(check.reads):
            self._show(label, f"NOT {_chance(lacking, number)}")
        return self._run(check)

    def narrow(self, check: Check, candidate: Row, along: tuple[int, int]) -> list[Row]:
        """Findings on the rows in the candidate's scope, and so many percent of the others."""
        for number, (label, scope) in enumerate(check.reads.items()):
            self._show(label, f"({self._inside(scope, candidate)}) OR {_chance(along, number)}")
        return self._run(check)

    def _inside(self, scope: Scope, candidate: Row) -> str:
        terms = ["TRUE"]
        for column, source in scope.items():
            if "." in source:
                label, other = source.split(".")
                terms.append(f'"{column}" IN (SELECT "{other}" FROM work."{label}")')
            else:
                terms.append(f'"{column}" = {_literal(candidate[source])}')
        return " AND ".join(terms)

    def _show(self, label: str, where: str) -> None:
        names = ", ".join(f'"{name}"' for name in self.columns[label])
        self.db.execute(f'CREATE OR REPLACE VIEW work."{label}" AS SELECT {names} FROM base."{label}" WHERE {where}')

    def _run(self, check: Check) -> list[Row]:
        ages = {"now": 0, **check.ages}
        bound = {name: f"(SELECT now - INTERVAL {age} SECOND FROM clock)" for name, age in ages.items()}
        bound |= {name: str(number) for name, number in check.counts.items()}
        sql = re.sub(r"\$(\w+)", lambda m: bound[m[1]], check.sql)
        found = self.db.execute(sql)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _chance(share: tuple[int, int], number: int) -> str:
    percent_, seed = share
    return f"(hash(rowid + {seed + number}) % 100 < {percent_})"


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def _key(check: Check, row: Row) -> tuple[Any, ...]:
    return tuple(row[column] for column in check.key)


def violations(land: Landscape, check: Check, lacking: tuple[int, int], along: tuple[int, int]) -> list[str]:
    """Keys on which the narrow view and the whole disagree, with both answers."""
    whole = land.whole(check)
    candidates = {_key(check, row): row for row in (*land.torn(check, lacking), *whole)}
    keys = sorted(candidates, key=repr)
    found = []
    for key in random.Random(lacking[1]).sample(keys, min(CANDIDATES, len(keys))):
        candidate = candidates[key]
        narrow = [row for row in land.narrow(check, candidate, along) if _key(check, row) == key]
        truth = [row for row in whole if _key(check, row) == key]
        if sorted(map(repr, narrow)) != sorted(map(repr, truth)):
            found.append(f"{check.name} {key}: scope says {narrow}, the whole says {truth}")
    return found


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Landscape:
    """A cloud with every plant, variant and look-alike of every check, read whole."""
    folder: Path = tmp_path_factory.mktemp("scope")
    cloud = build(folder / "cloud", servers=4500, seed=5)
    for case in (*broken(), *healthy()):
        case.make(cloud)
    toml = folder / "stackmend.toml"
    toml.write_text(cloud.toml(), encoding="utf-8")
    databases = discovery.connect(configuration.load(str(toml)))
    labels = {label for check in catalogue.checks().values() for label in check.reads}
    collector = DatabaseCollector(databases.addresses, databases.errors, cells_known=databases.cells_known)
    query = collector.recollect({label: {} for label in sorted(labels - {UNREADABLE})}, [{}])
    found = Landscape(query, labels)
    query.close()
    return found


def assert_decided(land: Landscape, name: str, examples: int) -> None:
    """AssertionError if what a check says of a key on its scope, with or without other rows, differs from the whole."""

    @settings(max_examples=examples, deadline=None)
    @given(lacking=percent, along=percent)
    def differs_nowhere(lacking: tuple[int, int], along: tuple[int, int]) -> None:
        assert violations(land, catalogue.checks()[name], lacking, along) == []

    differs_nowhere()


@each_check
def test_the_scope_decides(land: Landscape, name: str) -> None:
    """On a few torn views; on more for a check that was changed."""
    assert_decided(land, name, 8 if name in touched() else 3)


@pytest.mark.long
@each_check
def test_the_scope_decides_often(land: Landscape, name: str) -> None:
    """On many torn views."""
    assert_decided(land, name, 50)


@each_check
def test_every_check_has_something_to_say(land: Landscape, name: str) -> None:
    """The property is not proved on nothing: each check has findings in this cloud."""
    assert land.whole(catalogue.checks()[name]) != []


@pytest.mark.parametrize(
    ("name", "label", "scope"),
    [
        ("nova-bdm-cinder-detached", "cinder_volume_attachment", {"volume_id": "volume", "instance_uuid": "server"}),
        ("volume-in-use-server-gone", "cinder_volume_attachment", {"volume_id": "volume", "instance_uuid": "server"}),
        ("cinder-attached-nova-not", "nova_block_device_mapping", {"attachment_id": "volume"}),
    ],
)
def test_a_scope_that_is_too_narrow_is_noticed(land: Landscape, name: str, label: str, scope: Scope) -> None:
    """The property fails for a check whose scope leaves out rows that decide."""
    check = catalogue.checks()[name]
    wrong = dataclasses.replace(check, reads={**check.reads, label: scope})
    assert any(violations(land, wrong, (seed % 60, seed), (0, 0)) for seed in range(400))
