# SPDX-License-Identifier: Apache-2.0
"""Caches that describe a port otherwise than Neutron does (catalogue A4)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._floating import floating_ip
from stackmend_lab.plants._networks import (
    OLD,
    attribute,
    busy,
    cache,
    changed,
    free_address,
    ipam_of,
    listing,
    port_of,
    vifs,
    write,
)


def _say(cloud: CloudRows, server: Server, **values: Any) -> dict[str, Any]:
    """Let the cache say something else about the server's first port."""
    found = vifs(cloud, server)
    for vif in found:
        if vif["id"] == server.ports[0]:
            vif.update(values)
    write(cloud, server, json.dumps(found))
    attribute(cloud, server.ports[0], updated_at=cloud.ago(OLD))
    return {"server": server.uuid, "port": server.ports[0]}


def _added(cloud: CloudRows, server: Server) -> dict[str, Any]:
    """Give the port a second IPv4 address, of which Nova is not told."""
    port = port_of(cloud, server.ports[0])
    sql = "SELECT subnet_id FROM ipallocations WHERE port_id = :p AND ip_address LIKE '%.%'"
    subnet = cloud.rows("neutron", sql, {"p": port["id"]})[0]["subnet_id"]
    address = free_address(cloud, subnet)
    values = {"ip_address": address, "subnet_id": subnet, "network_id": port["network_id"]}
    cloud.insert("neutron", "ipallocations", port_id=port["id"], **values)
    ipam = ipam_of(cloud, subnet)
    cloud.insert("neutron", "ipamallocations", ip_address=address, ipam_subnet_id=ipam, status="ALLOCATED")
    return {"server": server.uuid, "port": port["id"]}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """An address was added while nova-compute was down."""
    return _added(cloud, cloud.pick("active"))


def of_several(cloud: CloudRows) -> dict[str, Any]:
    """The first of three NICs."""
    return _added(cloud, cloud.pick("multi_nic"))


def stopped(cloud: CloudRows) -> dict[str, Any]:
    """The server is off."""
    return _added(cloud, cloud.pick("stopped"))


def associated(cloud: CloudRows) -> dict[str, Any]:
    """A floating IP was associated while the message bus was down."""
    server = cloud.pick("multi_nic")
    floating_ip(cloud, server.ports[1])
    return {"server": server.uuid, "port": server.ports[1]}


def disassociated(cloud: CloudRows) -> dict[str, Any]:
    """A floating IP was taken from the port, and nobody told Nova."""
    server = cloud.pick("active")
    found = vifs(cloud, server)
    ips = next(s for s in found[0]["network"]["subnets"] if s["version"] == 4)["ips"]
    ips[0]["floating_ips"].append({"address": "198.51.100.77", "type": "floating", "version": 4, "meta": {}})
    write(cloud, server, json.dumps(found))
    return {"server": server.uuid, "port": found[0]["id"]}


def failed_then_bound(cloud: CloudRows) -> dict[str, Any]:
    """Neutron has bound the port since, but the cache still says that it could not."""
    return _say(cloud, cloud.pick("active"), type="binding_failed", details={}, ovs_interfaceid=None)


def mac(cloud: CloudRows) -> dict[str, Any]:
    """The MAC was changed in Neutron's database: the guest has the old one."""
    return _say(cloud, cloud.pick("active"), address="fa:16:3e:99:98:97")


def mac_and_address(cloud: CloudRows) -> dict[str, Any]:
    """The MAC and an address differ: the MAC is what matters."""
    server = cloud.pick("active")
    _added(cloud, server)
    return _say(cloud, server, address="fa:16:3e:99:98:96")


def kind(cloud: CloudRows) -> dict[str, Any]:
    """The type of the NIC was changed under a running guest (bug 1981813)."""
    server = cloud.pick("active")
    cloud.update("neutron", "ml2_port_bindings", {"port_id": server.ports[0]}, vnic_type="direct")
    return {"server": server.uuid, "port": server.ports[0]}


