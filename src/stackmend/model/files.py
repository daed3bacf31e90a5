# SPDX-License-Identifier: Apache-2.0
"""Files named by operators: read within bounds, and written without ever replacing anything but a regular file."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

#: limit for a plan file in bytes; a plan of five thousand rows takes some ten million
LARGEST = 256 * 1024 * 1024

Name = str | os.PathLike[str]


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """Why a file is not read or written; follows the file's name in a message."""


def read(name: Name, largest: int = LARGEST) -> bytes:
    """The bytes of a regular file, or of standard input for ``-``; Refused for anything else, and for more bytes.

    A device may have no end, and a pipe no writer: neither is waited for.
    """
    try:
        if os.fspath(name) == "-":
            found = sys.stdin.buffer.read(largest + 1)
        else:
            # do not wait for a writer of a FIFO
            descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as stream:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise Refused(f"is {_kind(os.fstat(descriptor).st_mode)}: '-' reads standard input")
                found = stream.read(largest + 1)
    except (OSError, ValueError) as problem:
        raise Refused(f"cannot be read: {why(problem)}") from None
    if len(found) > largest:
        raise Refused(f"has more than {largest // 1024 // 1024} MiB")
    return found


def write(name: Name, text: str, mode: int = 0o600) -> None:
    """Write a regular file atomically, whether new or replacing one; write to devices and pipes directly.

    The target of a symbolic link is written; the link stays. Refused if nothing could be written.
    """
    data = text.encode()
    try:
        target = Path(os.path.realpath(name))
        there = _mode(target)
        if there is None and str(target).startswith(("/proc/", "/dev/")):
            # /dev/stdout and /dev/fd/N of a pipe resolve to a name that does not exist: "/proc/7/fd/pipe:[123]"
            target, there = Path(name), _mode(Path(name))
        if there is None or stat.S_ISREG(there):
            _replace(target, data, mode)
        elif stat.S_ISDIR(there):
            raise Refused("cannot be written: it is a folder")
        else:
            _into(target, data, there)
    except (OSError, ValueError) as problem:
        raise Refused(f"cannot be written: {why(problem)}") from None


def kept(name: Name) -> bool:
    """Whether what was written there can be read again, that is, whether it is a regular file."""
    try:
        return stat.S_ISREG(_mode(Path(name)) or 0)
    except (OSError, ValueError):
        return False


def why(problem: OSError | ValueError) -> str:
    """The system's error message, or what is wrong with the name itself."""
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    return "its name has a NUL byte" if "null" in str(problem) else "its name cannot be used"


def _mode(path: Path) -> int | None:
    """The type and mode of the file, None if there is none."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _replace(target: Path, data: bytes, mode: int) -> None:
    # short, because the name itself may have the maximum length
    temporary = target.with_name(f".stackmend.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _into(target: Path, data: bytes, there: int) -> None:
    """Write to a device or pipe; a pipe without a reader is an error, not a wait."""
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY
    descriptor = os.open(target, flags | (os.O_NONBLOCK if stat.S_ISFIFO(there) else 0))
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device or socket, no regular file"
