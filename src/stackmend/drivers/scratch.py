# SPDX-License-Identifier: Apache-2.0
"""Temporary folders, which may hold what a cloud knows: none is left, however the program ends, but for kill -9."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_THERE: set[str] = set()


class Scratch:
    """One folder, until it is removed."""

    def __init__(self, what: str) -> None:
        # known before it is there: a signal may come in between
        self.name = os.path.join(tempfile.gettempdir(), f"stackmend-{what}-{secrets.token_hex(8)}")
        _THERE.add(self.name)
        os.mkdir(self.name, 0o700)

    def remove(self) -> None:
        """Remove it with everything in it."""
        shutil.rmtree(self.name, ignore_errors=True)
        _THERE.discard(self.name)


@contextmanager
def scratch(what: str) -> Iterator[str]:
    """The path of a folder that is removed at the end of the block."""
    folder = Scratch(what)
    try:
        yield folder.name
    finally:
        folder.remove()


def remove_all() -> None:
    """Remove what is there, for a program that ends, also without coming to the ends of its blocks."""
    for name in tuple(_THERE):
        shutil.rmtree(name, ignore_errors=True)


atexit.register(remove_all)
