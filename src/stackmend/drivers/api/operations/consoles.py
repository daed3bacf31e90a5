# SPDX-License-Identifier: Apache-2.0
"""What the console of a guest shows: read, never written to."""

from __future__ import annotations

import hashlib
import re

from stackmend.drivers.api.operations import Implementation, OfServer, Reader, _servers, nothing
from stackmend.drivers.api.session import Request, segment
from stackmend.model.errors import SourceError
from stackmend.model.operations.compute import ConsoleMoves, ConsoleSeen
from stackmend.model.step import StepState

#: lines of a console that are looked at
_LINES = 200
#: what keeps a guest from coming up: words -> (what it is, whose words they are). The last one that is found counts.
TROUBLES: tuple[tuple[re.Pattern[str], str], ...] = (
    # Linux, kernel/panic.c
    (re.compile(r"Kernel panic - not syncing"), "a kernel panic"),
    # Linux, init/do_mounts.c
    (re.compile(r"VFS: (?:Unable to mount root fs|Cannot open root device)"), "a kernel without its root file system"),
    # e2fsprogs, e2fsck/util.c and the init scripts that run it
    (re.compile(r"UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY"), "a file system that wants fsck by hand"),
    (re.compile(r"fsck(?:\.\w+)? .*(?:failed|exited with status code [48])", re.I), "an fsck that failed"),
    # util-linux, login-utils/sulogin.c; systemd, units/emergency.service and rescue.service
    (
        re.compile(
            r"Give root password for (?:maintenance|login)|Press Enter for (?:maintenance|emergency shell)|"
            r"You are in (?:emergency|rescue) mode"
        ),
        "an emergency shell that waits for somebody",
    ),
    # dracut, modules.d/98dracut-systemd; initramfs-tools, scripts/functions
    (
        re.compile(r"Entering emergency mode|^\s*\(initramfs\)|dracut-initqueue.*timeout", re.M),
        "an initramfs that does not find the root file system",
    ),
    # grub2, grub-core/normal/main.c and kern/rescue_reader.c
    (re.compile(r"^grub(?: rescue)?> ?$", re.M), "a boot loader that waits for somebody"),
    # SeaBIOS, src/boot.c
    (re.compile(r"No bootable device|Boot failed: not a bootable disk"), "no disk to boot from"),
    # edk2, the boot manager's shell
    (re.compile(r"^Shell> ?$|BdsDxe: No bootable option", re.M), "no disk to boot from"),
)
#: util-linux, term-utils/agetty.c: the prompt of a getty
_LOGIN = re.compile(r"^\S* ?login: ?$", re.M)


def shown(text: str) -> str:
    """ "login", a trouble in words, or "" where the last lines tell neither."""
    found = [(match.start(), what) for pattern, what in TROUBLES for match in pattern.finditer(text)]
    found += [(match.start(), "login") for match in _LOGIN.finditer(text)]
    return max(found)[1] if found else ""


def look(reader: Reader, asked: OfServer) -> ConsoleSeen:
    """``console``: a digest of its last lines, None where there is no console to read; ``shows``: see :func:`shown`."""
    found = _servers.read(reader, asked.server)
    if found is None:
        return {"server": "absent", "console": None, "shows": ""}
    answer = reader.reply(
        Request(
            service="compute",
            method="POST",
            path=f"/servers/{segment(asked.server)}/action",
            body={"os-getConsoleOutput": {"length": _LINES}},
            microversion="2.1",
        )
    )
    if answer.status >= 500 and answer.status != 501:
        raise SourceError(f"the console cannot be read: {answer.status} {answer.words}")
    text = str((answer.body or {}).get("output") or "") if answer.good else ""
    digest = hashlib.sha256(text.encode()).hexdigest()[:16] if text.strip() else None
    return {**_servers.picture(found), "console": digest, "shows": shown(text)}


def _moves(picture: ConsoleSeen, asked: ConsoleMoves) -> StepState:
    """A guest that writes to no console tells nothing, for or against it."""
    if picture["server"] == "absent" or picture["server.vm_state"] != "active":
        return StepState.FAILED
    if picture["console"] == asked.before:
        return StepState.DONE if picture["console"] is None else StepState.INTENT
    if picture["console"] is None:
        return StepState.INTENT
    return StepState.DONE if picture["shows"] in ("", "login") else StepState.FAILED


OPERATIONS = (
    Implementation(
        of=ConsoleMoves, requests=nothing, look=look, judge=_moves,
        microversion="2.1", again=True, limit=180,
        waits="see that the console of server {server} has moved on, and shows neither panic nor fsck",
    ),
)  # fmt: skip
