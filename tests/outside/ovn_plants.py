# SPDX-License-Identifier: Apache-2.0
"""How OVN and Neutron come to differ, and what only looks so: in a real OVN, beside real rows.

As :mod:`stackmend_lab.plants` for databases: each plant returns the key of the finding expected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .ovn_mirror import Mirror, chassis_of, port, recorded, router, switch

Plant = Callable[[Mirror], dict[str, Any]]
Alike = Callable[[Mirror], None]

#: seconds since a change that checks take for settled, and for one in progress
OLD, YOUNG = 7200, 60


def _attribute(mirror: Mirror, kind: str, age: float, **values: Any) -> int:
    row = {"resource_type": kind, "revision_number": 3, "created_at": mirror.cloud.ago(age), **values}
    return int(mirror.cloud.insert("neutron", "standardattributes", updated_at=mirror.cloud.ago(age), **row))


def _network(mirror: Mirror, age: float = OLD) -> str:
    """A network that Neutron has, and has recorded for OVN."""
    name, attribute = mirror.new_id(), _attribute(mirror, "networks", age)
    mirror.cloud.insert(
        "neutron", "networks", id=name, name="new", project_id="", admin_state_up=1, status="ACTIVE", mtu=1442,
        standard_attr_id=attribute,
    )  # fmt: skip
    recorded(mirror.cloud, "networks", name, attribute, 3)
    return name


def _router(mirror: Mirror, *, recorded_too: bool = True) -> str:
    name, attribute = mirror.new_id(), _attribute(mirror, "routers", OLD)
    mirror.cloud.insert(
        "neutron", "routers", id=name, name="new", project_id="", admin_state_up=1, status="ACTIVE", enable_snat=1,
        standard_attr_id=attribute,
    )  # fmt: skip
    if recorded_too:
        recorded(mirror.cloud, "routers", name, attribute, 3)
    return name


def _changed(mirror: Mirror, row: dict[str, Any], age: float, **values: Any) -> None:
    """Neutron has changed the port so long ago."""
    (found,) = mirror.cloud.rows("neutron", "SELECT standard_attr_id AS n FROM ports WHERE id = :p", {"p": row["id"]})
    then = mirror.cloud.ago(age)
    mirror.cloud.update("neutron", "standardattributes", {"id": found["n"]}, updated_at=then, **values)


# -- ovn-object-missing


def port_lost(mirror: Mirror) -> dict[str, Any]:
    """The northbound database lost the port of a running server."""
    row = mirror.one()
    mirror.nb("lsp-del", row["id"])
    return {"code": "port", "resource": row["id"]}


def network_lost(mirror: Mirror) -> dict[str, Any]:
    """A logical switch was never made."""
    return {"code": "network", "resource": _network(mirror)}


def network_of_ports_lost(mirror: Mirror) -> dict[str, Any]:
    """The switch is gone with all its ports: one finding, not one for each port."""
    row = mirror.one()
    mirror.nb("ls-del", f"neutron-{row['network_id']}")
    return {"code": "network", "resource": row["network_id"]}


def router_lost(mirror: Mirror) -> dict[str, Any]:
    """A logical router was deleted by hand."""
    return {"code": "router", "resource": _router(mirror)}


# -- ovn-object-orphan


def port_left(mirror: Mirror) -> dict[str, Any]:
    """The rows of a port were deleted by SQL, and its server's are gone."""
    row = mirror.one()
    new = {**row, "id": mirror.new_id(), "device_id": "", "host": ""}
    mirror.nb(*port(new))
    return {"code": "port", "resource": new["id"]}


def network_left(mirror: Mirror) -> dict[str, Any]:
    """A logical switch of a network that Neutron does not have."""
    name = mirror.new_id()
    mirror.nb(*switch(name))
    return {"code": "network", "resource": name}


def router_left(mirror: Mirror) -> dict[str, Any]:
    """A logical router that Neutron does not have."""
    name = mirror.new_id()
    mirror.nb(*router(name))
    return {"code": "router", "resource": name}


