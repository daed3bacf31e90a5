# SPDX-License-Identifier: Apache-2.0
"""The last boot of a guest, from its wtmp: fixed records (``struct utmp`` of glibc)."""

from __future__ import annotations

import struct

PATH = "/var/log/wtmp"
#: a longer file is not read: bytes
SIZE = 8 << 20
#: ut_type at 0, ut_tv at 340; the same on all little-endian platforms whose wtmp is shared with 32-bit programs
_RECORD = struct.Struct("<h338xi40x")
_BOOT_TIME = 2


def last(wtmp: bytes) -> float:
    """Time of the last boot in seconds since 1970; 0 if there is none. A crash may have cut off the last record."""
    whole = wtmp[: len(wtmp) // _RECORD.size * _RECORD.size]
    times = [at for kind, at in _RECORD.iter_unpack(whole) if kind == _BOOT_TIME and at > 0]
    return float(times[-1]) if times else 0.0
