# SPDX-License-Identifier: Apache-2.0
"""Nova's server actions, with their guards (nova/compute/api.py), and the effects of the simple ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from stackmend_lab.simulated import groups, guests, moving
from stackmend_lab.simulated.clock import Course
from stackmend_lab.simulated.compute import Version, server_of
from stackmend_lab.simulated.things import Json, Migration, Refused, Server
from stackmend_lab.simulated.world import FLAVORS, World, plug


class Plain(NamedTuple):
    """An action that takes a server from some states to another, on its host."""

    action: str  #: name in os-instance-actions
    states: frozenset[str]
    task: str
    to: str
    power: int
    status: int = 202
    tasks: frozenset[str | None] = frozenset({None})


def _plain(action: str, states: str, task: str, to: str, power: int, **more: Any) -> Plain:
    return Plain(action, frozenset(states.split()), task, to, power, **more)


#: states in which the action starts the guest, unless it only resumes
_BOOTED, _GOING_ON = frozenset({"active", "rescued"}), frozenset({"unpause", "resume"})
_HARD = frozenset({None, "rebooting", "rebooting_hard", "resuming", "unpausing", "pausing", "suspending"})
PLAIN = {
    "os-start": _plain("start", "stopped", "powering-on", "active", 1),
    "os-stop": _plain("stop", "active error", "powering-off", "stopped", 4),
    "pause": _plain("pause", "active", "pausing", "paused", 3),
    "unpause": _plain("unpause", "paused", "unpausing", "active", 1),
    "suspend": _plain("suspend", "active", "suspending", "suspended", 4),
    "resume": _plain("resume", "suspended", "resuming", "active", 1),
    "rescue": _plain("rescue", "active stopped error", "rescuing", "rescued", 1, status=200),
    "unrescue": _plain("unrescue", "rescued", "unrescuing", "active", 1),
}
_SOFT_REBOOT = _plain("reboot", "active", "rebooting", "active", 1)
_HARD_REBOOT = _plain("reboot", "active stopped paused suspended error", "rebooting_hard", "active", 1, tasks=_HARD)


def act(world: World, name: str, body: Json, version: Version, request: str) -> tuple[int, Any]:
    """(status, body) of ``POST /servers/<id>/action``."""
    found = server_of(world, name)
    word, detail = next(iter(body.items()))
    if word == "os-getConsoleOutput":
        return guests.console(world, found, (detail or {}).get("length"))
    if word in PLAIN:
        return _change(world, found, word, PLAIN[word], request)
    if word == "reboot":
        return _change(world, found, word, _HARD_REBOOT if detail["type"] == "HARD" else _SOFT_REBOOT, request)
    if word not in _OTHERS:
        raise Refused(400, f"There is no such action: {word}")
    return _OTHERS[word](world, found, detail or {}, version, request)


def guard(
    found: Server, word: str, states: str | frozenset[str], tasks: frozenset[str | None] | None = frozenset({None})
) -> None:
    """409 unless the server is in one of the states (and has one of the tasks, or any for None), in Nova's words."""
    allowed = frozenset(states.split()) if isinstance(states, str) else states
    for attribute, value, good in (
        ("vm_state", found.vm_state, found.vm_state in allowed or not allowed),
        ("task_state", found.task_state, tasks is None or found.task_state in tasks),
    ):
        if not good and value is None:
            raise Refused(409, f"Instance {found.id} is in an invalid state for '{word}'")
        if not good:
            raise Refused(409, f"Cannot '{word}' instance {found.id} while it is in {attribute} {value}")


def _change(world: World, found: Server, word: str, plain: Plain, request: str) -> tuple[int, Any]:
    guard(found, {"os-start": "start", "os-stop": "stop"}.get(word, word), plain.states, plain.tasks)
    if found.host is None:
        raise Refused(409, f"Instance {found.id} is not ready")
    world.set(found, task_state=plain.task)
    world.acted(found, plain.action, request)
    world.clock.run(_changed(world, found, plain))
    return plain.status, {"adminPass": "simulated"} if word == "rescue" else None


def _changed(world: World, found: Server, plain: Plain) -> Course:
    host = world.hosts[found.host or ""]
    yield from moving.reached(world, host)
    yield world.random.uniform(0.2, 3.0)
    if host.running and found.host == host.name and found.task_state == plain.task:
        if plain.to in _BOOTED and plain.action not in _GOING_ON:
            world.boot(found, host)
        elif plain.to == "stopped":
            world.halt(found, host)
        else:
            host.guests[found.id] = plain.power
        world.set(found, vm_state=plain.to, power_state=plain.power, task_state=None, fault="")


# -- moves


