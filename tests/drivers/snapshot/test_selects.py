# SPDX-License-Identifier: Apache-2.0
"""What the tables' own words of SQL name, as a parser reads them: collecting does not wait for one (docs/adr/0039)."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp

from stackmend.drivers.database.dialects import Address, TableInfo, dialect_of
from stackmend.drivers.database.dialects.rights import Visibility
from stackmend.drivers.snapshot.selects import missing, read_columns, select, unseen
from stackmend.tables import Column, ColumnType, Table, tables

PARTS = [part for parts in tables().values() for part in parts]
SERVICES = ["mysql", "sqlite"]  # MariaDB is of the first dialect


def _known(part: Table, dialect: str) -> dict[str, set[str]]:
    """Table -> columns that collecting it needs, but for the columns it may do without."""
    tree = sqlglot.parse_one(f"SELECT 1 FROM {part.name} t {part.join} WHERE {part.where or '1 = 1'}", dialect=dialect)
    called = {table.alias: table.name for table in tree.find_all(exp.Table)}
    found: dict[str, set[str]] = {name: set() for name in called.values()}
    for column in tree.find_all(exp.Column):
        found[called[column.table]].add(column.name)
    return found


def _made_of(column: Column, dialect: str) -> set[str]:
    """Columns of its own table that a collected column is made of."""
    if not column.expr:
        return {column.name}
    return {
        one.name for one in sqlglot.parse_one(column.expr, dialect=dialect).find_all(exp.Column) if one.table == "t"
    }


def _infos(columns: dict[str, set[str]]) -> dict[str, TableInfo]:
    return {name: TableInfo(columns=dict.fromkeys(here, ""), key=()) for name, here in columns.items()}


@pytest.mark.parametrize("dialect", SERVICES)
@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.label}-{part.name}-{part.constant}")
def test_each_column_that_is_lacking_is_noticed_and_no_other(part: Table, dialect: str) -> None:
    """Columns of the join and of the condition decide over the table, those of an expression over its column."""
    own = set().union(*(_made_of(column, dialect) for column in part.columns))
    needed = _known(part, dialect)
    whole = needed | {part.name: needed[part.name] | own}
    blind = Visibility(everything=False)
    assert missing(part, _infos(whole)) == unseen(part, _infos(whole), blind) == ()
    for name, columns in whole.items():
        for lacking in columns:
            rest = _infos(whole | {name: columns - {lacking}})
            of = tuple(c.name for c in part.columns if name == part.name and lacking in _made_of(c, dialect))
            decides = lacking in needed[name]
            assert unseen(part, rest, blind) == (("*",) if decides else of)
            if not part.optional and not decides:
                assert missing(part, rest) == tuple(c.name for c in part.columns if c.name in of and not c.optional)


def test_a_release_without_a_column_gets_what_that_means_there() -> None:
    """Where the table says what a missing column means, rows are selected and columns computed by that."""
    part = Table(
        service="cinder", name="snapshots", columns=(Column("id"), Column("counts", expr="t.use_quota <> 0")),
        where="t.use_quota <> 0", absent={"use_quota": "CASE WHEN t.name = 'x' THEN 0 ELSE 1 END"},
    )  # fmt: skip
    old = {"snapshots": TableInfo(columns={"id": "", "name": ""}, key=())}
    new = {"snapshots": TableInfo(columns={"id": "", "name": "", "use_quota": ""}, key=())}
    blind, whole = Visibility(everything=False), Visibility(everything=True)

    assert missing(part, old) == missing(part, new) == ()
    assert unseen(part, old, blind) == ("*",)  # it may be there, and hidden
    assert unseen(part, old, whole) == ()
    where = {release: _plain(part, known).partition(" WHERE ")[2] for release, known in (("old", old), ("new", new))}
    assert where == {"old": "((CASE WHEN t.name = 'x' THEN 0 ELSE 1 END) <> 0)", "new": "(t.use_quota <> 0)"}


def test_a_database_counts_in_place_of_sending_rows() -> None:
    """Rows are grouped after they were selected, also where only those of some findings are read again."""
    part = Table(
        service="nova", name="faults", where="t.deleted = 0", group="t.server HAVING COUNT(*) >= 3",
        columns=(Column("server", expr="t.server"), Column("number", ColumnType.INT, expr="COUNT(*)")),
    )  # fmt: skip
    known = {"faults": TableInfo(columns={"server": "", "deleted": ""}, key=())}
    address = Address("sqlite", "/nowhere/cell1.db")
    narrowed = select(dialect_of(address), address, part, known, "t.server = 'a'")

    ends = " GROUP BY t.server HAVING COUNT(*) >= 3"
    assert _plain(part, known).endswith(f" WHERE (t.deleted = 0){ends}")
    assert narrowed is not None
    assert narrowed.plain.endswith(f" WHERE (t.deleted = 0) AND (t.server = 'a'){ends}")
    assert read_columns(part) == {"faults": frozenset({"server", "deleted"})}


def _plain(part: Table, known: dict[str, TableInfo]) -> str:
    address = Address("sqlite", "/nowhere/cinder.db")
    query = select(dialect_of(address), address, part, known)
    assert query is not None
    return query.plain


@pytest.mark.parametrize("part", [part for part in PARTS if part.absent], ids=lambda part: f"{part.label}-{part.name}")
def test_a_hidden_column_is_not_one_that_the_release_lacks(part: Table) -> None:
    """What it means that a release has no such column is never said of one that the account may not read."""
    address = Address.from_url("mysql://u:p@h/d", part.service)
    needed = _known(part, "mysql")
    made_of = set().union(*(_made_of(column, "mysql") for column in part.columns))
    whole = _infos(needed | {part.name: needed[part.name] | made_of})
    for name, meaning in part.absent.items():
        info = whole[part.name]
        own = {*info.columns, *_made_of(Column(name, expr=meaning), "mysql")} - {name}
        rest = dict.fromkeys(own, "")
        lacking = whole | {part.name: TableInfo(columns=rest, key=())}
        hidden = whole | {part.name: TableInfo(columns=rest, key=(), hidden=frozenset({name}))}
        without = select(dialect_of(address), address, part, lacking)
        assert without is not None
        assert meaning in without.plain
        unread = select(dialect_of(address), address, part, hidden)
        assert unread is None or meaning not in unread.plain
        assert unseen(part, hidden, Visibility())
