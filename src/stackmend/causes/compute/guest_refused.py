# SPDX-License-Identifier: Apache-2.0
"""libvirt or QEMU refused to define or to start the guest.

## What happens

nova-compute hands the guest's definition to libvirt, which starts QEMU. A file that is not there, a device that is in
use, an option that this QEMU does not know, a machine type of a newer release: the guest does not start.

## How it shows

``libvirtError`` in nova-compute's log, with libvirt's own words; the same in libvirtd's log, and QEMU's last line in
the log of the guest (``/var/log/libvirt/qemu/instance-....log``).

## What speaks against it

An error of libvirt that names AppArmor, a lock, a full disk, or memory: these are causes of their own.

## What to do

Read QEMU's own last line. A hard reboot writes the definition anew from Nova's records.
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
    """Unless the words belong to another cause."""
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
