# SPDX-License-Identifier: Apache-2.0
"""libguestfs: Linux in a QEMU of its own, for logs that no program can replay without a kernel: those of XFS.

One launch serves all logs of a disk. It takes about 5 s with KVM and 15 to 60 s without, so it happens only if such a
log is dirty and asked for, and only where guestfish is installed. It works on copy-on-write files inside the sandbox.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stackmend.drivers.disks.programs import PATH, Ended, TooSlowError, run
from stackmend.model.errors import SourceError
from stackmend.model.objects.inspection import LIBGUESTFS

#: limit on the logs replayed in one launch
MOST = 16
#: seconds after which KVM is given up: on some machines it is there and does not work
_KVM_LIMIT = 60.0
#: bytes: QEMU's guest has 1280 MiB
_MEMORY = 4 << 30
#: what an operator may set: where the appliance and its kernel are, and how QEMU runs
_TOLD = ("LIBGUESTFS_PATH", "LIBGUESTFS_BACKEND_SETTINGS", "LIBGUESTFS_CACHEDIR", "LIBGUESTFS_HV", "LIBGUESTFS_MEMSIZE",
         "SUPERMIN_KERNEL", "SUPERMIN_KERNEL_VERSION", "SUPERMIN_MODULES")  # fmt: skip
#: a message of the kernel about a file system, but for those of each mount
_REASON = re.compile(r"XFS \((sd[a-z])\): (?!Mounting|Starting recovery|Ending|Unmounting)(.*)")


def missing(limit: float = LIBGUESTFS) -> str:
    """Why no log can be replayed; "" if one can, as far as is known before a launch. ``limit``: seconds allowed."""
    if not limit:
        return "[hosts] libguestfs is 0"
    return "" if shutil.which("guestfish", path=PATH) else "guestfish is not installed on this machine"


def replayed(views: Sequence[Path], folder: Path, limit: float = LIBGUESTFS) -> list[str]:
    """Replay the logs of the XFS in these files, which are written to; what the kernel said of each, "" for nothing.

    ``folder``: a private one; ``limit``: seconds. SourceError if the appliance cannot be launched, or is too slow.
    """
    words: list[str] = []
    for view in views[:MOST]:
        words += ["add-drive", str(view), "format:raw", "cachemode:unsafe", ":"]
    words.append("run")
    devices = [f"sd{chr(ord('a') + number)}" for number in range(len(views[:MOST]))]
    for device in devices:
        # a clone has the UUID of its original. A failed mount does not keep the others from being replayed
        words += [":", "-mount-options", "nouuid", f"/dev/{device}", "/", ":", "umount-all"]
    said = _launched(["guestfish", "--", *words, ":", "dmesg"], folder, limit).out.decode("utf-8", "replace")
    reasons: dict[str, list[str]] = {device: [] for device in devices}
    for match in _REASON.finditer(said):
        reasons.get(match[1], []).append(match[2].strip())
    return [*(_printable("; ".join(several)) for several in reasons.values()), *("too many logs" for _ in views[MOST:])]


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text)[:200]


def _launched(argv: Sequence[str], folder: Path, limit: float) -> Ended:
    """The result of the first way to run QEMU that works: with KVM, or without."""
    why = "it does not say why"
    for settings, seconds in _ways(limit):
        try:
            ended = run(argv, limit=seconds, memory=_MEMORY, more=_environment(folder, settings))
        except TooSlowError:
            why = f"it was ended after {seconds:g} s"
            continue
        if not ended.code:
            return ended
        # the error is followed by advice
        errors = [line.partition("error: ")[2] for line in ended.said if "error: " in line]
        why = (errors or [ended.err])[0] or f"guestfish ended with {ended.code}"
    raise SourceError(f"libguestfs failed: {why}")


def _ways(limit: float) -> Iterator[tuple[str, float]]:
    """(backend settings, seconds)."""
    told = os.environ.get("LIBGUESTFS_BACKEND_SETTINGS")
    if told is not None:
        yield told, limit
        return
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        yield "", min(_KVM_LIMIT, limit)
    yield "force_tcg", limit


def _environment(folder: Path, settings: str) -> Mapping[str, str]:
    told = {name: os.environ[name] for name in _TOLD if name in os.environ}
    return {
        "LIBGUESTFS_CACHEDIR": told.get("LIBGUESTFS_CACHEDIR") or str(_cache(Path("/var/tmp"))),  # noqa: S108 - checked
        **told,
        "LIBGUESTFS_BACKEND": "direct",
        "LIBGUESTFS_BACKEND_SETTINGS": settings,
        # sockets and overlays: removed with the sandbox
        "TMPDIR": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "HOME": str(folder),
        # the appliance is built in the sandbox, where there is one account
        "TAR_OPTIONS": "--no-same-owner",
    }


def _cache(base: Path) -> Path:
    """The folder of this account in which libguestfs keeps its appliance, about 370 MB; SourceError if it is not safe.

    In the sandbox every account has the id 0, and the folder that libguestfs would take may be root's.
    """
    account = Path("/proc/self/uid_map").read_text(encoding="ascii").split()[1]
    folder = base / f"stackmend-{account}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise SourceError(f"{folder} is not a private folder of this account: it is not used", "Remove it.")
    return folder
