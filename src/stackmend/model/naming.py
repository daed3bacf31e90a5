# SPDX-License-Identifier: Apache-2.0
"""What people call the objects of a cloud."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

#: (resource type, id)
Object = tuple[str, str]
#: an object in a sentence: "server 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55"; an option of a command is none
MENTIONED = re.compile(r"(?<![-\w])(server|volume|port|image) ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")


@dataclass(frozen=True, slots=True)
class Named:
    """An object's name, whose it is, and where it is; "" for what is not known, or what it has not."""

    name: str = ""
    project: str = ""  #: its name, or its id where Keystone's database has no name for it
    host: str = ""


NOBODY = Named()


def mentioned(text: str) -> Iterator[Object]:
    """The objects that a sentence names by their ids."""
    yield from ((found[1], found[2]) for found in MENTIONED.finditer(text))
