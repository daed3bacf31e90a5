# SPDX-License-Identifier: Apache-2.0
"""Events: what was queried, how long it took, what was decided and why; records of Python's own logging.

An event has a fixed name, and facts as attributes, so that a machine can read it (``--log-format json``). It holds
names, identifiers, numbers and reasons; never values of rows, never secrets. Milestones are INFO (``-v``); each
statement, request and command is DEBUG (``-vv``, ``--log-file``).
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: our attributes of a log record
EVENT, FACTS = "stackmend_event", "stackmend_facts"


class Events:
    """The events of one module, by its ``__name__``."""

    def __init__(self, module: str) -> None:
        self._logger = logging.getLogger(module)

    def milestone(self, event: str, /, **facts: object) -> None:
        """Log something that an operator wants to follow."""
        self._say(logging.INFO, event, facts)

    def detail(self, event: str, /, **facts: object) -> None:
        """Log one of many statements, requests, commands or decisions."""
        self._say(logging.DEBUG, event, facts)

    @contextmanager
    def timed(self, event: str, /, **facts: object) -> Iterator[dict[str, object]]:
        """Log a detail with its ``seconds``, with whatever the caller adds to the dictionary, and with any error."""
        begun, whole = time.monotonic(), False
        try:
            yield facts
            whole = True
        finally:
            if not whole and (problem := sys.exc_info()[1]) is not None:
                facts["error"] = getattr(problem, "message", "") or type(problem).__name__
            self.detail(event, **facts, seconds=round(time.monotonic() - begun, 3))

    def _say(self, level: int, event: str, facts: dict[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            known = {name: fact for name, fact in facts.items() if fact not in (None, "")}
            self._logger.log(level, "%s", _Line(event, known), extra={EVENT: event, FACTS: known})


class _Line:
    """``event name=fact ...``, formatted only if a handler needs it."""

    def __init__(self, event: str, facts: dict[str, object]) -> None:
        self._event, self._facts = event, facts

    def __str__(self) -> str:
        return " ".join((self._event, *(f"{name}={_word(fact)}" for name, fact in self._facts.items())))


def _word(fact: object) -> str:
    text = str(fact)
    return repr(text) if not text or any(c.isspace() or c in "'\"=" or not c.isprintable() for c in text) else text
