# SPDX-License-Identifier: Apache-2.0
"""What damage does to who uses the services: the reasons to mend it."""

from __future__ import annotations

import pytest

from stackmend_lab.breaks._past import let_time_pass
from stackmend_lab.control_plane.seed import wait_server

from . import sdk_errors
from .using import Thing


def addresses_hidden(thing: Thing) -> None:
    """'server show' has no address, while the list of interfaces, which asks Neutron, has every port."""
    assert thing.shown() == set()
    listed = {interface.port_id for interface in thing.cloud.compute.server_interfaces(thing.server)}
    assert listed == set(thing.nics)


def one_nic_too_many(thing: Thing) -> None:
    """The list of interfaces has the leftover, 'server show' does not, and the guest does not."""
    listed = {interface.port_id for interface in thing.cloud.compute.server_interfaces(thing.server)}
    assert thing.port in listed
    assert not set(thing.port_was[1]) & thing.shown()
    assert thing.port not in thing.plane.guests(thing.host())[thing.server]["vifs"]


def neither_detached_nor_deleted(thing: Thing) -> None:
    """Nova refuses to detach it, for its status, and Cinder to delete it."""
    with pytest.raises(sdk_errors.BadRequestException):
        thing.cloud.compute.delete_volume_attachment(thing.server, thing.volume)
    undeletable(thing)


def unknown_to_nova(thing: Thing) -> None:
    """Nova lists no volume, and detaches none; Cinder deletes none that is attached."""
    assert list(thing.cloud.compute.volume_attachments(thing.server)) == []
    with pytest.raises(sdk_errors.NotFoundException):
        thing.cloud.compute.delete_volume_attachment(thing.server, thing.volume, ignore_missing=False)
    undeletable(thing)


def listed_but_not_attached(thing: Thing) -> None:
    """Nova lists a volume that it cannot detach: Cinder takes it for free."""
    assert [found.volume_id for found in thing.cloud.compute.volume_attachments(thing.server)] == [thing.volume]
    with pytest.raises(sdk_errors.BadRequestException):
        thing.cloud.compute.delete_volume_attachment(thing.server, thing.volume)


def free_and_not_detachable(thing: Thing) -> None:
    """Cinder gives it to whoever asks, and refuses to let Nova detach it from the server that has it."""
    assert thing.cloud.block_storage.get_volume(thing.volume).status == "available"
    with pytest.raises(sdk_errors.BadRequestException):
        thing.cloud.compute.delete_volume_attachment(thing.server, thing.volume)


def undeletable(thing: Thing) -> None:
    """Cinder refuses to delete it."""
    with pytest.raises(sdk_errors.BadRequestException):
        thing.cloud.block_storage.delete_volume(thing.volume)


def not_to_that_host(thing: Thing) -> None:
    """A live migration to the host of the leftover is refused, for Neutron binds the port there no second time."""
    here = thing.host()
    with pytest.raises(sdk_errors.BadRequestException, match="No valid host"):
        thing.cloud.compute.live_migrate_server(thing.server, host=thing.key["left_host"], block_migration="auto")
    wait_server(thing.cloud, thing.server)
    assert thing.host() == here
    left = thing.cloud.network.get(f"/ports/{thing.port}/bindings").json()["bindings"]
    assert {(b["host"], b["status"]) for b in left} == {(here, "ACTIVE"), (thing.key["left_host"], "INACTIVE")}
    let_time_pass(thing.plane, servers=[thing.server], consumers=sorted(thing.names))


def deleted_but_running(thing: Thing) -> None:
    """No API knows the server; what it has is held, and a mark that is not the row's id keeps the host from reaping."""
    assert thing.gone()
    assert thing.providers() != set()
    assert any(thing.server in thing.plane.guests(host) for host in thing.plane.hosts)


def unmovable(thing: Thing) -> None:
    """Nova refuses to move it."""
    with pytest.raises(sdk_errors.HttpException):
        thing.cloud.compute.live_migrate_server(thing.server, host=None, block_migration="auto")
