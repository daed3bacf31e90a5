# SPDX-License-Identifier: Apache-2.0
"""nova-compute's answers about a guest to Nova's API: what its hypervisor runs, and its console."""

from __future__ import annotations

import re
from typing import Any

from stackmend_lab.simulated.things import RUNNING, Host, Refused, Server
from stackmend_lab.simulated.world import World

#: seconds to wait for a nova-compute that does not answer (rpc_response_timeout)
ANSWER = 60.0
#: power_state of the row -> its name (nova/compute/power_state.py)
_NAMES = {0: "pending", 1: "running", 3: "paused", 4: "shutdown", 6: "crashed", 7: "suspended"}
_NO_ANSWER = (
    "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ and attach the Nova API log if"
    " possible.\n<class 'oslo_messaging.exceptions.MessagingTimeout'>"
)


def _asked(world: World, found: Server) -> Host:
    """The host of a server, if its nova-compute answers; else 500 after a minute."""
    if found.host is None:
        raise Refused(409, f"Instance {found.id} is not ready")
    host = world.hosts[found.host]
    if not host.running:
        world.clock.sleep(ANSWER)
        raise Refused(500, _NO_ANSWER)
    return host


def diagnostics(world: World, found: Server) -> tuple[int, Any]:
    """Diagnostics of a running guest; refusal depends on the hypervisor, its message on the row."""
    host = _asked(world, found)
    if host.guests.get(found.id) != RUNNING:
        raise Refused(
            409, f"Cannot 'get_diagnostics' instance {found.id} while it is in power state {_NAMES[found.power_state]}"
        )
    return 200, {"state": "running", "driver": "libvirt", "hypervisor": "kvm"}


def console(world: World, found: Server, length: object) -> tuple[int, Any]:
    """The last lines of its console."""
    _asked(world, found)
    text = found.console
    if length is not None:
        last = int(str(length))
        text = "\n".join(text.split("\n")[-last:]) if last else ""
    return 200, {"output": re.sub("[\x00-\x08\x0b-\x1f]", "", text)}
