# SPDX-License-Identifier: Apache-2.0
"""Converts ``journalctl -o export`` to the lines of ``journalctl -o json`` while it is read."""

from __future__ import annotations

import io
import json
import struct

#: the most bytes of one field that are kept: a core dump in the journal is not a message
_LONGEST = 1024 * 1024
_WANTED = frozenset(
    {
        "MESSAGE",
        "PRIORITY",
        "SYSLOG_IDENTIFIER",
        "LOGGER_NAME",
        "LOGGER_LEVEL",
        "REQUEST_ID",
        "EXCEPTION_INFO",
        "_PID",
        "_HOSTNAME",
        "_SYSTEMD_UNIT",
        "__REALTIME_TIMESTAMP",
        "_SOURCE_REALTIME_TIMESTAMP",
    }
)


class Exported(io.RawIOBase):
    """A stream of journal entries, read as a stream of JSON objects, one on each line."""

    def __init__(self, inner: io.RawIOBase) -> None:
        self._inner = io.BufferedReader(inner, 1024 * 1024)
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        parts, size = [self._ready], len(self._ready)
        while size < len(buffer):
            entry = self._entry()
            if entry is None:
                break
            parts.append(entry)
            size += len(entry)
        whole = b"".join(parts)
        taken = min(len(whole), len(buffer))
        buffer[:taken] = whole[:taken]
        self._ready = whole[taken:]
        return taken

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()

    def _entry(self) -> bytes | None:
        """The next entry; None at the end, or if the rest is cut off."""
        fields: dict[str, str] = {}
        while line := self._inner.readline(_LONGEST):
            if line == b"\n":
                if fields:
                    break
                continue
            name, equals, value = line.rstrip(b"\n").partition(b"=")
            if not equals:
                read = self._binary()
                if read is None:
                    return None
                value = read
            if (key := name.decode("ascii", "replace")) in _WANTED:
                fields[key] = value.decode("utf-8", "backslashreplace")
        return json.dumps(fields, ensure_ascii=False).encode() + b"\n" if fields else None

    def _binary(self) -> bytes | None:
        """A value preceded by its length: journald writes values with line breaks like this."""
        head = self._inner.read(8)
        if len(head) < 8:
            return None
        (size,) = struct.unpack("<Q", head)
        value = self._inner.read(min(size, _LONGEST))
        left = size - len(value)
        while left > 0 and (more := self._inner.read(min(left, _LONGEST))):
            left -= len(more)
        self._inner.read(1)
        return value
