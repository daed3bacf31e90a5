# SPDX-License-Identifier: Apache-2.0
"""The back ends of storage, as the operator wrote them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from stackmend.config.document import StorageSection
from stackmend.drivers.storage.kinds import kinds
from stackmend.model.errors import ConfigError
from stackmend.model.objects.storage import BackEnd

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
#: what rbd and lvs take for a place, and never for an option
_PLACE = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+-]*")
#: a finding shows commands with it in quotes
_FOLDER = re.compile(r"/[^'\x00-\x1f]*")


def back_ends(sections: Mapping[str, StorageSection], path: Path) -> tuple[BackEnd, ...]:
    """The back ends; ConfigError if one is not whole, or if two would have the same volumes."""
    found = tuple(_back_end(name, section, path) for name, section in sorted(sections.items()))
    owners: dict[str, str] = {}
    for one in found:
        for owner in one.cinder:
            service = owner.partition("#")[0]
            for known, other in owners.items():
                if known == owner or (service == known.partition("#")[0] and service in (owner, known)):
                    raise ConfigError(
                        f"[storage.{other}] and [storage.{one.name}] in {path} both have volumes of {service}",
                        "A back end of Cinder is in one of them; if it has several pools, name each with #POOL.",
                    )
            owners[owner] = one.name
    return found


def _back_end(name: str, section: StorageSection, path: Path) -> BackEnd:
    where = f"[storage.{name}] in {path}"
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where} has no name to write on a command line", "Use letters, digits, dots and dashes.")
    if section.kind not in kinds():
        raise ConfigError(f"kind of {where} is not {' or '.join(sorted(kinds()))}", 'Write kind = "rbd".')
    folder = section.kind == "file"
    if not (_FOLDER if folder else _PLACE).fullmatch(section.place):
        what = "a folder that begins with a slash, without a quote" if folder else "the name of a pool or volume group"
        raise ConfigError(f"place of {where} is not {what}", 'Write place = "...".')
    for owner, has in (("nova", section.nova), ("glance", section.glance)):
        if has and section.kind != "rbd":
            raise ConfigError(f"{owner} of {where} is true, and it is no rbd", "Its objects are known in pools alone.")
    if not (section.cinder or section.nova or section.glance):
        raise ConfigError(
            f"{where} does not say whose it is", 'Write cinder = ["HOST@BACKEND"], nova = true or glance = true.'
        )
    for owner in section.cinder:
        if "@" not in owner:
            raise ConfigError(f"cinder of {where} has {owner}, which is no back end", "Write HOST@BACKEND.")
    return BackEnd(
        name=name,
        kind=section.kind,
        place=section.place,
        host=section.host,
        cinder=section.cinder,
        nova=section.nova,
        glance=section.glance,
        shared=section.shared,
        program=section.program,
        limit=section.timeout,
        asked=section.asked,
    )
