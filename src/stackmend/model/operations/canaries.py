# SPDX-License-Identifier: Apache-2.0
"""Operations on the canaries of a batch: servers that are built as users build theirs, verified, and deleted."""

from __future__ import annotations

from typing import TypedDict

from stackmend.model.operations import Operation, OptionalSeconds
from stackmend.model.operations.compute import NovaOperation
from stackmend.model.operations.servers import ServerSeen


class BuiltSeen(ServerSeen, total=False):
    """A canary as Nova shows it, and why it could not be built."""

    id: str | None
    failure: str


class BuildCanary(NovaOperation[BuiltSeen], frozen=True, kw_only=True):
    """Create a server, and see it become active. Its name is its tag."""

    NAME = "build-canary"

    name: str
    batch: str
    flavor: str
    image: str
    networks: tuple[str, ...]
    volume: int  #: GiB of a root volume, 0 for none
    host: str  #: "": whichever the scheduler chooses
    limit: OptionalSeconds


class ProvedSeen(BuiltSeen, total=False):
    """A canary, and what it has not got of what it was asked for, or has too much, in words."""

    lacking: str


class CanaryProved(NovaOperation[ProvedSeen], frozen=True, kw_only=True):
    """See that a canary has exactly what it was asked for, all of it in use."""

    NAME = "canary-proved"

    name: str
    flavor: str
    image: str
    networks: tuple[str, ...]
    volume: int
    host: str
    console: bool  #: whether a console that it has must show something
    limit: OptionalSeconds


class RemoveCanary(NovaOperation[BuiltSeen], frozen=True, kw_only=True):
    """Delete a canary of a batch."""

    NAME = "remove-canary"

    name: str


class MarkedSeen(TypedDict, total=False):
    """Ports of a canary: how many have its tag, and one that has it not yet."""

    marked: int
    unmarked: str | None


class LeftPortsSeen(TypedDict, total=False):
    """Ports with the tag of a canary: how many there are, and one of them."""

    left: int
    port: str | None


class OfCanaryPorts:
    """The service of operations on its ports."""

    SERVICE = "network"


class MarkCanaryPort(OfCanaryPorts, Operation[MarkedSeen], frozen=True, kw_only=True):
    """Give a port of a canary its tag, so that it is known when the server is gone."""

    NAME = "mark-canary-port"

    name: str
    number: int  #: so many have it afterwards, or all


class DropCanaryPort(OfCanaryPorts, Operation[LeftPortsSeen], frozen=True, kw_only=True):
    """Delete one port that is left of a canary which is gone, if there are more than ``most``."""

    NAME = "drop-canary-port"

    name: str
    most: int
