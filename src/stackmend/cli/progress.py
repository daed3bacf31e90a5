# SPDX-License-Identifier: Apache-2.0
"""A progress bar on stderr with rows and remaining time; nothing in a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from stackmend.model.protocols import Progress


def silent(what: str, rows: int, expected: int | None) -> None:
    """Progress that is not displayed."""


@contextmanager
def progress(stream: TextIO, *, wanted: bool, color: bool = True) -> Iterator[Progress]:
    """A function to report progress to: one line for each item that is being read.

    ``wanted`` is False under ``--quiet``; a stream that is not a terminal gets nothing either.
    """
    if not (wanted and stream.isatty()):
        yield silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    bars = Bars(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(file=stream, color_system="auto" if color else None),
        transient=True,
    )
    with bars:
        yield _Watched(bars)


class _Watched:
    """Keeps one bar per subject; drivers may call it from several threads."""

    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._tasks: dict[str, object] = {}
        self._moving: dict[str, object] = {}

    def __call__(self, what: str, rows: int, expected: int | None) -> None:
        task = self._tasks.get(what)
        if task is None:
            task = self._tasks.setdefault(what, self._bars.add_task(what, total=expected))
        self._bars.update(task, completed=rows, total=expected)
        if expected is not None and rows >= expected:
            self._bars.update(task, visible=False)

    def lanes(self, moving: Mapping[str, str]) -> None:
        """One line for each call in progress: its lane and its progress."""
        for name in set(self._moving) - set(moving):
            self._bars.remove_task(self._moving.pop(name))
        for name, told in moving.items():
            text = f"{name}: {told}"
            if name in self._moving:
                self._bars.update(self._moving[name], description=text)
            else:
                self._moving[name] = self._bars.add_task(text, total=None)
