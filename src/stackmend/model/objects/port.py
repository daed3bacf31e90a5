# SPDX-License-Identifier: Apache-2.0
"""A port of a server, and its fate if the server is deleted (services 2.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from stackmend.model.objects.address import Port


class Fate(StrEnum):
    """What Nova does with a port if its server is deleted."""

    KEPT = "kept"
    DELETED = "deleted"  #: and its address is lost
    ABSENT = "absent"  #: Neutron has no such port


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPort:
    """One port according to Neutron and to the network info cache of its server."""

    port: str
    addresses: tuple[str, ...]
    network: str | None
    in_cache: bool | None  #: None if no server's cache would list it, or Nova's cells are not configured
    in_neutron: bool
    preserve_on_delete: bool | None  #: None if the cache does not list it
    neutron: Port = field(default_factory=lambda: Port(id=""))  #: empty if Neutron no longer has it
    server: str = ""
    server_name: str = ""
    server_host: str = ""
    in_guest: bool | None = None  #: whether its guest has the NIC; None if the host was not queried
    nic: str = ""  #: name of the NIC's device on the host
    differences: tuple[str, ...] = ()

    @property
    def fate(self) -> Fate | None:
        """Nova deletes every port that Neutron has for the server, unless the cache marks it to be preserved.

        None for a port without a server, and if the cache is unknown.
        """
        if not self.in_neutron:
            return Fate.ABSENT
        if self.in_cache is None:
            return None
        return Fate.KEPT if self.preserve_on_delete else Fate.DELETED

    def as_dict(self) -> dict[str, object]:
        """JSON values (docs/schemas/ports.json)."""
        return {
            "port": self.port,
            "name": self.neutron.name,
            "addresses": list(self.addresses),
            "mac": self.neutron.mac,
            "network": self.network,
            "project": self.neutron.project,
            "status": self.neutron.status,
            "device_owner": self.neutron.owner,
            "device": self.neutron.device,
            "bound_host": self.neutron.host,
            "vif_type": self.neutron.vif_type,
            "server": self.server,
            "server_name": self.server_name,
            "server_host": self.server_host,
            "in_cache": self.in_cache,
            "in_guest": self.in_guest,
            "nic": self.nic,
            "in_neutron": self.in_neutron,
            "preserve_on_delete": self.preserve_on_delete,
            "fate": self.fate.value if self.fate else None,
            "differences": list(self.differences),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PortPage:
    """One port with related objects."""

    listed: ServerPort
    network_name: str
    subnets: tuple[str, ...]  #: prefixes of its addresses
    floating: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """JSON values (docs/schemas/port.json)."""
        more = {"network_name": self.network_name, "subnets": list(self.subnets), "floating": list(self.floating)}
        return self.listed.as_dict() | more


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """preserve_on_delete of a port in its server's cache, some time after it was written."""

    server: str
    wanted: bool
    now: bool | None  #: None if the cache no longer lists the port
    refreshed: bool  #: Nova has written the cache since
    interval: int  #: interval of Nova's healer in seconds; 0: disabled
    is_configured: bool  #: the interval is from Nova's own files, not the default of its release
    waited: float  #: seconds

    @property
    def holds(self) -> bool:
        """Whether it still has the written value."""
        return self.now is self.wanted
