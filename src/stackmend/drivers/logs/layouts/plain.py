# SPDX-License-Identifier: Apache-2.0
"""Folders of the distributions: ``/var/log/nova/nova-compute.log``; collected, below the host's folder."""

from __future__ import annotations

from stackmend.drivers.logs.layouts._names import service_of
from stackmend.model.diagnosing.logs import Layout

#: folders that are named for what is in them, not for a host
_OF_SERVICES = {
    "nova", "neutron", "cinder", "glance", "placement", "keystone", "libvirt", "qemu", "rabbitmq", "mysql", "mariadb",
    "apache2", "httpd", "nginx", "haproxy", "openvswitch", "ovn", "heat", "horizon", "journal", "log", "logs", "var",
}  # fmt: skip


def place(parts: tuple[str, ...]) -> tuple[str, str] | None:
    """Host by the folder above ``var/log``, else by the last one that no service is named for."""
    service, behind = service_of(parts[-1], parts[-2] if len(parts) > 1 else "")
    if parts[-2:-1] == ("qemu",):
        service = "libvirt"  # a file a guest, named instance-0000001a.log
    above = list(parts[:-1])
    for number in range(len(above) - 1):
        if above[number : number + 2] == ["var", "log"]:
            return ((above[number - 1] if number and above[number - 1] != "/" else "") or behind), service
    named = [part for part in above if part not in _OF_SERVICES and part != "/"]
    return (behind or (named[-1] if named else "")), service


LAYOUT = Layout(name="plain", title=__doc__ or "", place=place, order=90)
