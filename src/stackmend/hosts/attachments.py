# SPDX-License-Identifier: Apache-2.0
"""Nova's own commands to renew the connection of a volume (``nova-manage volume_attachment``, since release 24).

A connector is a host's description of itself for a storage back end. It is read on the host while the plan is made; the
refresh itself runs wherever nova-manage can reach Nova's databases and message queue.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from stackmend.model.repair import CannotRepair
from stackmend.model.step import HostCommand
from stackmend.model.values import texts
from stackmend.model.workflow import Sight

_GET = ("nova-manage", "volume_attachment", "get_connector", "--json")
#: $1 connector, $2 server, $3 volume
_REFRESH = (
    'file=$(mktemp) && printf %s "$1" > "$file" && nova-manage volume_attachment refresh "$2" "$3" "$file";'
    ' code=$?; rm -f "$file"; exit $code'
)
#: $1 server, $2 volume, $3 the attachment to be replaced; a new one without connection failed halfway
_PROBE = (
    'shown=$(nova-manage volume_attachment show "$1" "$2") || exit 2;'
    ' case "$shown" in *"$3"*) exit 1;; esac;'
    ' case "$shown" in *driver_volume_type*) exit 0;; esac; exit 1'
)
#: time limit of a refresh in seconds: the back end creates a new export
_LIMIT = 900.0
#: time limit for a query with nova-manage in seconds: it loads all of Nova first
_ASKING = 180.0


def container_prefix(sight: Sight) -> tuple[str, ...]:
    """What precedes a command to run in the container of nova-compute; () if there is none."""
    return texts(sight.settings.get("hosts.container"))


def connector(sight: Sight, host: str) -> str:
    """The connector of a host as JSON; "" if no access to hosts is configured. CannotRepair if it has none."""
    if sight.hosts is None:
        return ""
    done = sight.hosts.run(host, (*container_prefix(sight), *_GET), limit=_ASKING)
    text = done.out.decode("utf-8", "replace").strip()
    try:
        found = json.loads(text) if done.code == 0 else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("host") != host:
        raise CannotRepair(
            f"nova-manage on {host} does not show the connector of that host (exit code {done.code}): try"
            f" '{shlex.join(_GET)}' there, in the container of nova-compute if there is one"
        )
    return json.dumps(found, sort_keys=True)


def manages(sight: Sight, host: str) -> None:
    """CannotRepair unless the host named by the operator has nova-manage; HostUnreachable if it cannot be reached."""
    if sight.hosts is None:
        return
    done = sight.hosts.run(host, (*container_prefix(sight), "sh", "-c", "command -v nova-manage"), limit=_ASKING)
    if done.code != 0:
        raise CannotRepair(
            f"there is no nova-manage on {host}: give --manage-on a host that has one and reaches Nova's databases"
        )


def refreshed(
    sight: Sight, found: str, *, server: str, volume: str, attachment: str, manage: str
) -> HostCommand:  # fmt: skip
    """The command on host ``manage`` that replaces this attachment of the stopped server by a new one."""
    front = container_prefix(sight) if manage else ()
    return HostCommand(
        host=manage,
        argv=(*front, "sh", "-c", _REFRESH, "refresh", found, server, volume),
        probe=(*front, "sh", "-c", _PROBE, "probe", server, volume, attachment),
        limit=_LIMIT,
    )


def by_hand(host: str, server: str, volumes: Sequence[str]) -> str:
    """The same as text, in the order in which it is typed."""
    lines = [f"on {host}: {shlex.join(_GET)} > connector.json", "then, where nova-manage reaches Nova's databases:"]
    lines += [
        shlex.join(("nova-manage", "volume_attachment", "refresh", server, volume, "connector.json"))
        for volume in volumes
    ]
    return "; ".join(lines)
