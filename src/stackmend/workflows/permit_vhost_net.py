# SPDX-License-Identifier: Apache-2.0
"""Let a guest that runs open /dev/vhost-net, which its AppArmor profile denies it, so that a NIC can be attached.

## What it does
Adds the rule `/dev/vhost-net rw,` to the file of the guest's own rules on its host,
`/etc/apparmor.d/libvirt/libvirt-<uuid>.files`, and loads the profile again (`apparmor_parser -r`). A comment beside
the rule says that it is loaded: a step that broke off before is done again. A profile that cannot be loaded is put
back as it was. Then Nova attaches the port that `--port` names, or it is attached by hand. If the server can be
stopped, stop and start it instead: libvirt then creates the profile anew.

## Guards
The server is active or paused and idle. Its profile is enforced on its host and no such rule is known to be loaded,
neither its own nor one that all guests share; the device is there. The file reads as it did when the plan was made:
libvirt writes it, too. The port exists, and belongs to nobody; nova-compute is up where one is to be attached.

## Undo
Detaches the port that was attached, which is kept, removes the rule and loads the profile again. A NIC that was
attached by hand keeps working: QEMU has the device open. Where the guest was stopped meanwhile, libvirt has removed
the file, and nothing is left to take back.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud import compute
from stackmend.cloud.states import IN_MEMORY
from stackmend.hosts import apparmor
from stackmend.hosts.apparmor import DENYING, Verdict
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.interfaces import AttachInterface, DetachInterface
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Manual, Risk, Step
from stackmend.model.workflow import LaneDraft, Sight, Workflow


def _lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """One lane, for the guest. CannotRepair unless its profile prevents attaching a NIC."""
    server, root = str(arguments["server"]), str(arguments.get("root") or "")
    if sight.hosts is None:
        raise CannotRepair('no access to hosts is configured: [hosts] transport = "ssh" is usual')
    found = compute.server(sight.api, server)
    if found is None:
        raise UsageError(f"there is no server {server}", "See 'openstack server list --all-projects'.")
    host, state, task = (
        str(found.get(name) or "") for name in ("OS-EXT-SRV-ATTR:host", "OS-EXT-STS:vm_state", "OS-EXT-STS:task_state")
    )
    if task or state not in IN_MEMORY or not host:
        raise CannotRepair(f"server {server} is {task or state}: its profile is made anew when it starts")
    profile = apparmor.look(sight.hosts, host, server, root)
    if profile.verdict not in DENYING:
        raise CannotRepair(
            f"the AppArmor profile of server {server} on {host} is not what keeps it from a NIC"
            f" ({profile.verdict.value}): see 'stackmend server apparmor {server}'"
        )
    if not profile.device:
        raise CannotRepair(f"{host} has no {apparmor.DEVICE}: load the module vhost_net first")
    written = profile.verdict is Verdict.WRITTEN
    yield LaneDraft(
        resource_type="server",
        resource_id=server,
        message=f"let its guest on {host} open {apparmor.DEVICE}",
        steps=(
            apparmor.permit(host, server, profile.digest, root),
            *_attached(sight, server, str(arguments.get("port") or "")),
        ),
        slots=(f"on:{host}",),
        evidence=("a rule is written and not known to be loaded: it is loaded",) if written else (),
        target={"host": host, "file": profile.file, "only_there": list(profile.only_there)},
    )


def _attached(sight: Sight, server: str, port: str) -> Iterator[Step]:
    """Attach the port, or instructions for it."""
    if not port:
        yield Manual(text=f"attach the port again: openstack server add port {server} <port>")
        return
    asked = AttachInterface(server=server, port=port)
    if why := sight.api.lacks(AttachInterface):
        raise CannotRepair(why)
    seen = sight.api.look(asked)
    if seen["port"] == "absent":
        raise UsageError(f"there is no port {port}", "See 'stackmend port list --network NETWORK'.")
    if seen["port.device_id"]:
        raise CannotRepair(f"port {port} belongs to {seen['port.device_id']}: see 'stackmend port show {port}'")
    if (state := seen.get("host")) != "up":
        raise CannotRepair(
            f"nova-compute on its host is {state or 'unknown'}, and Nova attaches nothing there: start it first."
            " Without --port only the rule is added"
        )
    back = DetachInterface(server=server, port=port, keeps=True).call({"port.device_id": server})
    yield asked.call({"server": "present", "server.task_state": None, "host": "up", "port.device_id": ""}, back)


WORKFLOW = Workflow(name="permit-vhost-net", risk=Risk.SAFE, lanes=_lanes)
