# SPDX-License-Identifier: Apache-2.0
"""Bandwidth allocated for ports that a server does not have, and the reverse (catalogue E4)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._hosts import inventory, resource_class
from stackmend_lab.plants._servers import OLD, card, touch

_BANDWIDTH = ("NET_BW_EGR_KILOBIT_PER_SEC", "NET_BW_IGR_KILOBIT_PER_SEC")
_PACKETS = ("NET_PACKET_RATE_KILOPACKET_PER_SEC",)


def _card(cloud: CloudRows, server: Server, kinds: tuple[str, ...] = _BANDWIDTH) -> tuple[str, int]:
    """A network card below the server's host: (uuid, number) of its provider."""
    name, number = card(cloud, server)
    for kind in kinds:
        inventory(cloud, number, resource_class(cloud, kind), 10_000_000)
    return name, number


def _hold(cloud: CloudRows, server: Server, provider: int, kinds: tuple[str, ...] = _BANDWIDTH) -> None:
    for kind in kinds:
        cloud.insert(
            "placement", "allocations", resource_provider_id=provider, consumer_id=server.uuid,
            resource_class_id=resource_class(cloud, kind), used=1000, created_at=cloud.ago(OLD),
        )  # fmt: skip


def _name(cloud: CloudRows, server: Server, provider: str, *, old: bool = False) -> None:
    """Have the server's first port name the provider; ``old``: as older releases write it."""
    value = provider if old else {str(uuid.uuid4()): provider}
    where = {"port_id": server.ports[0], "status": "ACTIVE"}
    cloud.update("neutron", "ml2_port_bindings", where, profile=json.dumps({"allocation": value}))


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The port with the guarantee was deleted in Neutron while it was attached."""
    server = cloud.pick("active")
    name, number = _card(cloud, server)
    _hold(cloud, server, number)
    return {"server": server.uuid, "provider": name, "port": ""}


def packets(cloud: CloudRows) -> dict[str, Any]:
    """The same with a guaranteed packet rate."""
    server = cloud.pick("stopped")
    name, number = _card(cloud, server, _PACKETS)
    _hold(cloud, server, number, _PACKETS)
    return {"server": server.uuid, "provider": name, "port": ""}


def one_of_two(cloud: CloudRows) -> dict[str, Any]:
    """Another port of the server has its allocation on another card."""
    server = cloud.pick("active")
    name, number = _card(cloud, server)
    other, second = _card(cloud, server)
    _hold(cloud, server, number)
    _hold(cloud, server, second)
    _name(cloud, server, other)
    return {"server": server.uuid, "provider": name, "port": ""}


def by_flavor(cloud: CloudRows) -> dict[str, Any]:
    """The flavor requests the bandwidth, which no port needs to name."""
    server = cloud.pick("active")
    name, number = _card(cloud, server)
    _hold(cloud, server, number)
    sql = "SELECT flavor FROM instance_extra WHERE instance_uuid = :u"
    text = cloud.rows(server.database, sql, {"u": server.uuid})[0]["flavor"]
    text = text.replace('"extra_specs": {}', '"extra_specs": {"resources1:NET_BW_EGR_KILOBIT_PER_SEC": "1000"}')
    cloud.update(server.database, "instance_extra", {"instance_uuid": server.uuid}, flavor=text)
    return {"server": server.uuid, "provider": name, "port": ""}


def lost(cloud: CloudRows) -> dict[str, Any]:
    """Its allocations were replaced by what the flavor requires."""
    server = cloud.pick("active")
    _name(cloud, server, _card(cloud, server)[0])
    return {"server": server.uuid, "provider": "", "port": server.ports[0]}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "packets": packets,
    "one_of_two": one_of_two,
    "by_flavor": by_flavor,
    "lost": lost,
}
NOT_REPAIRED = {"by_flavor": "requests such resources itself", "lost": "openstack server migrate"}


def guaranteed(cloud: CloudRows) -> None:
    """A port with a guarantee, and its allocation."""
    server = cloud.pick("active")
    name, number = _card(cloud, server)
    _hold(cloud, server, number)
    _name(cloud, server, name)


def of_an_old_release(cloud: CloudRows) -> None:
    """The same in the format of older releases, one uuid."""
    server = cloud.pick("active")
    name, number = _card(cloud, server)
    _hold(cloud, server, number)
    _name(cloud, server, name, old=True)


def detaching(cloud: CloudRows) -> None:
    """The port was detached a moment ago."""
    server = cloud.pick("active")
    _hold(cloud, server, _card(cloud, server)[1])
    touch(cloud, server, 60)


def resized(cloud: CloudRows) -> None:
    """A resize awaits its confirmation: the old allocation belongs to the migration."""
    server = cloud.pick("resized")
    _name(cloud, server, _card(cloud, server)[0])


def offloaded(cloud: CloudRows) -> None:
    """A server on no host has no allocation, whatever its ports name."""
    _name(cloud, cloud.pick("shelved_offloaded"), str(uuid.uuid4()))


def evacuated(cloud: CloudRows) -> None:
    """The source of an evacuation has not come back yet: the card there is still allocated."""
    server = cloud.pick("evacuated")
    sql = "SELECT source_compute, source_node FROM migrations WHERE instance_uuid = :u"
    (move,) = cloud.rows(server.database, sql, {"u": server.uuid})
    source = Server(
        server.uuid, server.kind, server.cell, move["source_compute"], move["source_node"], server.project_id,
        server.ports, server.volumes, server.migration,
    )  # fmt: skip
    _hold(cloud, server, _card(cloud, source)[1])


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "guaranteed": guaranteed,
    "of_an_old_release": of_an_old_release,
    "detaching": detaching,
    "resized": resized,
    "offloaded": offloaded,
    "evacuated": evacuated,
}
