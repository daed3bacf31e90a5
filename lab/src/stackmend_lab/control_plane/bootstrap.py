# SPDX-License-Identifier: Apache-2.0
"""The first administrator, the services' users, and the service catalogue in Keystone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackmend_lab.control_plane import databases
from stackmend_lab.control_plane.layout import Layout

if TYPE_CHECKING:
    from openstack.connection import Connection

USERS = ("glance", "placement", "nova", "neutron", "cinder")
_ROLES = ("admin", "service", "member", "reader", "manager")
REGION = "RegionOne"


def make_admin(layout: Layout) -> None:
    """``keystone-manage bootstrap``, once; the password is passed in the environment."""
    done = layout.built / "admin"
    if done.exists():
        return
    url = layout.endpoint("keystone") + "/v3"
    databases.command(
        layout,
        [f"{layout.services}/bin/keystone-manage", "--config-file", f"{layout.configuration}/keystone.conf",
         "bootstrap"],
        layout.logs / "keystone-bootstrap.log",
        {
            "OS_BOOTSTRAP_USERNAME": "admin",
            "OS_BOOTSTRAP_PASSWORD": layout.passwords["admin"],
            "OS_BOOTSTRAP_PROJECT_NAME": "admin",
            "OS_BOOTSTRAP_ROLE_NAME": "admin",
            "OS_BOOTSTRAP_SERVICE_NAME": "keystone",
            "OS_BOOTSTRAP_REGION_ID": REGION,
            "OS_BOOTSTRAP_ADMIN_URL": url,
            "OS_BOOTSTRAP_PUBLIC_URL": url,
            "OS_BOOTSTRAP_INTERNAL_URL": url,
        },
    )  # fmt: skip
    done.touch()


def make_catalog(layout: Layout, cloud: Connection) -> None:
    """Create users, roles, services and endpoints; existing ones are left alone."""
    done = layout.built / "catalog"
    if done.exists():
        return
    identity: Any = cloud.identity
    project = identity.find_project("service") or identity.create_project(name="service", domain_id="default")
    roles = {name: identity.find_role(name) or identity.create_role(name=name) for name in _ROLES}
    for name in USERS:
        user = identity.find_user(name) or identity.create_user(
            name=name, password=layout.passwords["service"], domain_id="default", default_project_id=project.id
        )
        for role in ("admin", "service"):
            identity.assign_project_role_to_user(project, user, roles[role])
    # the administrator also has the role service: otherwise Neutron would let only services handle port bindings
    admin = identity.find_project("admin"), identity.find_user("admin")
    identity.assign_project_role_to_user(*admin, roles["service"])
    for name, kind, url in _endpoints(layout):
        service = next(iter(identity.services(type=kind)), None) or identity.create_service(name=name, type=kind)
        known = {endpoint.interface for endpoint in identity.endpoints(service_id=service.id)}
        for interface in ("public", "internal", "admin"):
            if interface not in known:
                identity.create_endpoint(service_id=service.id, interface=interface, url=url, region_id=REGION)
    done.touch()


def _endpoints(layout: Layout) -> tuple[tuple[str, str, str], ...]:
    at = layout.endpoint
    return (
        ("glance", "image", at("glance")),
        ("placement", "placement", at("placement")),
        ("nova", "compute", at("nova") + "/v2.1"),
        ("neutron", "network", at("neutron")),
        ("cinderv3", "volumev3", at("cinder") + "/v3"),
        ("cinder", "block-storage", at("cinder") + "/v3"),
    )
