# SPDX-License-Identifier: Apache-2.0
"""Damage in Neutron's own books, what it does to users of the API, and how the mended thing is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

from . import sdk_errors
from . import using as use
from .using import Thing

Json = dict[str, Any]
Make = Callable[[Plane], Json]


# ---- damage that has no break of its own ----


def offered_address(plane: Plane) -> Json:
    """The address of a port is no longer taken in Neutron's IPAM."""
    scene = Scene(plane, "way-offered")
    port = scene.own_port(network_id=scene.own_network()[0])
    sql = (
        "SELECT s.id AS ipam_subnet, f.ip_address AS address FROM ipallocations f"
        " JOIN ipamsubnets s ON s.neutron_subnet_id = f.subnet_id WHERE f.port_id = %s"
    )
    key = scene.sql("neutron", sql, port)[0]
    taken = "DELETE FROM ipamallocations WHERE ipam_subnet_id = %s AND ip_address = %s"
    scene.sql("neutron", taken, key["ipam_subnet"], key["address"])
    return {**key, "port": port}


def address_elsewhere(plane: Plane) -> Json:
    """The row of a port's address names another network."""
    scene = Scene(plane, "way-elsewhere")
    port, other = scene.own_port(network_id=scene.own_network()[0]), scene.network()
    scene.sql("neutron", "UPDATE ipallocations SET network_id = %s WHERE port_id = %s", other, port)
    sql = (
        "SELECT ip_address AS address, subnet_id AS subnet, network_id AS network FROM ipallocations WHERE port_id = %s"
    )
    return {**scene.sql("neutron", sql, port)[0], "port": port}


def offered_vlan(plane: Plane) -> Json:
    """The VLAN of a network is marked as free."""
    scene = Scene(plane, "way-vlan")
    where = {"provider_network_type": "vlan", "provider_physical_network": "physnet1"}
    made = scene.cloud.network.create_network(name=scene.name(), **where)
    number = made.provider_segmentation_id
    sql = "UPDATE ml2_vlan_allocations SET allocated = 0 WHERE physical_network = 'physnet1' AND vlan_id = %s"
    scene.sql("neutron", sql, number)
    return {"network_type": "vlan", "physical_network": "physnet1", "number": number}


# ---- what it does to users ----


def nobody_gets_it(thing: Thing) -> None:
    """Neutron refuses the address to a port, although no port has it."""
    with _refused():
        _port_with(thing, *_place(thing))


def no_network_gets_it(thing: Thing) -> None:
    """Neutron refuses the VLAN to a network, although no network has it."""
    with _refused():
        _vlan(thing)


def joined_twice(thing: Thing) -> None:
    """Neutron lets the router have a second interface in the network, because it knows of none."""
    assert _second_interface(thing) == 200


def two_networks_get_it(thing: Thing) -> None:
    """Neutron gives the VLAN to a second network: guests of both see each other's traffic."""
    thing.cloud.network.delete_network(_vlan(thing))


@contextmanager
def _refused() -> Iterator[None]:
    with pytest.raises((sdk_errors.ConflictException, sdk_errors.NotFoundException)):
        yield


# ---- how it is used afterwards ----


def address(thing: Thing) -> None:
    """An address that nobody has: a port gets it, and its network can be deleted."""
    place = _place(thing)
    if thing.port:
        assert thing.cloud.network.find_port(thing.port) is None
    thing.cloud.network.delete_port(_port_with(thing, *place))
    _without_network(thing, place[0])


def taken_address(thing: Thing) -> None:
    """An address that a port has: Neutron refuses it to another one, and gives it away once the port is deleted."""
    with _refused():
        _port_with(thing, *_place(thing))
    thing.cloud.network.delete_port(thing.port)
    address(thing)


def port_with_address(thing: Thing) -> None:
    """A port has its address in its own network: a server takes it and gives it back, and the network can go."""
    use.port(thing)
    _without_network(thing, thing.port_network)


def public_address(thing: Thing) -> None:
    """An external address that nobody has: a floating IP gets it, and its network can be deleted."""
    assert thing.cloud.network.find_port(thing.port) is None
    where = {"floating_network_id": thing.port_network, "floating_ip_address": thing.port_was[1][0]}
    made = thing.cloud.network.create_ip(**where)
    assert made.floating_ip_address == thing.port_was[1][0]
    thing.cloud.network.delete_ip(made)
    _without_network(thing, thing.port_network)


