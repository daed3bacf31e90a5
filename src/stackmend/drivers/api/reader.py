# SPDX-License-Identifier: Apache-2.0
"""One read of the services: results are cached during it, and several requests run concurrently."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pyarrow as pa

from stackmend.drivers.api.reading import ApiReading
from stackmend.drivers.api.session import Response
from stackmend.drivers.api.tables import TableRow, Wanted, shown
from stackmend.drivers.snapshot.shape import schema
from stackmend.model.errors import SourceError, TimeIsUp

#: number of concurrent requests
WORKERS = 8
#: number of times a list is restarted because the marker of its next page was deleted
TRIES = 3

_T = TypeVar("_T")
_S = TypeVar("_S")


class ApiTableReader:
    """What the services have shown so far. ``findings``: those to confirm; none for a read of everything.

    ``seconds``: time limit for all requests (TimeIsUp).
    """

    def __init__(
        self, reading: ApiReading, findings: Sequence[Mapping[str, Any]] = (), seconds: float | None = None
    ) -> None:
        self._reading = reading
        self._end = None if seconds is None else time.monotonic() + seconds
        self._kept: dict[tuple[str, str], Any] = {}
        self.findings = findings
        self.alive: frozenset[str] | None = None  #: ids of all live servers, once known
        self.progress: Callable[[str, int], None] = lambda _what, _rows: None

    def read(self, label: str, wanted: Wanted) -> pa.Table:
        """The selected rows of a table; SourceError if they cannot be determined."""
        if wanted is not None and any(not values for values in wanted.values()):
            return schema(label).empty_table()
        rows = shown()[label].rows(self, wanted) if label in shown() else ()
        try:
            return pa.Table.from_pylist([row for row in rows if _matches(row, wanted)], schema(label))
        except (LookupError, TypeError, ValueError) as problem:
            raise SourceError(
                f"the API's answer cannot be read as {label}: {type(problem).__name__}: {problem}",
                "The service, or a proxy in front of it, answers in a form that no release uses.",
            ) from problem

    def get(self, service: str, path: str, microversion: str = "") -> Any:
        """The JSON of a resource, None if it does not exist."""
        answer = self.ask(service, path, microversion)
        return None if answer is None else answer.body

    def ask(self, service: str, path: str, microversion: str = "") -> Response | None:
        """The response with the JSON of a resource, None if it does not exist."""
        if self._end is not None and time.monotonic() > self._end:
            raise TimeIsUp
        return self._reading.ask(service, path, microversion)

    def offers(self, service: str, microversion: str) -> bool:
        """Whether the service has this microversion."""
        return self._reading.offers(service, microversion)

    def every(self, service: str, path: str, key: str, microversion: str = "") -> list[Mapping[str, Any]]:
        """All members of a collection, each once; restarted if a page could not follow the previous one."""
        for left in reversed(range(TRIES)):
            found: dict[str, Mapping[str, Any]] = {}
            try:
                for count, one in enumerate(self._reading.every(service, path, key, microversion)):
                    # a migration's number is unique only in its cell
                    found[str(one.get("uuid") or one.get("id") or one.get("name"))] = one
                    if count % 1000 == 0:
                        self.progress(f"{service} {key}", count)
                return list(found.values())
            except SourceError:
                if not found or not left:
                    raise
        raise SourceError(f"{key} of {service} could not be listed")

    def each(self, function: Callable[[_S], _T], items: Iterable[_S]) -> list[_T]:
        """Apply a function to each item, several at a time; the first error ends it."""
        todo = list(items)
        if len(todo) < 2:
            return [function(item) for item in todo]
        with ThreadPoolExecutor(min(WORKERS, len(todo))) as pool:
            return list(pool.map(function, todo))

    def once(self, kind: str, name: str, make: Callable[[], _T]) -> _T:
        """The result of ``make``, cached for the whole read."""
        if (kind, name) not in self._kept:
            self._kept[kind, name] = make()
        found: _T = self._kept[kind, name]
        return found

    def keep(self, kind: str, found: Mapping[str, Any]) -> None:
        """Cache what was read for several objects at once, by name."""
        for name, value in found.items():
            self._kept[kind, name] = value

    def kept(self, kind: str) -> dict[str, Any]:
        """Everything of a kind that was read so far."""
        return {name: value for (known, name), value in self._kept.items() if known == kind}

    def many(self, kind: str, names: Iterable[str], make: Callable[[str], Any]) -> dict[str, Any]:
        """Several objects of a kind by name, cached or read now; None for those that do not exist."""
        wanted = list(dict.fromkeys(names))
        todo = [name for name in wanted if (kind, name) not in self._kept]
        self.keep(kind, dict(zip(todo, self.each(make, todo), strict=True)))
        return {name: self._kept[kind, name] for name in wanted}


def _matches(row: TableRow, wanted: Wanted) -> bool:
    return wanted is None or all(row.get(column) in values for column, values in wanted.items())
