# SPDX-License-Identifier: Apache-2.0
"""What the SQL of checks reads, by a parser (docs/adr/0039): tables and their columns.

Names are not resolved scope by scope: an alias stands for every table of the statement that is called so, and a name
said of no table may be a column of each. So a column may be named that is not read, and never the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from stackmend.model.errors import StackmendError
from stackmend.tables.views import VIEWS

#: in place of a column: all of them
EVERY = "*"
_DIALECT = "duckdb"


class NotUnderstood(StackmendError):  # noqa: N818 - an answer, not an error
    """It is unknown what a statement reads."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What one statement names: the columns of each table or view, and those said of no table."""

    tables: Mapping[str, frozenset[str]]
    unqualified: frozenset[str]


def tables_read(sql: str) -> frozenset[str]:
    """Every collected table that the statement reads, those behind its views among them, and the views."""
    return frozenset(name for text in texts(sql) for name in _reads(text).tables)


def columns_read(sql: str, label: str) -> frozenset[str]:
    """Names that may be columns of this table, read by the statement or a view of it; with :data:`EVERY` all may."""
    found = set[str]()
    for text in texts(sql):
        reads = _reads(text)
        if label in reads.tables:
            found |= reads.tables[label] | reads.unqualified
    return frozenset(found)


def texts(sql: str) -> list[str]:
    """The statement and the SQL of every view it uses."""
    found, seen = [sql], set[str]()
    for text in found:
        views = (_reads(text).tables.keys() & VIEWS.keys()) - seen
        seen |= views
        found += [VIEWS[view].sql for view in sorted(views)]
    return found


def parsed(sql: str) -> Any:
    """The tree of one query; NotUnderstood where it is not one, or not one that the parser knows."""
    # imported where it is needed: an audit that sees everything never does
    import sqlglot
    from sqlglot import errors, exp

    try:
        found = sqlglot.parse(sql, dialect=_DIALECT)
    except (errors.SqlglotError, RecursionError) as problem:
        raise NotUnderstood(f"the parser does not understand its SQL{_place(problem)}") from problem
    if len(found) != 1 or not isinstance(found[0], exp.Query):
        raise NotUnderstood("its SQL is not one query")
    return found[0]


def _place(problem: Exception) -> str:
    """Where the parser gave up; what it says beside that is about its own classes."""
    first: dict[str, Any] = next(iter(getattr(problem, "errors", ())), {})
    return f" (line {first['line']}, column {first['col']})" if first.get("line") else ""


@cache
def _reads(sql: str) -> Reads:
    from sqlglot import exp

    tree = parsed(sql)
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
