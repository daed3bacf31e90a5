# SPDX-License-Identifier: Apache-2.0
"""Short descriptions of commands and their output for errors and notes; without secrets."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from stackmend.model.redaction import redact, redact_arguments

_ROOM = 160
#: number of bytes searched: more than any line worth reading
_TAIL = 65_536


def named(argv: Sequence[str]) -> str:
    """A command as typed, cut to one line, with secrets as ``***``."""
    text = " ".join(shlex.join(redact_arguments(argv)).replace("'***'", "***").split())
    return text if len(text) <= _ROOM else text[: _ROOM - 4] + " ..."


def last_line(text: bytes | bytearray) -> str:
    """The last line that is not blank, in printable characters."""
    lines = [line.strip() for line in redact(text[-_TAIL:].decode("utf-8", "replace")).splitlines()]
    line = next((line for line in reversed(lines) if line), "")
    return "".join(c if c.isprintable() else " " for c in line)[:_ROOM]
