# SPDX-License-Identifier: Apache-2.0
"""Where a volume's ``connection_info`` leads, without its secrets.

Nova's copy has its members under "data", Cinder's at the top. What only one of them has (the device on the host, access
mode, limits), and whatever may be secret, is left out.
"""

from __future__ import annotations

import hashlib
import json

#: type of connection -> members that say where it leads. Other types are not compared: their connectors write into the
#: document (os_brick/initiator/connectors/fibre_channel.py), so Nova's copy differs by design
_MEMBERS = {
    "iscsi": ("target_portal", "target_portals", "target_iqn", "target_iqns", "target_lun", "target_luns"),
    "rbd": ("name", "hosts", "ports", "cluster_name", "auth_username"),
    "nfs": ("export", "name"),
}
_TYPE = "driver_volume_type"


def reduced(document: bytes | str) -> dict[str, object]:
    """The type of the connection, and the members that say where it leads; {} if it does not say."""
    try:
        whole = json.loads(document)
    except ValueError:
        return {}
    if not isinstance(whole, dict):
        return {}
    kind, data = whole.get(_TYPE), whole.get("data", whole)
    if not isinstance(kind, str) or not isinstance(data, dict):
        return {}
    told = {name: _plain(data[name]) for name in _MEMBERS.get(kind, ()) if data.get(name) not in (None, "", [])}
    return {_TYPE: kind, **told} if told else {}


def digest(document: bytes | str) -> str | None:
    """Equal for documents that lead to the same place; None if one does not say where."""
    told = reduced(document)
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32] if told else None


def _plain(value: object) -> object:
    """Numbers and texts alike, and lists in one order."""
    return sorted(map(str, value)) if isinstance(value, list) else str(value)
