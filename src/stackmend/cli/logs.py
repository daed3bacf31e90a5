# SPDX-License-Identifier: Apache-2.0
"""Destinations of log records: warnings to stderr (more with ``-v``), everything to ``--log-file``, always redacted."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from stackmend.model.errors import UsageError
from stackmend.model.events import EVENT, FACTS
from stackmend.model.redaction import MASK, redact, tells_secret

_LEVELS = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO}
#: our own warnings are for the user: ``--quiet`` does not suppress them
_OWN = logging.WARNING
_LINE = "%(asctime)s %(levelname)s %(name)s %(message)s"
#: of a log file
FORMATS = ("text", "json")


class _Redacted(logging.Formatter):
    """A formatter whose result is redacted, including tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _JsonLine(_Redacted):
    """One JSON object per line: time, level, logger, event, its facts; a message if it is not one of our events."""

    def format(self, record: logging.LogRecord) -> str:
        event = getattr(record, EVENT, None)
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **({"message": record.getMessage()} if event is None else {"event": event, **getattr(record, FACTS)}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(_without_secrets(line))


def _without_secrets(value: object) -> object:
    """The same for JSON, with each text redacted separately: redacting the result could break the JSON."""
    if isinstance(value, Mapping):
        return {
            str(name): MASK if inner and tells_secret(str(name)) else _without_secrets(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets(inner) for inner in value]
    return value if value is None or isinstance(value, int | float) else redact(str(value))


class _Around(_Redacted):
    """The same for the output of another formatter."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self.inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return redact(self.inner.format(record))


@contextmanager
def redacted() -> Iterator[None]:
    """Redact the log records of a command if another program (``openstack``) has set up the logging."""
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
def logging_to(stream: TextIO, verbosity: int, file: str | None, form: str = FORMATS[0]) -> Iterator[None]:
    """Set up the root logger for one command, and restore it so that ``main`` can be called twice.

    ``form``: of the file, one of FORMATS.
    """
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
        handlers.append(_to_file(file, form))
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(logging.DEBUG if file else min(level, _OWN))
    try:
        yield
    finally:
        root.setLevel(before)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == "stackmend"


def _to_file(path: str, form: str) -> logging.Handler:
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as problem:
        raise UsageError(
            f"the log file {path} cannot be written: {problem.strerror}", "Choose another path for --log-file."
        ) from None
    handler.setFormatter(_JsonLine() if form == "json" else _Redacted(_LINE))
    return handler
