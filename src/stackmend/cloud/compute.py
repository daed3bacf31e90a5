# SPDX-License-Identifier: Apache-2.0
"""Nova's API as an administrator sees it: services, servers, migrations, hypervisors, flavors.

Every function may raise SourceError, if Nova does not answer.
"""

from __future__ import annotations

from stackmend.model.api import Resource, segment
from stackmend.model.errors import UsageError
from stackmend.model.protocols import Api
from stackmend.model.values import members, objects

#: services and hypervisors identified by UUID, the latter as their resource providers
SERVICES = "2.53"
#: migrations with UUIDs, paginated, filtered by host and type
MIGRATIONS = "2.59"
#: from this version on, an evacuated server is stopped on its new host
STOPPED = "2.95"
#: from this version on, the scheduler always verifies the host named for an evacuation
LOOKED_AT = "2.68"
_BASIC = "2.1"
#: actions, paginated
_ACTIONS = "2.58"
#: what an event of an action failed with; before that there is a traceback, for administrators
_DETAILS = "2.84"
#: flavors with their extra specs
_FLAVORS = "2.61"
#: shares of one server
_SHARES = "2.97"
#: attachments of a server with Cinder's attachment ids, and with delete_on_termination
_ATTACHMENT_IDS, _ATTACHMENT_ENDS = "2.89", "2.79"
_EVERY_ACTION_PAGE = 50


# -- services


def service(api: Api, host: str) -> Resource:
    """nova-compute of a host; UsageError if there is none."""
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
    """The servers of a host, each as Nova shows it. (:func:`stackmend.cloud.servers.on_host` interprets them.)"""
    return list(api.every("compute", f"/servers/detail?all_tenants=1&host={segment(host)}", "servers", SERVICES))


def server(api: Api, name: str) -> Resource | None:
    """One server as Nova shows it, None if it does not exist."""
    body = api.get("compute", f"/servers/{segment(name)}", _BASIC)
    return None if body is None else body["server"]


def attachments(api: Api, name: str) -> list[Resource]:
    """The volumes that Nova lists for a server, in as much detail as this cloud offers."""
    version = next((v for v in (_ATTACHMENT_IDS, _ATTACHMENT_ENDS) if api.offers("compute", v)), _BASIC)
    body = api.get("compute", f"/servers/{segment(name)}/os-volume_attachments", version)
    return list((body or {}).get("volumeAttachments", ()))


def actions(api: Api, name: str) -> list[Resource]:
    """The latest actions of a server, at most fifty."""
    path = f"/servers/{segment(name)}/os-instance-actions?limit={_EVERY_ACTION_PAGE}"
    return list((api.get("compute", path, _ACTIONS) or {}).get("instanceActions", ()))


def fault(api: Api, name: str, action: Resource) -> str:
    """What an action of a server failed with, in Nova's words, or the traceback of an older cloud; "" for none."""
    version = _DETAILS if api.offers("compute", _DETAILS) else _ACTIONS
    path = f"/servers/{segment(name)}/os-instance-actions/{segment(str(action['request_id']))}"
    body = members((api.get("compute", path, version) or {}).get("instanceAction"))
    failed = [one for one in objects(body.get("events")) if one.get("result") == "Error"]
    return next((str(one.get("details") or one.get("traceback") or "") for one in failed), "")


def shares(api: Api, name: str) -> list[Resource]:
    """Manila shares attached to a server; () if this cloud cannot attach any."""
    if not api.offers("compute", _SHARES):
        return []
    body = api.get("compute", f"/servers/{segment(name)}/shares", _SHARES) or {}
    return list(body.get("shares") or ())


# -- migrations


def migrations(api: Api, host: str) -> list[Resource]:
    """Migrations from or to a host, in any status."""
    return list(api.every("compute", f"/os-migrations?host={segment(host)}", "migrations", MIGRATIONS))


def evacuations(api: Api, host: str) -> list[Resource]:
    """Evacuations from a host, in any status, the latest first."""
    path = f"/os-migrations?migration_type=evacuation&source_compute={segment(host)}"
    return list(api.every("compute", path, "migrations", MIGRATIONS))


# -- flavors


def flavors(api: Api) -> list[Resource]:
    """Every flavor with its extra specs, including non-public ones."""
    return list(api.every("compute", "/flavors/detail?is_public=none", "flavors", _FLAVORS))
