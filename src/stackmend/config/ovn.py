# SPDX-License-Identifier: Apache-2.0
"""Where OVN's databases are: as the operator wrote it, or as Neutron's own files have it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stackmend.config.layouts import KOLLA, ServiceSettings, inside
from stackmend.drivers.ovn.remote import Endpoint, Keys
from stackmend.model.errors import ConfigError

#: the file of ML2, which Neutron is given on its command line
_ML2 = "ml2_conf.ini"
_PACKAGED = f"etc/neutron/plugins/ml2/{_ML2}"
_KEYS = ("private_key", "certificate", "ca_cert")
#: (section, option) of Neutron that say whether, and where, it has an OVN
OPTIONS = (
    ("ml2", "mechanism_drivers"),
    *(("ovn", f"ovn_{side}_{name}") for side in ("nb", "sb") for name in ("connection", *_KEYS)),
)
#: Neutron's own default, by side
_USUAL = {"nb": "tcp:127.0.0.1:6641", "sb": "tcp:127.0.0.1:6642"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OvnSettings:
    """The remotes of both databases, as text until somebody wants to read them."""

    northbound: str
    southbound: str
    northbound_keys: Keys = field(default_factory=Keys)
    southbound_keys: Keys = field(default_factory=Keys)
    root: Path = Path("/")  #: the root of files that the remotes and keys name
    origin: str = ""  #: where it was read from

    def endpoints(self) -> tuple[Endpoint, Endpoint]:
        """(northbound, southbound); ConfigError says what is wrong with them."""
        try:
            return (
                Endpoint.of(self.northbound, self._anchored(self.northbound_keys), self.root),
                Endpoint.of(self.southbound, self._anchored(self.southbound_keys), self.root),
            )
        except ConfigError as problem:
            raise ConfigError(f"{problem.message} (in {self.origin})", problem.hint) from None

    def _anchored(self, keys: Keys) -> Keys:
        files = (keys.private_key, keys.certificate, keys.ca_cert)
        return Keys(*(str(inside(self.root, file)) if file.startswith("/") else file for file in files))


def of_neutron(found: Mapping[tuple[str, str], str], place: ServiceSettings) -> OvnSettings | None:
    """The settings that these options of Neutron make; None if it does not use OVN."""
    drivers = {name.strip() for name in found.get(("ml2", "mechanism_drivers"), "").split(",")}
    if "ovn" not in drivers:
        return None
    keys = {side: Keys(*(found.get(("ovn", f"ovn_{side}_{name}"), "") for name in _KEYS)) for side in _USUAL}
    remotes = {side: found.get(("ovn", f"ovn_{side}_connection"), usual) for side, usual in _USUAL.items()}
    return OvnSettings(
        northbound=remotes["nb"],
        southbound=remotes["sb"],
        northbound_keys=keys["nb"],
        southbound_keys=keys["sb"],
        root=place.root,
        origin=str(ml2_file(place) or place.path),
    )


def ml2_file(place: ServiceSettings) -> Path | None:
    """The file of ML2 beside Neutron's own; None if there is none, or this account may not see it."""
    path = place.path.with_name(_ML2) if place.layout == KOLLA else inside(place.root, _PACKAGED)
    return path if os.path.isfile(path) else None
