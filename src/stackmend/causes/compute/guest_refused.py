# SPDX-License-Identifier: Apache-2.0
"""libvirt or QEMU refused to define or to start the guest.

## What happens

nova-compute hands the guest's definition to libvirt, which starts QEMU. The guest does not start if a file is missing,
a device is in use, this QEMU does not know an option, or the machine type belongs to a newer release.

## How it shows

nova-compute's log has a ``libvirtError`` with libvirt's own message, and libvirtd's log has the same message. QEMU's
last line is in the log of the guest (``/var/log/libvirt/qemu/instance-....log``).

## What speaks against it

The libvirt error names AppArmor, a lock, a full disk or memory: each of these is a cause of its own.

## What to do

Read the last line that QEMU logged. A hard reboot generates the definition again from Nova's records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, hosts
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_REFUSED = r"libvirt\.?libvirtError: (?P<why>.+)|libvirtError: (?P<other>.+)"
_QEMU = r"^(?:qemu\S*|kvm): (?P<why>.+)"
_OTHERS = (
    r"apparmor|AppArmor|No space left|Cannot allocate memory|Cannot recv data|Domain not found|no domain with matching"
    r"|CPU doesn't match|CPU is incompatible|not compatible with host CPU|Address already in use"
    r"|Failed to connect socket|unable to connect to server"
    r"|guest agent|Timed out during operation|[Mm]igration|multipath"
)


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if libvirt or QEMU refused, unless the message belongs to another cause."""
    nova = [m for m in story.find(_REFUSED, services=("nova",)) if not re.search(_OTHERS, m.found[0])]
    qemu = [m for m in story.find(_QEMU, services=("qemu",), levels=("ERROR",)) if not re.search(_OTHERS, m.found[0])]
    if not nova:
        return
    libvirtd = story.find(r"internal error|unsupported configuration", services=("libvirt",), levels=("ERROR",))
    why = next(iter([m.found["why"] for m in qemu] or [m.found["why"] or m.found["other"] for m in nova]), "")
    yield Verdict(
        statement=f"libvirt refused the guest of {about(story)} {hosts(nova)}: {why.splitlines()[0][:200]}",
        evidence=evidence(nova, libvirtd, qemu),
        confidence=Confidence.CERTAIN,
        confirm=("the guest's own log in /var/log/libvirt/qemu on that host: its last line before 'shutting down'",),
        remedies=(
            (
                f"openstack server reboot --hard {story.id if story.kind == 'server' else 'SERVER'}  "
                f"# writes the definition anew"
            ),
            "on the host: virsh domxml-to-native, and the QEMU that the definition names",
        ),
    )


CAUSE = Cause(
    name="guest-refused",
    judge=judge,
    signs=(r"libvirtError: (?:internal error|unsupported configuration|XML error|operation failed)",),
    explains=frozenset({"build-rescheduled", "no-valid-host"}),
)
