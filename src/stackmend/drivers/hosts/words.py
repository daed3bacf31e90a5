# SPDX-License-Identifier: Apache-2.0
"""Commands and what they print, in the few words that an error or a note has room for; never a secret."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

_ROOM = 160
_TELLING = r"pass(?:word|wd|phrase)?|secret|token|api[-_]?key|credential"
#: --password=x, PASSWORD=x, password:x
_ASSIGNED = re.compile(rf"(?i)^(-*[\w.-]*(?:{_TELLING})[\w.-]*[=:]).+$", re.DOTALL)
#: --password x; -P x is what ipmitool and mysql call it
_OPTION = re.compile(rf"(?i)^-+[\w.-]*(?:{_TELLING})[\w.-]*$")
_SHORT = ("-P",)
_IN_URL = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")


def named(argv: Sequence[str]) -> str:
    """A command as it would be typed, cut to a line, with what looks like a secret as ``***``."""
    words, hide = [], False
    for word in argv:
        words.append("***" if hide else _IN_URL.sub(r"\1***@", _ASSIGNED.sub(r"\1***", word)))
        hide = not hide and (word in _SHORT or _OPTION.match(word) is not None)
    text = " ".join(shlex.join(words).replace("'***'", "***").split())
    return text if len(text) <= _ROOM else text[: _ROOM - 4] + " ..."


def last_line(text: bytes | bytearray) -> str:
    """The last line that holds anything, as printable text."""
    lines = [line.strip() for line in text[-4096:].decode("utf-8", "replace").splitlines()]
    line = next((line for line in reversed(lines) if line), "")
    clean = "".join(c if c.isprintable() else " " for c in line)
    return _IN_URL.sub(r"\1***@", clean)[:_ROOM]
