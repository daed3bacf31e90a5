# SPDX-License-Identifier: Apache-2.0
"""Writes the configuration of every service, of clients, and of stackmend itself, from ``templates/``."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stackmend_lab.control_plane.layout import Layout
from stackmend_lab.control_plane.releases import RUNNABLE

#: folders that services expect, in the state folder
_FOLDERS = (
    "keystone/fernet-keys", "keystone/credential-keys", "glance/images", "glance/staging", "glance/tasks",
    "nova", "neutron", "cinder/locks", "plugged", "levers",
)  # fmt: skip
_PLAIN = ("keystone.conf", "placement.conf", "neutron.conf", "cinder.conf", "my.cnf",
          "accounts.sql", "client.cnf", "rabbitmq.conf", "rabbitmq.json")  # fmt: skip
_ACCOUNTS = (("lab", "database", "ALL PRIVILEGES"), ("reader", "reader", "SELECT"),
             ("mender", "mender", "SELECT, INSERT, UPDATE, DELETE"))  # fmt: skip


def write(layout: Layout) -> None:
    """Write all files; those with unchanged content are left alone."""
    folders = [layout.configuration, layout.logs, layout.pids, layout.built, layout.folder / "tmp",
               layout.folder / "rabbitmq"]  # fmt: skip
    folders += [layout.state / name for name in _FOLDERS]
    folders += [layout.state / place / host for host in layout.hosts for place in ("nova", "plugged")]
    for node in layout.glance_nodes:
        folders += [layout.configuration / node, layout.state / "glance" / "shared"]
        folders += [layout.glance_folder(node) / what for what in ("images", "staging", "tasks")]
    folders += [layout.state / "balancer"] if layout.glance_nodes else []
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for path, text in rendered(layout).items():
        _put(path, text)
    # services read it when they start; options set by a test or a break for one host are kept until it is healed
    for name in overridable(layout):
        (layout.configuration / f"{name}.local.conf").touch(mode=0o600)


def overridable(layout: Layout) -> list[str]:
    """Services that read an additional file, ``<name>.local.conf``, in which single options can be set."""
    return ["nova", *(f"nova-{cell}" for cell in layout.cells), *(f"compute-{host}" for host in layout.hosts),
            "neutron", "cinder"]  # fmt: skip


def rendered(layout: Layout) -> dict[Path, str]:
    """Every file with its text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("stackmend_lab.control_plane", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML; the values are our own
    )
    values = _values(layout)

    def render(template: str, **more: Any) -> str:
        return templates.get_template(f"{template}.j2").render(**values, **more)

    etc = layout.configuration
    found = {etc / name: render(name) for name in _PLAIN}
    found[etc / "nova.conf"] = render("nova.conf", cell="cell1", api=True)
    # for the commands that map a cell in the API database
    for cell in ("cell0", *layout.cells):
        found[etc / f"nova-{cell}.conf"] = render("nova.conf", cell=cell, api=False)
        found[etc / f"manage-{cell}.conf"] = render("nova.conf", cell=cell, api=True)
    for host in layout.hosts:
        found[etc / f"compute-{host}.conf"] = render("compute.conf", host=host)
    # glance-manage reads this file, however many nodes there are
    found[etc / "glance-api.conf"] = render("glance-api.conf", node="")
    for node in layout.glance_nodes:
        found[etc / node / "glance-api.conf"] = render("glance-api.conf", node=node)
    if RUNNABLE[layout.release].eventlet:
        found[etc / "neutron-server.conf"] = render("neutron-server.conf")
        # Glance asks for this file beside its own, although that one names another
        found |= {etc / node / "glance-api-paste.ini": "" for node in layout.glance_nodes or ("",)}
    found[layout.clouds_yaml] = render("clouds.yaml")
    found[layout.toml] = render("stackmend.toml")
    return found


def set_options(path: Path, options: Mapping[str, Mapping[str, object]]) -> None:
    """Write an oslo.config file with these options: section -> option -> value."""
    lines = [
        line
        for section, values in options.items()
        for line in (f"[{section}]", *(f"{name}={value}" for name, value in values.items()))
    ]
    _put(path, "".join(f"{line}\n" for line in lines))


def queue_hash(password: str, salt: bytes) -> str:
    """A password as stored by RabbitMQ: salt, and SHA-256 of salt and password, base64."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _values(layout: Layout) -> dict[str, Any]:
    # always the same salt, so that the file does not change
    salt = hashlib.sha256(layout.passwords["admin"].encode()).digest()[:4]
    return {
        "root": os.geteuid() == 0,
        "folder": layout.folder,
        "etc": layout.configuration,
        "state": layout.state,
        "services": layout.services,
        "ports": layout.ports,
        "passwords": layout.passwords,
        "databases": [layout.database(name) for name in layout.databases],
        "accounts": [(name, layout.passwords[key], grant) for name, key, grant in _ACCOUNTS],
        "url": layout.database_url,
        "reader": lambda name: layout.database_url(name, "reader"),
        "queue": {cell: layout.queue_url(cell) for cell in layout.cells},
        "queue_hash": queue_hash(layout.passwords["queue"], salt),
        "vhosts": ["/", *(cell for cell in layout.cells if cell != "cell1")],
        "keystone": layout.endpoint("keystone") + "/v3",
        "endpoint": {name: layout.endpoint(name) for name in ("glance", "nova", "neutron", "cinder", "placement")},
        "stores": {name: layout.image_store(name) for name in layout.glance_nodes},
        "node_endpoint": {name: layout.endpoint(name) for name in layout.glance_nodes},
    }


def _put(path: Path, text: str) -> None:
    """Write the file atomically, readable only by its owner: nearly every file contains a password."""
    if path.exists() and path.read_text() == text:
        return
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.replace(path)
