# SPDX-License-Identifier: Apache-2.0
"""The proof that a host is dead: its nova-compute is silent, and it is cut off from its guests' storage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from stackmend.cloud import compute
from stackmend.model.errors import UsageError
from stackmend.model.operations.compute_hosts import AwaitSilence, DeclareDown, DeclaredSeen, DeclareUp
from stackmend.model.repair import CannotRepair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ApiCall, Gate, HostCommand, Manual, Risk, Step
from stackmend.model.values import text, texts
from stackmend.model.workflow import LaneDraft, Sight

#: seconds without a heartbeat after which Nova considers a service dead, by default (service_down_time)
SILENT = 60


def moment(text: object) -> datetime | None:
    """A time as services print it (UTC, with or without a zone), with a time zone; None if there is none."""
    if not text:
        return None
    found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def now(sight: Sight) -> datetime:
    """The time of the databases if they are configured, else of this machine."""
    found = moment(sight.live.now() if sight.live is not None else sight.now)
    if found is None:
        raise UsageError("the plan has no creation time")
    return found


def silent_service(sight: Sight, host: str) -> Mapping[str, object]:
    """nova-compute of a silent host; CannotRepair if it is alive.

    Forced down proves nothing: the heartbeat itself must be old as well. The API shows when the service changed
    last, which may have been by an operator; the database shows the heartbeat.
    """
    found = compute.service(sight.api, host)
    if found["state"] == "up":
        raise CannotRepair(
            f"nova-compute on {host} is up: use 'stackmend host drain {host}' to move servers off a live host."
            f" By default, Nova considers a host dead after {SILENT} s without a heartbeat"
        )
    beat = _heartbeat(sight, found)
    age = (now(sight) - beat).total_seconds() if beat else None
    if found.get("forced_down") and age is not None and age < SILENT:
        raise CannotRepair(
            f"{host} is forced down, but its nova-compute may be alive: it reported, or was changed, {max(0, age):.0f}"
            " s ago. Its guests may still write to their disks; if you changed it, try again in a minute"
        )
    sight.facts["service"] = {
        "id": found["id"],
        "state": found["state"],
        "forced_down": bool(found.get("forced_down")),
        "heartbeat": beat.isoformat() if beat else None,
        "silent_for": None if age is None else int(age),
    }
    return found


def _heartbeat(sight: Sight, found: Mapping[str, object]) -> datetime | None:
    """When nova-compute last reported, as far as known."""
    if sight.live is not None:
        for cell in sight.live.cells():
            for row in sight.live.rows(cell_database(cell), "services", {"uuid": str(found["id"]), "deleted": 0}):
                return moment(row.get("last_seen_up"))
    return moment(found.get("updated_at"))


def fence(sight: Sight, host: str, word: bool) -> Iterator[LaneDraft]:
    """The first lane, in which the hook fences the host; none if the operator asserts that it is fenced.

    CannotRepair without either. The evidence becomes a fact of the plan, and so is in the journal.
    """
    hook = texts(sight.settings.get("hooks.fence"))
    if word:
        sight.facts["fenced"] = "by the operator's assertion (--fenced)"
        return
    if not hook:
        raise CannotRepair(
            f"it is not known that {host} is cut off: while it runs, its guests write to the same disks as those"
            " started elsewhere. Configure [hooks] fence, or cut its power or its access to the storage, and pass"
            " --fenced"
        )
    sight.facts["fenced"] = f"by the hook: {' '.join(hook)}"
    words = tuple(part.replace("{host}", host) for part in hook)
    yield LaneDraft(
        resource_type="host",
        resource_id=host,
        message=f"{host} is cut off from what its guests write to",
        steps=(HostCommand(host="", argv=words, probe=words),),
        stage=0,
        required=True,
    )


def no_heartbeat_since(host: str, found: Mapping[str, object]) -> ApiCall:
    """Check again when the plan is applied: it has sent no heartbeat since."""
    return AwaitSilence(host=host, changed=text(found.get("updated_at"))).call()


def declared(sight: Sight, host: str, found: Mapping[str, object]) -> LaneDraft:
    """The second lane: it has sent no heartbeat since the plan was made, and is now forced down in Nova.

    It can be undone as long as no evacuation from the host is open: after that, its return requires work first. At its
    gate, if gates are wanted, a human confirms once more that the host is cut off.
    """
    service = str(found["id"])
    back = DeclareUp(host=host, service=service).call({"evacuations": 0})
    expect: DeclaredSeen = {"service.state": "down", "service.changed": text(found.get("updated_at"))}
    steps: tuple[Step, ...] = (
        Gate(name=f"fenced-{host}", text=f"{host} runs nothing, and reaches no storage and no network"),
        no_heartbeat_since(host, found),
    )
    if not found.get("forced_down"):
        steps = (*steps, DeclareDown(host=host, service=service).call(expect, back))
    return LaneDraft(
        resource_type="host",
        resource_id=host,
        message=f"Nova is told that {host} is dead; it is fenced {sight.facts['fenced']}",
        steps=steps,
        stage=1,
        required=True,
        target={"service": dict(found), "fenced": sight.facts["fenced"]},
    )


def afterwards(sight: Sight, host: str, stage: int, *, moving: bool = True) -> Iterator[LaneDraft]:
    """The last lanes: the operator's hook, if any, purges its queue; and the instructions for its return.

    ``moving``: this plan moves servers off it after it was fenced.
    """
    hook = texts(sight.settings.get("hooks.purge_queue")) if moving else ()
    purge = tuple(part.replace("{host}", host) for part in hook)
    if purge:
        yield LaneDraft(
            resource_type="host",
            resource_id=host,
            message=f"requests sent to nova-compute on {host} while it was dead are discarded",
            # repeating it does no harm
            steps=(HostCommand(host="", argv=purge, probe=purge),),
            stage=stage - 1,
        )
    words = returning(host, purged=bool(purge))
    sight.facts["when_it_returns"] = words
    yield LaneDraft(
        resource_type="host",
        resource_id=host,
        message="when it comes back",
        steps=(Manual(text=words),),
        stage=stage,
        risk=Risk.MANUAL,
    )


def returning(host: str, *, purged: bool = False) -> str:
    """The steps, in order, for when the host comes back."""
    queue = (
        f"requests sent to it after this run wait in its queue (compute.{host}): purge it again if there were any"
        if purged
        else f"purge its queue of requests sent while it was dead (rabbitmqctl purge_queue compute.{host}, or"
        " [hooks] purge_queue): a start that waits there boots a guest that now runs elsewhere"
    )
    return (
        f"When {host} comes back: (1) keep it fenced from storage and from the servers' networks, with"
        " management access only; let no guest start with it (no autostart, resume_guests_state_on_host_boot = false);"
        f" {queue}."
        " (2) Start nova-compute: it destroys the guests that were evacuated, by their evacuation records, keeps disks"
        " that their new host shares, deletes the others, removes their allocations and sets the records to"
        f" completed. (3) 'stackmend host return {host}' waits until every record is completed, and moves nothing"
        " back before; only then lift the fence and unset forced_down. Starting a guest there by hand before that"
        " is a second writer on its disks. If the host never comes back: delete its compute service"
        " ('openstack compute service delete'), which needs it empty, and its network agents"
    )
