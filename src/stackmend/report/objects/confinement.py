# SPDX-License-Identifier: Apache-2.0
"""What AppArmor lets a guest do, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from stackmend.hosts.apparmor import ABSTRACTIONS, DEVICE, Profile, Verdict
from stackmend.report.document import Document

COLUMNS = (("Server", "server"), ("Host", "host"), ("Last Attach", "attach"), ("AppArmor", "verdict"))
_SAYS = {
    Verdict.OFF: "AppArmor is not enabled on {host}: something else keeps the NIC away",
    Verdict.NONE: "the guest has no AppArmor profile on {host}: it is off, or something else confines it",
    Verdict.ALLOWED: f"its profile on {{host}} allows {DEVICE}: something else keeps the NIC away",
    Verdict.WRITTEN: f"a rule for {DEVICE} is written on {{host}} and is not known to be loaded: until it is, a NIC"
    " cannot be attached",
    Verdict.LACKING: f"its profile on {{host}} has no rule for {DEVICE}: a virtio NIC cannot be attached",
    Verdict.DENIED: f"AppArmor on {{host}} has denied it {DEVICE}: its profile is of a time without a virtio NIC",
}


#: what came of an attach, where Nova says why and where it does not
_CAME = {"failed": "failed in the hypervisor", "refused": "failed, and not in the hypervisor"}
_PLAIN = {"failed": "failed", "refused": "failed", "done": "went well"}


class _Confined(Protocol):
    @property
    def host(self) -> str: ...
    @property
    def attach(self) -> str: ...
    @property
    def fault(self) -> str: ...
    @property
    def profile(self) -> Profile: ...
    @property
    def commands(self) -> Sequence[str]: ...
    def as_dict(self) -> dict[str, Any]: ...


def confined(found: _Confined) -> Document:
    """The verdict, its evidence, and the commands to type (docs/schemas/apparmor.json)."""
    return Document(data=found.as_dict(), columns=COLUMNS, text="\n".join(_lines(found)))


def _lines(found: _Confined) -> Iterator[str]:
    profile = found.profile
    yield _SAYS[profile.verdict].format(host=found.host)
    if found.attach:
        came = f"{_CAME[found.attach]}: {found.fault}" if found.fault else _PLAIN[found.attach]
        yield f"the last attach of a NIC that Nova recorded {came}"
    if not profile.device:
        yield f"{found.host} has no {DEVICE}: load the module vhost_net first"
    if profile.denied:
        yield "the kernel denied it:"
        yield from (f"  {line}" for line in profile.denied[-3:])
    if profile.log:
        yield "nova-compute logged:"
        yield from (f"  {line}" for line in profile.log)
    if profile.only_there or profile.only_here:
        yield f"rules that differ from {profile.other}, without names and disks:"
        yield from (f"  - {line}" for line in profile.only_here)
        yield from (f"  + {line}" for line in profile.only_there)
    if found.commands:
        yield f"on {found.host}, as root, for this guest until it stops:"
        yield from (f"  {line}" for line in found.commands)
        yield f"then attach the port again. For every guest that starts later: the rule in {ABSTRACTIONS[1]}"
