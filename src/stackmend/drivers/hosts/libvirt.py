# SPDX-License-Identifier: Apache-2.0
"""The guests of a host in libvirt. The connection is read-only."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from xml.etree import ElementTree

from stackmend.model.errors import ConfigError, SourceError
from stackmend.model.objects.facts import Domain, DomainDisk, Interface

#: virDomainState
_STATES = ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")
#: error code of a domain that ended between the list and the query
_NO_DOMAIN = 42
#: namespaces of Nova's metadata differ by release; the local name does not
_SOURCES = ("file", "dev", "name", "dir", "volume")


def domains(uri: str, host: str) -> list[Domain]:
    """Every domain of a host, running or not; ``uri`` is libvirt's, with ``{host}``.

    ConfigError if libvirt-python is not installed, SourceError if libvirt does not answer.
    """
    libvirt = _library()
    where = _quiet(uri.replace("{host}", host))
    # besides raising errors, libvirt prints them
    libvirt.registerErrorHandler(_silent, None)
    try:
        connection = libvirt.openReadOnly(where)
    except libvirt.libvirtError as problem:
        raise SourceError(
            f"libvirt of {host} cannot be reached at {where}: {problem}",
            f"Try 'virsh --readonly --connect {where} list'.",
        ) from None
    try:
        return sorted(_all(libvirt, connection), key=lambda domain: domain.uuid)
    except libvirt.libvirtError as problem:
        raise SourceError(f"libvirt of {host} does not answer: {problem}", "Check libvirtd's log there.") from None
    finally:
        with suppress(libvirt.libvirtError):
            connection.close()


def _library() -> Any:
    try:
        import libvirt
    except ImportError:
        raise ConfigError(
            "libvirt cannot be queried: libvirt-python is not installed",
            "Install stackmend[libvirt] (it needs libvirt's headers), or your distribution's python3-libvirt.",
        ) from None
    return libvirt


def _quiet(uri: str) -> str:
    """The URI with an option that keeps ssh from prompting."""
    if "+ssh:" not in uri or "no_tty=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}no_tty=1"


def _silent(context: object, error: object) -> None:
    del context, error


def _all(libvirt: Any, connection: Any) -> list[Domain]:
    found = []
    for domain in connection.listAllDomains(0):
        try:
            found.append(_domain(domain))
        except libvirt.libvirtError as problem:
            if problem.get_error_code() != _NO_DOMAIN:
                raise
    return found


def _domain(domain: Any) -> Domain:
    root = ElementTree.fromstring(domain.XMLDesc(0))  # noqa: S314 - made by libvirt itself
    number = domain.ID()
    state = domain.state()[0]
    return Domain(
        uuid=domain.UUIDString(),
        name=domain.name(),
        state=_STATES[state] if 0 <= state < len(_STATES) else f"state {state}",
        id=number if number >= 0 else None,
        server=_server(root),
        persistent=bool(domain.isPersistent()),
        disks=tuple(_disk(one) for one in root.iterfind("devices/disk")),
        interfaces=tuple(_interface(one) for one in root.iterfind("devices/interface")),
    )


def _server(root: ElementTree.Element) -> str:
    """The name in ``<nova:instance><nova:name>``."""
    for instance in root.iterfind("metadata/{*}instance"):
        if (name := instance.find("{*}name")) is not None and "nova" in instance.tag:
            return name.text or ""
    return ""


def _disk(disk: ElementTree.Element) -> DomainDisk:
    source = disk.find("source")
    named = next((source.attrib[key] for key in _SOURCES if key in source.attrib), "") if source is not None else ""
    return DomainDisk(
        target=_attribute(disk, "target", "dev"),
        source=named,
        kind=disk.get("type", ""),
        serial=(disk.findtext("serial") or "").strip(),
    )


def _interface(interface: ElementTree.Element) -> Interface:
    return Interface(
        mac=_attribute(interface, "mac", "address"),
        target=_attribute(interface, "target", "dev"),
        port=_attribute(interface, "virtualport/parameters", "interfaceid"),
    )


def _attribute(element: ElementTree.Element, path: str, name: str) -> str:
    found = element.find(path)
    return found.get(name, "") if found is not None else ""
