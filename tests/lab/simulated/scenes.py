# SPDX-License-Identifier: Apache-2.0
"""How a cloud behaves: each scene is played on the simulated cloud and on the lab, word for word."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import of_evacuations, of_groups, of_hosts, of_moves, of_servers
from .stage import Stage


class Scene(NamedTuple):
    """A scene by its name."""

    name: str
    play: Callable[[Stage], None]


SCENES = tuple(
    Scene(play.__name__, play)
    for module in (of_moves, of_groups, of_servers, of_hosts, of_evacuations)
    for play in module.SCENES
)
