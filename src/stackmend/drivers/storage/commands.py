# SPDX-License-Identifier: Apache-2.0
"""A program on the host of a back end that prints a list as JSON."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from typing import Any

from stackmend.drivers.hosts.words import last_line, named
from stackmend.hosts.scripts import script
from stackmend.model.errors import HostLost, SourceError
from stackmend.model.objects.storage import BackEnd
from stackmend.model.protocols import Hosts

#: bytes of a list that are kept in memory: more than a million objects
_MOST = 512 * 1024 * 1024
_ENDED = re.compile(rb"^ended with (\d+)$", re.MULTILINE)


def listed(hosts: Hosts, back_end: BackEnd, argv: Sequence[str]) -> Any:
    """What the program prints, decoded. Errors as for :func:`printed`."""
    try:
        return json.loads(printed(hosts, back_end, argv))
    except ValueError as problem:
        raise _strange(back_end, argv, problem) from None


def documents(hosts: Hosts, back_end: BackEnd, argv: Sequence[str]) -> list[Any]:
    """Likewise, of a program that prints several documents one after another."""
    decoder, found, rest = json.JSONDecoder(), [], printed(hosts, back_end, argv).decode(errors="replace").strip()
    try:
        while rest:
            document, end = decoder.raw_decode(rest)
            found.append(document)
            rest = rest[end:].lstrip()
    except ValueError as problem:
        raise _strange(back_end, argv, problem) from None
    return found


def printed(
    hosts: Hosts, back_end: BackEnd, argv: Sequence[str], stdin: bytes = b"", called: Sequence[str] = ()
) -> bytes:
    """What the program prints. SourceError if it failed, or if its output is not whole; ``called``: its name there."""
    packed = ("sh", "-c", script("compressed"), "stackmend", *argv)
    where, what = back_end.host or "this machine", named(called or argv)
    try:
        done = hosts.run(back_end.host, packed, limit=back_end.limit, stdin=stdin)
    except HostLost:
        why = f"it did not end within {back_end.limit:g} s, or the connection broke"
        raise SourceError(f"{what} on {where}: {why}", "Try the same by hand there.") from None
    ended = _ENDED.findall(done.err)
    if done.code != 0 or ended != [b"0"]:
        why = last_line(_ENDED.sub(b"", done.err)) or f"exit code {ended[-1].decode() if ended else done.code}"
        raise SourceError(f"{what} on {where}: {why}", "Try the same by hand there.")
    unpacking = zlib.decompressobj(wbits=31)
    try:
        text = unpacking.decompress(done.out, _MOST)
        if not unpacking.eof:
            raise SourceError(f"{what} on {where} says too much, or not all of it")
        return text
    except zlib.error as problem:
        raise _strange(back_end, called or argv, problem) from None


def _strange(back_end: BackEnd, argv: Sequence[str], problem: Exception) -> SourceError:
    where = back_end.host or "this machine"
    return SourceError(f"{named(argv)} on {where} answers what is not understood: {problem}")
