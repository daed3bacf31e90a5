# SPDX-License-Identifier: Apache-2.0
"""AppArmor kept a guest from a file or a device that it needs.

## What happens

libvirt confines each guest with an AppArmor profile that virt-aa-helper generates. Access to files that the helper does
not know about (vhost-net, disk chains in unusual places, devices of storage back ends) is denied, and QEMU exits with
"Permission denied".

## How it shows

The kernel logs ``apparmor="DENIED"`` with the profile ``libvirt-<id of the server>`` at the moment of the failure.

## What speaks against it

The denial is for another profile or another guest, and only happened at the same time.

## What to do

Add the path to the local libvirt-qemu abstraction, then start the guest again.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, hosts
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story, near

_DENIED = (
    r"apparmor=\"DENIED\" "
    r"operation=\"(?P<what>\w+)\".{0,300}?profile=\"libvirt-(?P<server>[0-9a-f-]{36})\" "
    r"name=\"(?P<path>[^\"]+)\""
)
_REFUSED = r"Permission denied|libvirtError|internal error"


def judge(story: Story) -> Iterator[Verdict]:
    """Blame AppArmor if it denied something to this server's own profile."""
    servers = {story.id} if story.kind == "server" else set(story.of("server"))
    denied = [m for m in story.find(_DENIED) if m.found["server"] in servers]
    if not denied:
        return
    refused = [
        m for m in story.find(_REFUSED, services=("nova", "libvirt", "qemu")) if near(m.entry, denied[0].entry, 60)
    ]
    yield Verdict(
        statement=(
            f"AppArmor denied the guest of {about(story)} {hosts(denied)} to "
            f"{denied[0].found['what']} {denied[0].found['path']}"
        ),
        evidence=evidence(denied, refused),
        confidence=Confidence.CERTAIN if refused else Confidence.LIKELY,
        confirm=("journalctl -k | grep DENIED on that host, while the guest is started once more",),
        remedies=(
            f"stackmend server apparmor {denied[0].found['server']}",
            "add the path to the local abstraction of libvirt-qemu",
        ),
    )


CAUSE = Cause(
    name="apparmor-denied",
    judge=judge,
    signs=(r"apparmor=\"DENIED\".*libvirt",),
    words=('apparmor="DENIED"',),
    explains=frozenset({"build-rescheduled", "no-valid-host", "guest-refused"}),
)
