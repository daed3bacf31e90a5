# SPDX-License-Identifier: Apache-2.0
"""Creates a few networks, images, flavors, volumes and servers to look at and to break."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar

from stackmend_lab.control_plane.layout import Layout
from stackmend_lab.control_plane.progress import Tell
from stackmend_lab.mariadb import LabError

if TYPE_CHECKING:
    from openstack.connection import Connection

IMAGE = "tiny"
FLAVORS = {"small": (512, 1, 1), "large": (1024, 2, 2)}  #: name -> MiB, processors, GiB
NETWORKS = {"net1": "10.1.0.0/16", "net2": "10.2.0.0/16"}
VOLUME_TYPE = "fake1"  #: the back end's name in cinder.conf too
_LIMIT = 180.0

T = TypeVar("T")


def seed(layout: Layout, connection: Connection, tell: Tell) -> None:
    """Create them once; objects that exist by name are left alone."""
    done = layout.built / "seeded"
    if done.exists():
        return
    tell("seeding networks, an image, flavors, volumes and servers")
    _things(connection)
    spread_images(layout, layout.glance_nodes)
    _servers(layout, connection)
    done.touch()


def spread_images(layout: Layout, nodes: Collection[str]) -> None:
    """Give every Glance node the content that any of them has, as if their folders were synchronised."""
    stores = [layout.image_store(node) for node in sorted(nodes)]
    for store in stores:
        store.mkdir(parents=True, exist_ok=True)
    for path in [path for store in stores for path in store.glob("*") if path.is_file()]:
        for there in (store / path.name for store in stores):
            if not there.exists():
                shutil.copy2(path, there)


def _things(connection: Connection) -> None:
    cloud: Any = connection
    if not cloud.image.find_image(IMAGE):
        cloud.image.create_image(
            name=IMAGE, data=b"\0" * 65536, disk_format="raw", container_format="bare", visibility="public"
        )
    for name, (ram, vcpus, disk) in FLAVORS.items():
        if not cloud.compute.find_flavor(name):
            cloud.compute.create_flavor(name=name, ram=ram, vcpus=vcpus, disk=disk)
    for name, cidr in NETWORKS.items():
        network = cloud.network.find_network(name) or cloud.network.create_network(name=name)
        if not cloud.network.find_subnet(name):
            cloud.network.create_subnet(network_id=network.id, name=name, ip_version=4, cidr=cidr)
    if not cloud.block_storage.find_type(VOLUME_TYPE):
        kind = cloud.block_storage.create_type(name=VOLUME_TYPE)
        cloud.block_storage.update_type_extra_specs(kind, volume_backend_name=VOLUME_TYPE)


def _servers(layout: Layout, connection: Connection) -> None:
    """A plain server, one with two NICs of which the user made one, and one with a volume, in the last cell."""
    cloud: Any = connection
    nets = {name: cloud.network.find_network(name).id for name in NETWORKS}
    port = cloud.network.find_port("web2-port") or cloud.network.create_port(name="web2-port", network_id=nets["net1"])
    last = list(layout.hosts)[-1]
    wanted: dict[str, tuple[str, list[dict[str, str]]]] = {
        "web1": ("nova", [{"uuid": nets["net1"]}]),
        "web2": ("nova", [{"port": port.id}, {"uuid": nets["net2"]}]),
        "db1": (f"nova:{last}", [{"uuid": nets["net1"]}]),
    }
    servers = {name: create_server(connection, name, nics, zone) for name, (zone, nics) in wanted.items()}
    volumes = {
        name: cloud.block_storage.find_volume(name) or cloud.block_storage.create_volume(name=name, size=1)
        for name in ("db1-data", "spare")
    }
    for server in servers.values():
        wait_server(connection, server)
    for volume in volumes.values():
        wait_volume(connection, volume.id)
    attached = list(cloud.compute.volume_attachments(servers["db1"]))
    if not attached:
        cloud.compute.create_volume_attachment(servers["db1"], volume_id=volumes["db1-data"].id)
    wait_volume(connection, volumes["db1-data"].id, "in-use")


def create_server(connection: Connection, name: str, nics: list[dict[str, str]], zone: str = "nova") -> str:
    """Request a small server unless a healthy one has that name; returns its id. ``zone`` may be ``nova:c01``."""
    cloud: Any = connection
    found = cloud.compute.find_server(name)
    if found and cloud.compute.get_server(found).status == "ERROR":
        cloud.compute.delete_server(found)
        wait(lambda: cloud.compute.find_server(name) is None, f"server {name} to be deleted")
        found = None
    if not found:
        found = cloud.compute.create_server(
            name=name,
            image_id=cloud.image.find_image(IMAGE).id,
            flavor_id=cloud.compute.find_flavor("small").id,
            networks=nics or "none",
            availability_zone=zone,
        )
    return str(found.id)


def wait_server(connection: Connection, server: str, status: str = "ACTIVE") -> Any:
    """Wait until a server has that status and no task_state; LabError if it ends in ERROR."""
    cloud: Any = connection

    def look() -> Any:
        found = cloud.compute.get_server(server)
        if found.status == "ERROR" != status:
            raise LabError(f"server {found.name} went to ERROR: {(found.fault or {}).get('message', '')}")
        return found if found.status == status and not found.task_state else None

    return wait(look, f"server {server} to be {status}")


def wait_volume(connection: Connection, volume: str, status: str = "available") -> Any:
    """Wait until a volume has that status; LabError if it ends in an error."""
    cloud: Any = connection

    def look() -> Any:
        found = cloud.block_storage.get_volume(volume)
        if found.status.startswith("error") and not status.startswith("error"):
            raise LabError(f"volume {found.name or found.id} went to {found.status}")
        return found if found.status == status else None

    return wait(look, f"volume {volume} to be {status}")


def wait(look: Callable[[], T | None], what: str, seconds: float = _LIMIT) -> T:
    """Poll until there is a result, at growing intervals (polls are work for services); LabError after ``seconds``."""
    deadline, pause = time.monotonic() + seconds, 0.25
    while not (found := look()):
        if time.monotonic() > deadline:
            raise LabError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(pause)
        pause = min(pause * 1.4, 2.0)
    return found
