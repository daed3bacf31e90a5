# SPDX-License-Identifier: Apache-2.0
"""Glance, as its API shows it to an administrator.

Every function may raise SourceError, where Glance does not answer.
"""

from __future__ import annotations

from stackmend.model.api import Resource, segment
from stackmend.model.protocols import Api


def image(api: Api, name: str) -> Resource | None:
    """One image with its properties, None where there is none."""
    found: Resource | None = api.get("image", f"/images/{segment(name)}")
    return found


def active(api: Api) -> list[Resource]:
    """The images that servers can be made of, the smallest first."""
    return list(api.every("image", "/images?status=active&sort=size:asc", "images"))
