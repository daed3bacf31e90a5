# SPDX-License-Identifier: Apache-2.0
"""The protocol of OVSDB (RFC 7047), as much of it as reading takes: there is no way to ask for a change here."""

from __future__ import annotations

import codecs
import json
import select
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from stackmend.drivers.ovn.remote import Keys, Remote, connected
from stackmend.model.errors import SourceError

#: bytes of one answer: a northbound database of 100,000 ports has a tenth of that in the columns that are read
LARGEST = 1 << 30
#: seconds that a whole look at a database may take
LONGEST = 300.0
#: bytes up to which an answer is parsed as soon as it may be whole
_SMALL = 1 << 16
#: seconds without more bytes after which a long answer may be whole
_QUIET = 0.02

Row = Mapping[str, object]


def _escaped(problem: UnicodeError) -> tuple[str, int]:
    """What is not ASCII, as JSON escapes it: one character in a name would else make four bytes of each of the text."""
    if not isinstance(problem, UnicodeDecodeError):
        raise problem
    end = problem.start
    while end < len(problem.object) and problem.object[end] > 127:
        end += 1
    return json.dumps(problem.object[problem.start : end].decode())[1:-1], end


_ESCAPED = f"{__name__}.escaped"
codecs.register_error(_ESCAPED, _escaped)


@dataclass(frozen=True, slots=True)
class Select:
    """All rows of a table, with these columns."""

    table: str
    columns: tuple[str, ...]
    keys: frozenset[str] = frozenset()  #: of columns that are maps: what is kept of them

    def operation(self) -> dict[str, object]:
        """As in a transaction."""
        return {"op": "select", "table": self.table, "where": [], "columns": list(self.columns)}


class Connection:
    """A connection to one server.

    It is given up after ``silence`` seconds without a byte, and after :data:`LONGEST` seconds in any case.
    """

    def __init__(self, remote: Remote, keys: Keys, silence: float) -> None:
        self.remote, self._silence = remote, silence
        self._numbers = count()
        self._unread = bytearray()
        self._keys: frozenset[str] = frozenset()
        self._until = time.monotonic() + LONGEST
        self._socket = connected(remote, keys, silence)
        self._socket.settimeout(silence)

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def databases(self) -> frozenset[str]:
        """The names of the databases that are served there."""
        found = self._call("list_dbs", [])
        return frozenset(str(name) for name in found) if isinstance(found, list) else frozenset()

    def columns(self, database: str) -> dict[str, frozenset[str]]:
        """Table -> its columns, as the schema of that server has them."""
        schema = self._call("get_schema", [database])
        tables = schema.get("tables") if isinstance(schema, dict) else None
        if not isinstance(tables, dict):
            raise self._strange("its schema has no tables")
        return {str(name): frozenset(table["columns"]) for name, table in tables.items()}

    def read(self, database: str, wanted: Sequence[Select]) -> list[list[Row]]:
        """The rows of these tables, all of one moment: one transaction, of nothing but selects."""
        self._keys = frozenset().union(*(one.keys for one in wanted))
        results = self._call("transact", [database, *(one.operation() for one in wanted)])
        if not isinstance(results, list):
            raise self._strange("the answer to a transaction is not a list")
        for result in results:
            if isinstance(result, dict) and result.get("error"):
                raise SourceError(f"{self.remote} refused to be read: {result.get('details') or result['error']}")
        if len(results) != len(wanted) or not all(isinstance(one, dict) and "rows" in one for one in results):
            raise self._strange("it answered only a part of a transaction")
        return [one["rows"] for one in results]

    def _call(self, method: str, parameters: list[object]) -> object:
        number = next(self._numbers)
        self._send({"method": method, "params": parameters, "id": number})
        while True:
            message = self._receive()
            if message.get("method") == "echo":  # it wants to know whether we live
                self._send({"id": message.get("id"), "result": message.get("params"), "error": None})
            elif message.get("id") == number and "result" in message:
                if message.get("error"):
                    raise SourceError(f"{self.remote} refused {method}: {message['error']}")
                return message["result"]

    def _send(self, message: Mapping[str, object]) -> None:
        try:
            self._socket.sendall(json.dumps(message).encode())
        except OSError as problem:
            raise self._broken(problem) from None

    def _receive(self) -> dict[str, object]:
        """The next message; messages follow one another without anything between them."""
        tried = 0
        decoder = json.JSONDecoder(object_hook=self._lean)
        while True:
            size = len(self._unread)
            # parsed again only at twice its length, or if nothing follows: a long answer would else be parsed for ever
            if self._unread.endswith(b"}") and (size <= _SMALL or size >= 2 * tried or self._is_quiet()):
                tried = size
                try:
                    text = self._unread.decode("ascii", _ESCAPED)
                except UnicodeError:
                    raise self._strange("a message is not UTF-8") from None
                self._unread = bytearray()  # the same as the text: a long answer is not held twice while it is parsed
                try:
                    message, end = decoder.raw_decode(text)
                except ValueError:  # more will follow
                    self._unread = bytearray(text.encode())
                else:
                    self._unread = bytearray(text[end:].lstrip().encode())
                    if isinstance(message, dict):
                        return message
                    raise self._strange("a message is not an object")
                del text
            left = self._until - time.monotonic()
            if left <= 0:
                raise SourceError(f"{self.remote} takes longer than {LONGEST:g} s to answer")
            try:
                self._socket.settimeout(min(self._silence, left))
                part = self._socket.recv(1 << 18)
            except OSError as problem:
                raise self._broken(problem) from None
            if not part:
                raise SourceError(f"{self.remote} ended the connection in the middle of an answer")
            self._unread += part
            if len(self._unread) > LARGEST:
                raise SourceError(f"{self.remote}: the answer is longer than {LARGEST >> 20} MiB, and was not read")

    def _lean(self, row: dict[str, object]) -> dict[str, object]:
        """A row without what nobody asked for in its maps, made while the rest is still text: a third of the memory."""
        for name, value in row.items():
            if isinstance(value, list) and len(value) == 2 and value[0] == "map":
                row[name] = ["map", [pair for pair in value[1] if pair[0] in self._keys]]
        return row

    def _is_quiet(self) -> bool:
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return False
        return not select.select([self._socket], [], [], _QUIET)[0]

    def _broken(self, problem: OSError) -> SourceError:
        if isinstance(problem, TimeoutError | socket.timeout):
            return SourceError(f"{self.remote} has not answered for {self._silence:g} s")
        return SourceError(f"the connection to {self.remote} broke: {problem.strerror or problem}")

    def _strange(self, what: str) -> SourceError:
        return SourceError(f"{self.remote} does not answer as OVSDB does: {what}")
