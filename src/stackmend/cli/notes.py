# SPDX-License-Identifier: Apache-2.0
"""Output on stderr: summaries, next steps, errors. stdout is only for the document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from stackmend.model.errors import StackmendError
from stackmend.model.redaction import redact
from stackmend.report.clean import printable

#: printed after Ctrl-C
INTERRUPTED = ("interrupted", "'stackmend run list' shows whether a run was started, and its state.")
#: options that precede the command, as hints name them
_GLOBAL = re.compile(r"(?<![\w-])--(config|root|layout|database-timeout)\b")


@dataclass(frozen=True, slots=True)
class Notes:
    """Lines for the user, redacted and without control characters."""

    stream: TextIO
    quiet: bool = False  #: warnings and errors only
    plugin: bool = False  #: suggested commands begin with ``openstack mend ...``

    def say(self, text: str = "") -> None:
        """A line that ``--quiet`` suppresses."""
        if not self.quiet:
            self._write(text)

    def next(self, *commands: str) -> None:
        """Print the command to type next."""
        for command in commands:
            self.say(f"next: {command}")

    def warn(self, text: str) -> None:
        """A line that ``--quiet`` does not suppress."""
        self._write(f"warning: {text}")

    def error(self, problem: StackmendError) -> None:
        """The two lines of an error."""
        self.fail(problem.message, problem.hint)

    def fail(self, message: str, hint: str = "") -> None:
        """The two lines of an error."""
        self._write(f"error: {message}")
        if hint:
            self._write(f"hint: {hint}")

    def lines(self, lines: Sequence[str]) -> None:
        """Several lines that ``--quiet`` does not suppress (a traceback)."""
        for line in lines:
            self._write(line)

    def _write(self, text: str) -> None:
        if self.plugin:
            text = _GLOBAL.sub(r"--mend-\1", text).replace("'stackmend ", "'openstack mend ")
        print(printable(redact(text), keep="\n\t"), file=self.stream, flush=True)
