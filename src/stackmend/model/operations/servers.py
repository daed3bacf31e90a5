# SPDX-License-Identifier: Apache-2.0
"""The state of a server, as operations of several services read it."""

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
"""Whether the server exists, its host, and its states. An absent server has no further values."""

VolumeStatus = TypedDict("VolumeStatus", {"volume.status": "str | None"}, total=False)
"""The status of a server's volume in Cinder; None if Cinder has no volume of that id."""