def another_nic(cloud: CloudRows) -> dict[str, Any]:
    """An address of one NIC, and the MAC of another: the document is not rebuilt before that is settled."""
    server = cloud.pick("multi_nic")
    found = vifs(cloud, server)
    found[1]["address"] = "fa:16:3e:99:98:95"
    write(cloud, server, json.dumps(found))
    return _added(cloud, server)


def _second(cloud: CloudRows, key: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    sql = "SELECT port_id FROM ml2_port_bindings b JOIN ports p ON p.id = b.port_id WHERE p.device_id = :s"
    ports = {row["port_id"] for row in cloud.rows("neutron", sql, {"s": key["server"]})}
    listed = [vif for _, vif in listing(cloud, "fa:16:3e:99:98:95") if vif["id"] in ports]
    return [("info-cache-content-drift", {"server": key["server"], "port": vif["id"]}) for vif in listed]


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "of_several": of_several,
    "stopped": stopped,
    "associated": associated,
    "disassociated": disassociated,
    "failed_then_bound": failed_then_bound,
    "mac": mac,
    "mac_and_address": mac_and_address,
    "kind": kind,
    "another_nic": another_nic,
}
NOT_REPAIRED = {
    "mac": "virsh dumpxml",
    "mac_and_address": "virsh dumpxml",
    "kind": "virsh dumpxml",
    "another_nic": "before the cache is rebuilt",
}
BESIDE = {"another_nic": _second}


def other_case(cloud: CloudRows) -> None:
    """A MAC in capitals, and the rows of the addresses in another order."""
    server = cloud.pick("active")
    found = vifs(cloud, server)
    found[0]["network"]["subnets"].reverse()
    found[0]["address"] = found[0]["address"].upper()
    write(cloud, server, json.dumps(found))


def network_changed(cloud: CloudRows) -> None:
    """The network was renamed: Nova is not told, and reads it at the next reboot."""
    server = cloud.pick("active")
    found = vifs(cloud, server)
    found[0]["network"]["label"] = "as it was called before"
    found[0]["network"]["meta"]["mtu"] = 1400
    write(cloud, server, json.dumps(found))


def without_mtu(cloud: CloudRows) -> None:
    """Old releases wrote caches without some members."""
    server = cloud.pick("active")
    found = vifs(cloud, server)
    del found[0]["vnic_type"], found[0]["network"]["meta"]["mtu"]
    write(cloud, server, json.dumps(found))


def offloaded(cloud: CloudRows) -> None:
    """A shelved server has no host that could be told: unshelving reads the port again."""
    _added(cloud, cloud.pick("shelved_offloaded"))


def server_busy(cloud: CloudRows) -> None:
    """An operation on the server is in progress."""
    server = cloud.pick("active")
    _added(cloud, server)
    busy(cloud, server)


def just_changed(cloud: CloudRows) -> None:
    """Nova wrote the server a minute ago."""
    server = cloud.pick("active")
    _added(cloud, server)
    changed(cloud, server)


def just_written(cloud: CloudRows) -> None:
    """Nova wrote the cache a minute ago."""
    server = cloud.pick("active")
    _added(cloud, server)
    where = {"id": cache(cloud, server)["id"]}
    cloud.update(server.database, "instance_info_caches", where, updated_at=cloud.ago(60))


def event_on_its_way(cloud: CloudRows) -> None:
    """The port was given another address a moment ago."""
    server = cloud.pick("active")
    _added(cloud, server)
    attribute(cloud, server.ports[0], updated_at=cloud.ago(60))


def just_associated(cloud: CloudRows) -> None:
    """A floating IP was associated a moment ago."""
    row = floating_ip(cloud, cloud.pick("multi_nic").ports[1])
    cloud.update("neutron", "standardattributes", {"id": row["standard_attr_id"]}, updated_at=cloud.ago(60))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "other_case": other_case,
    "network_changed": network_changed,
    "without_mtu": without_mtu,
    "offloaded": offloaded,
    "server_busy": server_busy,
    "just_changed": just_changed,
    "just_written": just_written,
    "event_on_its_way": event_on_its_way,
    "just_associated": just_associated,
}
