# SPDX-License-Identifier: Apache-2.0
"""Glance's API as an administrator sees it.

Every function may raise SourceError, if Glance does not answer.
"""

from __future__ import annotations

from stackmend.model.api import Resource, segment
from stackmend.model.objects.images import ImageRecord
from stackmend.model.protocols import Api
from stackmend.model.values import objects, whole


def image(api: Api, name: str) -> Resource | None:
    """One image with its properties, None if it does not exist."""
    found: Resource | None = api.get("image", f"/images/{segment(name)}")
    return found


def every(api: Api) -> list[Resource]:
    """Every image of every project that the account may see, including hidden ones."""
    found = [one for hidden in ("false", "true") for one in api.every("image", _every(hidden), "images")]
    return list({str(one["id"]): one for one in found}.values())


def _every(hidden: str) -> str:
    return f"/images?limit=500&visibility=all&os_hidden={hidden}"


def record(found: Resource) -> ImageRecord:
    """The record with which content is compared; by the old checksum if Glance has recorded no other hash."""
    algorithm, digest = str(found.get("os_hash_algo") or ""), str(found.get("os_hash_value") or "")
    if not digest and found.get("checksum"):
        algorithm, digest = "md5", str(found["checksum"])
    return ImageRecord(
        id=str(found["id"]), name=str(found.get("name") or ""), size=whole(found.get("size") or 0),
        algorithm=algorithm if digest else "", digest=digest, owner=str(found.get("owner") or ""),
    )  # fmt: skip


def stores(api: Api) -> list[str]:
    """Ids of Glance's stores that are not read-only; [] if Glance has no stores with ids."""
    found: Resource = api.get("image", "/info/stores") or {}
    some = [one for one in objects(found.get("stores")) if str(one.get("read-only")).lower() != "true"]
    return [str(one["id"]) for one in some]


def content(node: str, name: str) -> str:
    """URL of the content of an image on one node."""
    return f"{node.rstrip('/')}/v2/images/{segment(name)}/file"


def active(api: Api) -> list[Resource]:
    """The images from which servers can be created, the smallest first."""
    return list(api.every("image", "/images?status=active&sort=size:asc", "images"))
