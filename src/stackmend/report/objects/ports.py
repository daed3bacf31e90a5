# SPDX-License-Identifier: Apache-2.0
"""Ports, their inconsistencies, and whether they are deleted with their server."""

from __future__ import annotations

from collections.abc import Iterable

from stackmend.model.objects.port import Held, PortPage, ServerPort
from stackmend.report.document import Document, cell

#: of one server: what becomes of each
OF_SERVER = (
    ("Port", "port"),
    ("Addresses", "addresses"),
    ("Network", "network"),
    ("Bound Host", "bound_host"),
    ("In Cache", "in_cache"),
    ("In Guest", "in_guest"),
    ("Preserve On Delete", "preserve_on_delete"),
    ("With The Server", "fate"),
    ("Differences", "differences"),
)
#: of many
COLUMNS = (
    ("Port", "port"),
    ("Addresses", "addresses"),
    ("Status", "status"),
    ("Bound Host", "bound_host"),
    ("Device Owner", "device_owner"),
    ("Server", "server_name"),
    ("With The Server", "fate"),
    ("Differences", "differences"),
)


def ports(found: Iterable[ServerPort], *, of_server: bool = False) -> Document:
    """The ports (docs/schemas/ports.json)."""
    return Document(data=[port.as_dict() for port in found], columns=OF_SERVER if of_server else COLUMNS)


def port(found: PortPage) -> Document:
    """One port (docs/schemas/port.json)."""
    data = found.as_dict()
    width = max(map(len, data))
    return Document(
        data=data, text="\n".join(f"{name:<{width}}  {cell(value)}".rstrip() for name, value in data.items())
    )


def held(found: Held) -> str:
    """A sentence that says whether the value written for a port persists, and how that is known."""
    wanted = "true" if found.wanted else "false"
    if found.now is None:
        return f"the network cache of server {found.server or '(none)'} does not list the port any more"
    if not found.holds:
        return (
            f"preserve_on_delete did not hold: a refresh of the cache of server {found.server} that was in progress has"
            " written the old value"
        )
    if found.refreshed:
        return f"preserve_on_delete holds: Nova has refreshed the cache since, and it still says {wanted}"
    known = "as configured" if found.is_configured else "by default of its release"
    healer = f"refreshes one server in {found.interval} s" if found.interval else "is off"
    later = f"{found.waited:.0f} s later it still says {wanted}" if found.waited else f"it reads {wanted}"
    return f"preserve_on_delete: {later}; Nova's healer {healer} ({known})"
