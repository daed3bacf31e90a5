# SPDX-License-Identifier: Apache-2.0
"""Ports on hosts that are gone (reported by operators)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import new_port

#: an age in seconds, longer than the check waits
_OLD = 3 * 86400


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Octavia's health manager had a port on a controller that was replaced."""
    return {"port": _port(cloud, f"controller-{uuid.uuid4().hex[:8]}")}


def gateway_node(cloud: CloudRows) -> dict[str, Any]:
    """A port that somebody plugged by hand into a network node, without an owner."""
    return {"port": _port(cloud, f"network-{uuid.uuid4().hex[:8]}", owner="")}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"gateway_node": gateway_node}
NOT_REPAIRED = {"plant": "openstack port set --host", "gateway_node": "openstack port set --host"}


def _port(cloud: CloudRows, host: str, age: int = _OLD, owner: str = "Octavia:health-mgr") -> str:
    server = cloud.pick("active")
    return new_port(cloud, server, f"octavia-{uuid.uuid4()}", cloud.ago(age), host, device_owner=owner, status="ACTIVE")


def on_a_controller(cloud: CloudRows) -> None:
    """The host runs a service of Nova, and no agent of Neutron."""
    sql = "SELECT host FROM services WHERE deleted = 0 AND topic = 'conductor'"
    _port(cloud, cloud.rows(cloud.pick("active").database, sql)[0]["host"])


def on_an_agent(cloud: CloudRows) -> None:
    """The host is known to Neutron alone."""
    _port(cloud, "control")


def just_bound(cloud: CloudRows) -> None:
    """A new controller: the port was bound before its agent reported for the first time."""
    _port(cloud, f"controller-{uuid.uuid4().hex[:8]}", age=3600)


def unbound(cloud: CloudRows) -> None:
    """A port that is bound nowhere."""
    _port(cloud, "")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "on_a_controller": on_a_controller,
    "on_an_agent": on_an_agent,
    "just_bound": just_bound,
    "unbound": unbound,
}
