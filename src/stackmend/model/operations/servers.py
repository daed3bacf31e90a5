# SPDX-License-Identifier: Apache-2.0
"""What operations of several services find of a server."""

from __future__ import annotations

from typing import Literal, TypedDict

Presence = Literal["present", "absent"]

ServerSeen = TypedDict(
    "ServerSeen",
    {
        "server": Presence,
        "server.host": "str | None",
        "server.vm_state": "str | None",
        "server.task_state": "str | None",
    },
    total=False,
)
"""Whether there is a server, where, and what is being done with it. One that is absent has nothing else."""

VolumeStatus = TypedDict("VolumeStatus", {"volume.status": "str | None"}, total=False)
"""What Cinder says of a volume that a server has; None where it has none of that id."""
