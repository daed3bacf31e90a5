# SPDX-License-Identifier: Apache-2.0
"""Nova, Neutron, Cinder and Glance in memory, as far as a server is deleted and made again; the lab proves them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote

from stackmend_lab.cloud import Cloud

from .fake import Fake, RefusedError, Reply

OWN, HOST, BASE = "p" * 32, "compute1", "11111111-0000-4000-8000-000000000000"
Thing = dict[str, Any]
#: looks that a build, a deletion or an image takes
LOOKS = 2


class RecreatingFake(Fake):
    """Servers, ports, volumes and images that do what the services do with them."""

    SERVICES: ClassVar[dict[str, tuple[str, str, str]]] = {
        **Fake.SERVICES, "compute": ("/compute/v2.1", "2.1", "2.96"), "image": ("/image/v2", "", ""),
    }  # fmt: skip

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        super().__init__(cloud, folder)
        self.servers: dict[str, Thing] = {}
        self.gone: dict[str, Thing] = {}
        self.ports: dict[str, Thing] = {}
        self.volumes: dict[str, Thing] = {}
        self.pictures: dict[str, Thing] = {}
        self.builds, self.limit = True, -1
        self.keys = {"u": {"name": "key", "fingerprint": "aa:bb"}}
        own = [(method, re.compile(pattern + r"\Z"), handler) for method, pattern, handler in self._own()]
        self.routes = own + self.routes

    def _own(self) -> Iterator[tuple[str, str, Callable[..., Reply]]]:
        nova, cinder, more, one = "/compute/v2.1", "/volume/v3", r"(?:\?(.*))?", "([^/?]+)"
        yield "GET", f"{nova}/servers/detail{more}", self.list_servers
        yield "POST", f"{nova}/servers", self.create
        yield "GET", f"{nova}/servers/{one}", self.one_server
        yield "POST", f"{nova}/servers/{one}/action", self.act
        yield "GET", f"{nova}/servers/{one}/os-interface", lambda _, name: (200, {"interfaceAttachments": []})
        yield "GET", f"{nova}/servers/{one}/os-volume_attachments", self.attached
        yield "PUT", f"{nova}/servers/{one}/os-volume_attachments/{one}", self.set_end
        yield "DELETE", f"{nova}/servers/{one}/tags/{one}", self.drop_tag
        yield "GET", f"{nova}/flavors/detail{more}", lambda *_: (200, {"flavors": [self.flavor("original")]})
        yield "GET", f"{nova}/os-keypairs/{one}{more}", self.keypair
        yield "GET", f"{nova}/os-server-groups/{one}", lambda _, name: (200, {"server_group": {"id": name}})
        yield "GET", f"{nova}/os-quota-sets/{one}/detail", self.quota
        yield "GET", f"/network/v2.0/ports{more}", self.list_ports
        yield "GET", f"/network/v2.0/ports/{one}", lambda _, name: (200, {"port": self.found(self.ports, name)})
        yield "PUT", f"/network/v2.0/ports/{one}", self.put_port
        yield "GET", f"{cinder}/volumes/{one}", lambda _, name: (200, {"volume": self.found(self.volumes, name)})
        yield "GET", "/image/v2/?", self.glance
        yield "GET", f"/image/v2/images{more}", self.list_images
        yield "GET", f"/image/v2/images/{one}", lambda _, name: (200, self.found(self.pictures, name))
        yield "DELETE", f"/image/v2/images/{one}", self.delete_image

    def found(self, some: dict[str, Thing], name: str) -> Thing:
        """One of them; 404."""
        if name not in some:
            raise RefusedError(404, f"{name} could not be found.")
        return some[name]

    # -- made by tests

    def flavor(self, name: str) -> Thing:
        """As the list has it, or a server."""
        sizes = {"vcpus": 1, "ram": 64, "disk": 1, "extra_specs": {}, "swap": 0}
        return {**sizes, "original_name": "small"} if name == "own" else {**sizes, "id": "f1", "name": "small"}

    def server_with(self, name: str, volumes: list[str], **more: Any) -> Thing:
        """One that runs, with two ports that Nova made."""
        self.pictures.setdefault(BASE, {"id": BASE, "name": "tiny", "status": "active"})
        asked = {
            "name": name, "metadata": {"role": "web"}, "tags": ["a"], "description": "of a test", "key_name": "key",
            "networks": [{"port": self.new_port()} for _ in range(2)], "config_drive": True, "flavorRef": "f1",
            "hostname": f"host-{name}",
            "block_device_mapping_v2": [{"uuid": one, "delete_on_termination": True} for one in volumes], **more,
        }  # fmt: skip
        asked |= {} if volumes else {"imageRef": BASE}
        _, answer = self.create({"server": asked, "os:scheduler_hints": {"group": "g1"}})
        server = self.servers[answer["server"]["id"]]
        for _ in range(LOOKS + 1):
            self.look(server)
        server["preserved"] = []
        return server

    def new_port(self) -> str:
        """One that nobody has."""
        name, number = str(uuid.uuid4()), len(self.ports) + 10
        self.ports[name] = {
            "id": name, "device_id": "", "device_owner": "", "status": "DOWN", "binding:host_id": "",
            "binding:vnic_type": "normal", "project_id": OWN, "mac_address": f"fa:16:3e:00:00:{number:02x}",
            "fixed_ips": [{"subnet_id": "s", "ip_address": f"10.0.0.{number}"}],
        }  # fmt: skip
        return name

    def new_volume(self) -> str:
        """One that nobody has."""
        name = str(uuid.uuid4())
        volume = {"id": name, "status": "available", "attachments": [], "multiattach": False, "bootable": "true"}
        self.volumes[name] = volume | {"os-vol-tenant-attr:tenant_id": OWN}
        return name

    # -- Nova

    def look(self, server: Thing) -> None:
        """Time goes on for a server while somebody looks."""
        if server["then"] and not (looks := server.pop("looks", LOOKS) - 1):
            then, server["then"] = server["then"], None
            then()
        elif server["then"]:
            server["looks"] = looks

    def shows(self, server: Thing) -> Thing:
        """As Nova shows it."""
        ports = [port for port in self.ports.values() if port["device_id"] == server["id"]]
        listed = [
            {"addr": ip["ip_address"], "OS-EXT-IPS-MAC:mac_addr": port["mac_address"]}
            for port in ports for ip in port["fixed_ips"]
        ]  # fmt: skip
        hidden = ("then", "looks", "preserved", "ends")
        return {name: value for name, value in server.items() if name not in hidden} | {"addresses": {"net": listed}}

    def list_servers(self, _: Any, query: str) -> Reply:
        asked = {name: values[0] for name, values in parse_qs(query or "").items()}
        some = self.gone if asked.get("deleted") == "true" else self.servers
        found = []
        for server in list(some.values()):
            self.look(server)
            fits = asked.get("tags") in (None, *server["tags"]) and asked.get("uuid") in (None, server["id"])
            if fits and asked.get("name", server["name"]).strip("^$").replace("\\", "") in server["name"]:
                found.append(self.shows(server))
        return 200, {"servers": [one for one in found if one["id"] in some]}

    def one_server(self, _: Any, name: str) -> Reply:
        server = self.found(self.servers, name)
        self.look(server)
        return 200, {"server": self.shows(self.found(self.servers, name))}

    def act(self, body: Any, name: str) -> Reply:
        server = self.found(self.servers, name)
        (action, values), task = next(iter(body.items())), "OS-EXT-STS:task_state"
        if action in ("lock", "unlock"):
            server["locked"] = action == "lock"
            return 202, None
        if server[task] or (server["locked"] and action == "forceDelete"):
            raise RefusedError(409, f"Instance {name} is busy or locked")
        if action == "os-stop":
            self.later(server, "powering-off", lambda: self.power(server, "stopped", 4))
        elif action == "os-start":
            self.later(server, "powering-on", lambda: self.power(server, "active", 1))
        elif action == "createImage":
            made = {"id": str(uuid.uuid4()), "name": values["name"], "status": "queued"}
            self.pictures[made["id"]] = made
            self.later(server, "image_snapshot", lambda: made.update(status="active"))
        elif action == "forceDelete":
            self.later(server, "deleting", lambda: self.delete(server))
        return 202, None

    def later(self, server: Thing, task: str, then: Callable[[], None]) -> None:
        def over() -> None:
            server["OS-EXT-STS:task_state"] = None
            then()

        server["OS-EXT-STS:task_state"], server["then"] = task, over

    def power(self, server: Thing, state: str, number: int) -> None:
        server.update({"OS-EXT-STS:vm_state": state, "OS-EXT-STS:power_state": number})

    def delete(self, server: Thing) -> None:
        """Every port that Neutron has for it goes with it, but those that its cache tells to keep."""
        del self.servers[server["id"]]
        self.gone[server["id"]] = server
        for name, port in list(self.ports.items()):
            if name in server["preserved"]:
                port.update({"device_id": "", "device_owner": "", "binding:host_id": "", "status": "DOWN"})
            elif port["device_id"] == server["id"]:
                del self.ports[name]
        for name, ends in server["ends"].items():
            self.volumes[name].update(status="available", attachments=[])
            if ends:
                del self.volumes[name]

    def create(self, body: Any) -> Reply:
        asked, name = body["server"], str(uuid.uuid4())
        ports = [self.found(self.ports, one["port"]) for one in asked["networks"]]
        if any(port["device_id"] for port in ports):
            raise RefusedError(409, "Port is still in use.")
        mappings = [one for one in asked["block_device_mapping_v2"] if one.get("destination_type") != "local"]
        for one in mappings:
            if self.found(self.volumes, one["uuid"])["status"] != "available":
                raise RefusedError(400, "Block Device Mapping is Invalid")
            self.volumes[one["uuid"]]["status"] = "reserved"
        used = len(self.servers)
        if 0 <= self.limit <= used:
            raise RefusedError(403, "Quota exceeded for instances")
        same = ("name", "description", "key_name", "metadata", "tags")
        server: Thing = {
            **{one: asked.get(one) for one in same}, "id": name, "tenant_id": OWN, "user_id": "u", "locked": False,
            "image": {"id": asked["imageRef"]} if asked.get("imageRef") else "", "then": None,
            "flavor": self.flavor("own") | {"id": "f1"},
            "config_drive": "True" if asked["config_drive"] else "", "server_groups": ["g1"],
            "OS-EXT-SRV-ATTR:user_data": asked.get("user_data"), "OS-EXT-SRV-ATTR:hostname": asked.get("hostname"),
            "OS-EXT-SRV-ATTR:host": None, "OS-EXT-SRV-ATTR:root_device_name": "/dev/vda",
            "OS-EXT-STS:vm_state": "building",
            "pinned_availability_zone": asked.get("availability_zone"), "OS-SRV-USG:launched_at": None,
            "ends": {one["uuid"]: one["delete_on_termination"] for one in mappings},
            "preserved": [port["id"] for port in ports],
        }  # fmt: skip
        self.servers[name] = server
        self.later(server, "spawning", lambda: self.built(server, ports))
        return 202, {"server": {"id": name}}

    def built(self, server: Thing, ports: list[Thing]) -> None:
        if not self.builds:
            server.update({"OS-EXT-STS:vm_state": "error", "fault": {"message": "No valid host was found."}})
            return
        self.power(server, "active", 1)
        server.update({"OS-EXT-SRV-ATTR:host": HOST, "OS-SRV-USG:launched_at": "2026-11-29T00:00:00"})
        for port in ports:
            own = {"device_id": server["id"], "device_owner": "compute:nova", "binding:host_id": HOST}
            port.update(own | {"status": "ACTIVE"})
        for name in server["ends"]:
            self.volumes[name].update(status="in-use", attachments=[{"server_id": server["id"]}])

    def attached(self, _: Any, name: str) -> Reply:
        ends = self.found(self.servers, name)["ends"]
        return 200, {"volumeAttachments": [
            {"volumeId": one, "device": f"/dev/vd{'abc'[place]}", "delete_on_termination": end, "tag": None}
            for place, (one, end) in enumerate(ends.items())
        ]}  # fmt: skip

    def set_end(self, body: Any, name: str, volume: str) -> Reply:
        self.found(self.servers, name)["ends"][volume] = body["volumeAttachment"]["delete_on_termination"]
        return 202, None

    def drop_tag(self, _: Any, name: str, tag: str) -> Reply:
        self.found(self.servers, name)["tags"].remove(tag)
        return 204, None

    def keypair(self, _: Any, name: str, query: str) -> Reply:
        owner = parse_qs(query or "").get("user_id", ["u"])[0]
        key = self.keys.get(owner)
        if key is None or key["name"] != unquote(name):
            raise RefusedError(404, f"Keypair {name} not found")
        return 200, {"keypair": key}

    def quota(self, _: Any, project: str) -> Reply:
        del project
        free = {"limit": -1, "in_use": 1, "reserved": 0}
        own = {"limit": self.limit, "in_use": len(self.servers), "reserved": 0}
        return 200, {"quota_set": {"instances": own, "cores": free, "ram": free}}

    # -- Neutron and Glance

    def list_ports(self, _: Any, query: str) -> Reply:
        device = parse_qs(query or "").get("device_id", [""])[0]
        return 200, {"ports": [port for port in self.ports.values() if not device or port["device_id"] == device]}

    def put_port(self, body: Any, name: str) -> Reply:
        port = self.found(self.ports, name)
        port.update(body["port"])
        port["status"] = "ACTIVE" if port["binding:host_id"] else "DOWN"
        return 200, {"port": port}

    def glance(self, _: Any) -> Reply:
        links = [{"rel": "self", "href": f"{self.url}/image/v2/"}]
        return 200, {"versions": [{"id": "v2.16", "status": "CURRENT", "links": links}]}

    def list_images(self, _: Any, query: str) -> Reply:
        name = parse_qs(query or "").get("name", [""])[0]
        return 200, {"images": [one for one in self.pictures.values() if not name or one["name"] == name]}

    def delete_image(self, _: Any, name: str) -> Reply:
        self.found(self.pictures, name)
        del self.pictures[name]
        return 204, None
