# SPDX-License-Identifier: Apache-2.0
"""Nova's healer of network caches (nova/compute/manager.py, ``_heal_instance_info_cache``): whether it runs, how often.

One server of a host is refreshed at a time, the next one an interval later, so that a server comes round after as many
intervals as its host has servers. A refresh reads the cache anew before it asks Neutron, and takes from it which ports
are kept: it never changes that by itself. Two things lose it: a refresh that was under way when the cache was written,
which is over before the healer's next one begins, and a cache that was emptied, from which every port comes back as one
to be deleted.
"""

from __future__ import annotations

from stackmend.model.protocols import Live

SETTING = "heal_instance_info_cache_interval"
#: ``services.version`` of nova-compute of the first release in which it is off unless it is set (2025.1, bug 1996094)
_OFF_BY_DEFAULT = 68
_DEFAULT = 60


def configured(live: Live) -> int | None:
    """Seconds from one server to the next as Nova's own files have it, 0 where it is off; None where nobody knows."""
    text = live.setting(f"DEFAULT.{SETTING}")
    if text is None:
        return None
    try:
        return max(0, int(text))
    except ValueError:
        return 0


def default(version: int) -> int:
    """The same where it is not set: ``version`` is that of nova-compute."""
    return 0 if version >= _OFF_BY_DEFAULT else _DEFAULT
