# SPDX-License-Identifier: Apache-2.0
"""Whether AppArmor prevents attaching a NIC: Nova's record of the last attach, and the guest's profile on its host."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

from stackmend.app import apis, hosts
from stackmend.cloud import compute
from stackmend.config.settings import Config
from stackmend.hosts import apparmor
from stackmend.hosts.apparmor import Profile
from stackmend.model.api import Resource
from stackmend.model.errors import ConfigError, UsageError
from stackmend.model.protocols import Api

_ATTACH = "attach_interface"
#: of ``nova.exception.InterfaceAttachFailed``: in what an event failed with, and in tracebacks of older clouds
_SIGNS = ("Failed to attach network adapter device", "InterfaceAttachFailed(")


@dataclass(frozen=True, slots=True, kw_only=True)
class Confined:
    """A guest, and what prevents attaching a NIC to it."""

    server: str
    host: str
    attach: str  #: the result of the last attach of a NIC that Nova recorded: "", "failed", "refused", "done"
    fault: str = ""  #: its error
    profile: Profile

    @property
    def kept(self) -> bool:
        """Whether the profile makes the attach of a NIC fail."""
        return self.profile.verdict in apparmor.DENYING

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands to type on the host; () if the profile is not the cause."""
        return apparmor.by_hand(self.server, self.profile.verdict) if self.kept else ()

    def as_dict(self) -> dict[str, Any]:
        """JSON values (docs/schemas/apparmor.json)."""
        found = self.profile
        return {
            "server": self.server,
            "host": self.host,
            "attach": self.attach,
            "fault": self.fault,
            "verdict": found.verdict.value,
            "file": found.file,
            "device": found.device,
            "denied": list(found.denied),
            "log": list(found.log),
            "other": found.other,
            "only_here": list(found.only_here),
            "only_there": list(found.only_there),
            "commands": list(self.commands),
        }


def look(config: Config, server: str, root: str = "") -> Confined:
    """Query Nova and the host of the server. UsageError if it has no host, ConfigError if hosts cannot be reached.

    ``root``: where the host's file system is mounted, "" for the host itself.
    """
    reach = hosts.reach(config)
    if reach is None:
        raise ConfigError("no access to hosts is configured", 'Write [hosts] and transport = "ssh".')
    with closing(reach), closing(apis.executor(config)) as calls:
        api = calls.ready()
        found = compute.server(api, server)
        host = str((found or {}).get("OS-EXT-SRV-ATTR:host") or "")
        if not host:
            raise UsageError(f"server {server} is on no host", "A guest has a profile where it runs.")
        last = next((one for one in compute.actions(api, server) if one["action"] == _ATTACH), None)
        attach, fault = _attached(api, server, last)
        profile = apparmor.look(reach, host, server, root)
        return Confined(server=server, host=host, attach=attach, fault=fault, profile=profile)


def _attached(api: Api, server: str, last: Resource | None) -> tuple[str, str]:
    """The result of the last attach: "failed" in the hypervisor, "refused" by another component."""
    if last is None or not last.get("message"):
        return "" if last is None else "done", ""
    said = compute.fault(api, server, last)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    known = next((line for line in reversed(lines) if any(sign in line for sign in _SIGNS)), "")
    return "failed" if known or not lines else "refused", known or (lines[-1] if lines else "")
