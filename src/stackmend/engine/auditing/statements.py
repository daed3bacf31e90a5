# SPDX-License-Identifier: Apache-2.0
"""What the SQL of checks reads, by a parser (docs/adr/0039): tables, their columns, and joins without a key.

Names are not resolved scope by scope: an alias stands for every table of the statement that is called so, and a name
said of no table may be a column of each. So a column may be named that is not read, and never the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from stackmend.tables.views import VIEWS

#: in place of a column: all of them
EVERY = "*"
_DIALECT = "duckdb"


@dataclass(frozen=True, slots=True)
class Reads:
    """What one statement names: the columns of each table or view, and those said of no table."""

    tables: Mapping[str, frozenset[str]]
    unqualified: frozenset[str]


def tables_read(sql: str) -> frozenset[str]:
    """Every collected table that the statement reads, those behind its views among them, and the views."""
    return frozenset(name for text in _texts(sql) for name in _reads(text).tables)


def columns_read(sql: str, label: str) -> frozenset[str]:
    """Names that may be columns of this table, read by the statement or a view of it; with :data:`EVERY` all may."""
    found = set[str]()
    for text in _texts(sql):
        reads = _reads(text)
        if label in reads.tables:
            found |= reads.tables[label] | reads.unqualified
    return frozenset(found)


def unkeyed_joins(sql: str) -> list[str]:
    """Joins of two tables, in the statement or a view of it, that no equality between columns of both selects.

    One with ``clock`` is none: it has one row.
    """
    return [join for text in _texts(sql) for join in _unkeyed(text)]


def _texts(sql: str) -> list[str]:
    """The statement and the SQL of every view it uses."""
    found, seen = [sql], set[str]()
    for text in found:
        views = (_reads(text).tables.keys() & VIEWS.keys()) - seen
        seen |= views
        found += [VIEWS[view].sql for view in sorted(views)]
    return found


def _parsed(sql: str) -> Any:
    # imported where it is needed: an audit that sees everything never does
    import sqlglot

    return sqlglot.parse_one(sql, dialect=_DIALECT)


@cache
def _reads(sql: str) -> Reads:
    from sqlglot import exp

    tree = _parsed(sql)
    called: dict[str, set[str]] = {}
    for table in tree.find_all(exp.Table):
        for alias in (table.alias_or_name.lower(), table.name.lower()):
            called.setdefault(alias, set()).add(table.name.lower())
    found: dict[str, set[str]] = {name: set() for names in called.values() for name in names}
    unqualified = {key.name.lower() for join in tree.find_all(exp.Join) for key in join.args.get("using") or ()}
    for column in tree.find_all(exp.Column):
        first, *more = (part.name.lower() if part.name else EVERY for part in column.parts)
        if first in called:
            # an alias alone is the whole row
            name = EVERY if not more or isinstance(column.this, exp.Star) else more[0]
            for table_name in called[first]:
                found[table_name].add(name)
        if first not in called or not more:
            unqualified.add(first)
    if _takes_all(tree):
        unqualified.add(EVERY)
    return Reads({name: frozenset(columns) for name, columns in found.items()}, frozenset(unqualified))


def _takes_all(tree: Any) -> bool:
    """Whether a statement reads columns that it does not name."""
    from sqlglot import exp

    bare = any(not isinstance(star.parent, (exp.Count, exp.Column)) for star in tree.find_all(exp.Star))
    natural = any(join.args.get("method") == "NATURAL" for join in tree.find_all(exp.Join))
    return bare or natural or tree.find(exp.Columns, exp.Pivot) is not None


def _unkeyed(sql: str) -> list[str]:
    from sqlglot import exp

    found = []
    for select in _parsed(sql).find_all(exp.Select):
        source = select.args.get("from_") or select.args.get("from")
        before = {source.this.alias_or_name} if source else set()
        where = select.args.get("where")
        single = source is not None and source.this.name == "clock"
        for join in select.args.get("joins") or ():
            name = join.this.alias_or_name
            conditions = [c for c in (join.args.get("on"), where.this if where else None) if c is not None]
            keyed = bool(join.args.get("using")) or any(
                _between(equal, name, before) for condition in conditions for equal in _all_of(condition)
            )
            if not keyed and join.this.name != "clock" and not (single and len(before) == 1):
                found.append(join.sql(_DIALECT))
            before.add(name)
    return found


def _all_of(condition: Any) -> list[Any]:
    """The conditions that have to hold all: what stands under OR or NOT selects nothing by itself."""
    from sqlglot import exp

    if isinstance(condition, exp.Paren):
        return _all_of(condition.this)
    if isinstance(condition, exp.And):
        return _all_of(condition.left) + _all_of(condition.right)
    return [condition]


def _between(equal: Any, name: str, before: set[str]) -> bool:
    """Whether an equality has a column of the joined table on one side, and one of a table before it on the other."""
    from sqlglot import exp

    if not isinstance(equal, (exp.EQ, exp.NullSafeEQ)):
        return False
    sides = [{column.table for column in side.find_all(exp.Column)} for side in (equal.left, equal.right)]
    return any(one == {name} and other and other <= before for one, other in (sides, sides[::-1]))
