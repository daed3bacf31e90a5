# SPDX-License-Identifier: Apache-2.0
"""DNS names of ports: what Neutron makes of a requested name, if it has the DNS extension.

Neutron accepts only the first label of a name. The domain is either ``dns_domain`` in neutron.conf, for which Neutron's
own DHCP servers answer, or that of the network, for which an external service answers. As long as neutron.conf has the
default, Neutron accepts names and silently drops them (``DNSExtensionDriver._get_request_dns_name``). No request shows
the domain, but every port does, in ``dns_assignment``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stackmend.model.api import Resource, segment
from stackmend.model.errors import UsageError
from stackmend.model.protocols import Api
from stackmend.model.values import objects

#: the default of ``dns_domain``: with it Neutron drops names
NO_DOMAIN = "openstacklocal"
#: one label of a host name (RFC 1123), as Neutron accepts it
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_LONGEST_NAME = 255
_EXTENSION = "dns-integration"
_FIELDS = "&fields=id&fields=device_id&fields=dns_name&fields=dns_assignment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A name that Neutron can give to a port of a network."""

    label: str  #: the first label, which Neutron calls ``dns_name``
    fqdn: str  #: the resulting full name of the port's addresses; "" if only an external service knows it
    others: tuple[str, ...]  #: ports of the network that already have the name


def label(name: str) -> str:
    """The first label of a DNS name; UsageError if the text is not a DNS name."""
    bare = name.rstrip(".")
    parts = bare.split(".")
    if len(bare) > _LONGEST_NAME or not all(_LABEL.fullmatch(part) for part in parts):
        raise UsageError(
            f"{name!r} is not a DNS name",
            "Each part has at most 63 letters, digits and dashes, and no dash at its ends.",
        )
    return parts[0].lower()


def names(port: Resource) -> list[str]:
    """The full names of a port's addresses, without the final dot."""
    return sorted({str(one["fqdn"]).rstrip(".").lower() for one in objects(port.get("dns_assignment"))})


def named(api: Api, network: str, name: str) -> Named:
    """What Neutron would make of a fully qualified name. UsageError if a port of this network cannot have it."""
    first = label(name)
    if not any(str(one["alias"]) == _EXTENSION for one in api.every("network", "/extensions", "extensions")):
        raise UsageError(
            f"this Neutron has no DNS names for ports, and {name} is one",
            "Use a port name without a dot, and set the name of the address in DNS.",
        )
    ports = list(api.every("network", f"/ports?network_id={segment(network)}{_FIELDS}", "ports"))
    own = set(_domains(ports)) or set(
        _domains((api.get("network", f"/ports?limit=50{_FIELDS}") or {}).get("ports", ()))
    )
    if own == {NO_DOMAIN}:
        raise UsageError(
            f"this Neutron drops DNS names of ports: dns_domain in its neutron.conf is not set, and {name} is one",
            "Use a port name without a dot, and set the name of the address in DNS.",
        )
    body = (api.get("network", f"/networks/{segment(network)}") or {}).get("network") or {}
    outside = str(body.get("dns_domain") or "").rstrip(".").lower()
    fqdn = name.rstrip(".").lower()
    domain = fqdn.partition(".")[2]
    served = {*own, outside} - {""}
    if own and domain not in served:
        would = " or ".join(f"{first}.{one}" for one in sorted(served))
        raise UsageError(
            f"a port of network {network} cannot be called {name}: Neutron would call it {would}",
            "Use that name, or a port name without a dot.",
        )
    others = tuple(str(one["id"]) for one in ports if str(one.get("dns_name") or "").lower() == first)
    return Named(label=first, fqdn="" if domain == outside else fqdn, others=others)


def _domains(ports: list[Resource]) -> Iterator[str]:
    """The domains in which the addresses of these ports have names."""
    for port in ports:
        for one in objects(port.get("dns_assignment")):
            host, fqdn = str(one["hostname"]).lower(), str(one["fqdn"]).rstrip(".").lower()
            if fqdn.startswith(f"{host}."):
                yield fqdn.removeprefix(f"{host}.")