def vlan(thing: Thing) -> None:
    """A VLAN that no network has: a network gets it."""
    thing.cloud.network.delete_network(_vlan(thing))


def taken_vlan(thing: Thing) -> None:
    """A VLAN that a network has: Neutron refuses it to another one, and gives it away once the network is deleted."""
    with _refused():
        _vlan(thing)
    sql = "SELECT network_id FROM networksegments WHERE network_type = 'vlan' AND segmentation_id = %s"
    _without_network(thing, thing.sql("neutron", sql, thing.key["number"])[0]["network_id"])
    vlan(thing)


def no_attribute(thing: Thing) -> None:
    """Nothing is left of the resource, and Neutron makes another one with a tag, and deletes it."""
    for table, column in (("standardattributes", "id"), ("tags", "standard_attr_id")):
        sql = f"SELECT {column} FROM {table} WHERE {column} = %s"
        assert thing.sql("neutron", sql, thing.key["attribute"]) == []
    made = thing.cloud.network.create_port(network_id=Scene(thing.plane, "use").network(), fixed_ips=[])
    thing.cloud.network.set_tags(made, ["mail"])
    thing.cloud.network.delete_port(made, ignore_missing=False)


def interface(thing: Thing) -> None:
    """Neutron refuses the router a second interface in the network, removes the one, and deletes router and network."""
    assert _second_interface(thing) == 400
    assert _interface(thing, "remove", thing.port) == 200
    assert thing.cloud.network.find_port(thing.port) is None
    thing.cloud.network.delete_router(thing.key["router"], ignore_missing=False)
    _without_network(thing, thing.port_network)


def reached(thing: Thing) -> None:
    """A floating IP that leads to the address of its port: associated anew as the plan says, taken off, deleted."""
    neutron, name = thing.cloud.network, thing.key["floating_ip"]
    fixed = thing.port_was[1][0]
    assert neutron.get_ip(name).fixed_ip_address == fixed
    neutron.update_ip(name, port_id=thing.port, fixed_ip_address=fixed)
    assert neutron.get_ip(name).router_id == thing.key["router"]
    neutron.update_ip(name, port_id=None)
    neutron.delete_ip(name, ignore_missing=False)


def _second_interface(thing: Thing) -> int:
    """The answer to a request for one more interface in the network, which is taken back."""
    port = thing.cloud.network.create_port(network_id=thing.port_network).id
    answer = _interface(thing, "add", port)
    if answer == 200:
        assert _interface(thing, "remove", port) == 200
    else:
        thing.cloud.network.delete_port(port)
    return answer


def _interface(thing: Thing, action: str, port: str) -> int:
    path = f"/routers/{thing.key['router']}/{action}_router_interface"
    return int(thing.cloud.network.put(path, json={"port_id": port}).status_code)


def _place(thing: Thing) -> tuple[str, str, str]:
    """(network, subnet, address) that it is about."""
    where = "address" if "address" in thing.key else "port"
    if where == "port":
        found = thing.port_was[1][0]
        sql = "SELECT id, network_id FROM subnets WHERE network_id = %s"
        row = thing.sql("neutron", sql, thing.port_network)[0]
    else:
        found = thing.key["address"]
        sql = (
            "SELECT n.id, n.network_id FROM subnets n JOIN ipamsubnets s ON s.neutron_subnet_id = n.id"
            " WHERE %s IN (s.id, n.id)"
        )
        row = thing.sql("neutron", sql, thing.key.get("ipam_subnet") or thing.key["subnet"])[0]
    return str(row["network_id"]), str(row["id"]), str(found)


def _port_with(thing: Thing, network: str, subnet: str, text: str) -> Any:
    fixed = [{"subnet_id": subnet, "ip_address": text}]
    return thing.cloud.network.create_port(network_id=network, fixed_ips=fixed)


def _vlan(thing: Thing) -> Any:
    """Create a network with the VLAN."""
    return thing.cloud.network.create_network(
        name="way-vlan",
        provider_network_type=thing.key["network_type"],
        provider_physical_network=thing.key["physical_network"],
        provider_segmentation_id=thing.key["number"],
    )


def _without_network(thing: Thing, network: str) -> None:
    thing.cloud.network.delete_network(network, ignore_missing=False)
    assert thing.cloud.network.find_network(network) is None
