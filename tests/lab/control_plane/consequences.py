# SPDX-License-Identifier: Apache-2.0
"""What damage does to the users of the services: the reasons to mend it."""

from __future__ import annotations

import pytest

from stackmend_lab.breaks._past import let_time_pass
from stackmend_lab.control_plane.seed import wait_server

from . import sdk_errors
from .using import Thing


def addresses_hidden(thing: Thing) -> None:
    """'server show' has no address, while the interface list, which asks Neutron, has every port."""
    assert thing.shown() == set()
    listed = {interface.port_id for interface in thing.cloud.compute.server_interfaces(thing.server)}
    assert listed == set(thing.nics)


def one_nic_too_many(thing: Thing) -> None:
    """The interface list has the leftover, but 'server show' and the guest do not."""
    listed = {interface.port_id for interface in thing.cloud.compute.server_interfaces(thing.server)}
    assert thing.port in listed
    assert not set(thing.port_was[1]) & thing.shown()
    assert thing.port not in thing.plane.guests(thing.host())[thing.server]["vifs"]


def neither_detached_nor_deleted(thing: Thing) -> None:
    """Nova refuses to detach the volume because of its status, and Cinder refuses to delete it."""
    with pytest.raises(sdk_errors.BadRequestException):
        thing.cloud.compute.delete_volume_attachment(thing.server, thing.volume)
    undeletable(thing)


def unknown_to_nova(thing: Thing) -> None:
    """Nova lists no volume and detaches none; Cinder does not delete a volume that is attached."""
    assert list(thing.cloud.compute.volume_attachments(thing.server)) == []
    with pytest.raises(sdk_errors.NotFoundException):
        thing.cloud.compute.delete_volume_attachment(thing.server, thing.volume, ignore_missing=False)
    undeletable(thing)


def listed_but_not_attached(thing: Thing) -> None:
    """Nova lists a volume that it cannot detach, because Cinder takes it for available."""
    assert [found.volume_id for found in thing.cloud.compute.volume_attachments(thing.server)] == [thing.volume]
    with pytest.raises(sdk_errors.BadRequestException):
        thing.cloud.compute.delete_volume_attachment(thing.server, thing.volume)


def free_and_not_detachable(thing: Thing) -> None:
    """Cinder gives the volume to anybody, but does not let Nova detach it from the server that has it."""
    assert thing.cloud.block_storage.get_volume(thing.volume).status == "available"
    with pytest.raises(sdk_errors.BadRequestException):
        thing.cloud.compute.delete_volume_attachment(thing.server, thing.volume)


def undeletable(thing: Thing) -> None:
    """Cinder refuses to delete the volume."""
    with pytest.raises(sdk_errors.BadRequestException):
        thing.cloud.block_storage.delete_volume(thing.volume)


def not_to_that_host(thing: Thing) -> None:
    """Live migration to the host of the leftover fails: Neutron refuses a second binding of the port there."""
    here = thing.host()
    with pytest.raises(sdk_errors.BadRequestException, match="No valid host"):
        thing.cloud.compute.live_migrate_server(thing.server, host=thing.key["left_host"], block_migration="auto")
    wait_server(thing.cloud, thing.server)
    assert thing.host() == here
    left = thing.cloud.network.get(f"/ports/{thing.port}/bindings").json()["bindings"]
    assert {(b["host"], b["status"]) for b in left} == {(here, "ACTIVE"), (thing.key["left_host"], "INACTIVE")}
    let_time_pass(thing.plane, servers=[thing.server], consumers=sorted(thing.names))


def deleted_but_running(thing: Thing) -> None:
    """No API knows the server, but it keeps its resources: with a mark other than the row's id no host reaps it."""
    assert thing.gone()
    assert thing.providers() != set()
    assert any(thing.server in thing.plane.guests(host) for host in thing.plane.hosts)


def unmovable(thing: Thing) -> None:
    """Nova refuses to move the server."""
    with pytest.raises(sdk_errors.HttpException):
        thing.cloud.compute.live_migrate_server(thing.server, host=None, block_migration="auto")
