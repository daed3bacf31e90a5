# SPDX-License-Identifier: Apache-2.0
"""Nova's periodic healing of network caches (nova/compute/manager.py, ``_heal_instance_info_cache``).

One server per host is refreshed in each interval, so each server's turn comes after as many intervals as its host has
servers. A refresh reads the cache again before it queries Neutron, and keeps its preserve_on_delete flags: it never
changes them itself. They are lost in two cases: by a refresh in progress while the cache was written, which ends before
the healer's next one begins, and if the cache was emptied, as every port then returns as one to be deleted.
"""

from __future__ import annotations

from stackmend.model.protocols import Live

SETTING = "heal_instance_info_cache_interval"
#: ``services.version`` of nova-compute in the first release in which it is off by default (2025.1, bug 1996094)
_OFF_BY_DEFAULT = 68
_DEFAULT = 60


def configured(live: Live) -> int | None:
    """The interval in seconds from Nova's own files, 0 if it is off; None if unknown."""
    text = live.setting(f"DEFAULT.{SETTING}")
    if text is None:
        return None
    try:
        return max(0, int(text))
    except ValueError:
        return 0


def default(version: int) -> int:
    """The default interval in seconds; ``version`` is that of nova-compute."""
    return 0 if version >= _OFF_BY_DEFAULT else _DEFAULT
