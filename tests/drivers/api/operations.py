# SPDX-License-Identifier: Apache-2.0
"""Every operation, tried on a world: the fake, or the real services (tests/lab/control_plane/test_operations.py)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import pytest

from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.operations import implementations
from stackmend.drivers.api.reading import ApiReading
from stackmend.model.operations import operation_of
from stackmend.model.operations.placement import AllocationsSeen, SetAllocations
from stackmend.model.protocols import Clock, Session
from stackmend.model.step import ApiCall, StepState
from stackmend.model.writer import StepResult

from ...support.carried_out import carried_out
from ...support.meanwhile import Meanwhile


@dataclass(frozen=True)
class Guest:
    """A server that is active and idle."""

    id: str
    host: str
    ports: tuple[str, ...]
    macs: tuple[str, ...]
    other_host: str  #: another one of its cell


class World(Protocol):
    """A cloud with an API, and the means to make and to break things in it."""

    executor: ApiExecutor
    session: Session
    clock: Clock  #: while something is waited for

    def guest(self) -> Guest: ...
    def leftover(self, guest: Guest) -> str:
        """A port in the network of the guest, bound to its host, of a server that never was."""
        ...

    def volume(self, status: str = "available") -> str: ...
    def snapshot(self, status: str = "available") -> str: ...
    def attached(self, guest: Guest) -> tuple[str, str]:
        """(volume, attachment) that the guest has."""
        ...

    def consumer(self) -> str:
        """One with an allocation, that is no server."""
        ...

    def shared(self) -> str:
        """An entry that shares a network with a project that has nothing in it."""
        ...

    def key_pair(self) -> tuple[str, str]:
        """(user, name) of a key pair."""
        ...

    def lose_port(self, port: str) -> None:
        """Take a port from Neutron without a word to Nova."""
        ...

    def set(self, database: str, table: str, where: dict[str, Any], **values: Any) -> None:
        """Change rows; "cell" is the database of the guests."""
        ...


def call(service: str, operation: str, **arguments: Any) -> ApiCall:
    """A call without guards."""
    made = operation_of(service, operation, arguments).call()
    assert made.fault == ""
    return made


def allocations(consumer: str, seen: AllocationsSeen | None = None, **changed: Any) -> SetAllocations:
    """Take all that a consumer has, with what was seen of it; or what of that is ``changed``."""
    seen = seen or {}
    given = {name: seen.get(name) for name in ("generation", "project", "user")}
    return SetAllocations(consumer=consumer, **{"allocations": {}, **given, **changed})


def assert_made(world: World, step: ApiCall) -> StepResult:
    """Make a call that is to succeed: to do before, done after, and done already when it is made again."""
    assert world.executor.probe(step) in (StepState.PLANNED, StepState.FAILED)
    outcome = carried_out(world.executor, step, f"req-{uuid.uuid4()}")
    assert (outcome.state, outcome.already) == (StepState.DONE, False), outcome.note
    assert world.executor.probe(step) is StepState.DONE
    again = carried_out(world.executor, replace(step, expect={"nothing": "at all"}), f"req-{uuid.uuid4()}")
    assert (again.state, again.already) == (StepState.DONE, True)
    return outcome


class Operations:
    """What each operation does, how it is seen to be done, and that it is not done twice."""

    @staticmethod
    def look(world: World, step: ApiCall) -> dict[str, Any]:
        """What the operation finds."""
        reading: ApiReading = world.executor.ready()
        return dict(reading.look(step.operation))

    def test_nothing_is_lacking(self, world: World) -> None:
        """A cloud from Train on can do all of them, but for one of Ussuri."""
        reading = world.executor.ready()
        lacking = {of.NAME: why for of in implementations() if (why := reading.lacks(of))}
        assert lacking.keys() <= {"rescue-volume"}, lacking

    def test_a_port_is_freed_and_bound_again(self, world: World) -> None:
        """No device, no host, its address kept; the inverse gives both back."""
        guest = world.guest()
        port = world.leftover(guest)
        values = {"device_id": "", "device_owner": "", "binding:host_id": "", "binding:profile": {}}
        before = self.look(world, call("network", "delete-port", port=port))
        assert (before["binding:host_id"], before["server"]) == (guest.host, "absent")
        assert_made(world, call("network", "update-port", port=port, values=values))
        free = self.look(world, call("network", "delete-port", port=port))
        assert (free["binding:vif_type"], free["status"]) == ("unbound", "DOWN")
        assert_made(world, call("network", "update-port", port=port, values={name: before[name] for name in values}))
        bound = self.look(world, call("network", "delete-port", port=port))
        assert (bound["binding:host_id"], bound["binding:vif_type"]) == (guest.host, "ovs")
        assert_made(world, call("network", "delete-port", port=port))

    def test_a_port_gets_a_tag_and_loses_it(self, world: World) -> None:
        """By the API of tags."""
        port = world.leftover(world.guest())
        assert_made(world, call("network", "tag-port", port=port, tag="stackmend-unbound"))
        assert_made(world, call("network", "untag-port", port=port, tag="stackmend-unbound"))
        assert_made(world, call("network", "delete-port", port=port))

    def test_a_port_is_bound_to_another_host(self, world: World) -> None:
        """Neutron binds it anew, and a binding that is not active stands in nobody's way once it is deleted."""
        guest = world.guest()
        port = world.leftover(guest)
        extra = {"port": port, "host": guest.other_host}
        assert_made(world, call("network", "create-binding", **extra))
        assert_made(world, call("network", "delete-binding", **extra))
        assert_made(world, call("network", "update-port", port=port, values={"binding:host_id": guest.other_host}))
        found = self.look(world, call("network", "delete-port", port=port))
        assert (found["binding:host_id"], found["binding:vif_type"]) == (guest.other_host, "ovs")
        assert_made(world, call("network", "delete-port", port=port))

    @pytest.mark.attack("puts a port on a server between the last look at it and its deletion")
    @pytest.mark.parametrize("changed", [{"device_id": "another"}, {"binding:host_id": ""}], ids=["given", "else"])
    def test_a_port_that_is_changed_at_the_last_moment(self, world: World, changed: dict[str, str]) -> None:
        """Neutron deletes no other revision than the one looked at; where the guards still hold it is tried again."""
        port = world.leftover(world.guest())
        step = call("network", "delete-port", port=port)
        step = replace(step, expect={"device_id": self.look(world, step)["device_id"]})
        give = call("network", "update-port", port=port, values=changed)
        session = Meanwhile(world.session, "DELETE", lambda: assert_made(world, give))
        outcome = carried_out(ApiExecutor(lambda: cast("Session", session), world.clock), step)
        if "device_id" in changed:
            assert outcome.state is StepState.STALE, outcome.note
            assert "device_id is 'another'" in outcome.note
            assert "Constrained to" in outcome.note
            assert self.look(world, step)["port"] == "present"
            assert_made(world, replace(step, expect={}))
        assert self.look(world, step)["port"] == "absent"

    def test_a_port_that_nobody_has_is_no_port(self, world: World) -> None:
        """Deleted already; and nothing can be set on it."""
        port = str(uuid.uuid4())
        assert world.executor.probe(call("network", "delete-port", port=port)) is StepState.DONE
        set_up = call("network", "update-port", port=port, values={"device_id": ""})
        assert world.executor.probe(set_up) is StepState.FAILED

    def test_an_event_takes_a_nic_away(self, world: World) -> None:
        """The server's addresses do not show it any more."""
        guest = world.guest()
        world.lose_port(guest.ports[0])
        assert_made(
            world, call("compute", "vif-deleted", port=guest.ports[0], server=guest.id, mac=guest.macs[0])
        )  # fmt: skip

    def test_a_server_is_reset_and_deleted(self, world: World) -> None:
        """A deletion that hangs is let go of; by force the server goes for good."""
        guest = world.guest()
        world.set("cell", "instances", {"uuid": guest.id}, task_state="deleting")
        assert_made(world, call("compute", "reset-state", server=guest.id, state="error"))
        assert_made(world, call("compute", "force-delete", server=guest.id))
        assert self.look(world, call("compute", "force-delete", server=guest.id)) == {"server": "absent"}

    def test_nova_detaches_a_volume(self, world: World) -> None:
        """Mapping and attachment go, the volume is available."""
        guest = world.guest()
        volume, attachment = world.attached(guest)
        assert_made(world, call("compute", "detach-volume", server=guest.id, volume=volume))
        gone = call("block-storage", "delete-attachment", attachment=attachment)
        assert world.executor.probe(gone) is StepState.DONE
        assert_made(world, call("block-storage", "delete-volume", volume=volume))

    def test_a_volume_goes_on_and_off_detaching(self, world: World) -> None:
        """What one begins the other takes back."""
        volume, _ = world.attached(world.guest())
        assert_made(world, call("block-storage", "begin-detaching", volume=volume))
        assert_made(world, call("block-storage", "roll-detaching", volume=volume))

    def test_an_attachment_is_deleted_that_nova_has_no_mapping_of(self, world: World) -> None:
        """Though the volume says detaching: it ends available, attached to nobody."""
        volume, attachment = world.attached(world.guest())
        world.set("cell", "block_device_mapping", {"volume_id": volume}, deleted=4711)
        world.set("cinder", "volumes", {"id": volume}, status="detaching")
        assert_made(world, call("block-storage", "delete-attachment", attachment=attachment))
        found = self.look(world, call("block-storage", "delete-volume", volume=volume))
        assert (found["status"], found["attachments"]) == ("available", 0)

    def test_a_reboot_drops_a_mapping_without_attachment(self, world: World) -> None:
        """From Nova 28 on; the server is active again."""
        guest = world.guest()
        volume, attachment = world.attached(guest)
        world.set("cinder", "volume_attachment", {"id": attachment}, deleted=1, attach_status="detached")
        world.set("cinder", "volumes", {"id": volume}, status="available", attach_status="detached")
        reboot = call("compute", "hard-reboot", server=guest.id, volume=volume)
        assert self.look(world, reboot)["mapping"] is not None
        assert_made(world, reboot)
        assert self.look(world, reboot)["server.vm_state"] == "active"

    def test_a_status_is_reset_and_the_volume_deleted(self, world: World) -> None:
        """In the order in which a volume that could not be deleted is deleted."""
        volume = world.volume("error_deleting")
        delete = call("block-storage", "delete-volume", volume=volume)
        assert world.executor.probe(delete) is StepState.FAILED
        assert_made(world, call("block-storage", "reset-status", volume=volume, status="error"))
        assert_made(world, delete)

    def test_force_deletes_what_delete_refuses(self, world: World) -> None:
        """A status in which Cinder deletes nothing: the second request does it."""
        volume = world.volume("error_deleting")
        assert_made(world, call("block-storage", "delete-volume", volume=volume))

    def test_a_status_without_attachment_is_reset(self, world: World) -> None:
        """Nothing but the status was left behind."""
        volume = world.volume("detaching")
        free = {"status": "available", "attach_status": "detached"}
        assert_made(world, call("block-storage", "reset-status", volume=volume, **free))
        assert_made(world, call("block-storage", "delete-volume", volume=volume))

    def test_a_status_of_a_snapshot_is_reset(self, world: World) -> None:
        """Also to a status that only services set otherwise."""
        snapshot = world.snapshot("creating")
        assert_made(world, call("block-storage", "reset-snapshot-status", snapshot=snapshot, status="error"))
        assert_made(world, call("block-storage", "reset-snapshot-status", snapshot=snapshot, status="deleting"))

    def test_a_network_is_shared_no_more(self, world: World) -> None:
        """The entry is gone, and with it the access."""
        assert_made(world, call("network", "delete-rbac-policy", entry=world.shared()))

    def test_a_key_pair_of_another_user_is_deleted(self, world: World) -> None:
        """By the name that the user gave it."""
        user, name = world.key_pair()
        step = call("compute", "delete-key-pair", user=user, name=name)
        assert self.look(world, call("compute", "delete-key-pair", user="b" * 32, name=name))["key_pair"] == "absent"
        assert_made(world, step)

    def test_an_id_of_an_image_is_reserved_for_good(self, world: World) -> None:
        """A registered image has no content; once it is deleted, nobody gets its id again."""
        image = str(uuid.uuid4())
        register = call("image", "register-image", image=image, name="reserved")
        assert_made(world, register)
        assert self.look(world, register)["status"] == "queued"
        assert_made(world, call("image", "delete-image", image=image))
        refused = carried_out(world.executor, register, "")
        assert refused.state is StepState.FAILED
        assert "409" in refused.note

    def test_allocations_go_and_come_back(self, world: World) -> None:
        """Guarded by the generation of the consumer, which goes with its last allocation."""
        consumer = world.consumer()
        before = world.executor.ready().look(allocations(consumer))
        stale = allocations(consumer, before, generation=before["generation"] + 1)
        refused = carried_out(world.executor, stale.call({"generation": before["generation"]}), "")
        assert refused.state is StepState.FAILED
        assert "409" in refused.note
        assert_made(world, allocations(consumer, before).call())
        assert world.executor.ready().look(allocations(consumer))["generation"] is None
        give = allocations(consumer, before, allocations=before["allocations"], generation=None)
        assert_made(world, give.call())
        back = world.executor.ready().look(allocations(consumer))
        assert (back["allocations"], back["project"], back["generation"]) == (
            before["allocations"],
            before["project"],
            1,
        )
        less = {provider: {"VCPU": 1} for provider in before["allocations"]}
        assert_made(world, allocations(consumer, before, allocations=less, generation=1).call())
        assert world.executor.ready().look(allocations(consumer))["generation"] == 2
        assert_made(world, allocations(consumer, before, generation=2).call())

    def test_a_guard_that_does_not_hold_keeps_a_call_from_being_sent(self, world: World) -> None:
        """What is not as planned is left alone, and the note says what it is."""
        volume = world.volume()
        step = replace(call("block-storage", "delete-volume", volume=volume), expect={"status": "error"})
        outcome = carried_out(world.executor, step, "")
        assert outcome.state is StepState.STALE
        assert "status is 'available', the plan expects 'error'" in outcome.note
        assert_made(world, replace(step, expect={"status": "available"}))
