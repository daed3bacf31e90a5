# SPDX-License-Identifier: Apache-2.0
"""The kinds of servers in a real cloud, and their distribution in a built cloud."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

#: kind -> share per 1,000; the first servers of the cloud include two of every kind
SHARES = {
    "active": 560,
    "stopped": 100,
    "premade_port": 60,
    "multi_nic": 40,
    "volume_backed": 60,
    "multiattach": 6,
    "no_nic": 6,
    "trunk": 4,
    "paused": 4,
    "suspended": 4,
    "rescued": 2,
    "error": 6,
    "rebooting": 2,
    "shelved_offloaded": 20,
    "resized": 6,
    "live_migrating": 4,
    "evacuated": 6,
    "cross_cell": 2,
    "soft_deleted": 6,
    "ironic": 6,
    "cell0_error": 6,
    "building": 4,
    "unscheduled": 2,
    "deleted": 80,
    "deleted_hostless": 4,
}
KINDS = tuple(SHARES)

#: kinds whose servers have no row in a real cell (only in cell0, or none at all)
HOSTLESS = frozenset({"cell0_error", "deleted_hostless", "unscheduled"})
_STATES = {
    "stopped": ("stopped", 4),
    "paused": ("paused", 3),
    "suspended": ("suspended", 4),
    "rescued": ("rescued", 1),
    "error": ("error", 1),
    "shelved_offloaded": ("shelved_offloaded", 4),
    "resized": ("resized", 1),
    "cross_cell": ("resized", 1),
    "soft_deleted": ("soft-delete", 4),
    "cell0_error": ("error", 0),
    "building": ("building", 0),
    "deleted": ("deleted", 0),
    "deleted_hostless": ("error", 0),
}
_TASKS = {
    "rebooting": "rebooting_hard",
    "live_migrating": "migrating",
    "building": "spawning",
    "deleted_hostless": "deleting",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything decided about one server before its rows are written."""

    number: int  #: counts from 0
    kind: str
    ordinal: int  #: counts the servers of its kind from 0
    uuid: str
    project: int
    host: int  #: number of the compute host
    other: int  #: number of another host of the same cell (source or target of a move)
    flavor: int
    ports: int
    volumes: int  #: data volumes
    created: datetime
    updated: datetime

    @property
    def state(self) -> tuple[str, int]:
        """(vm_state, power_state)."""
        return _STATES.get(self.kind, ("active", 1))

    @property
    def task(self) -> str | None:
        """task_state."""
        return _TASKS.get(self.kind)

    @property
    def placed(self) -> bool:
        """True if the server is on a host."""
        return self.kind not in HOSTLESS and self.kind not in ("shelved_offloaded", "deleted")

    @property
    def deleted(self) -> bool:
        """True if its row is marked deleted."""
        return self.kind in ("deleted", "deleted_hostless")


class Planner:
    """Plans servers one after another; the same seed gives the same cloud."""

    def __init__(self, servers: int, hosts: int, projects: int, seed: int, now: datetime) -> None:
        self._servers, self._hosts, self._projects, self._now = servers, hosts, projects, now
        self._random = random.Random(f"kinds-{seed}")
        self._ordinals = dict.fromkeys(KINDS, 0)
        self._seed = seed & 0xFFFF

    def plan(self, number: int) -> Plan:
        """The plan of the next server; call it with 0, 1, 2, ... in this order."""
        dice = self._random
        kind = KINDS[number % len(KINDS)] if number < 2 * len(KINDS) else _draw(dice.randrange(994))
        ordinal = self._ordinals[kind]
        self._ordinals[kind] = ordinal + 1
        host = dice.randrange(self._hosts)
        # hosts of the same cell have numbers of the same parity
        other = (host + 2) % (self._hosts - self._hosts % 2)
        created = self._now - timedelta(seconds=dice.randrange(10 * 86400, 400 * 86400))
        updated = created + timedelta(seconds=dice.randrange(3600, 8 * 86400))
        if kind in ("building", "unscheduled"):
            created = updated = self._now - timedelta(seconds=40)
        if kind in ("rebooting", "live_migrating"):
            updated = self._now - timedelta(seconds=20)
        volumes = 0 if kind in (*HOSTLESS, "building", "ironic") else int(dice.random() < 0.3)
        return Plan(
            number=number,
            kind=kind,
            ordinal=ordinal,
            uuid=identifier(0xA, number, self._seed),
            project=dice.randrange(self._projects),
            host=host,
            other=other,
            flavor=dice.randrange(3),
            ports={"no_nic": 0, "multi_nic": 3, "cell0_error": 0, "unscheduled": 0, "deleted_hostless": 0}.get(kind, 1),
            volumes=volumes,
            created=created,
            updated=updated,
        )


def _draw(place: int) -> str:
    for kind, share in SHARES.items():
        place -= share
        if place < 0:
            return kind
    return "active"


def identifier(sort: int, number: int, seed: int = 0) -> str:
    """A UUID (formally version 4), unique within a kind of object, that looks random to an index."""
    mixed = (number * 2654435761 + sort * 40503 + seed * 69069) & 0xFFFFFFFF
    return f"{mixed:08x}-{seed & 0xFFFF:04x}-4{sort & 0xFFF:03x}-8{(number >> 48) & 0xFFF:03x}-{number & 0xFFFFFFFFFFFF:012x}"


def text(moment: datetime) -> str:
    """A time as databases print it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")
