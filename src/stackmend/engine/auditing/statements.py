# SPDX-License-Identifier: Apache-2.0
"""The tables and columns that the SQL of checks reads, found by a parser (docs/adr/0039).

Names are not resolved by scope: an alias stands for every table with that alias in the statement, and an unqualified
name may be a column of each table. So a column may be reported that is not read, but never the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from stackmend.model.errors import StackmendError
from stackmend.tables.views import VIEWS

#: in place of a column: all columns
EVERY = "*"
_DIALECT = "duckdb"


class NotUnderstood(StackmendError):  # noqa: N818 - an answer, not an error
    """It cannot be determined what a statement reads."""


@dataclass(frozen=True, slots=True)
class Reads:
    """The names in one statement: the columns of each table or view, and unqualified ones."""

    tables: Mapping[str, frozenset[str]]
    unqualified: frozenset[str]


def tables_read(sql: str) -> frozenset[str]:
    """Every collected table that the statement reads, directly or through views, and those views."""
    return frozenset(name for text in texts(sql) for name in _reads(text).tables)


def columns_read(sql: str, label: str) -> frozenset[str]:
    """Names that may be columns of this table, read by the statement or its views; with :data:`EVERY` all may be."""
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
    """The syntax tree of one query; NotUnderstood if it is not a query, or the parser does not know it."""
    # imported only here: an audit that can read everything never needs it
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
    """Where the parser gave up; the rest of its message is about its own classes."""
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
            # an alias alone means the whole row
            name = EVERY if not more or isinstance(column.this, exp.Star) else more[0]
            for table_name in called[first]:
                found[table_name].add(name)
        if first not in called or not more:
            unqualified.add(first)
    if _takes_all(tree):
        unqualified.add(EVERY)
    return Reads({name: frozenset(columns) for name, columns in found.items()}, frozenset(unqualified))


def _takes_all(tree: Any) -> bool:
    """Whether a statement reads columns without naming them."""
    from sqlglot import exp

    bare = any(not isinstance(star.parent, (exp.Count, exp.Column)) for star in tree.find_all(exp.Star))
    natural = any(join.args.get("method") == "NATURAL" for join in tree.find_all(exp.Join))
    return bare or natural or tree.find(exp.Columns, exp.Pivot) is not None
