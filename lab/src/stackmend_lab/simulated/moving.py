# SPDX-License-Identifier: Apache-2.0
"""How servers move: the sequences of nova-conductor and two nova-computes, in the order of nova/compute/manager.py.

A sequence stops if its nova-compute is gone: what it has changed so far stays.
"""

from __future__ import annotations

from collections.abc import Generator

from stackmend_lab.simulated import groups
from stackmend_lab.simulated.clock import Course
from stackmend_lab.simulated.leftovers import Why
from stackmend_lab.simulated.things import SHUTDOWN, Host, Migration, Refused, Server
from stackmend_lab.simulated.world import World

#: number of hosts examined before all of them are
_SAMPLE = 12
_NO_HOST = "No valid host was found. "
#: seconds after which a message to an absent nova-compute is given up
PATIENCE = 1800.0


def pick(world: World, server: Server, wanted: str | None, *, forced: bool = False) -> Host:
    """The host chosen by the scheduler; :class:`Refused` (400) if there is none."""
    here = world.hosts[server.host or ""]
    if wanted and forced:
        there = world.hosts[wanted]
        if not world.up(there):
            raise Refused(400, f"Compute service of {wanted} is unavailable at this time.")
        return there
    if world.dice(world.faults.no_valid_host):
        raise Refused(400, f"{_NO_HOST}There are not enough hosts available.")
    if wanted:
        there = world.hosts[wanted]
        if there is here or there.cell != here.cell or not _good(world, there, server):
            raise Refused(400, f"{_NO_HOST}No valid host found for requested destination.")
        return there
    some = world.cells[here.cell]
    sample = [some[world.random.randrange(len(some))] for _ in range(min(_SAMPLE, len(some)))]
    for hosts in (sample, some):
        fit = [host for host in hosts if host is not here and _good(world, host, server)]
        if fit:
            return min(fit, key=lambda host: (host.used.get("VCPU", 0), host.number))
    raise Refused(400, f"{_NO_HOST}There are not enough hosts available.")


def _good(world: World, host: Host, server: Server) -> bool:
    """Whether filters accept a host; one that does not answer, or has an old binding, fails the check of the move."""
    return (
        host.running
        and not host.disabled
        and world.up(host)
        and world.fits(host, server.flavor.resources)
        and groups.allows(world, server, host)
        and not any(host.name in world.ports[port].bindings for port in server.ports if port in world.ports)
    )


# -- live migration


def conduct(world: World, server: Server, wanted: str | None, forced: bool) -> Migration:
    """The conductor's part: a record, allocations, a destination; :class:`Refused` if it fails."""
    migration = world.migrate("live-migration", server, "accepted", wanted if forced else None)
    try:
        if not world.up(world.hosts[server.host or ""]):
            raise Refused(400, f"Compute service of {server.host} is unavailable at this time.")
        if server.id not in world.hosts[server.host or ""].guests:
            raise Refused(400, f"{_NO_HOST}Instance {server.id} could not be found by its hypervisor.")
        there = pick(world, server, wanted, forced=forced)
        groups.check(world, server, there)
    except Refused as no:
        broken = {"vm_state": "error"} if no.code == groups.VIOLATED else {}
        world.failed(server, "live-migration", no.words, **broken)
        world.record(migration, "error")
        raise
    world.hand_over(server.id, migration.id)
    world.allocate(server.id, there.node, server.flavor.resources)
    for port in server.ports:
        world.bind(world.ports[port], there.name, "INACTIVE")
    world.aim(migration, there.name)
    world.record(migration, "accepted")
    return migration


def live_later(world: World, server: Server, wanted: str | None, forced: bool) -> Course:
    """The same, after the response was sent (2.34)."""
    yield world.random.uniform(0.02, 0.3)
    try:
        migration = conduct(world, server, wanted, forced)
    except Refused:
        return
    yield from live(world, server, migration)


