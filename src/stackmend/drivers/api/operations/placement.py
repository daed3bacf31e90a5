# SPDX-License-Identifier: Apache-2.0
"""Placement's operations (placement/handlers/allocation.py)."""

from __future__ import annotations

from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, ResourceReader
from stackmend.drivers.api.session import Request, segment
from stackmend.model.operations.placement import AllocationsSeen, SetAllocations
from stackmend.model.step import StepState

#: the first version in which a consumer's generation guards its allocations, and an empty set removes them all
GENERATIONS = "1.28"


def _path(asked: SetAllocations) -> str:
    return f"/allocations/{segment(asked.consumer)}"


def _allocations(reader: ResourceReader, asked: SetAllocations) -> AllocationsSeen:
    """The consumer's allocations, provider -> class -> amount, and the server with that id."""
    body = reader.get("placement", _path(asked), GENERATIONS) or {}
    held = {provider: dict(one["resources"]) for provider, one in sorted(body.get("allocations", {}).items())}
    return {
        "allocations": held,
        "generation": body.get("consumer_generation"),
        "project": body.get("project_id"),
        "user": body.get("user_id"),
        **_servers.picture(_servers.read(reader, asked.consumer)),
    }


def _set(asked: SetAllocations) -> list[Request]:
    body = {
        "allocations": {provider: {"resources": held} for provider, held in asked.allocations.items()},
        "consumer_generation": asked.generation,
        "project_id": asked.project,
        "user_id": asked.user,
    }
    return [
        Request(service="placement", method="PUT", path=_path(asked), body=body, microversion=GENERATIONS),
    ]


OPERATIONS = (
    Implementation(
        of=SetAllocations, requests=_set, look=_allocations, microversion=GENERATIONS,
        # if the first request was received, the generation makes a second one fail
        again=True,
        judge=lambda picture, asked: (
            StepState.DONE if picture["allocations"] == asked.allocations else StepState.PLANNED
        ),
    ),
)  # fmt: skip
