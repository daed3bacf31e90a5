# SPDX-License-Identifier: Apache-2.0
"""The network info cache of a server (``instance_info_caches.network_info``), as far as addresses are concerned."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

Vif = Mapping[str, object]


def vifs(document: object) -> list[Vif]:
    """The VIFs listed in a cache, none for NULL; ValueError unless it is a list of objects with ids."""
    found = json.loads(str(document or "[]"))
    if not isinstance(found, list) or not all(isinstance(vif, dict) and "id" in vif for vif in found):
        raise ValueError("not a list of VIFs")
    return found


def fixed(vif: Vif) -> tuple[str, ...]:
    """Its fixed addresses."""
    return tuple(str(one.get("address")) for one in _fixed(vif))


def floating(vif: Vif) -> tuple[str, ...]:
    """The floating IP addresses associated with it."""
    return tuple(str(one.get("address")) for at in _fixed(vif) for one in _objects(at.get("floating_ips")))


def network(vif: Vif) -> Mapping[str, object]:
    """Its network, {} if none is named."""
    found = vif.get("network")
    return found if isinstance(found, Mapping) else {}


def _fixed(vif: Vif) -> Iterator[Mapping[str, object]]:
    for subnet in _objects(network(vif).get("subnets")):
        yield from _objects(subnet.get("ips"))


def _objects(found: object) -> list[Mapping[str, object]]:
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
