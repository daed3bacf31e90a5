# SPDX-License-Identifier: Apache-2.0
"""Copies of connections in Nova that differ from Cinder's (catalogue H27)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.cloud.nova import SECRET
from stackmend_lab.plants._servers import touch
from stackmend_lab.plants._volumes import attached, busy

#: where a volume is, by type of connection, as the drivers of Cinder write it
_ISCSI = {"target_portal": "192.0.2.1:3260", "target_iqn": "iqn.2010-10.org.openstack:volume", "target_lun": 1}
_RBD = {
    "name": "volumes/volume-1", "hosts": ["192.0.2.1", "192.0.2.2"], "ports": ["6789", "6789"], "cluster_name": "ceph",
    "auth_username": "cinder",
}  # fmt: skip
_NFS = {"export": "192.0.2.1:/volumes", "name": "volume-1"}


def _record(
    cloud: CloudRows, kind: str, mine: dict[str, Any], theirs: dict[str, Any], state: str = "stopped"
) -> tuple[Server, dict[str, Any]]:
    """A volume whose connection Nova has as ``mine`` and Cinder as ``theirs``: (server, key of a finding)."""
    server, volume, attachment, mapping = attached(cloud, state)
    secret = {"auth_password": SECRET, "auth_method": "CHAP"}
    nova = {
        "driver_volume_type": kind, "serial": volume, "status": "attached", "instance": server.uuid,
        "data": {**mine, **secret, "device_path": "/dev/sdb", "access_mode": "rw", "qos_specs": None},
    }  # fmt: skip
    cinder = {"driver_volume_type": kind, "attachment_id": attachment, **theirs, **secret, "enforce_multipath": False}
    cloud.update(server.database, "block_device_mapping", {"id": mapping}, connection_info=json.dumps(nova))
    cloud.update("cinder", "volume_attachment", {"id": attachment}, connection_info=json.dumps(cinder))
    return server, {"server": server.uuid, "volume": volume, "attachment": attachment}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The address of the back end changed, and only Cinder knows."""
    return _record(cloud, "iscsi", _ISCSI, _ISCSI | {"target_portal": "192.0.2.9:3260"})[1]


def other_lun(cloud: CloudRows) -> dict[str, Any]:
    """A failed swap left the LUN of the other volume."""
    return _record(cloud, "iscsi", _ISCSI | {"target_lun": 2}, _ISCSI, "active")[1]


def monitors(cloud: CloudRows) -> dict[str, Any]:
    """The monitors of Ceph moved, and the attachment was renewed in Cinder."""
    return _record(cloud, "rbd", _RBD, _RBD | {"hosts": ["192.0.2.1", "192.0.2.7"]})[1]


def export(cloud: CloudRows) -> dict[str, Any]:
    """The share was exported anew."""
    return _record(cloud, "nfs", _NFS, _NFS | {"export": "192.0.2.9:/volumes"})[1]


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "other_lun": other_lun,
    "monitors": monitors,
    "export": export,
}
NOT_REPAIRED = dict.fromkeys(("plant", *VARIANTS), "nova-manage volume_attachment refresh")


def same(cloud: CloudRows) -> None:
    """Nova adds the device and more to its copy."""
    _record(cloud, "iscsi", _ISCSI, _ISCSI)


def other_order(cloud: CloudRows) -> None:
    """The monitors are listed in another order, and ports as numbers."""
    _record(cloud, "rbd", _RBD, _RBD | {"hosts": ["192.0.2.2", "192.0.2.1"], "ports": [6789, 6789]})


def fibre_channel(cloud: CloudRows) -> None:
    """The connector for Fibre Channel writes into Nova's copy."""
    _record(cloud, "fibre_channel", {"target_wwn": ["AA"], "target_lun": 1}, {"target_wwn": ["aa"], "target_lun": 1})


def being_attached(cloud: CloudRows) -> None:
    """Nova writes its copy when the guest has the disk."""
    server, key = _record(cloud, "iscsi", _ISCSI, _ISCSI)
    where = {"attachment_id": key["attachment"], "deleted": 0}
    cloud.update(server.database, "block_device_mapping", where, connection_info=None)


def moving(cloud: CloudRows) -> None:
    """A migration of the server is in progress."""
    server, _ = _record(cloud, "iscsi", _ISCSI, _ISCSI | {"target_portal": "192.0.2.9:3260"}, "active")
    busy(cloud, server, "migrating")


def just_renewed(cloud: CloudRows) -> None:
    """The server was changed a minute ago."""
    server, _ = _record(cloud, "iscsi", _ISCSI, _ISCSI | {"target_portal": "192.0.2.9:3260"})
    touch(cloud, server, 60)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "same": same,
    "other_order": other_order,
    "fibre_channel": fibre_channel,
    "being_attached": being_attached,
    "moving": moving,
    "just_renewed": just_renewed,
}
