# SPDX-License-Identifier: Apache-2.0
"""The inventory of an instances directory, with the owner of each directory. Nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from stackmend.app import apis, hosts
from stackmend.app.session import CloudSession, has_api
from stackmend.config.settings import Config
from stackmend.hosts.inventory import checked, inventory
from stackmend.hosts.owners import AGE, no_orphan, owners
from stackmend.model.errors import ConfigError
from stackmend.model.objects.disks import DirectoryOwner, Inventory


@dataclass(frozen=True, slots=True)
class OwnedInventory:
    """The contents and their owners."""

    inventory: Inventory
    owners: Mapping[str, DirectoryOwner]  #: by the name of the directory
    kept: Mapping[str, str]  #: name of a directory -> why it is not an orphan, "" for an orphan


def look(
    config: Config,
    host: str,
    *,
    at: str = "",
    path: str = "",
    check: bool = False,
    days: float | None = None,
) -> OwnedInventory:
    """The instances directory of ``host``, read on ``at`` (a rescue system, default the host itself).

    ``check``: run ``qemu-img check`` on every qcow2 file. ConfigError if no way to hosts is configured, SourceError
    if the directory cannot be read. Without databases or an API the inventory is returned with unknown owners.
    """
    reach = hosts.reach(config)
    if reach is None:
        raise ConfigError("no access to hosts is configured", 'Set transport = "ssh" under [hosts].')
    home = config.instances_path
    where = path or home
    inside = config.routes.container if not at and not path else ()
    now = datetime.now(UTC).timestamp()
    found = inventory(reach, at or host, where, home=home, prefix=inside, now=now)
    if check:
        found = checked(reach, found, where, _every(found), inside)
    # Nova knows the host by its own name, wherever its disks are read
    whose = _owners(config, found if not at else replace(found, host=host))
    kept = {f.name: no_orphan(f, whose[f.name], found, now, AGE if days is None else days) for f in found.folders}
    return OwnedInventory(found, whose, kept)


def _every(found: Inventory) -> list[str]:
    return [d.image.path for f in found.folders for d in f.disks] + [b.image.path for b in found.bases]


def _owners(config: Config, found: Inventory) -> dict[str, DirectoryOwner]:
    if not config.databases and not has_api(config):
        return owners(found, None, None)
    session = CloudSession.looking(config).believed()
    with ExitStack() as stack:
        api, _ = stack.enter_context(apis.reading(config, session, "auto"))
        live = stack.enter_context(session.live(api)) if session.databases.addresses else None
        return owners(found, live, api)
