# SPDX-License-Identifier: Apache-2.0
"""Operations of Placement."""

from __future__ import annotations

from typing import Generic

from stackmend.model.operations import Operation, Seen
from stackmend.model.operations.servers import ServerSeen
from stackmend.model.operations.waiting import LeftSeen

#: provider -> class -> amount
Allocations = dict[str, dict[str, int]]


class PlacementOperation(Operation[Seen], Generic[Seen], frozen=True, kw_only=True):
    """One of Placement."""

    SERVICE = "placement"


class AllocationsSeen(ServerSeen, total=False):
    """What a consumer holds, and the server of that id."""

    allocations: Allocations
    generation: int | None  #: None for a consumer that holds nothing
    project: str | None
    user: str | None


class SetAllocations(PlacementOperation[AllocationsSeen], frozen=True, kw_only=True):
    """Give a consumer these allocations, none for {}."""

    NAME = "set-allocations"

    consumer: str
    allocations: Allocations
    generation: int | None
    project: str | None
    user: str | None


class ProvidersEmpty(PlacementOperation[LeftSeen], frozen=True, kw_only=True):
    """Wait until nothing has an allocation of the providers of a host, nested ones included."""

    NAME = "host-empty"

    host: str
    providers: tuple[str, ...]
