# SPDX-License-Identifier: Apache-2.0
"""Privileges: as SQL to run, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Protocol

from stackmend.report.document import Document

COLUMNS = (
    ("Role", "role"),
    ("Server", "server"),
    ("Database", "database"),
    ("Table", "table"),
    ("Privileges", "verbs"),
    ("Statement", "statement"),
)


class Grant(Protocol):
    """What is shown of a privilege."""

    @property
    def role(self) -> str: ...
    @property
    def server(self) -> str: ...
    @property
    def database(self) -> str: ...
    @property
    def table(self) -> str: ...
    @property
    def verbs(self) -> tuple[str, ...]: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def statement(self) -> str: ...


def granting(grants: Sequence[Grant]) -> Document:
    """The document of ``config grants`` (docs/schemas/grants.json)."""
    return _document(grants, "\n".join(_script(grants)) or "-- no database is on a server: files have no accounts")


def lacking(grants: Sequence[Grant], *, whole: bool) -> Document:
    """The document of ``config check`` (docs/schemas/grants.json). ``whole``: every database was asked."""
    if not grants:
        said = (
            "every privilege that is needed is there" if whole else "no privilege is missing where this could be asked"
        )
        return _document(grants, said)
    return _document(grants, "\n".join([*map(_lack, grants), "", "-- this grants it:", *_script(grants)]))


def _document(grants: Iterable[Grant], text: str) -> Document:
    records = [{name: getattr(one, name) for name in _NAMES} for one in grants]
    plain = [{k: list(v) if isinstance(v, tuple) else v for k, v in record.items()} for record in records]
    return Document(data=plain, columns=COLUMNS, text=text)


def _script(grants: Sequence[Grant]) -> Iterator[str]:
    """Valid SQL, by server and role."""
    for (server, role), some in groupby(grants, key=lambda one: (one.server, one.role)):
        yield f"-- on {server}, for the {role}"
        yield from (one.statement for one in some)


def _lack(one: Grant) -> str:
    what = f"table {one.table}" if one.table else "all tables"
    some = f" ({', '.join(one.columns)})" if one.columns else ""
    return f"the {one.role} lacks {', '.join(one.verbs)}{some} on {what} in database {one.database}"


_NAMES = ("role", "server", "database", "table", "verbs", "columns", "statement")
