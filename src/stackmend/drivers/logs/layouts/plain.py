# SPDX-License-Identifier: Apache-2.0
"""Folders of the distributions: ``/var/log/nova/nova-compute.log``; collected, below the host's folder."""

from __future__ import annotations

from stackmend.drivers.logs.layouts._names import service_of
from stackmend.model.diagnosing.logs import Layout

#: folders named after their contents, not after a host
_OF_SERVICES = {
    "nova", "neutron", "cinder", "glance", "placement", "keystone", "libvirt", "qemu", "rabbitmq", "mysql", "mariadb",
    "apache2", "httpd", "nginx", "haproxy", "openvswitch", "ovn", "heat", "horizon", "journal", "log", "logs", "var",
}  # fmt: skip


def place(parts: tuple[str, ...]) -> tuple[str, str] | None:
    """Take the host from the folder above ``var/log``, or else from the last folder not named after a service."""
    service, behind = service_of(parts[-1], parts[-2] if len(parts) > 1 else "")
    if parts[-2:-1] == ("qemu",):
        service = "libvirt"  # one file for each guest, named instance-0000001a.log
    above = list(parts[:-1])
    for number in range(len(above) - 1):
        if above[number : number + 2] == ["var", "log"]:
            return ((above[number - 1] if number and above[number - 1] != "/" else "") or behind), service
    named = [part for part in above if part not in _OF_SERVICES and part != "/"]
    return (behind or (named[-1] if named else "")), service


LAYOUT = Layout(name="plain", title=__doc__ or "", place=place, order=90)
