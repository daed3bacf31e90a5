# SPDX-License-Identifier: Apache-2.0
"""stdout and stderr may be closed or full: output that cannot be written must not end the program."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO, cast


class SafeStream:
    """A text stream that drops what cannot be written, and keeps the reason. It behaves like the stream it wraps."""

    def __init__(self, inner: TextIO) -> None:
        self.inner = inner
        self.failed = ""  #: why nothing is written any more

    def write(self, text: str) -> int:
        """Write the text, or drop it."""
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
        """Flush; failures are ignored."""
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
        discard_output(self.inner)


def safe_stream(stream: TextIO) -> TextIO:
    """The stream, as one that never fails."""
    return stream if isinstance(stream, SafeStream) else cast("TextIO", SafeStream(stream))


def failure(stream: TextIO) -> str:
    """Why a safe stream no longer writes; "" while it still does."""
    return stream.failed if isinstance(stream, SafeStream) else ""


def reason(problem: OSError | ValueError) -> str:
    """Why a stream could not be written."""
    return (problem.strerror if isinstance(problem, OSError) else None) or str(problem) or "it is closed"


def discard_output(stream: TextIO) -> None:
    """Redirect a stream to /dev/null, so that flushing its buffer at exit does not fail."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


def open_closed_ones() -> None:
    """Reopen stdin, stdout or stderr if the program was started with them closed.

    Otherwise the next file that is opened, such as the journal, gets one of their numbers, and output is written into
    it. Writing to a stdout that was closed fails, as before.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            place = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            if place != number:
                os.dup2(place, number)
                os.close(place)
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))  # noqa: SIM115
