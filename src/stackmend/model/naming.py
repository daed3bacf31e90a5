# SPDX-License-Identifier: Apache-2.0
"""The names of a cloud's objects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

#: (resource type, id)
Object = tuple[str, str]
#: an object mentioned in a sentence: "server 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55"; not an option of a command
MENTIONED = re.compile(r"(?<![-\w])(server|volume|port|image) ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")


@dataclass(frozen=True, slots=True)
class Named:
    """An object's name, project and host; "" if unknown or not applicable."""

    name: str = ""
    project: str = ""  #: its name, or its id if Keystone's database has no name for it
    host: str = ""


UNNAMED = Named()


def mentioned(text: str) -> Iterator[Object]:
    """The objects mentioned by id in a sentence."""
    yield from ((found[1], found[2]) for found in MENTIONED.finditer(text))
