# SPDX-License-Identifier: Apache-2.0
"""Commands and what they print, in the few words that an error or a note has room for; never a secret."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from stackmend.model.redaction import redact, redact_arguments

_ROOM = 160
#: bytes of what was printed that are looked at: more than any line that somebody reads
_TAIL = 65_536


def named(argv: Sequence[str]) -> str:
    """A command as it would be typed, cut to a line, with what looks like a secret as ``***``."""
    text = " ".join(shlex.join(redact_arguments(argv)).replace("'***'", "***").split())
    return text if len(text) <= _ROOM else text[: _ROOM - 4] + " ..."


def last_line(text: bytes | bytearray) -> str:
    """The last line that holds anything, as printable text."""
    lines = [line.strip() for line in redact(text[-_TAIL:].decode("utf-8", "replace")).splitlines()]
    line = next((line for line in reversed(lines) if line), "")
    return "".join(c if c.isprintable() else " " for c in line)[:_ROOM]
