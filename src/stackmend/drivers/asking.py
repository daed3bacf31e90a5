# SPDX-License-Identifier: Apache-2.0
"""What sources outside the databases have in common: many that are asked at once, and rows that are kept by value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar

import pyarrow as pa

from stackmend.drivers.snapshot.shape import schema
from stackmend.model.protocols import Progress

_One = TypeVar("_One")
_Answer = TypeVar("_Answer")


def each(
    ask: Callable[[_One], _Answer], some: Iterable[_One], at_once: int, what: str, progress: Progress
) -> list[_Answer]:
    """What each of them answers, in order; so many are asked at a time."""
    wanted = list(some)
    found: list[_Answer] = []
    if not wanted:
        return found
    pool = ThreadPoolExecutor(min(at_once, len(wanted)))
    try:
        for number, answer in enumerate(pool.map(ask, wanted)):
            progress(what, number + 1, len(wanted))
            found.append(answer)
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def kept(label: str, rows: Iterable[Mapping[str, object]], wanted: Mapping[str, Sequence[object]] | None) -> pa.Table:
    """The rows with these values in any letter case (column -> values), all for None."""
    values = {column: {str(one).lower() for one in some} for column, some in (wanted or {}).items()}
    some = [row for row in rows if all(str(row[column]).lower() in those for column, those in values.items())]
    return pa.Table.from_pylist(some, schema=schema(label))


def unseen(what: str, done: int, of: int | None) -> None:
    """Progress that nobody sees."""
    del what, done, of


def now() -> str:
    """UTC now by this machine's clock."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
