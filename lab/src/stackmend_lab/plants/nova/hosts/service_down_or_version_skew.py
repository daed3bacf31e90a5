# SPDX-License-Identifier: Apache-2.0
"""Services that do not report, or cannot work as they are (catalogue C13)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend.tables.releases import NEWEST
from stackmend_lab.cloud import AbsentError, CloudRows
from stackmend_lab.cloud.world import SERVICE_VERSIONS
from stackmend_lab.plants._hosts import ALIVE, Host, new_host
from stackmend_lab.plants._volumes import cinder_service

_DAY = 86400
#: the oldest version of which the check knows what works with it
_KNOWN = 54
_MONTH = 30 * _DAY


def _compute(cloud: CloudRows, seconds: float, **values: Any) -> tuple[Host, dict[str, Any]]:
    """A host without servers whose nova-compute reported so long ago: (host, key of a finding about it)."""
    host, seen = new_host(cloud), cloud.ago(seconds)
    cloud.update(host.database, "services", {"host": host.name}, last_seen_up=seen, updated_at=seen, **values)
    return host, {"service": "Nova", "kind": "nova-compute", "host": host.name, "cell": host.cell}


def _newest(cloud: CloudRows) -> int:
    """The version of the cloud's nova-compute."""
    sql = "SELECT MAX(version) AS newest FROM services WHERE host = 'c0001'"
    return int(cloud.rows("cell:cell1", sql)[0]["newest"] or SERVICE_VERSIONS[NEWEST])


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A host was taken out of the cloud a month ago, and its service was left."""
    return _compute(cloud, _MONTH)[1]


def old_version(cloud: CloudRows) -> dict[str, Any]:
    """The same before an upgrade: Nova takes its version for the oldest."""
    return _compute(cloud, _MONTH, version=_newest(cloud) - 2)[1]


def forced_down(cloud: CloudRows) -> dict[str, Any]:
    """The host came back after its evacuation, and nobody cleared the mark."""
    return _compute(cloud, ALIVE, forced_down=1)[1]


def left_out(cloud: CloudRows) -> dict[str, Any]:
    """A host was left out of two upgrades."""
    newest = _newest(cloud)
    if newest < _KNOWN:
        raise AbsentError("which versions work with each other is not known before Wallaby")
    return _compute(cloud, ALIVE, version=newest - 9)[1]


def conductor(cloud: CloudRows) -> dict[str, Any]:
    """A conductor of a controller that was replaced."""
    name, seen = f"control-{uuid.uuid4()}", cloud.ago(_MONTH)
    cloud.insert(
        "cell:cell1", "services", uuid=str(uuid.uuid4()), host=name, binary="nova-conductor", topic="conductor",
        report_count=9, disabled=0, forced_down=0, version=70, created_at=seen, last_seen_up=seen, updated_at=seen,
        deleted=0,
    )  # fmt: skip
    return {"service": "Nova", "kind": "nova-conductor", "host": name, "cell": "cell1"}


def of_cinder(cloud: CloudRows) -> dict[str, Any]:
    """A backup service that was moved to another host."""
    name = f"storage-{uuid.uuid4()}"
    cinder_service(cloud, name, silent=_MONTH)
    return {"service": "Cinder", "kind": "cinder-backup", "host": name, "cell": ""}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "old_version": old_version,
    "forced_down": forced_down,
    "left_out": left_out,
    "conductor": conductor,
    "of_cinder": of_cinder,
}
NOT_REPAIRED = {
    "plant": "openstack compute service delete",
    "old_version": "openstack compute service delete",
    "forced_down": "openstack compute service set --up",
    "left_out": "upgrade nova-compute",
    "conductor": "openstack compute service delete",
    "of_cinder": "cinder-manage service remove",
}


def in_maintenance(cloud: CloudRows) -> None:
    """A host that is switched off for two days, disabled without a reason."""
    _compute(cloud, 2 * _DAY, disabled=1)


def evacuated(cloud: CloudRows) -> None:
    """A dead host that is forced down, and does not report."""
    _compute(cloud, 3600, forced_down=1)


def half_upgraded(cloud: CloudRows) -> None:
    """An upgrade has not reached this host yet."""
    _compute(cloud, ALIVE, version=_newest(cloud) - 1)


def api(cloud: CloudRows) -> None:
    """Nova's APIs register once, and never report."""
    old = cloud.ago(_MONTH)
    cloud.insert(
        "cell:cell1", "services", uuid=str(uuid.uuid4()), host=f"api-{uuid.uuid4()}", binary="nova-osapi_compute",
        topic=None, report_count=0, disabled=0, forced_down=0, version=70, created_at=old, deleted=0,
    )  # fmt: skip


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "in_maintenance": in_maintenance,
    "evacuated": evacuated,
    "half_upgraded": half_upgraded,
    "api": api,
}
