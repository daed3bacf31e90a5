# SPDX-License-Identifier: Apache-2.0
"""What is found where a host, or its agents, are waited for."""

from __future__ import annotations

from typing import TypedDict


class LeftSeen(TypedDict, total=False):
    """How many of something are left, whether they are on their way, and some of them by name."""

    left: int
    moving: bool
    servers: str
    ports: str
    consumers: str
    volumes: str


class AgentsSeen(TypedDict, total=False):
    """How many agents of a host are dead, and their kinds."""

    left: int
    dead: str