# -- ovn-revision-ahead


def restored_port(mirror: Mirror) -> dict[str, Any]:
    """Neutron's database was restored from a copy made before the last changes of the port."""
    row = mirror.one()
    mirror.nb("set", "Logical_Switch_Port", row["id"], 'external_ids:neutron\\:revision_number="9"')
    return {"code": "port", "resource": row["id"]}


def restored_network(mirror: Mirror) -> dict[str, Any]:
    """The same with a network."""
    name = _network(mirror)
    mirror.nb(*switch(name, revision=12))
    return {"code": "network", "resource": name}


def restored_router(mirror: Mirror) -> dict[str, Any]:
    """The same with a router."""
    name = _router(mirror)
    mirror.nb(*router(name, revision=12))
    return {"code": "router", "resource": name}


# -- ovn-port-chassis-drift


def claimed_elsewhere(mirror: Mirror) -> dict[str, Any]:
    """A host that was taken for dead is back, with the port still on its bridge."""
    row = mirror.one()
    mirror.sb(*mirror.chassis("back.example"))
    mirror.sb("lsp-unbind", row["id"], "--", "lsp-bind", row["id"], chassis_of("back.example"))
    return {"port": row["id"]}


def asked_elsewhere(mirror: Mirror) -> dict[str, Any]:
    """The binding was moved by SQL, and OVN is still asked for the host before."""
    row = mirror.one()
    other = next(host for host in _hosts(mirror) if host != row["host"])
    mirror.nb("set", "Logical_Switch_Port", row["id"], f"options:requested-chassis={other}")
    return {"port": row["id"]}


def chassis_gone(mirror: Mirror) -> dict[str, Any]:
    """The chassis of a host is gone: all its ports are found, so the host has one."""
    row = mirror.one()
    mirror.nb("set", "Logical_Switch_Port", row["id"], "options:requested-chassis=none.example")
    mirror.cloud.update("neutron", "ml2_port_bindings", {"port_id": row["id"]}, host="none.example")
    mirror.cloud.update("neutron", "ports", {"id": row["id"]}, status="DOWN")
    mirror.unplug(row["id"])
    return {"port": row["id"]}


def _hosts(mirror: Mirror) -> list[str]:
    sql = "SELECT DISTINCT host FROM ml2_port_bindings WHERE host <> '' AND vif_type = 'ovs' ORDER BY host"
    return [row["host"] for row in mirror.cloud.rows("neutron", sql)]


# -- ovn-port-status-drift


def down_in_neutron(mirror: Mirror) -> dict[str, Any]:
    """The event that the port is up was lost."""
    row = mirror.one()
    mirror.cloud.update("neutron", "ports", {"id": row["id"]}, status="DOWN")
    return {"port": row["id"]}


def down_in_ovn(mirror: Mirror) -> dict[str, Any]:
    """The event that the port is down was lost."""
    row = mirror.one()
    mirror.unplug(row["id"])
    return {"port": row["id"]}


# -- ovn-chassis-stale


def gateway_gone(mirror: Mirror) -> dict[str, Any]:
    """A network node was removed, and a gateway still counts on it."""
    name = _router(mirror)
    mirror.nb(
        *router(name), "--", "lrp-add", f"neutron-{name}", f"lrp-{name}", "02:00:00:00:00:01", "192.0.2.1/24", "--",
        "lrp-set-gateway-chassis", f"lrp-{name}", "gone", "1",
    )  # fmt: skip
    return {"code": "gateway-gone", "chassis": "gone"}


def ha_chassis_gone(mirror: Mirror) -> dict[str, Any]:
    """The same in a group for external ports."""
    mirror.nb("ha-chassis-group-add", "g", "--", "ha-chassis-group-add-chassis", "g", "gone-too", "1")
    return {"code": "gateway-gone", "chassis": "gone-too"}


def silent(mirror: Mirror) -> dict[str, Any]:
    """An ovn-controller stopped an hour ago."""
    mirror.sb(*mirror.chassis("silent.example", behind=4, age=3600))
    return {"code": "silent", "chassis": chassis_of("silent.example")}