def _host(world: World, detail: Mapping[str, Any], status: int) -> str | None:
    host = detail.get("host")
    if host is not None and host not in world.hosts:
        raise Refused(status, f"Compute host {host} could not be found." if status == 400 else
                      f"Compute host {host} not found.")  # fmt: skip
    return host


def _live(world: World, found: Server, detail: Json, version: Version, request: str) -> tuple[int, Any]:
    needed = {"host", "block_migration", *(["disk_over_commit"] if version < (2, 25) else [])}
    if not needed <= set(detail) <= needed | ({"force"} if (2, 30) <= version < (2, 68) else set()):
        raise Refused(400, "Invalid input for field/attribute os-migrateLive.")
    guard(found, "os-migrateLive", "active paused")
    wanted = _host(world, detail, 400)
    # before 2.30 the scheduler does not verify a named host
    forced = bool(wanted and (detail.get("force") or version < (2, 30)))
    world.set(found, task_state="migrating")
    world.acted(found, "live-migration", request)
    if version >= (2, 34):
        world.clock.run(moving.live_later(world, found, wanted, forced))
    else:
        migration = moving.conduct(world, found, wanted, forced)
        world.clock.run(moving.live(world, found, migration))
    return 202, None


def _cold(world: World, found: Server, detail: Json, version: Version, request: str) -> tuple[int, Any]:
    guard(found, "migrate", "active stopped")
    if not world.up(world.hosts[found.host or ""]):
        raise Refused(409, "Service is unavailable at this time.")
    wanted = _host(world, detail, 400) if version >= (2, 56) else None
    if wanted is not None and wanted == found.host:
        raise Refused(400, f"Cannot migrate to the host where the server exists: {wanted}")
    world.set(found, task_state="resize_prep")
    world.acted(found, "migrate", request)
    world.clock.run(moving.cold(world, found, wanted))
    return 202, None


def _finished(found: Server) -> Migration:
    for one in found.migrations or ():
        if one.status == "finished":
            return one
    raise Refused(400, "Instance has not been resized.")


def _confirm(world: World, found: Server, detail: Json, version: Version, request: str) -> tuple[int, Any]:
    guard(found, "confirmResize", "resized")
    migration = _finished(found)
    if not world.up(world.hosts[migration.source]):
        raise Refused(409, "Service is unavailable at this time.")
    world.record(migration, "confirming")
    world.acted(found, "confirmResize", request)
    world.clock.run(moving.confirm(world, found, migration))
    return 204, None


def _revert(world: World, found: Server, detail: Json, version: Version, request: str) -> tuple[int, Any]:
    guard(found, "revertResize", "resized")
    migration = _finished(found)
    world.record(migration, "reverting")
    world.set(found, task_state="resize_reverting")
    world.acted(found, "revertResize", request)
    world.clock.run(moving.revert(world, found, migration))
    return 202, None


def _evacuate(world: World, found: Server, detail: Json, version: Version, request: str) -> tuple[int, Any]:
    wanted = _host(world, detail, 404)
    if found.host == wanted:
        raise Refused(400, "The target host can't be the same one.")
    # Nova requires no task here: an operation in progress died with the host
    guard(found, "evacuate", "active stopped error", None)
    if world.up(world.hosts[found.host or ""]):
        raise Refused(400, f"Compute service of {found.host} is still in use.")
    world.set(found, task_state="rebuilding")
    world.acted(found, "evacuate", request)
    migration = world.migrate("evacuation", found, "accepted", wanted)
    world.clock.run(moving.evacuate(world, found, migration, wanted, version >= (2, 95)))
    return 200, None


# -- others


def _lock(world: World, found: Server, detail: Json, version: Version, request: str) -> tuple[int, Any]:
    world.set(found, locked=True)
    world.acted(found, "lock", request)
    return 202, None


def _unlock(world: World, found: Server, detail: Json, version: Version, request: str) -> tuple[int, Any]:
    world.set(found, locked=False)
    world.acted(found, "unlock", request)
    return 202, None


def _reset(world: World, found: Server, detail: Json, version: Version, request: str) -> tuple[int, Any]:
    world.set(found, vm_state=detail["state"], task_state=None)
    world.acted(found, "resetState", request)
    return 202, None


def _offload(world: World, found: Server, detail: Json, version: Version, request: str) -> tuple[int, Any]:
    guard(found, "shelveOffload", "shelved")
    world.set(found, task_state="shelving_offloading")
    world.acted(found, "shelveOffload", request)
    world.clock.run(_offloaded(world, found))
    return 202, None


def _offloaded(world: World, found: Server) -> Course:
    host = world.hosts[found.host or ""]
    yield world.random.uniform(0.5, 3.0)
    if not host.running:
        return
    world.destroy(host, found.id)
    for port in found.ports:
        world.unbind(world.ports[port], host.name)
    world.detach_at(found, host.name)
    world.release(found.id)
    world.move(found, None)
    world.set(found, vm_state="shelved_offloaded", task_state=None, power_state=4)


