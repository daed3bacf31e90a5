# SPDX-License-Identifier: Apache-2.0
"""Services by the names of their log files."""

from __future__ import annotations

import re

#: what rotation, compression and collectors append to a name
_BEHIND = re.compile(
    r"(?:\.(?:log|txt|out|err|json|export|gz|zst|xz|bz2|old|tailed|bzip2|\d{1,3})|[-.]\d{8}(?:-?\d{2,6})?|[-_]error_log|[-_]access_log)$"
)
_SERVICES = (
    "nova-api-metadata", "nova-api-wsgi", "nova-api", "nova-super-conductor", "nova-conductor", "nova-scheduler",
    "nova-compute", "nova-novncproxy", "nova-metadata",
    "neutron-server", "neutron-rpc-server", "neutron-openvswitch-agent", "neutron-linuxbridge-agent",
    "neutron-dhcp-agent", "neutron-l3-agent", "neutron-metadata-agent", "neutron-ovn-metadata-agent", "neutron-api",
    "cinder-api", "cinder-scheduler", "cinder-volume", "cinder-backup",
    "glance-api", "placement-api", "placement", "keystone", "libvirtd", "virtqemud", "rabbitmq", "mariadb", "mysqld",
    "haproxy", "ovs-vswitchd", "ovn-controller", "ovn-northd",
)  # fmt: skip


#: the projects after which folders are named, if the name of the file leaves them out: /var/log/cinder/volume.log
_PROJECTS = ("nova", "neutron", "cinder", "glance", "placement")


def service_of(name: str, folder: str = "") -> tuple[str, str]:
    """(service, whatever follows it, such as a host) from the name of a file and of its folder."""
    while (cut := _BEHIND.sub("", name)) != name and cut:
        name = cut
    names = (name, f"{folder}-{name}") if folder in _PROJECTS else (name,)
    for own in names:
        for service in sorted(_SERVICES, key=len, reverse=True):
            if own == service:
                return service, ""
            if own.startswith((f"{service}-", f"{service}.", f"{service}_")):
                return service, own[len(service) + 1 :]
    return name, ""