def installed_again(mirror: Mirror) -> dict[str, Any]:
    """A host was installed again, and its old chassis is still there: nobody but the host knows which is right."""
    row = mirror.one()
    mirror.sb(*mirror.chassis(row["host"], name="before"))
    return {"code": "twice", "chassis": "before"}


#: check -> code of the finding -> plants of it
PLANTS: dict[str, dict[str, list[Plant]]] = {
    "ovn-object-missing": {
        "port": [port_lost], "network": [network_lost, network_of_ports_lost], "router": [router_lost],
    },
    "ovn-object-orphan": {"port": [port_left], "network": [network_left], "router": [router_left]},
    "ovn-revision-ahead": {"port": [restored_port], "network": [restored_network], "router": [restored_router]},
    "ovn-port-chassis-drift": {
        "elsewhere": [claimed_elsewhere], "asked-elsewhere": [asked_elsewhere], "chassis-gone": [chassis_gone],
    },
    "ovn-port-status-drift": {"up": [down_in_neutron], "down": [down_in_ovn]},
    "ovn-chassis-stale": {
        "gateway-gone": [gateway_gone, ha_chassis_gone], "silent": [silent], "twice": [installed_again],
    },
}  # fmt: skip


# -- look-alikes


def young_network(mirror: Mirror) -> None:
    """Neutron has just made it, and OVN will have it in a moment."""
    _network(mirror, YOUNG)


def young_port(mirror: Mirror) -> None:
    """A port was just made."""
    row = mirror.one()
    _changed(mirror, row, YOUNG, created_at=mirror.cloud.ago(YOUNG))
    mirror.nb("lsp-del", row["id"])


def router_of_another_driver(mirror: Mirror) -> None:
    """A router with a flavor that OVN does not serve: nothing is recorded of it."""
    _router(mirror, recorded_too=False)


def switches_of_segments(mirror: Mirror) -> None:
    """A routed network with a logical switch for each segment, and none of its own; its ports may be in neither."""
    name, segment = _network(mirror), mirror.new_id()
    mirror.cloud.insert(
        "neutron", "networksegments", id=segment, network_id=name, network_type="vlan", physical_network="rack1",
        segmentation_id=7, is_dynamic=0, segment_index=0, standard_attr_id=_attribute(mirror, "networksegments", OLD),
    )  # fmt: skip
    mirror.nb(*switch(segment))


def of_ovn_itself(mirror: Mirror) -> None:
    """Ports to a physical network, and what other systems keep in the same OVN."""
    row = mirror.one()
    place = f"neutron-{row['network_id']}"
    mirror.nb(
        "lsp-add", place, f"provnet-{mirror.new_id()}", "--", "ls-add", "k8s-node-1", "--", "lsp-add", "k8s-node-1",
        "pod-1", "--", "lr-add", "k8s-router", "--", "ls-add", f"neutron-{mirror.new_id()}",
    )  # fmt: skip


def metadata_port(mirror: Mirror) -> None:
    """The port of metadata is on every host, never claimed, and DOWN in Neutron."""
    row = mirror.one()
    mirror.cloud.update("neutron", "ports", {"id": row["id"]}, device_owner="network:distributed", status="DOWN")
    mirror.nb("lsp-set-type", row["id"], "localport")


def virtual_port(mirror: Mirror) -> None:
    """An address that moves between servers is where it was last seen."""
    row = mirror.one()
    mirror.nb("lsp-set-type", row["id"], "virtual")
    mirror.cloud.update("neutron", "ports", {"id": row["id"]}, status="DOWN")


