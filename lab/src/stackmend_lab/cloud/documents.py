# SPDX-License-Identifier: Apache-2.0
"""The JSON documents in Nova's rows, in Nova's own format (services 2.1, nova/objects)."""

from __future__ import annotations

import json
from typing import Any

from stackmend_lab.cloud.world import FLAVORS, World

#: binding details as set by ML2's openvswitch driver
DETAILS = {"port_filter": True, "connectivity": "l2", "bridge_name": "br-int", "datapath_type": "system"}


def flavor(number: int, changes: bool = False) -> dict[str, Any]:
    """A Flavor object as Nova serialises it."""
    name, vcpus, memory, root, ephemeral, swap = FLAVORS[number]
    data = {
        "id": number + 1, "name": name, "memory_mb": memory, "vcpus": vcpus, "root_gb": root,
        "ephemeral_gb": ephemeral, "flavorid": str(number + 1), "swap": swap, "rxtx_factor": 1.0, "vcpu_weight": 0,
        "disabled": False, "is_public": True, "extra_specs": {}, "description": None,
        "created_at": "2025-01-01T00:00:00Z", "updated_at": None, "deleted_at": None, "deleted": False,
    }  # fmt: skip
    wrapped = _object("Flavor", "1.2", data)
    if changes:
        wrapped["nova_object.changes"] = ["extra_specs"]
    return wrapped


def _object(name: str, version: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "nova_object.name": name,
        "nova_object.namespace": "nova",
        "nova_object.version": version,
        "nova_object.data": data,
    }


#: ``instance_extra.flavor`` by number of the flavor
EXTRA_FLAVOR = tuple(json.dumps({"cur": flavor(n), "old": None, "new": None}) for n in range(len(FLAVORS)))
KEYPAIRS = json.dumps(_object("KeyPairList", "1.3", {"objects": []}))
VCPU_MODEL = None
_SPEC_FLAVORS = tuple(json.dumps(flavor(n)) for n in range(len(FLAVORS)))
_SPEC = (
    '{"nova_object.name": "RequestSpec", "nova_object.namespace": "nova", "nova_object.version": "1.16",'
    ' "nova_object.data": {"image": null, "numa_topology": null, "pci_requests": null, "project_id": "%s",'
    ' "user_id": "%s", "availability_zone": null, "flavor": %s, "num_instances": 1, "ignore_hosts": null,'
    ' "force_hosts": null, "force_nodes": null, "instance_group": null, "scheduler_hints": {}, "is_bfv": %s,'
    ' "instance_uuid": "%s"}, "nova_object.changes": ["flavor", "is_bfv"]}'
)


def request_spec(project: str, user: str, flavor_number: int, server: str, *, volume_backed: bool) -> str:
    """``request_specs.spec``."""
    return _SPEC % (project, user, _SPEC_FLAVORS[flavor_number], "true" if volume_backed else "false", server)


def build_request(project: str, user: str, flavor_number: int, server: str) -> dict[str, str]:
    """``build_requests.instance`` and ``.block_device_mappings``: the server as Nova shows it until a cell has it."""
    nothing: list[object] = []
    missing = (
        "access_ip_v4", "access_ip_v6", "architecture", "availability_zone", "ephemeral_key_uuid", "key_name",
        "new_flavor", "numa_topology", "old_flavor", "os_type", "resources", "root_device_name", "trusted_certs",
        "user_data", "vcpu_model", "vm_mode",
    )  # fmt: skip
    its = {"instance_uuid": server}
    data: dict[str, Any] = dict.fromkeys(missing) | {
        "uuid": server, "project_id": project, "user_id": user, "image_ref": "", "kernel_id": "", "ramdisk_id": "",
        "hostname": "new", "display_name": "new", "display_description": "new", "launch_index": 0,
        "reservation_id": f"r-{server[:8]}", "vm_state": "building", "task_state": "scheduling", "power_state": 0,
        "progress": 0, "instance_type_id": flavor_number + 1, "flavor": flavor(flavor_number), "locked": False,
        "hidden": False, "shutdown_terminate": False, "auto_disk_config": False, "config_drive": "", "metadata": {},
        "system_metadata": {}, "keypairs": _object("KeyPairList", "1.3", {"objects": nothing}),
        "security_groups": _object("SecurityGroupList", "1.1", {"objects": nothing}),
        "pci_requests": _object("InstancePCIRequests", "1.1", {**its, "requests": nothing}),
        "info_cache": _object("InstanceInfoCache", "1.5", {**its, "network_info": None}),
    }  # fmt: skip
    _, data["vcpus"], data["memory_mb"], data["root_gb"], data["ephemeral_gb"], _ = FLAVORS[flavor_number]
    devices = _object("BlockDeviceMappingList", "1.18", {"objects": nothing})
    return {"instance": json.dumps(_object("Instance", "2.7", data)), "block_device_mappings": json.dumps(devices)}


