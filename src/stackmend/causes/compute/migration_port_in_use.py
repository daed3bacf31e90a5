# SPDX-License-Identifier: Apache-2.0
"""A live migration could not be begun on the target: the port was in use, or the connection was refused.

## What happens

QEMU on the target listens on a port in libvirt's range (49152 and up). Another program has taken a port in this range,
a firewall blocks the range, or the source cannot reach the target's libvirtd under the name it uses.

## How it shows

"Address already in use", "Failed to bind socket" or "unable to connect to server at ...: Connection refused", in a
message about a migration.

## What speaks against it

The migration ran for a while before it failed.

## What to do

Move the range of ephemeral ports (net.ipv4.ip_local_port_range) out of libvirt's range, or open the firewall.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, hosts
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_USED = (
    r"(?:Failed to bind socket|Failed to find an available port|bind).*?Address already in use"
    r"|Unable to find an unused port in range 'migration'"
)
_REFUSED = (
    r"unable to connect to server at ['\"]?(?P<target>[\w.:-]+)['\"]?: (?:Connection refused|No "
    r"route to host|Connection timed out)|Cannot recv data: (?:Host key|Permission|Connection)|end "
    r"of file while reading data.*(?:qemu\+|ssh)"
)
_MIGRATION = r"[Ll]ive [Mm]igration|migrateToURI|live_migration|Migrat"


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it only in a migration."""
    if not story.find(_MIGRATION):
        return
    used, refused = story.find(_USED), story.find(_REFUSED, services=("nova", "libvirt"))
    if not (used or refused):
        return
    target = next((m.found["target"] for m in refused if m.found["target"]), "")
    yield Verdict(
        statement=f"the live migration of {about(story)} could not be begun {hosts(used or refused)}: "
        + (
            "the port on the target was in use"
            if used
            else f"the target {target or ''} was not reached".replace("  ", " ")
        ),
        evidence=evidence(used, refused),
        confidence=Confidence.CERTAIN,
        confirm=("on the target: ss -tlnp, and cat /proc/sys/net/ipv4/ip_local_port_range",),
        remedies=(
            "keep 49152-49215 free of other programs, or change migration_port_min in qemu.conf",
            "open the port, or correct live_migration_inbound_addr of the target",
        ),
    )


CAUSE = Cause(
    name="migration-port-in-use",
    judge=judge,
    signs=(r"Failed to bind socket.*Address already in use", r"unable to connect to server at .*: Connection refused"),
    explains=frozenset({"guest-refused"}),
)
