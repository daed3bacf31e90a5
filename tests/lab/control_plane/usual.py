# SPDX-License-Identifier: Apache-2.0
"""How things are used that need nothing special: by the kind that the check names, and by what is left of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import pytest

from stackmend_lab.mariadb import LabError

from . import sdk_errors
from . import using as use
from .networking import no_attribute
from .using import Thing

Use = Callable[[Thing], None]


def nothing(thing: Thing) -> None:
    """Nothing: no service shows it to users."""
    del thing


def server(thing: Thing) -> None:
    """A server: rebooted, moved, a NIC more and less, deleted. One that is gone: Nova's own archiving takes it."""
    if not thing.gone():
        use.server(thing)
        return
    for cell in thing.plane.layout.cells:
        with suppress(LabError):  # its exit code 1 says that something was archived
            thing.plane.manage("nova-manage", "db", "archive_deleted_rows", file=f"manage-{cell}")
    use.purged_server(thing)


def port(thing: Thing) -> None:
    """The port of a server: the server as others. A port of nobody: a server takes it. One of a device: changed."""
    found = thing.cloud.network.find_port(thing.port)
    if thing.server:
        use.server(thing)
    elif found and found.device_owner:
        thing.cloud.network.update_port(thing.port, description="used")
        assert thing.cloud.network.get_port(thing.port).description == "used"
    else:
        use.port(thing)


def consumer(thing: Thing) -> None:
    """A consumer that is a server: the server as others. Another one: Placement holds nothing for it."""
    (use.server if thing.server else use.no_allocation)(thing)


def volume(thing: Thing) -> None:
    """Cinder means what it shows: it reserves what is free and takes that back, and begins to detach what is in use."""
    found = thing.cloud.block_storage.find_volume(thing.volume) if thing.volume else None
    there = {"available": ("os-reserve", "os-unreserve"), "in-use": ("os-begin_detaching", "os-roll_detaching")}
    for action in there.get(found.status, ()) if found else ():
        answer = thing.cloud.block_storage.post(f"/volumes/{thing.volume}/action", json={action: {}})
        assert answer.status_code == 202, answer.text


def user(thing: Thing) -> None:
    """Nova shows no key pair of the user."""
    query = {"user_id": thing.key["user"]}
    answer = thing.cloud.compute.get("/os-keypairs", params=query, microversion="2.10")
    assert answer.json()["keypairs"] == []


def image(thing: Thing) -> None:
    """Glance has no such image, and gives its id to no other."""
    assert thing.cloud.image.find_image(thing.key["image"]) is None
    refused_image(thing)


def refused_image(thing: Thing) -> None:
    """Glance gives the id of the image to no other."""
    like = {"disk_format": "raw", "container_format": "bare"}
    with pytest.raises(sdk_errors.ConflictException):
        thing.cloud.image.create_image(name="again", id=thing.key["image"], allow_duplicates=True, **like)


#: kind of the resource of a check -> its use
BY_KIND: Mapping[str, Use] = {
    "attribute": no_attribute,
    "consumer": consumer,
    "image": image,
    "port": port,
    "server": server,
    "user": user,
    "volume": volume,
}


def of(kind: str) -> Use:
    """How things of that kind are used."""
    return BY_KIND.get(kind, nothing)
