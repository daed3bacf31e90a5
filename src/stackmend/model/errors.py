# SPDX-License-Identifier: Apache-2.0
"""Every exit code and every error that users can meet: message, hint and exit code in one place.

A message starts in lower case, has no full stop and names the object; the hint is a sentence that says what to do.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    """The exit codes scripts may rely on (docs/reference/exit-codes.md)."""

    CLEAN = 0  #: nothing found, or everything requested was done
    ERROR = 1  #: an unexpected error
    USAGE = 2  #: the command line, the configuration or a file given is wrong
    FINDINGS = 3  #: inconsistencies were found, or the plan has steps
    REPAIRED = 4  #: inconsistencies were found and repaired
    STOPPED = 5  #: stopped: a row has changed, a limit was reached, or a lane failed
    IN_DOUBT = 6  #: a step was begun and its outcome is unknown: a human is needed
    INCOMPLETE = 7  #: a source could not be read: this does not mean clean


class StackmendError(Exception):
    """Base of all errors that are shown to the user without a traceback."""

    exit_code: ClassVar[Exit] = Exit.ERROR

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class OutputError(StackmendError):
    """The document could not be written to stdout."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the document could not be written to stdout: {reason}", "Redirect it to a writable place with free space."
        )


class UsageError(StackmendError):
    """The command line asks for something that does not exist or contradicts itself."""

    exit_code = Exit.USAGE


class ConfigError(StackmendError):
    """The configuration names something unknown, malformed or unreadable."""

    exit_code = Exit.USAGE


class NoConfigError(ConfigError):
    """There is no configuration at all: commands that need none go on without."""


class PlanFileError(StackmendError):
    """A plan file is truncated, edited, foreign, or of another format version."""

    exit_code = Exit.USAGE


class ConsentError(StackmendError):
    """The plan holds repairs that need consent by name, or ``--yes`` is missing."""

    exit_code = Exit.USAGE


class SourceError(StackmendError):
    """A source could not be read completely: checks that need it are incomplete."""

    exit_code = Exit.INCOMPLETE


class SilentError(SourceError):
    """A database has stopped answering: its last statement may still take effect."""


class BusyError(SourceError):
    """A database is too busy to be read: it was waited for in vain."""


class TimeIsUp(SourceError):  # noqa: N818 - names a condition
    """The time limit for querying the services was reached: they are not queried any further."""

    def __init__(self) -> None:
        super().__init__("the time for querying the services is over")


class HostUnreachable(SourceError):  # noqa: N818 - names a condition
    """A host could not be reached: it is certain that nothing was run there."""


class HostLost(SourceError):  # noqa: N818 - as above
    """The outcome of a command on a host is unknown: the connection broke, or it took too long."""


class LimitError(StackmendError):
    """More would change than the limits allow."""

    exit_code = Exit.STOPPED


class LockedError(StackmendError):
    """Another run is writing to this cloud."""

    exit_code = Exit.STOPPED


class LeaseError(LockedError):
    """This run has lost its lease on the cloud to another run: it begins no further step."""


class WriteError(StackmendError):
    """The database refused or broke a write; nothing of that transaction was kept."""

    exit_code = Exit.STOPPED


class ApiError(StackmendError):
    """A service refused a call, cannot do it, or was never reached."""

    exit_code = Exit.STOPPED


class UnsentError(ApiError):
    """The service certainly did not receive the request."""


class LostError(ApiError):
    """The response was lost: the service may have received the request."""


class JournalError(StackmendError):
    """The journal cannot be read or written; without it nothing is changed."""

    exit_code = Exit.STOPPED


class InDoubtError(StackmendError):
    """The outcome of a step is unknown and the probe cannot tell."""

    exit_code = Exit.IN_DOUBT
