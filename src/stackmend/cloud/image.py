# SPDX-License-Identifier: Apache-2.0
"""Glance's API as an administrator sees it.

Every function may raise SourceError, if Glance does not answer.
"""

from __future__ import annotations

from stackmend.model.api import Resource, segment
from stackmend.model.protocols import Api


def image(api: Api, name: str) -> Resource | None:
    """One image with its properties, None if it does not exist."""
    found: Resource | None = api.get("image", f"/images/{segment(name)}")
    return found


def active(api: Api) -> list[Resource]:
    """The images from which servers can be created, the smallest first."""
    return list(api.every("image", "/images?status=active&sort=size:asc", "images"))
