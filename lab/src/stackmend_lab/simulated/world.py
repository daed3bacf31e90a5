# SPDX-License-Identifier: Apache-2.0
"""The state of a simulated cloud: every change updates its indexes, so that nothing needs to be searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from stackmend_lab.simulated.clock import Clock, Course
from stackmend_lab.simulated.faults import Faults
from stackmend_lab.simulated.leftovers import Leftovers, Why
from stackmend_lab.simulated.things import (
    PAUSED,
    RUNNING,
    SHUTDOWN,
    Attachment,
    Consumer,
    Deed,
    Flavor,
    Group,
    Host,
    Json,
    Migration,
    Port,
    Resources,
    Server,
)

#: seconds after its last heartbeat during which a service counts as up
SERVICE_DOWN = 60.0
#: the same for an agent of Neutron
AGENT_DOWN = 75.0
#: a nova-compute compares power states this many seconds after its start, and at this interval
FUZZY, SYNC = 60.0, 600.0
#: power states of guests in a hypervisor, by vm_state: 0 none, 1 running, 3 paused, 4 shut down
POWER = {
    "active": 1, "stopped": 4, "paused": 3, "suspended": 4, "rescued": 1, "error": 1, "resized": 1, "shelved": 4,
    "shelved_offloaded": 4,
}  # fmt: skip
FLAVORS = (
    Flavor("1", "small", 1, 1024, 10),
    Flavor("2", "medium", 2, 4096, 20),
    Flavor("3", "large", 4, 8192, 40),
)
IMAGE = "5b1f0d3e-8a52-4c1f-9d5e-1a6a4f6b7c01"
NETWORK = "0d9f4f5e-3d0b-4ab8-8b0c-7b1f2a3c4d02"
PROJECT, USER = "6f1ed002ab5595859014ebf0951522d9", "aa1ed002ab5595859014ebf0951522d8"
#: evacuations after which the source destroys the guest that it still has when its nova-compute starts
_EVACUATED = ("accepted", "pre-migrating", "done")


class World:
    """Hosts, servers, ports, attachments, allocations; and every request so far."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.random, self.faults, self.clock = Random(seed), faults, Clock()
        self.hosts: dict[str, Host] = {}
        self.nodes: dict[str, Host] = {}
        self.services: dict[str, Host] = {}
        self.cells: dict[str, list[Host]] = {}
        self.servers: dict[str, Server] = {}
        self.ports: dict[str, Port] = {}
        self.attachments: dict[str, Attachment] = {}
        self.volumes: dict[str, set[str]] = {}  #: volume -> its attachments
        self.consumers: dict[str, Consumer] = {}
        self.groups: dict[str, Group] = {}
        self.migrations: list[Migration] = []
        self.touched: set[str] = set()  #: servers on which something was requested
        self.harmed: dict[str, str] = {}  #: server -> the fault that left it half moved
        self.deleted: set[str] = set()
        self.buried: dict[str, tuple[Server, str, float]] = {}  #: deleted -> (itself, its last host, when in seconds)
        self.left = Leftovers()
        self.images: dict[str, Json] = {
            IMAGE: {"id": IMAGE, "name": "cirros", "status": "active", "min_disk": 0, "min_ram": 0,
                    "disk_format": "qcow2"},
        }  # fmt: skip
        self.power_sync = True  #: whether nova-computes compare power states
        self._numbers = self._born = 0

    # -- names

    def uuid(self) -> str:
        """A new UUID."""
        text = f"{self.random.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-9{text[17:20]}-{text[20:]}"

    def number(self) -> int:
        """The number of the next server."""
        self._born += 1
        return self._born

    def dice(self, share: float) -> bool:
        """True in this share of the cases."""
        return share > 0 and self.random.random() < share

    # -- hosts

    def up(self, host: Host) -> bool:
        """Whether Nova considers its nova-compute up."""
        if host.forced_down:
            return False
        return host.running or self.clock.seconds - host.beat <= SERVICE_DOWN

    def stop(self, host: Host, *, machine: bool = False) -> None:
        """Stop its nova-compute; with ``machine``, everything on it."""
        if host.running:
            host.beat = self.clock.seconds
        host.running = False
        host.starts += 1
        if machine and host.alive:
            self.silence(host)
            host.alive = False
            host.ends += 1
            host.ran = {name for name, state in host.guests.items() if state != SHUTDOWN}
            host.guests = dict.fromkeys(host.guests, SHUTDOWN)
            host.arriving.clear()

    def wake(self, host: Host, *, resume: bool = False) -> None:
        """Switch the machine on; its nova-compute does not start.

        With ``resume``, libvirt starts the guests that ran (autostart, or libvirt-guests), whoever has them by now.
        """
        host.alive = host.agent_running = True
        if resume:
            host.guests |= dict.fromkeys(host.ran & host.guests.keys(), RUNNING)

    def start(self, host: Host) -> None:
        """Start its nova-compute on a running machine: it handles what it finds (init_host)."""
        host.agent_running = host.agent_running or not host.alive
        host.alive = host.running = True
        host.changed = self.clock.seconds
        self._destroy_evacuated(host)
        for server in list(host.servers.values()):
            if server.task_state == "migrating":
                self.harmed.setdefault(server.id, f"nova-compute of {host.name} restarted while it moved")
                for migration in server.migrations or ():
                    if migration.status == "running":
                        # _reset_live_migration: the job is ended, if it still goes on
                        migration.wish = "abort"
                        self.record(migration, "error")
                self.set(server, task_state=None)
            elif server.task_state == "deleting":
                self.bury(server)
            elif server.task_state in ("powering-on", "powering-off"):
                self.clock.run(self._powered(server, host, server.task_state))
        if self.power_sync:
            self.clock.run(self._synced(host))
        if host.guests.keys() & self.buried.keys():
            self.clock.run(self._reaped(host))

    def _reaped(self, host: Host) -> Course:
        """It destroys guests of deleted servers soon after its start (_cleanup_running_deleted_instances)."""
        life = host.starts
        yield self.random.uniform(1.0, FUZZY)
        if host.starts == life:
            for name in host.guests.keys() & self.buried.keys():
                self.destroy(host, name)

    def _destroy_evacuated(self, host: Host) -> None:
        for migration in host.moves:
            if migration.kind == "evacuation" and migration.source == host.name and migration.status in _EVACUATED:
                self.destroy(host, migration.server)
                if migration.server in self.servers:
                    self.release(migration.server, host.node)
                    self.record(migration, "completed")

    def silence(self, host: Host) -> None:
        """Stop its network agent."""
        if host.agent_running:
            host.agent_beat = self.clock.seconds
        host.agent_running = False

    def agent_alive(self, host: Host) -> bool:
        """Whether Neutron considers its network agent alive."""
        return host.agent_running or self.clock.seconds - host.agent_beat <= AGENT_DOWN

    # -- guests

    def boot(self, server: Server, host: Host) -> None:
        """Start its guest there, which prints on its console."""
        host.guests[server.id] = RUNNING
        self._plugged(server, True)
        text = "login: " if server.boots is None else server.boots
        if text:
            server.console = f"booted at {self.clock.text()}\n{text}"

    def destroy(self, host: Host, name: str) -> None:
        """Destroy and undefine a guest there, if there is one."""
        host.guests.pop(name, None)
        self.left.gone(host.name, name)

    def halt(self, server: Server, host: Host) -> None:
        """Switch off its guest there."""
        if server.id in host.guests:
            host.guests[server.id] = SHUTDOWN
        self._plugged(server, False)

    def _plugged(self, server: Server, up: bool) -> None:
        for name in server.ports:
            if name in self.ports:
                self.ports[name].up = up

    def _synced(self, host: Host) -> Course:
        """nova-compute compares power states as long as any of them differ (_sync_power_states)."""
        life, pause = host.starts, self.random.uniform(1.0, FUZZY)
        while True:
            yield pause
            if host.starts != life or not any(self._differs(server, host) for server in host.servers.values()):
                return
            pause = SYNC
            for server in list(host.servers.values()):
                if self._differs(server, host) and server.task_state is None:
                    self._sync(server, host)

    def _differs(self, server: Server, host: Host) -> bool:
        state = host.guests.get(server.id, 0)
        off = server.vm_state in ("active", "paused") and state == SHUTDOWN
        return off or (server.vm_state == "stopped" and state in (RUNNING, PAUSED)) or server.power_state != state

    def _sync(self, server: Server, host: Host) -> None:
        """Set the row to the hypervisor's state; a guest that is off, or should not run, is stopped without a user."""
        server.power_state = host.guests.get(server.id, 0)
        if not self._differs(server, host):
            return
        self.set(server, task_state="powering-off")
        self.acted(server, "stop", f"req-{self.uuid()}", None)
        self.clock.run(self._powered(server, host, "powering-off"))

    def _powered(self, server: Server, host: Host, task: str) -> Course:
        """nova-compute starts or stops the guest, as its task_state says."""
        life = host.starts
        yield self.random.uniform(0.2, 2.0)
        if host.starts != life or server.host != host.name or server.task_state != task:
            return
        if task == "powering-on":
            self.boot(server, host)
            self.set(server, vm_state="active", power_state=RUNNING, task_state=None)
        else:
            self.halt(server, host)
            self.set(server, vm_state="stopped", power_state=SHUTDOWN, task_state=None)

    # -- servers

    def set(self, server: Server, **values: object) -> None:
        """Change fields of a server."""
        for name, value in values.items():
            setattr(server, name, value)
        server.updated = self.clock.seconds
        if values.get("fault"):
            server.failed = self.clock.seconds

    def move(self, server: Server, host: str | None) -> None:
        """Set its host."""
        if server.host is not None:
            self.hosts[server.host].servers.pop(server.id, None)
        server.host = host
        if host is not None:
            self.hosts[host].servers[server.id] = server
            self.left.gone(host, server.id)

    def acted(self, server: Server, action: str, request: str, user: str | None = USER) -> Deed:
        """Record an action on it."""
        self.touched.add(server.id)
        if server.actions is None:
            server.actions = []
        made = Deed(action, request, self.clock.seconds, user)
        server.actions.append(made)
        return made

    def failed(self, server: Server, action: str, fault: str, **values: object) -> None:
        """Mark its last action as failed."""
        last = next((deed for deed in reversed(server.actions or ()) if deed.action == action), None)
        if last is not None:
            last.message = "Error"
        self.set(server, fault=fault, task_state=None, **values)

    def bury(self, server: Server) -> None:
        """Delete it with all that it has in the services. Only a nova-compute that runs destroys its guest."""
        host = self.hosts.get(server.host or "")
        if host is not None:
            if host.running:
                self.destroy(host, server.id)
            elif server.id in host.guests:
                self.left.note(host.name, server.id, Why.DELETED)
            self.detach_at(server, host.name)
        for name, why in self.left.of(server.id).items():
            if why is Why.RESIZED and self.hosts[name].running:  # _confirm_resize_on_deleting
                self.destroy(self.hosts[name], server.id)
        for name in server.ports:
            port = self.ports.pop(name)
            for other in list(port.bindings):
                self.unbind(port, other)
        self.release(server.id)
        self.buried[server.id] = server, server.host or "", self.clock.seconds
        self.move(server, None)
        del self.servers[server.id]
        self.deleted.add(server.id)

    # -- migrations

    def migrate(self, kind: str, server: Server, status: str, to: str | None = None) -> Migration:
        """A new record."""
        self._numbers += 1
        now = self.clock.seconds
        made = Migration(self._numbers, self.uuid(), kind, server.id, server.host or "", status, now, now)
        self.migrations.append(made)
        if server.migrations is None:
            server.migrations = []
        server.migrations.append(made)
        self.hosts[made.source].moves.append(made)
        if to:
            self.aim(made, to)
        return made

    def aim(self, migration: Migration, to: str) -> None:
        """Set its destination."""
        if migration.to != to:
            migration.to = to
            self.hosts[to].moves.append(migration)

    def record(self, migration: Migration, status: str) -> None:
        """Change its status."""
        migration.status, migration.updated = status, self.clock.seconds

    # -- placement

    def allocate(self, consumer: str, node: str, resources: Resources) -> None:
        """Add the consumer's allocation there."""
        holder = self.consumers.setdefault(consumer, Consumer({}, 0))
        holder.held[node] = resources
        holder.generation += 1
        host = self.nodes[node]
        host.consumers.add(consumer)
        for name, amount in resources.items():
            host.used[name] = host.used.get(name, 0) + amount
        host.generation += 1

    def release(self, consumer: str, node: str | None = None) -> None:
        """Remove the consumer's allocation there (or anywhere)."""
        holder = self.consumers.get(consumer)
        if holder is None:
            return
        for name in [node] if node else list(holder.held):
            resources = holder.held.pop(name, None)
            if resources is None:
                continue
            host = self.nodes[name]
            host.consumers.discard(consumer)
            host.generation += 1
            for kind, amount in resources.items():
                host.used[kind] -= amount
        holder.generation += 1
        if not holder.held:
            del self.consumers[consumer]

    def hand_over(self, giver: str, taker: str) -> None:
        """Transfer all allocations of one consumer to another."""
        held = dict(self.consumers[giver].held) if giver in self.consumers else {}
        self.release(giver)
        for node, resources in held.items():
            self.allocate(taker, node, resources)

    def fits(self, host: Host, resources: Resources) -> bool:
        """Whether there is capacity."""
        return all(host.used.get(name, 0) + amount <= host.room.get(name, 0) for name, amount in resources.items())

    # -- network

    def bind(self, port: Port, host: str, status: str) -> None:
        """Add a binding, or change the status of one."""
        if host not in port.bindings:
            self.hosts[host].bound[port.id] = 1
        port.bindings[host] = status

    def unbind(self, port: Port, host: str) -> None:
        """Remove a binding."""
        if port.bindings.pop(host, None) is not None:
            self.hosts[host].bound.pop(port.id, None)

    def activate(self, port: Port, host: str) -> None:
        """Activate the binding there, and deactivate the previous one."""
        for other in list(port.bindings):
            port.bindings[other] = "INACTIVE"
        self.bind(port, host, "ACTIVE")

    # -- volumes

    def attach(self, volume: str, server: str, host: str) -> Attachment:
        """Add an attachment."""
        made = Attachment(self.uuid(), volume, server, host)
        self.attachments[made.id] = made
        self.volumes.setdefault(volume, set()).add(made.id)
        self.hosts[host].attached.add(made.id)
        return made

    def detach(self, attachment: str) -> None:
        """Remove an attachment."""
        gone = self.attachments.pop(attachment, None)
        if gone is not None:
            self.volumes[gone.volume].discard(attachment)
            self.hosts[gone.host].attached.discard(attachment)

    def detach_at(self, server: Server, host: str) -> None:
        """Remove the attachments of its volumes there."""
        for volume in server.volumes:
            for name in sorted(self.volumes[volume]):
                if self.attachments[name].host == host and self.attachments[name].server == server.id:
                    self.detach(name)


