# SPDX-License-Identifier: Apache-2.0
"""Cinder's API as an administrator sees it: volumes and their attachments.

Every function may raise SourceError, if Cinder does not answer.
"""

from __future__ import annotations

from stackmend.model.api import Resource, segment
from stackmend.model.protocols import Api
from stackmend.model.values import objects

_VOLUMES = "3.0"
#: attachments as resources of their own
_ATTACHMENTS = "3.27"


def volume(api: Api, name: str) -> Resource | None:
    """One volume, None if it does not exist."""
    body = api.get("block-storage", f"/volumes/{segment(name)}", _VOLUMES)
    return None if body is None else body["volume"]


def named(api: Api, kind: str, name: str) -> Resource | None:
    """One of the "volumes" or "snapshots", by its name; None where there is none."""
    path = f"/{kind}/detail?all_tenants=1&name={segment(name)}"
    return next((one for one in api.every("block-storage", path, kind, _VOLUMES) if one.get("name") == name), None)


def holder(found: Resource) -> str | None:
    """The server that a volume is attached to, None where it is attached to none."""
    return next((str(one["server_id"]) for one in objects(found.get("attachments")) if one.get("server_id")), None)


def attachments(api: Api, server: str) -> list[Resource]:
    """The attachments of a server."""
    path = f"/attachments?all_tenants=1&instance_id={segment(server)}"
    every = api.every("block-storage", path, "attachments", _ATTACHMENTS)
    return [one for one in every if one.get("instance") == server]


def few(api: Api) -> list[str]:
    """Ids of some volumes, to recognise a cloud."""
    return [
        str(one["id"])
        for one in (api.get("block-storage", "/volumes/detail?all_tenants=1&limit=5") or {}).get("volumes", ())[:5]
    ]
