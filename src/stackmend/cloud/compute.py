# SPDX-License-Identifier: Apache-2.0
"""Nova, as its API shows it to an administrator: services, servers, migrations, hypervisors, flavors.

Every function may raise SourceError, where Nova does not answer.
"""

from __future__ import annotations

from stackmend.model.api import Resource, segment
from stackmend.model.errors import UsageError
from stackmend.model.protocols import Api

#: services by their uuids; hypervisors by the uuids of their providers
SERVICES = "2.53"
#: migrations in pages, of one host and type, with their uuids
MIGRATIONS = "2.59"
#: from this one on an evacuated server is stopped where it arrives
STOPPED = "2.95"
#: the first that has the scheduler look at the host that an evacuation names, whatever is asked for
LOOKED_AT = "2.68"
_BASIC = "2.1"
#: actions in pages
_ACTIONS = "2.58"
#: flavors with their extra specs
_FLAVORS = "2.61"
#: shares of one server
_SHARES = "2.97"
#: attachments of a server with Cinder's ids of them, and with what becomes of each when the server is deleted
_ATTACHMENT_IDS, _ATTACHMENT_ENDS = "2.89", "2.79"
_EVERY_ACTION_PAGE = 50


# -- services


def service(api: Api, host: str) -> Resource:
    """nova-compute of a host; UsageError where there is none."""
    path = f"/os-services?host={segment(host)}&binary=nova-compute"
    found = (api.get("compute", path, SERVICES) or {}).get("services") or ()
    if not found:
        raise UsageError(f"there is no compute host {host}", "See 'openstack compute service list'.")
    shown: Resource = found[0]
    return shown


def services(api: Api, host: str) -> list[Resource]:
    """Every service of Nova on a host."""
    body = api.get("compute", f"/os-services?host={segment(host)}", SERVICES) or {}
    return list(body.get("services", ()))


def every_service(api: Api) -> list[Resource]:
    """Every service of Nova in the cloud."""
    return list(api.every("compute", "/os-services", "services", SERVICES))


def every_compute(api: Api) -> list[Resource]:
    """The nova-compute of every host."""
    return list(api.every("compute", "/os-services?binary=nova-compute", "services", SERVICES))


def hypervisors(api: Api) -> list[Resource]:
    """Every compute node with its host: several nodes on one host with ironic."""
    return list(api.every("compute", "/os-hypervisors/detail", "hypervisors", SERVICES))


# -- servers


def servers_on(api: Api, host: str) -> list[Resource]:
    """The servers of a host, each as Nova shows it. (:func:`stackmend.cloud.servers.on_host` understands them.)"""
    return list(api.every("compute", f"/servers/detail?all_tenants=1&host={segment(host)}", "servers", SERVICES))


def server(api: Api, name: str) -> Resource | None:
    """One server as Nova shows it, None where there is none."""
    body = api.get("compute", f"/servers/{segment(name)}", _BASIC)
    return None if body is None else body["server"]


def attachments(api: Api, name: str) -> list[Resource]:
    """The volumes that Nova lists of a server, with as much of each as this cloud tells."""
    version = next((v for v in (_ATTACHMENT_IDS, _ATTACHMENT_ENDS) if api.offers("compute", v)), _BASIC)
    body = api.get("compute", f"/servers/{segment(name)}/os-volume_attachments", version)
    return list((body or {}).get("volumeAttachments", ()))


def actions(api: Api, name: str) -> list[Resource]:
    """The newest actions of a server, fifty at most."""
    path = f"/servers/{segment(name)}/os-instance-actions?limit={_EVERY_ACTION_PAGE}"
    return list((api.get("compute", path, _ACTIONS) or {}).get("instanceActions", ()))


def shares(api: Api, name: str) -> list[Resource]:
    """Shares of Manila that are attached to a server; () where this cloud attaches none."""
    if not api.offers("compute", _SHARES):
        return []
    body = api.get("compute", f"/servers/{segment(name)}/shares", _SHARES) or {}
    return list(body.get("shares") or ())


# -- migrations


def migrations(api: Api, host: str) -> list[Resource]:
    """Migrations from or to a host, whatever became of them."""
    return list(api.every("compute", f"/os-migrations?host={segment(host)}", "migrations", MIGRATIONS))


def evacuations(api: Api, host: str) -> list[Resource]:
    """Evacuations from a host, whatever became of them, the newest first."""
    path = f"/os-migrations?migration_type=evacuation&source_compute={segment(host)}"
    return list(api.every("compute", path, "migrations", MIGRATIONS))


# -- flavors


def flavors(api: Api) -> list[Resource]:
    """Every flavor with its extra specs, those of single projects too."""
    return list(api.every("compute", "/flavors/detail?is_public=none", "flavors", _FLAVORS))
