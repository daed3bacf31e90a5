# SPDX-License-Identifier: Apache-2.0
"""Glance, as its API shows it to an administrator.

Every function may raise SourceError, where Glance does not answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from stackmend.model.api import segment
from stackmend.model.protocols import Api

Shown = Mapping[str, object]


def image(api: Api, name: str) -> Shown | None:
    """One image with its properties, None where there is none."""
    found: Shown | None = api.get("image", f"/images/{segment(name)}")
    return found


def active(api: Api) -> list[Shown]:
    """The images that servers can be made of, the smallest first."""
    return list(api.every("image", "/images?status=active&sort=size:asc", "images"))
