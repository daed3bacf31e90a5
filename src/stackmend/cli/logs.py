# SPDX-License-Identifier: Apache-2.0
"""Where log records go: warnings to stderr (more with ``-v``), everything to ``--log-file``, redacted everywhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from stackmend.cli.redact import redact
from stackmend.model.errors import UsageError

_LEVELS = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO}
#: warnings of our own are for the person who runs it: ``--quiet`` does not swallow them
_OWN = logging.WARNING
_LINE = "%(asctime)s %(levelname)s %(name)s %(message)s"


class _Redacted(logging.Formatter):
    """A formatter whose result, traceback included, has passed the net."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _Around(_Redacted):
    """The same for what somebody else's formatter made."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self.inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return redact(self.inner.format(record))


@contextmanager
def redacted() -> Iterator[None]:
    """Let what a command logs pass the net where another program (``openstack``) has set up the logging."""
    theirs = [handler for handler in logging.getLogger().handlers if not isinstance(handler.formatter, _Redacted)]
    before = [handler.formatter for handler in theirs]
    for handler in theirs:
        handler.setFormatter(_Around(handler.formatter))
    try:
        yield
    finally:
        for handler, formatter in zip(theirs, before, strict=True):
            handler.setFormatter(formatter)


@contextmanager
def logging_to(stream: TextIO, verbosity: int, file: str | None) -> Iterator[None]:
    """Set up the root logger for one command, and take it down again so that ``main`` can be called twice."""
    root = logging.getLogger()
    if any(isinstance(handler.formatter, _Redacted) for handler in root.handlers):
        yield  # a command within a command: the demo
        return
    before = root.level
    console = logging.StreamHandler(stream)
    level = _LEVELS.get(verbosity, logging.DEBUG)
    console.addFilter(lambda record: record.levelno >= (min(level, _OWN) if _is_own(record) else level))
    console.setFormatter(_Redacted("%(levelname)s: %(message)s"))
    handlers: list[logging.Handler] = [console]
    if file:
        handlers.append(_to_file(file))
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(before)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == "stackmend"


def _to_file(path: str) -> logging.Handler:
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as problem:
        raise UsageError(
            f"the log file {path} cannot be written: {problem.strerror}", "Choose another path for --log-file."
        ) from None
    handler.setFormatter(_Redacted(_LINE))
    return handler
