# SPDX-License-Identifier: Apache-2.0
"""What a guest's serial console shows: a login prompt, or a problem that prevents one.

What Nova returns (nova/compute/manager.py: get_console_output; nova/virt/libvirt/driver.py: _get_console_output_file):
at most the last 100 KiB, including files that virtlogd has rotated; of these, the requested number of lines; every
non-ASCII byte as U+FFFD; no control characters except tab and newline, so that only the end of an escape sequence for
colours remains: ``[0;32m``. It includes the text of earlier boots.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: number of lines to read: enough for the report of a panic and what follows it
LINES = 200
#: kinds of events on a console
LOGIN, PANIC, FSCK, SHELL, BOOT = "login", "panic", "fsck", "shell", "boot"


@dataclass(frozen=True, slots=True)
class BootProblem:
    """A problem that prevents a guest from coming up."""

    pattern: re.Pattern[str]
    kind: str
    words: str


TROUBLES = (
    # Linux, kernel/panic.c
    BootProblem(re.compile(r"Kernel panic - not syncing"), PANIC, "a kernel panic"),
    # Linux, init/do_mounts.c
    BootProblem(
        re.compile(r"VFS: (?:Unable to mount root fs|Cannot open root device)"),
        PANIC, "a kernel without its root file system",
    ),
    # e2fsprogs, e2fsck/util.c and the init scripts that run it
    BootProblem(
        re.compile(r"UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY"), FSCK, "a file system that needs a manual fsck"
    ),
    BootProblem(re.compile(r"fsck(?:\.\w+)? .*(?:failed|exited with status code [48])", re.I), FSCK, "a failed fsck"),
    # util-linux, login-utils/sulogin.c; systemd, units/emergency.service and rescue.service
    BootProblem(
        re.compile(
            r"Give root password for (?:maintenance|login)|Press Enter for (?:maintenance|emergency shell)|"
            r"You are in (?:emergency|rescue) mode"
        ),
        SHELL, "an emergency shell that waits for input",
    ),
    # dracut, modules.d/98dracut-systemd; initramfs-tools, scripts/functions
    BootProblem(
        re.compile(r"Entering emergency mode|^\s*\(initramfs\)|dracut-initqueue.*timeout", re.M),
        SHELL, "an initramfs that does not find the root file system",
    ),
    # grub2, grub-core/normal/main.c and kern/rescue_reader.c
    BootProblem(re.compile(r"^grub(?: rescue)?> ?$", re.M), BOOT, "a boot loader that waits for input"),
    # SeaBIOS, src/boot.c
    BootProblem(re.compile(r"No bootable device|Boot failed: not a bootable disk"), BOOT, "no disk to boot from"),
    # edk2, the boot manager's shell
    BootProblem(re.compile(r"^Shell> ?$|BdsDxe: No bootable option", re.M), BOOT, "no disk to boot from"),
)  # fmt: skip
#: util-linux, term-utils/agetty.c: the prompt of a getty, also with automatic login, or with text that the kernel or
#: cloud-init wrote after it
_LOGIN = re.compile(r"^\S* ?login: ?(?:\w+ \(automatic login\).*|\[ *\d+\.\d+\].*)?$", re.M)
#: an escape sequence (ECMA-48, 5.4), complete or without the ESC, which Nova removes
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\[(?:[\d;?]+[A-HJKSTfhlm]|[HJKm](?!\w))(?!\])")
_CONTROLS = re.compile(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]")


def clean(text: str) -> str:
    """The text without escape sequences and control characters."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def seen(text: str) -> list[tuple[str, str]]:
    """(kind, words) of everything that a text shows, in order."""
    found = [(match.start(), one.kind, one.words) for one in TROUBLES for match in one.pattern.finditer(text)]
    found += [(match.start(), LOGIN, "a login prompt") for match in _LOGIN.finditer(text)]
    return [(kind, words) for _, kind, words in sorted(found)]


def shown(text: str) -> str:
    """What the last lines show: "login", a problem in words, or "" for neither."""
    kind, words = (seen(text) or [("", "")])[-1]
    return LOGIN if kind == LOGIN else words


def since_login(events: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The events after the last login prompt: problems before it are over."""
    last = max((at for at, (kind, _) in enumerate(events) if kind == LOGIN), default=-1)
    return list(events[last + 1 :])


def added(before: str, now: str) -> str:
    """The text added between two readings of a console.

    The beginning of the first text may be missing from the second, which has a limited number of lines. If the second
    contains nothing of the first, all of it is new. A line begun before is included completely, unless it already
    showed an event.
    """
    starts = [0, *(match.end() for match in re.finditer("\n", before))]
    at = next((start for start in starts if start < len(before) and now.startswith(before[start:])), None)
    if at is None:
        return now
    new = now[len(before) - at :]
    begun = before.rpartition("\n")[2]
    return begun + new if new and not seen(begun) else new