def live(world: World, server: Server, migration: Migration) -> Course:
    """The part of the computes."""
    source, there = world.hosts[migration.source], world.hosts[migration.to or ""]
    yield from reached(world, source)
    life = source.starts
    world.record(migration, "queued")
    yield world.random.uniform(0.02, 0.5)
    if source.starts != life:
        return _orphan(world, server, source)
    if migration.wish == "abort":
        return (yield from _rolled_back(world, server, migration, "cancelled"))
    world.record(migration, "preparing")
    for volume in server.volumes:
        world.attach(volume, server.id, there.name)
    yield world.random.uniform(0.2, 1.0)
    if source.starts != life:
        return _orphan(world, server, source)
    if migration.wish == "abort" or not there.running:
        # Nova sets "error" first, and "failed" when everything is undone
        if not migration.wish:
            world.record(migration, "error")
        return (yield from _rolled_back(world, server, migration, "cancelled" if migration.wish else "failed"))
    world.record(migration, "running")
    there.arriving.add(server.id)
    ends = source.ends, there.ends
    fate = yield from _copied(world, server, migration, source, life)
    if fate == "gone":
        _orphan(world, server, source)
        return (yield from _unattended(world, server, migration, ends))
    if fate:
        there.arriving.discard(server.id)
    if fate == "broken":
        # the driver undoes it, and raises nevertheless
        yield from _rolled_back(world, server, migration, "failed")
        world.record(migration, "error")
        return world.set(server, vm_state="error", task_state=None, fault="Live Migration failure")
    if fate:
        return (yield from _rolled_back(world, server, migration, fate))
    yield from _arrived(world, server, migration, source, there)


def _copied(world: World, server: Server, migration: Migration, source: Host, life: int) -> Generator[float, None, str]:
    """Copy its memory; the generator's value is "" when it has arrived, or how it ended."""
    faults, there = world.faults, world.hosts[migration.to or ""]
    share = 0.02 if world.dice(faults.slow) else 0.4
    migration.left, migration.stalled = server.flavor.ram, world.dice(faults.stalled)
    bad = "failed" if world.dice(faults.rolled_back) else "broken" if world.dice(faults.broken) else ""
    while migration.left > 0:
        yield world.random.uniform(0.5, 3.0)
        if source.starts != life:
            return "gone"
        if migration.wish == "abort":
            return "cancelled"
        if server.id not in there.arriving:  # that machine went down
            return "failed"
        if migration.wish == "complete":
            break
        if bad and migration.left < server.flavor.ram:
            return bad
        if not migration.stalled:
            migration.left -= max(1, int(server.flavor.ram * share))
            migration.updated = world.clock.seconds
    migration.left = 0
    return bad


def _unattended(world: World, server: Server, migration: Migration, ends: tuple[int, int]) -> Course:
    """Its nova-compute is gone, and the two hypervisors go on copying (VIR_MIGRATE_PEER2PEER).

    A machine that goes down ends that, and so does the nova-compute of the source if it starts again before the end
    (_reset_live_migration). A guest that arrives is where no row says.
    """
    source, there = world.hosts[migration.source], world.hosts[migration.to or ""]
    while migration.left > 0:
        if (source.ends, there.ends) != ends or migration.wish == "abort" or server.id not in source.guests:
            there.arriving.discard(server.id)
            return
        if not migration.stalled:
            migration.left -= max(1, int(server.flavor.ram * 0.4))
        yield world.random.uniform(0.5, 3.0)
    if (source.ends, there.ends) == ends and migration.wish != "abort":
        _brought_by_libvirt(world, server, source, there)
    there.arriving.discard(server.id)


def _brought_by_libvirt(world: World, server: Server, source: Host, there: Host) -> None:
    """The guest is there, and undefined where it was (VIR_MIGRATE_UNDEFINE_SOURCE)."""
    there.arriving.discard(server.id)
    there.guests[server.id] = source.guests.pop(server.id, server.power_state)
    world.left.note(there.name, server.id, Why.ARRIVED)


