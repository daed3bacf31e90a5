# SPDX-License-Identifier: Apache-2.0
"""Caches that lost their ports (catalogue A1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import attribute, busy, cache, changed, new_port, write


def _emptied(cloud: CloudRows, kind: str, document: str | None = "[]") -> dict[str, Any]:
    server = cloud.pick(kind)
    write(cloud, server, document)
    return {"server": server.uuid}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A refresh got an empty answer from Neutron (seed 0)."""
    return _emptied(cloud, "active")


def null(cloud: CloudRows) -> dict[str, Any]:
    """The document is NULL."""
    return _emptied(cloud, "stopped", None)


def no_text(cloud: CloudRows) -> dict[str, Any]:
    """The document is an empty text."""
    return _emptied(cloud, "active", "")


def cut_short(cloud: CloudRows) -> dict[str, Any]:
    """The document ends in the middle of a word."""
    server = cloud.pick("active")
    write(cloud, server, cache(cloud, server)["network_info"][:120])
    return {"server": server.uuid}


def premade(cloud: CloudRows) -> dict[str, Any]:
    """The port is the customer's own: it would be deleted with the server."""
    return _emptied(cloud, "premade_port")


def several(cloud: CloudRows) -> dict[str, Any]:
    """Three NICs, whose order must be reconstructed."""
    return _emptied(cloud, "multi_nic")


def shelved(cloud: CloudRows) -> dict[str, Any]:
    """Shelved and offloaded: no host would ever heal it."""
    return _emptied(cloud, "shelved_offloaded")


def soft_error(cloud: CloudRows) -> dict[str, Any]:
    """A server in ERROR that is still on its host."""
    return _emptied(cloud, "error")


def ironic(cloud: CloudRows) -> dict[str, Any]:
    """A baremetal server: its ports are owned by baremetal:none."""
    return _emptied(cloud, "ironic")


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "null": null,
    "no_text": no_text,
    "cut_short": cut_short,
    "premade": premade,
    "several": several,
    "shelved": shelved,
    "soft_error": soft_error,
    "ironic": ironic,
}


def no_nic(cloud: CloudRows) -> None:
    """A server that was requested without any NIC."""
    write(cloud, cloud.pick("no_nic"), "[]")


def building(cloud: CloudRows) -> None:
    """A server being built: its ports exist already, its cache does not."""
    write(cloud, cloud.pick("building"), "[]")


def server_busy(cloud: CloudRows) -> None:
    """A server with an operation in progress."""
    server = cloud.pick("active")
    write(cloud, server, "[]")
    busy(cloud, server)


def just_changed(cloud: CloudRows) -> None:
    """Nova changed the server a minute ago: the cache may follow."""
    server = cloud.pick("active")
    write(cloud, server, "[]")
    changed(cloud, server)


def migrating(cloud: CloudRows) -> None:
    """A server that is being migrated."""
    write(cloud, cloud.pick("live_migrating"), "[]")


def failed_build(cloud: CloudRows) -> None:
    """A build that failed in its cell before it had a host: nothing ever ran."""
    server = cloud.pick("error")
    write(cloud, server, "[]")
    values = {"host": None, "node": None, "launched_at": None}
    cloud.update(server.database, "instances", {"uuid": server.uuid}, **values)


def foreign_port(cloud: CloudRows) -> None:
    """A port of another project names a server without NICs: Nova never caches it. Soon a finding of its own (A6)."""
    server, neighbour = cloud.pick("no_nic"), cloud.pick("active")
    write(cloud, server, "[]")
    port = new_port(cloud, neighbour, server.uuid, cloud.ago(90_000), project_id="f" * 32)
    attribute(cloud, port, updated_at=cloud.ago(1800))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "no_nic": no_nic,
    "building": building,
    "server_busy": server_busy,
    "just_changed": just_changed,
    "migrating": migrating,
    "failed_build": failed_build,
    "foreign_port": foreign_port,
}