def build(
    world: World, hosts: int, servers_per_host: int, cells: int, states: Mapping[str, float], names: Sequence[str] = ()
) -> None:
    """Fill the cloud. ``states``: vm_state -> weight, and "locked" as one of them; every fourth server has a volume."""
    most = max(2, servers_per_host + servers_per_host // 2 + 2)
    room = {"VCPU": 4 * most, "MEMORY_MB": 8192 * most, "DISK_GB": 40 * most}
    width = max(2, len(str(hosts)))
    for number in range(1, hosts + 1):
        name = names[number - 1] if names else f"c{number:0{width}d}"
        cell = f"cell{(number - 1) % cells + 1}"
        host = Host(name, cell, number, world.uuid(), world.uuid(), world.uuid(), room)
        world.hosts[name] = world.nodes[host.node] = world.services[host.service] = host
        world.cells.setdefault(cell, []).append(host)
    kinds, weights = list(states), list(states.values())
    for host in world.hosts.values():
        for _ in range(servers_per_host):
            kind = world.random.choices(kinds, weights)[0] if len(kinds) > 1 else kinds[0]
            server(world, host, world.random.choice(FLAVORS), kind)
    schedule_faults(world)


def server(
    world: World, host: Host, flavor: Flavor, kind: str = "active", *, volume: bool = False, name: str = ""
) -> Server:
    """Add a server in this state, with one port and its allocation.

    It boots from a volume if requested, else from the image, with an additional volume for some numbers.
    """
    state, number = "active" if kind == "locked" else kind, world.number()
    made = Server(
        world.uuid(), number, flavor, host.name, vm_state=state, power_state=POWER.get(state, 1),
        image="" if volume else IMAGE, locked=kind == "locked", created=-float(number), updated=-float(number),
        name=name or f"server-{number}",
    )  # fmt: skip
    world.servers[made.id] = made
    host.servers[made.id] = made
    plug(world, made, host)
    made.console = "booted a while ago\nlogin: "
    host.guests[made.id] = made.power_state
    world.ports[made.ports[0]].up = made.power_state != SHUTDOWN
    if volume or number % 4 == 0:
        made.volumes = (world.uuid(),)
        world.attach(made.volumes[0], made.id, host.name)
    world.allocate(made.id, host.node, flavor.resources)
    if state == "resized":
        _resized(world, made)
    return made


def plug(world: World, made: Server, host: Host) -> None:
    """Add a port for it."""
    low, middle, high = made.number & 255, made.number >> 8 & 255, made.number >> 16 & 255
    mac, address = f"fa:16:3e:{high:02x}:{middle:02x}:{low:02x}", f"10.{high}.{middle}.{low}"
    port = Port(world.uuid(), NETWORK, mac, address, made.id)
    world.ports[port.id] = port
    world.bind(port, host.name, "ACTIVE")
    made.ports = (port.id,)


def _resized(world: World, made: Server) -> None:
    """Make it await the confirmation of a resize from another host."""
    others = [h for h in world.cells[world.hosts[made.host or ""].cell] if h.name != made.host]
    source = world.random.choice(others or [world.hosts[made.host or ""]])
    record = world.migrate("migration", made, "finished", made.host)
    record.source, made.old_state = source.name, "active"
    source.moves.append(record)
    if others:
        world.allocate(record.id, source.node, made.flavor.resources)
        source.guests[made.id] = SHUTDOWN
        world.left.note(source.name, made.id, Why.RESIZED)


def schedule_faults(world: World) -> None:
    """Schedule the deaths of hosts, and the restarts of nova-compute."""
    faults, names = world.faults, [name for name in world.hosts if name not in world.faults.spared]
    chosen = world.random.sample(names, min(len(names), faults.deaths + faults.restarts))
    for number, name in enumerate(chosen):
        host, at = world.hosts[name], world.random.uniform(0, faults.span)
        if number < faults.deaths:
            world.clock.after(at, lambda host=host: world.stop(host, machine=True))  # type: ignore[misc]
        else:
            world.clock.after(at, lambda host=host: world.stop(host))  # type: ignore[misc]
            world.clock.after(at + world.random.uniform(5, 90), lambda host=host: _again(world, host))  # type: ignore[misc]


def _again(world: World, host: Host) -> None:
    if host.alive:
        world.start(host)
