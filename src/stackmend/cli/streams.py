# SPDX-License-Identifier: Apache-2.0
"""stdout and stderr that may be closed, full or gone: what is said to nobody ends nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO, cast


class Steady:
    """A text stream that drops what cannot be written, and keeps why. It looks like the one it stands for."""

    def __init__(self, inner: TextIO) -> None:
        self.inner = inner
        self.failed = ""  #: why nothing is written any more

    def write(self, text: str) -> int:
        """Write, or drop it."""
        if not self.failed:
            try:
                self.inner.write(text)
            except (OSError, ValueError) as problem:
                self._broke(problem)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write them all."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, or do not."""
        if not self.failed:
            try:
                self.inner.flush()
            except (OSError, ValueError) as problem:
                self._broke(problem)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def _broke(self, problem: OSError | ValueError) -> None:
        if isinstance(problem, UnicodeError):
            raise problem
        self.failed = reason(problem)
        hush(self.inner)


def steady(stream: TextIO) -> TextIO:
    """The stream, as one that never fails."""
    return stream if isinstance(stream, Steady) else cast("TextIO", Steady(stream))


def failure(stream: TextIO) -> str:
    """Why a steady stream writes nothing any more; "" while it does."""
    return stream.failed if isinstance(stream, Steady) else ""


def reason(problem: OSError | ValueError) -> str:
    """Why a stream could not be written."""
    return (problem.strerror if isinstance(problem, OSError) else None) or str(problem) or "it is closed"


def hush(stream: TextIO) -> None:
    """Point a stream nowhere, so that what it still holds back is no trouble when it is flushed at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


def open_closed_ones() -> None:
    """Give a program that was begun with closed stdin, stdout or stderr something in their places.

    Else the next file that is opened, such as the journal, gets the number of one of them, and what is printed lands in
    it. What is written to a stdout that was closed fails, as it would have.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            place = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            if place != number:
                os.dup2(place, number)
                os.close(place)
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))  # noqa: SIM115
