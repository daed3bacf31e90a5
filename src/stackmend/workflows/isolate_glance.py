# SPDX-License-Identifier: Apache-2.0
"""Take a Glance node out of its load balancer, with the operator's own command.

## What it does
Runs the configured hook ([hooks] balancer_out, containing {host}) on the machine that runs stackmend. This is the
immediate remedy for a node that lacks the content of images: builds stop failing at once, and there is time to copy.

## Guards
The hook must be configured. With [hooks] balancer_status, the output of that hook ("in" or "out") decides whether the
step was done; without it, exit code 0 means success. At least one node has to stay: if [images] names the nodes, the
last one that is in the balancer is not taken out.

## Undo
Puts the node back with [hooks] balancer_in. Without that hook the plan is marked irreversible before anybody consents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stackmend.hosts.image_stores import StoreSpec
from stackmend.hosts.units import hook
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.protocols import Hosts
from stackmend.model.repair import CannotRepair
from stackmend.model.step import HostCommand, Risk
from stackmend.model.values import texts
from stackmend.model.workflow import LaneDraft, Sight, Workflow

_HOOKS = {"out": ("balancer_out", "balancer_in"), "in": ("balancer_in", "balancer_out")}
#: $1: the state that is wanted; then the hook
_STATUS = (
    'w=$1; shift; s=$("$@") || exit 2; s=$(printf %s "$s" | tr A-Z a-z | tail -n 1);'
    ' case $s in in | out) ;; *) echo "neither in nor out: $s" >&2; exit 2 ;; esac; [ "$s" = "$w" ]'
)


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """One lane: the hook."""
    host, wanted = str(arguments["host"]), "in" if arguments.get("back") else "out"
    if host.startswith("-") or not host.replace(".", "").replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"{host!r} is not a valid host name", "Use letters, digits, dots and dashes.")
    name, back = _HOOKS[wanted]
    command = hook(sight.settings, name, host, back=back)
    if command is None:
        raise CannotRepair(f"[hooks] {name} is not configured: stackmend has no other way to do this")
    if wanted == "out":
        _others(sight, host)
    yield LaneDraft(
        resource_type="host",
        resource_id=host,
        message=f"Glance on {host} is {wanted} of its balancer, by [hooks] {name}"
        if wanted == "out"
        else f"Glance on {host} is in its balancer again, by [hooks] {name}",
        steps=(_probed(command, sight.settings, host, wanted),),
    )


def _status(settings: Mapping[str, object], host: str, wanted: str) -> tuple[str, ...]:
    words = tuple(word.replace("{host}", host) for word in texts(settings.get("hooks.balancer_status")))
    return ("sh", "-c", _STATUS, "balancer", wanted, *words) if words else ()


def _probed(command: HostCommand, settings: Mapping[str, object], host: str, wanted: str) -> HostCommand:
    return HostCommand(
        host="", argv=command.argv, probe=_status(settings, host, wanted), inverse=command.inverse, limit=120.0
    )


def _others(sight: Sight, host: str) -> None:
    """CannotRepair if no other node is known to be in the balancer."""
    nodes = list(dict.fromkeys(StoreSpec.of(one).host for one in texts(sight.settings.get("images.stores"))))
    others = [one for one in nodes if one != host]
    if nodes and not others:
        raise CannotRepair(f"{host} is the only node of Glance that [images] knows: without it nothing is served")
    if not others or not _status(sight.settings, host, "in") or sight.hosts is None:
        sight.facts["not_known"] = "whether another node is in the balancer: see [images] stores, balancer_status"
        return
    if not any(_is_in(sight.hosts, sight.settings, one) for one in others):
        raise CannotRepair(f"no other node of Glance is in the balancer ({', '.join(others)}): put one back first")


def _is_in(hosts: Hosts, settings: Mapping[str, object], host: str) -> bool:
    return hosts.run("", _status(settings, host, "in"), limit=60.0).code == 0


WORKFLOW = Workflow(name="isolate-glance", risk=Risk.SAFE, lanes=lanes, needs_api=False)
