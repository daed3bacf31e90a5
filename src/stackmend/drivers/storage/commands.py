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
from stackmend.model.errors import SourceError
from stackmend.model.objects.storage import BackEnd
from stackmend.model.protocols import Hosts

#: bytes of a list that are kept in memory: more than a million objects
_MOST = 512 * 1024 * 1024
_ENDED = re.compile(rb"^ended with (\d+)$", re.MULTILINE)


def listed(hosts: Hosts, back_end: BackEnd, argv: Sequence[str]) -> Any:
    """What the program prints, decoded. SourceError if it failed, or if its output is not whole."""
    done = hosts.run(back_end.host, ("sh", "-c", script("compressed"), "stackmend", *argv), limit=back_end.limit)
    where = back_end.host or "this machine"
    ended = _ENDED.findall(done.err)
    if done.code != 0 or ended != [b"0"]:
        why = last_line(_ENDED.sub(b"", done.err)) or f"exit code {ended[-1].decode() if ended else done.code}"
        raise SourceError(f"{named(argv)} on {where}: {why}", "Try the same by hand there.")
    unpacking = zlib.decompressobj(wbits=31)
    try:
        text = unpacking.decompress(done.out, _MOST)
        if not unpacking.eof:
            raise SourceError(f"{named(argv)} on {where} says too much, or not all of it")
        return json.loads(text)
    except (zlib.error, ValueError) as problem:
        raise SourceError(f"{named(argv)} on {where} answers what is not understood: {problem}") from None
