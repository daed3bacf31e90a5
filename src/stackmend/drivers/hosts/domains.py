# SPDX-License-Identifier: Apache-2.0
"""Definitions of domains: what is read of libvirt's XML. Passwords and keys are not."""

from __future__ import annotations

from typing import TypedDict, Unpack
from xml.etree import ElementTree

from stackmend.model.objects.facts import Domain, DomainDisk, Interface

#: virDomainState
STATES = ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")
_SOURCES = ("file", "dev", "name", "dir", "volume")
#: of a size without a unit; libvirt always writes KiB
_KIB = "KiB"


class Condition(TypedDict):
    """What is not in the definition of a domain."""

    state: str
    id: int | None
    reason: str
    persistent: bool
    autostart: bool


def defined(xml: str, **now: Unpack[Condition]) -> Domain:
    """The domain with this definition; ValueError for one that is none."""
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314 - made by libvirt itself
    except ElementTree.ParseError as problem:
        raise ValueError(str(problem)) from None
    nova, server = _server(root)
    kind = root.find("os/type")
    return Domain(
        uuid=(root.findtext("uuid") or "").strip(),
        name=(root.findtext("name") or "").strip(),
        server=server,
        nova=nova,
        vcpus=_number(root.findtext("vcpu")),
        memory=_memory(root),
        machine=kind.get("machine", "") if kind is not None else "",
        disks=tuple(_disk(one) for one in root.iterfind("devices/disk")),
        interfaces=tuple(_interface(one) for one in root.iterfind("devices/interface")),
        **now,
    )


def _server(root: ElementTree.Element) -> tuple[bool, str]:
    """(whether there is a ``<nova:instance>``, the name in it); its namespace differs by release."""
    for instance in root.iterfind("metadata/{*}instance"):
        if "nova" in instance.tag:
            return True, instance.findtext("{*}name") or ""
    return False, ""


def _memory(root: ElementTree.Element) -> int | None:
    memory = root.find("memory")
    if memory is None or memory.get("unit", _KIB) != _KIB:
        return None
    return _number(memory.text)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdecimal() else None


def _disk(disk: ElementTree.Element) -> DomainDisk:
    source = disk.find("source")
    named = next((source.attrib[key] for key in _SOURCES if key in source.attrib), "") if source is not None else ""
    return DomainDisk(
        target=_attribute(disk, "target", "dev"),
        source=named,
        kind=disk.get("type", ""),
        serial=(disk.findtext("serial") or "").strip(),
        protocol=_attribute(disk, "source", "protocol"),
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