Action = Callable[[World, Server, Json, Version, str], tuple[int, Any]]
_OTHERS: Mapping[str, Action] = {
    "os-migrateLive": _live, "migrate": _cold, "confirmResize": _confirm, "revertResize": _revert,
    "evacuate": _evacuate, "lock": _lock, "unlock": _unlock, "os-resetState": _reset, "shelveOffload": _offload,
}  # fmt: skip


# -- migrations in progress


def steer(world: World, name: str, number: str, wish: str, version: Version, request: str) -> tuple[int, Any]:
    """Abort a live migration, or force it to complete."""
    found = server_of(world, name)
    if wish == "abort":
        guard(found, "abort live migration", "", frozenset({"migrating"}))
    else:
        guard(found, "force_complete", "active", frozenset({"migrating"}))
    migration = next((one for one in found.migrations or () if str(one.number) == number), None)
    if migration is None:
        raise Refused(404 if wish == "abort" else 400, f"Migration {number} not found for instance {name}")
    allowed = ("running", "queued", "preparing") if wish == "abort" and version >= (2, 65) else ("running",)
    if migration.status not in allowed:
        method = "abort live migration" if wish == "abort" else "force complete"
        raise Refused(
            400, f"Migration {number} state of instance {name} is {migration.status}. Cannot {method} while the"
            " migration is in this state.",
        )  # fmt: skip
    migration.wish = wish
    world.acted(found, "live_migration_cancel" if wish == "abort" else "live_migration_force_complete", request)
    return 202, None


# -- creation and deletion of servers


def create(world: World, body: Json, version: Version, request: str) -> tuple[int, Any]:
    """Request a server; it is built in a moment."""
    wish = body["server"]
    flavor = next((one for one in FLAVORS if one.id == str(wish["flavorRef"])), None)
    if flavor is None:
        raise Refused(400, f"Flavor {wish['flavorRef']} could not be found.")
    _, _, forced = str(wish.get("availability_zone") or "").partition(":")
    host = forced or (wish.get("host") if version >= (2, 74) else None)
    if host and host not in world.hosts:
        raise Refused(400, f"Compute host {host} could not be found.")
    made = Server(world.uuid(), world.number(), flavor, None, vm_state="building", task_state="scheduling")
    made.name, made.image, made.power_state = wish["name"], str(wish.get("imageRef") or ""), 0
    made.created = made.updated = world.clock.seconds
    made.metadata = dict(wish.get("metadata") or {})
    made.tags = tuple(wish.get("tags") or ()) if version >= (2, 52) else ()
    world.servers[made.id] = made
    if group := (body.get("os:scheduler_hints") or {}).get("group"):
        if group not in world.groups:
            raise Refused(400, f"Instance group {group} could not be found.")
        world.groups[group].members.append(made.id)
    world.acted(made, "create", request)
    world.clock.run(_built(world, made, host or None, bool(forced)))
    return 202, {"server": {"id": made.id, "OS-DCF:diskConfig": "MANUAL", "adminPass": "simulated"}}


def _built(world: World, made: Server, wanted: str | None, forced: bool) -> Course:
    yield world.random.uniform(0.1, 1.0)
    some = [world.hosts[wanted]] if wanted else list(world.hosts.values())
    ready = [host for host in some if host.running and world.up(host) and (forced or not host.disabled)]
    fit = [host for host in ready if world.fits(host, made.flavor.resources)]
    fit = [host for host in fit if forced or groups.allows(world, made, host)]
    if not fit:
        world.set(made, vm_state="error", task_state=None, fault="No valid host was found. ")
        return
    host = world.random.choice(fit)
    plug(world, made, host)
    world.allocate(made.id, host.node, made.flavor.resources)
    world.move(made, host.name)
    world.set(made, task_state="spawning")
    yield world.random.uniform(1.0, 5.0)
    if not host.running:
        return
    world.boot(made, host)
    world.set(made, vm_state="active", task_state=None, power_state=1)


def delete(world: World, name: str, request: str) -> tuple[int, Any]:
    """Delete a server."""
    found = server_of(world, name)
    world.set(found, task_state="deleting")
    world.acted(found, "delete", request)
    world.clock.run(_deleted(world, found))
    return 204, None


def _deleted(world: World, found: Server) -> Course:
    """By its nova-compute; if that is down, by the API, which destroys no guest (_local_delete)."""
    yield world.random.uniform(0.2, 2.0)
    host = world.hosts.get(found.host or "")
    if host is not None and world.up(host):
        yield from moving.reached(world, host)
        if not host.running:
            return
    if found.id in world.servers:
        world.bury(found)
