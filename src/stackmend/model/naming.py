# SPDX-License-Identifier: Apache-2.0
"""What people call the objects of a cloud."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Named:
    """An object's name, whose it is, and where it is; "" for what is not known, or what it has not."""

    name: str = ""
    project: str = ""  #: its name, or its id where Keystone's database has no name for it
    host: str = ""
