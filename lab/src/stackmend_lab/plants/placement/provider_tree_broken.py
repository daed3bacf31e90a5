# SPDX-License-Identifier: Apache-2.0
"""Resource providers outside the tree that they are part of (catalogue E11)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._hosts import new_host


def _provider(cloud: CloudRows, parent: int | None, root: int | None) -> tuple[int, dict[str, Any]]:
    """Insert a provider such as a network card's; (its number, key of a finding about it)."""
    name = str(uuid.uuid4())
    number = cloud.insert(
        "placement", "resource_providers", uuid=name, name=f"card-{name}", generation=1, parent_provider_id=parent,
        root_provider_id=root,
    )  # fmt: skip
    return int(number), {"provider": name}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A row of an old release: the online migration never set its root."""
    return _provider(cloud, None, None)[1]


def child(cloud: CloudRows) -> dict[str, Any]:
    """The same for a nested provider."""
    return _provider(cloud, new_host(cloud).provider, None)[1]


def moved(cloud: CloudRows) -> dict[str, Any]:
    """A card was moved to another host by SQL, which set its parent alone."""
    return _provider(cloud, new_host(cloud).provider, new_host(cloud).provider)[1]


def parted(cloud: CloudRows) -> dict[str, Any]:
    """SQL removed the parent, and left the root."""
    return _provider(cloud, None, new_host(cloud).provider)[1]


def loop(cloud: CloudRows) -> dict[str, Any]:
    """SQL made a provider its own parent."""
    number, key = _provider(cloud, None, None)
    where = {"id": number}
    cloud.update("placement", "resource_providers", where, parent_provider_id=number, root_provider_id=number)
    return key


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "child": child,
    "moved": moved,
    "parted": parted,
    "loop": loop,
}
NOT_REPAIRED = {"loop": "find out which provider is the topmost"}


def nested(cloud: CloudRows) -> None:
    """Three levels: host, card, function."""
    top = new_host(cloud).provider
    card, _ = _provider(cloud, top, top)
    _provider(cloud, card, top)


def sharing(cloud: CloudRows) -> None:
    """A storage pool that hosts share is a tree of its own."""
    number, _ = _provider(cloud, None, None)
    cloud.update("placement", "resource_providers", {"id": number}, root_provider_id=number)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"nested": nested, "sharing": sharing}