def _arrived(world: World, server: Server, migration: Migration, source: Host, there: Host) -> Course:
    """Its guest runs on the other host: update bindings, volumes, the row of the server, then remove the remains."""
    life = source.starts
    _brought_by_libvirt(world, server, source, there)
    for port in server.ports:
        world.activate(world.ports[port], there.name)
    yield world.random.uniform(0.05, 0.5)
    if source.starts != life:
        return _orphan(world, server, source)
    world.detach_at(server, source.name)
    if not there.running or world.dice(world.faults.stranded):
        # _post_live_migration_update_host: the row is updated nevertheless, and an error is raised
        world.harmed[server.id] = f"its live migration failed when it had come to {there.name}"
        world.move(server, there.name)
        world.record(migration, "error")
        return world.set(server, vm_state="error", task_state=None, fault="Live Migration failure")
    world.move(server, there.name)
    world.set(server, task_state=None)
    yield world.random.uniform(0.01, 0.2)
    for port in server.ports:
        world.unbind(world.ports[port], source.name)
    yield world.random.uniform(0.01, 0.3)
    if source.starts != life:
        return _orphan(world, server, source)
    world.record(migration, "completed")
    yield world.random.uniform(0.01, 0.3)
    if source.starts != life:
        return _orphan(world, server, source)
    world.release(migration.id)


def _rolled_back(world: World, server: Server, migration: Migration, status: str) -> Course:
    """The server continues where it was; what was created for it elsewhere is removed, and its record ends last."""
    source, there = world.hosts[migration.source], migration.to or ""
    life = source.starts
    world.release(server.id)
    world.hand_over(migration.id, server.id)
    world.detach_at(server, there)
    yield world.random.uniform(0.02, 0.3)
    for port in server.ports:
        world.unbind(world.ports[port], there)
    if source.starts != life:
        return _orphan(world, server, source)
    world.set(server, task_state=None)
    yield world.random.uniform(0.01, 0.1)
    world.record(migration, status)


def _orphan(world: World, server: Server, source: Host) -> None:
    """Nobody drives the move any more."""
    world.harmed.setdefault(server.id, f"nova-compute of {source.name} ended while the server moved")


def reached(world: World, host: Host) -> Course:
    """Wait until a message to its nova-compute is read."""
    end = world.clock.seconds + PATIENCE
    yield world.random.uniform(0.01, 0.1)
    while not host.running and world.clock.seconds < end:
        yield 5.0


# -- cold migration


def cold(world: World, server: Server, wanted: str | None) -> Course:
    """Prepare, power off, transfer, power on, and wait for confirmation."""
    yield world.random.uniform(0.02, 0.3)
    migration = world.migrate("migration", server, "pre-migrating", wanted)
    world.hand_over(server.id, migration.id)
    try:
        there = pick(world, server, wanted)
    except Refused as no:
        world.hand_over(migration.id, server.id)
        world.record(migration, "error")
        return world.failed(server, "migrate", no.words)
    source, was = world.hosts[migration.source], server.power_state
    world.aim(migration, there.name)
    world.allocate(server.id, there.node, server.flavor.resources)
    yield from reached(world, there)
    life = source.starts
    server.old_state = server.vm_state
    world.set(server, task_state="resize_migrating")
    world.record(migration, "migrating")
    yield world.random.uniform(1.0, 15.0)
    gone = server.id not in source.guests
    if gone or source.starts != life or not there.running or world.dice(world.faults.broken):
        world.harmed[server.id] = "its cold migration broke half-way"
        world.record(migration, "error")
        return world.set(server, vm_state="error", task_state=None, fault="the migration failed")
    world.move(server, there.name)
    world.set(server, task_state="resize_migrated")
    world.record(migration, "post-migrating")
    # the source keeps the domain, switched off, until the move is confirmed (_cleanup_resize undefines it)
    source.guests[server.id] = SHUTDOWN
    world.left.note(source.name, server.id, Why.RESIZED)
    _brought(world, server, source, there)
    yield world.random.uniform(0.1, 1.0)
    world.set(server, task_state="resize_finish")
    yield world.random.uniform(0.2, 3.0)
    if world.dice(world.faults.unfinished):
        # _finish_resize_helper: an error on the host that the row names by now
        world.harmed[server.id] = f"its cold migration broke on {there.name}"
        world.record(migration, "error")
        world.release(migration.id)
        return world.set(server, vm_state="error", task_state=None, fault="the migration failed")
    there.guests[server.id] = was if there.alive else SHUTDOWN
    world.record(migration, "finished")
    world.set(server, vm_state="resized", task_state=None, power_state=was)


