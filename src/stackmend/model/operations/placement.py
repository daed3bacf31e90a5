# SPDX-License-Identifier: Apache-2.0
"""Operations of Placement."""

from __future__ import annotations

from typing import Generic

from stackmend.model.operations import Operation, Seen
from stackmend.model.operations.servers import ServerSeen
from stackmend.model.operations.waiting import LeftSeen

#: provider -> resource class -> amount
Allocations = dict[str, dict[str, int]]


class PlacementOperation(Operation[Seen], Generic[Seen], frozen=True, kw_only=True):
    """Base of Placement's operations."""

    SERVICE = "placement"


class AllocationsSeen(ServerSeen, total=False):
    """The allocations of a consumer, and the server of the same id."""

    allocations: Allocations
    generation: int | None  #: None for a consumer without allocations
    project: str | None
    user: str | None


class SetAllocations(PlacementOperation[AllocationsSeen], frozen=True, kw_only=True):
    """Replace the allocations of a consumer; {} removes them."""

    NAME = "set-allocations"

    consumer: str
    allocations: Allocations
    generation: int | None
    project: str | None
    user: str | None


class ProvidersEmpty(PlacementOperation[LeftSeen], frozen=True, kw_only=True):
    """Wait until nobody has allocations on the providers of a host, including nested ones."""

    NAME = "host-empty"

    host: str
    providers: tuple[str, ...]