def being_migrated(mirror: Mirror) -> None:
    """OVN is asked for both hosts of a live migration, and the second has claimed the port."""
    row = mirror.one()
    other = next(host for host in _hosts(mirror) if host != row["host"])
    mirror.nb("set", "Logical_Switch_Port", row["id"], f'options:requested-chassis="{row["host"]},{other}"')
    values = {"port_id": row["id"], "host": other, "vif_type": "ovs", "vnic_type": "normal", "vif_details": "{}"}
    mirror.cloud.insert("neutron", "ml2_port_bindings", profile="{}", status="INACTIVE", **values)
    mirror.sb("lsp-unbind", row["id"], "--", "lsp-bind", row["id"], chassis_of(other))


def just_moved(mirror: Mirror) -> None:
    """Neutron moved the binding a minute ago."""
    row = mirror.one()
    other = next(host for host in _hosts(mirror) if host != row["host"])
    mirror.cloud.update("neutron", "ml2_port_bindings", {"port_id": row["id"]}, host=other)
    _changed(mirror, row, YOUNG)


def just_up(mirror: Mirror) -> None:
    """The port came up a minute ago."""
    row = mirror.one()
    mirror.cloud.update("neutron", "ports", {"id": row["id"]}, status="DOWN")
    _changed(mirror, row, YOUNG)


def disabled(mirror: Mirror) -> None:
    """Somebody disabled the port: plugged in, and DOWN."""
    row = mirror.one()
    mirror.cloud.update("neutron", "ports", {"id": row["id"]}, status="DOWN", admin_state_up=0)
    mirror.nb("set", "Logical_Switch_Port", row["id"], "enabled=false")


def changed_just_now(mirror: Mirror) -> None:
    """Neutron changed the port between the two reads."""
    row = mirror.one()
    mirror.nb("set", "Logical_Switch_Port", row["id"], 'external_ids:neutron\\:revision_number="9"')
    _changed(mirror, row, 0)


def nothing_asked(mirror: Mirror) -> None:
    """A chassis that has not reported for days, because nothing was asked of it since."""
    mirror.sb(*mirror.chassis("idle.example", behind=0, age=300_000))


def behind_by_one(mirror: Mirror) -> None:
    """It is about to follow the last change, as Neutron too allows."""
    mirror.sb(*mirror.chassis("late.example", behind=1, age=3600))


def named_in_capitals(mirror: Mirror) -> None:
    """The host calls itself as Neutron does, but for the case."""
    row = mirror.one()
    mirror.sb("set", "Chassis", chassis_of(row["host"]), f"hostname={row['host'].upper()}")


def not_scheduled(mirror: Mirror) -> None:
    """Neutron found no host for a gateway, and wrote a name in its place that no chassis has."""
    name = _router(mirror)
    mirror.nb(
        *router(name), "--", "lrp-add", f"neutron-{name}", f"lrp-{name}", "02:00:00:00:00:01", "192.0.2.1/24", "--",
        "lrp-set-gateway-chassis", f"lrp-{name}", "neutron-ovn-invalid-chassis", "1",
    )  # fmt: skip


def on_a_card(mirror: Mirror) -> None:
    """The switch is on a network card with a processor and a host name of its own, which has claimed the port."""
    row, card = mirror.one(), "dpu.example"
    mirror.cloud.update("neutron", "ml2_port_bindings", {"port_id": row["id"]}, vnic_type="remote-managed")
    mirror.sb(*mirror.chassis(card))
    mirror.nb("set", "Logical_Switch_Port", row["id"], f"options:requested-chassis={card}")
    mirror.sb("lsp-unbind", row["id"], "--", "lsp-bind", row["id"], chassis_of(card))


def of_another_zone(mirror: Mirror) -> None:
    """A gateway of another OVN that is joined to this one; its host has a name that is used here, too."""
    row = mirror.one()
    mirror.sb(
        "chassis-add", "remote", "geneve", "10.8.0.1", "--", "set", "Chassis", "remote", f"hostname={row['host']}",
        "other_config:is-remote=true",
    )  # fmt: skip


LOOK_ALIKES: dict[str, Alike] = {
    name: make
    for name, make in list(globals().items())
    if getattr(make, "__module__", "") == __name__ and make.__annotations__.get("return") == "None" and name[0] != "_"
}