def _brought(world: World, server: Server, source: Host, there: Host) -> None:
    """Its ports and volumes are there, and no longer at the source."""
    for port in server.ports:
        world.unbind(world.ports[port], source.name)
        world.activate(world.ports[port], there.name)
    for volume in server.volumes:
        world.attach(volume, server.id, there.name)
    world.detach_at(server, source.name)


def confirm(world: World, server: Server, migration: Migration) -> Course:
    """Confirm: the guest and the allocation on the source are removed."""
    source = world.hosts[migration.source]
    yield from reached(world, source)
    yield world.random.uniform(0.1, 1.0)
    if source.running:
        world.destroy(source, server.id)
    world.record(migration, "confirmed")
    world.set(server, vm_state="stopped" if server.power_state == 4 else "active", task_state=None)
    yield world.random.uniform(0.01, 0.3)
    world.release(migration.id)


def revert(world: World, server: Server, migration: Migration) -> Course:
    """Revert to the source."""
    source, there = world.hosts[migration.source], world.hosts[migration.to or ""]
    yield from reached(world, source)
    yield world.random.uniform(0.5, 3.0)
    world.release(server.id)
    world.hand_over(migration.id, server.id)
    world.move(server, source.name)
    source.guests[server.id] = there.guests.pop(server.id, server.power_state)
    world.left.gone(there.name, server.id)
    _brought(world, server, there, source)
    yield world.random.uniform(0.1, 1.0)
    world.record(migration, "reverted")
    world.set(server, vm_state=server.old_state or "active", task_state=None)


# -- evacuation


def evacuate(world: World, server: Server, migration: Migration, wanted: str | None, stopped: bool) -> Course:
    """Rebuild it elsewhere, with the disks it finds. The row of the server is updated only at the very end."""
    yield world.random.uniform(0.02, 0.5)
    source = world.hosts[migration.source]
    try:
        there = pick(world, server, wanted)
    except Refused as no:
        world.record(migration, "error")
        return world.failed(server, "evacuate", no.words, vm_state="error")
    world.aim(migration, there.name)
    world.allocate(server.id, there.node, server.flavor.resources)
    yield from reached(world, there)
    life, was = there.starts, server.vm_state
    world.record(migration, "pre-migrating")
    for port in server.ports:
        world.unbind(world.ports[port], source.name)
        world.activate(world.ports[port], there.name)
        world.ports[port].up = False
    world.set(server, task_state="rebuild_block_device_mapping", power_state=0)
    for volume in server.volumes:
        world.attach(volume, server.id, there.name)
    world.detach_at(server, source.name)
    yield world.random.uniform(0.2, 2.0)
    if there.starts != life:
        return _orphan(world, server, there)
    world.set(server, task_state="rebuild_spawning")
    yield world.random.uniform(1.0, 8.0)
    if there.starts != life:
        return _orphan(world, server, there)
    if world.dice(world.faults.broken):
        world.harmed[server.id] = "its evacuation broke half-way"
        world.record(migration, "failed")
        world.release(server.id, there.node)
        return world.failed(server, "evacuate", "the rebuild failed", vm_state="error")
    world.boot(server, there)
    world.left.note(there.name, server.id, Why.REBUILT)
    if was == "stopped" or (stopped and was != "error"):
        world.set(server, vm_state="active", task_state="powering-off", power_state=1)
        yield world.random.uniform(0.2, 2.0)
        world.halt(server, there)
        world.set(server, vm_state="stopped", task_state=None, power_state=4)
    else:
        world.set(server, vm_state="active", task_state=None, power_state=1)
    yield world.random.uniform(0.01, 0.3)
    if there.starts != life:
        return _orphan(world, server, there)
    world.move(server, there.name)
    if server.id in source.guests:
        world.left.note(source.name, server.id, Why.EVACUATED)
    world.record(migration, "done")
