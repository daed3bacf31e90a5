# SPDX-License-Identifier: Apache-2.0
"""The state read while waiting for a host or its agents."""

from __future__ import annotations

from typing import TypedDict


class LeftSeen(TypedDict, total=False):
    """How many objects are left, whether they are moving, and some of their names."""

    left: int
    moving: bool
    servers: str
    ports: str
    consumers: str
    volumes: str


class AgentsSeen(TypedDict, total=False):
    """The number of dead agents on a host, and their types."""

    left: int
    dead: str
