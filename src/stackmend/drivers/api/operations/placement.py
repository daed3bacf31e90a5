# SPDX-License-Identifier: Apache-2.0
"""Operations of Placement (placement/handlers/allocation.py)."""

from __future__ import annotations

from stackmend.drivers.api.operations import Arguments, Operation, Picture, Reader, _servers
from stackmend.drivers.api.session import Request, segment
from stackmend.model.step import StepState

#: the first in which a consumer's generation guards its allocations, and an empty set of them takes them all away
GENERATIONS = "1.28"


def _path(arguments: Arguments) -> str:
    return f"/allocations/{segment(arguments['consumer'])}"


def _allocations(reader: Reader, arguments: Arguments) -> Picture:
    """What the consumer holds, provider -> class -> amount, and the server of that id."""
    body = reader.get("placement", _path(arguments), GENERATIONS) or {}
    held = {provider: dict(one["resources"]) for provider, one in sorted(body.get("allocations", {}).items())}
    return {
        "allocations": held,
        "generation": body.get("consumer_generation"),
        "project": body.get("project_id"),
        "user": body.get("user_id"),
        **_servers.picture(_servers.read(reader, arguments["consumer"])),
    }


def _set(arguments: Arguments) -> list[Request]:
    body = {
        "allocations": {provider: {"resources": held} for provider, held in arguments["allocations"].items()},
        "consumer_generation": arguments["generation"],
        "project_id": arguments["project"],
        "user_id": arguments["user"],
    }
    return [
        Request(service="placement", method="PUT", path=_path(arguments), body=body, microversion=GENERATIONS),
    ]


OPERATIONS = (
    Operation(
        service="placement", name="set-allocations", requests=_set, look=_allocations, microversion=GENERATIONS,
        # the generation makes a second one fail that follows a first one received
        again=True,
        judge=lambda picture, arguments: (
            StepState.DONE if picture["allocations"] == arguments["allocations"] else StepState.PLANNED
        ),
    ),
)  # fmt: skip