def _address(address: str | None, kind: str, version: int | None) -> dict[str, Any]:
    return {"address": address, "type": kind, "version": version, "meta": {}}


class Networks:
    """Writes ``network_info``; each network's part is prepared once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._parts: dict[tuple[int, bool], tuple[str, str]] = {}

    def _network(self, project: int, bound: bool) -> tuple[str, str]:
        """(text up to the subnets, text after them) of the ``network`` member."""
        found = self._parts.get((project, bound))
        if found is None:
            world = self._world
            bridge = json.dumps("br-int" if bound else None)
            meta = {"injected": False, "tenant_id": world.project(project), "mtu": 1450}
            meta |= {"physical_network": None, "tunneled": True}
            head = f'{{"id": "{world.network(project)}", "bridge": {bridge}, "label": {json.dumps(label(project))}, '
            found = self._parts[project, bound] = (head, f', "meta": {json.dumps(meta)}}}')
        return found

    def _subnet(self, project: int, version: int, number: int, floating: str | None) -> str:
        world = self._world
        fixed = _address(world.address(project, number, version), "fixed", version)
        fixed["floating_ips"] = [_address(floating, "floating", 4)] if floating and version == 4 else []
        gateway = world.address(project, 1, 4) if version == 4 else None
        meta: dict[str, Any] = {"enable_dhcp": version == 4}
        if version == 4:
            meta["dhcp_server"] = world.address(project, 2, 4)
        else:
            meta["ipv6_address_mode"] = "slaac"
        return json.dumps(
            {
                "cidr": cidr(project, version),
                "dns": [_address("8.8.8.8", "dns", 4)] if version == 4 else [],
                "gateway": _address(gateway, "gateway", 4 if gateway else None),
                "ips": [fixed],
                "routes": [],
                "version": version,
                "meta": meta,
            }
        )

    def vif(
        self, port: str, mac: str, project: int, number: int, *, bound: bool, active: bool, keep: bool,
        floating: str | None = None, kind: str = "ovs",
    ) -> str:  # fmt: skip
        """One VIF, keys in Nova's order."""
        head, tail = self._network(project, bound and kind == "ovs")
        versions = (4, 6) if self._world.dual(project) else (4,)
        subnets = ", ".join(self._subnet(project, v, number, floating) for v in versions)
        vif_type = kind if bound else "unbound"
        details = dict(DETAILS, bound_drivers={"0": "openvswitch"}) if vif_type == "ovs" else {}
        interface = f'"{port}"' if vif_type == "ovs" else "null"
        return (
            f'{{"id": "{port}", "address": "{mac}", "network": {head}"subnets": [{subnets}]{tail}, '
            f'"type": "{vif_type}", "details": {json.dumps(details)}, "devname": "tap{port[:11]}", '
            f'"ovs_interfaceid": {interface}, "qbh_params": null, "qbg_params": null, '
            f'"active": {"true" if active else "false"}, "vnic_type": "normal", "profile": {{}}, '
            f'"preserve_on_delete": {"true" if keep else "false"}, "delegate_create": true, "meta": {{}}}}'
        )


def label(project: int) -> str:
    """Name of a project's network."""
    return f"net-{project}" if project % 5 else f"Nëtz-{project}"


def cidr(project: int, version: int) -> str:
    """The prefix of a project's subnet."""
    return f"10.{project % 250}.0.0/16" if version == 4 else f"2001:db8:{project:x}::/64"
