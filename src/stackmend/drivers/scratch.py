# SPDX-License-Identifier: Apache-2.0
"""Temporary folders, which may contain data of a cloud: removed however the program ends, except by kill -9."""

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
        # registered before it is created: a signal may come in between
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
    """Remove all folders when the program ends, even without leaving its ``with`` blocks."""
    for name in tuple(_THERE):
        shutil.rmtree(name, ignore_errors=True)


atexit.register(remove_all)
