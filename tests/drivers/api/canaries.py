# SPDX-License-Identifier: Apache-2.0
"""Nova, Neutron, Cinder and Glance in memory, as far as canaries are built, looked at and deleted."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

from stackmend_lab.cloud import Cloud

from .fake import Fake, RefusedError, Reply

OWN, IMAGE = "p" * 32, "11111111-0000-4000-8000-000000000000"
HOSTS = ("c01", "c02", "c03")
NETWORKS = {"net1": "n1", "net2": "n2"}
#: looks that a build or a deletion takes
LOOKS = 1
Thing = dict[str, Any]


class CanaryFake(Fake):
    """Servers whose builds may fail on a host, or come out otherwise than asked."""

    SERVICES: ClassVar[dict[str, tuple[str, str, str]]] = {
        **Fake.SERVICES, "compute": ("/compute/v2.1", "2.1", "2.96"), "image": ("/image/v2", "", ""),
    }  # fmt: skip

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        super().__init__(cloud, folder)
        self.clear()
        own = [(method, re.compile(pattern + r"\Z"), handler) for method, pattern, handler in self._own()]
        self.routes = own + self.routes

    def clear(self) -> None:
        """No servers, nothing broken, nothing received."""
        self.seen.clear()
        self.servers: dict[str, Thing] = {}
        self.gone: dict[str, Thing] = {}
        self.ports: dict[str, Thing] = {}
        self.volumes: dict[str, Thing] = {}
        self.broken: dict[str, str] = {}  #: host -> why builds fail there
        self.odd: Callable[[Thing], None] = lambda server: None  #: what a build does besides
        self.keeps = False  #: whether ports outlive their server
        self.holds = False  #: whether no build ends
        self.limit, self.most, self.console = -1, 0, "login: "
        self.turn = 0

    def _own(self) -> Iterator[tuple[str, str, Callable[..., Reply]]]:
        nova, more, one = "/compute/v2.1", r"(?:\?(.*))?", "([^/?]+)"
        yield "GET", f"{nova}/servers/detail{more}", self.list_servers
        yield "POST", f"{nova}/servers", self.create
        yield "DELETE", f"{nova}/servers/{one}", self.delete
        yield "POST", f"{nova}/servers/{one}/action", self.act
        yield "GET", f"{nova}/servers/{one}/os-instance-actions", self.actions
        yield "GET", f"{nova}/servers/{one}/os-instance-actions/{one}", self.action
        yield "GET", f"{nova}/servers/{one}/os-volume_attachments", self.attached
        yield "GET", f"{nova}/flavors/detail{more}", self.flavors
        yield "GET", f"{nova}/os-quota-sets/{one}/detail", self.quota
        yield "GET", f"{nova}/os-services{more}", self.list_services
        yield "GET", f"/network/v2.0/quotas/{one}/details.json", self.port_quota
        yield "GET", f"/network/v2.0/networks{more}", self.networks
        yield "GET", f"/network/v2.0/ports{more}", self.list_ports
        yield "PUT", f"/network/v2.0/ports/{one}/tags/{one}", self.mark
        yield "DELETE", f"/network/v2.0/ports/{one}", self.drop
        yield "GET", f"/volume/v3/os-quota-sets/{one}{more}", self.volume_quota
        yield "GET", f"/volume/v3/volumes/{one}", lambda _, name: (200, {"volume": self.found(self.volumes, name)})
        yield "GET", "/image/v2/?", self.glance
        yield "GET", f"/image/v2/images{more}", self.images

    def found(self, some: dict[str, Thing], name: str) -> Thing:
        """One of them; 404."""
        if name not in some:
            raise RefusedError(404, f"{name} could not be found.")
        return some[name]

    # -- Nova

    def create(self, body: Any) -> Reply:
        asked, name = body["server"], str(uuid.uuid4())
        if 0 <= self.limit <= len(self.servers):
            raise RefusedError(403, "Quota exceeded for instances")
        root = asked.get("block_device_mapping_v2") or ()
        self.servers[name] = {
            "id": name, "name": asked["name"], "tags": list(asked["tags"]), "metadata": dict(asked["metadata"]),
            "image": {"id": asked["imageRef"]} if asked.get("imageRef") else "", "flavor": {"id": asked["flavorRef"]},
            "networks": [one["uuid"] for one in ([] if asked["networks"] == "none" else asked["networks"])],
            "wanted": asked.get("host"), "size": root[0]["volume_size"] if root else 0, "volumes": [], "looks": LOOKS,
            "events": [], "began": datetime.now(UTC), "OS-EXT-SRV-ATTR:host": None, "OS-EXT-STS:power_state": 0,
            "OS-EXT-STS:vm_state": "building", "OS-EXT-STS:task_state": "spawning",
        }  # fmt: skip
        self.most = max(self.most, len(self.servers))
        return 202, {"server": {"id": name}}

    def _built(self, server: Thing) -> None:
        """A host that fails is followed by another one, unless it was asked for."""
        wanted = [server["wanted"]] if server["wanted"] else [HOSTS[(self.turn + n) % len(HOSTS)] for n in range(2)]
        self.turn += 1
        for host in wanted:
            why = self.broken.get(host)
            server["events"].append({
                # as it is on record also of a host that failed
                "event": "compute__do_build_and_run_instance", "host": host, "result": "Success",
                "start_time": _text(), "finish_time": _text(), "traceback": None,
            })  # fmt: skip
            if not why:
                return self._up(server, host)
        server.update({"OS-EXT-STS:vm_state": "error", "OS-EXT-STS:task_state": None, "OS-EXT-SRV-ATTR:host": None})
        server["fault"] = {"message": f"Exceeded maximum number of retries. Last exception: {self.broken[wanted[-1]]}"}

    def _up(self, server: Thing, host: str) -> None:
        server.update({
            "OS-EXT-SRV-ATTR:host": host, "OS-EXT-STS:vm_state": "active", "OS-EXT-STS:task_state": None,
            "OS-EXT-STS:power_state": 1,
        })  # fmt: skip
        for network in server["networks"]:
            self.port(server, network)
        if server["size"]:
            volume = str(uuid.uuid4())
            held = [{"server_id": server["id"]}]
            self.volumes[volume] = {"id": volume, "status": "in-use", "size": server["size"], "attachments": held}
            server["volumes"].append(volume)
        self.odd(server)

    def port(self, server: Thing, network: str) -> Thing:
        """One more port of a server."""
        name, number = str(uuid.uuid4()), len(self.ports) + 10
        self.ports[name] = {
            "id": name, "device_id": server["id"], "network_id": network, "status": "ACTIVE", "tags": [],
            "binding:host_id": server["OS-EXT-SRV-ATTR:host"],
            "fixed_ips": [{"subnet_id": "s", "ip_address": f"10.0.{number // 250}.{number % 250}"}],
        }  # fmt: skip
        return self.ports[name]

    def _look(self, server: Thing) -> None:
        """Time goes on for a server while somebody looks."""
        task = server["OS-EXT-STS:task_state"]
        if task is None or (task == "spawning" and self.holds):
            return
        server["looks"] -= 1
        if server["looks"] > 0:
            return
        if task == "spawning":
            self._built(server)
            return
        del self.servers[server["id"]]
        self.gone[server["id"]] = server
        for name in server["volumes"]:
            del self.volumes[name]
        for name, port in list(self.ports.items()):
            if port["device_id"] == server["id"] and not self.keeps:
                del self.ports[name]

    def shows(self, server: Thing) -> Thing:
        """As Nova shows it."""
        hidden = ("networks", "wanted", "size", "volumes", "looks", "events", "began")
        listed = [
            {"addr": ip["ip_address"], "OS-EXT-IPS:type": "fixed"}
            for port in self.ports.values() if port["device_id"] == server["id"] for ip in port["fixed_ips"]
        ]  # fmt: skip
        return {k: v for k, v in server.items() if k not in hidden} | {"addresses": {"net": listed} if listed else {}}

    def list_servers(self, _: Any, query: str) -> Reply:
        asked = {name: values[0] for name, values in parse_qs(query or "").items()}
        some = self.gone if asked.get("deleted") == "true" else self.servers
        for server in list(some.values()) if some is self.servers else ():
            self._look(server)
        return 200, {"servers": [
            self.shows(one) for one in some.values()
            if asked.get("tags") in (None, *one["tags"]) and re.search(asked.get("name", ""), one["name"])
        ]}  # fmt: skip

    def delete(self, _: Any, name: str) -> Reply:
        server = self.found(self.servers, name)
        server.update({"OS-EXT-STS:task_state": "deleting", "looks": LOOKS})
        return 204, None

    def act(self, body: Any, name: str) -> Reply:
        self.found(self.servers, name)
        assert list(body) == ["os-getConsoleOutput"]
        return 200, {"output": self.console}

    def actions(self, _: Any, name: str) -> Reply:
        server = self.found({**self.servers, **self.gone}, name)
        return 200, {"instanceActions": [
            {"action": "create", "request_id": f"req-{name}", "start_time": _text(server["began"])}
        ]}  # fmt: skip

    def action(self, _: Any, name: str, request: str) -> Reply:
        server = self.found({**self.servers, **self.gone}, name)
        assert request == f"req-{name}"
        return 200, {"instanceAction": {"action": "create", "events": server["events"]}}

    def attached(self, _: Any, name: str) -> Reply:
        return 200, {"volumeAttachments": [{"volumeId": one} for one in self.found(self.servers, name)["volumes"]]}

    def flavors(self, _: Any, query: str) -> Reply:
        del query
        return 200, {"flavors": [{"id": "f1", "name": "small", "vcpus": 1, "ram": 64, "disk": 1, "extra_specs": {}}]}

    def list_services(self, _: Any, query: str) -> Reply:
        host = parse_qs(query or "").get("host", [""])[0]
        found = [{"id": f"s-{name}", "host": name, "binary": "nova-compute", "state": "up", "status": "enabled"}
                 for name in HOSTS if host in ("", name)]  # fmt: skip
        return 200, {"services": found}

    def quota(self, _: Any, project: str) -> Reply:
        assert project == OWN
        free = {"limit": -1, "in_use": 0, "reserved": 0}
        own = {"limit": self.limit, "in_use": len(self.servers), "reserved": 0}
        return 200, {"quota_set": {"instances": own, "cores": free, "ram": free}}

    # -- Neutron, Cinder, Glance

    def port_quota(self, _: Any, project: str) -> Reply:
        assert project == OWN
        return 200, {"quota": {"port": {"limit": 100, "used": len(self.ports), "reserved": 0}}}

    def volume_quota(self, _: Any, project: str, query: str) -> Reply:
        assert (project, query) == (OWN, "usage=True")
        some = {"in_use": 0, "reserved": 0}
        return 200, {"quota_set": {"volumes": {"limit": -1, **some}, "gigabytes": {"limit": 20, **some}}}

    def networks(self, _: Any, query: str) -> Reply:
        del query
        return 200, {"networks": [{"id": id_, "name": name, "subnets": ["s"]} for name, id_ in NETWORKS.items()]}

    def list_ports(self, _: Any, query: str) -> Reply:
        asked = {name: values[0] for name, values in parse_qs(query or "").items()}
        return 200, {"ports": [
            port for port in self.ports.values()
            if asked.get("device_id") in (None, port["device_id"]) and asked.get("tags") in (None, *port["tags"])
        ]}  # fmt: skip

    def mark(self, _: Any, name: str, tag: str) -> Reply:
        self.found(self.ports, name)["tags"].append(tag)
        return 201, None

    def drop(self, _: Any, name: str) -> Reply:
        self.found(self.ports, name)
        del self.ports[name]
        return 204, None

    def glance(self, _: Any) -> Reply:
        links = [{"rel": "self", "href": f"{self.url}/image/v2/"}]
        return 200, {"versions": [{"id": "v2.16", "status": "CURRENT", "links": links}]}

    def images(self, _: Any, query: str) -> Reply:
        del query
        return 200, {"images": [{"id": IMAGE, "name": "tiny", "status": "active", "size": 65536}]}


def _text(at: datetime | None = None) -> str:
    return (at or datetime.now(UTC)).isoformat(timespec="microseconds").partition("+")[0]
