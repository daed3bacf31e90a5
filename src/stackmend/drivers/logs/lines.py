# SPDX-License-Identifier: Apache-2.0
"""The lines of one file, read by the formats found in it."""

from __future__ import annotations

import re
from collections import Counter

from stackmend.drivers.logs.formats import formats
from stackmend.model.diagnosing.logs import Context, Line

#: how many lines of a file are searched for its formats, and how many messages among them are enough
_SAMPLE = 1000
_ENOUGH = 100
_COLOUR = re.compile(r"\x1b\[[\d;]*[A-Za-z]")


class Reading:
    """The formats of a file, the most frequent first: a file may mix several."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._formats = list(formats())
        self.used: Counter[str] = Counter()

    def knows(self, head: bytes) -> bool:
        """Whether any of the first lines is a log line; learns which formats the file has."""
        for line in head.split(b"\n")[:_SAMPLE]:
            self.line(line)
            if self.used.total() >= _ENOUGH:
                break
        self._formats.sort(key=lambda one: (-self.used[one.name] if one.order < 90 else 0, one.order, one.name))
        return bool(self.used)

    def line(self, raw: bytes) -> Line | None:
        """Parse a line; None if no message begins with it. Bytes that are not UTF-8 stay readable."""
        text = decoded(raw)
        if not text or text[0].isspace():
            return None
        for one in self._formats:
            if (found := one.read(text, self.context)) is not None:
                self.used[one.name] += 1
                return found
        return None


def decoded(raw: bytes) -> str:
    """A line as text, without colour codes and without the carriage return."""
    text = raw.decode("utf-8", "backslashreplace").rstrip("\r\n")
    return _COLOUR.sub("", text) if "\x1b" in text else text
