# SPDX-License-Identifier: Apache-2.0
"""Damage for an embedded cloud: one module per check, named as the check with ``_`` for ``-``.

Each defines ``plant(cloud)``, which breaks one object as the catalogue describes, and returns the key of the expected
finding; ``VARIANTS``, further causes of it; ``LOOK_ALIKES``, healthy objects that resemble it; if a repair is refused
by design, ``NOT_REPAIRED``, the name of a variant and a part of the reason; if the operator has to choose between
repairs, ``CHOSEN``, the name of a variant and the repair; if variants have another repair than the rest,
``MENDED_BY``, the name of a variant and the repair; if the same damage is found by other checks as well, ``BESIDE``,
the name of a variant and a function that returns them, with their keys; and if the lab cannot prove the repairs of such
damage, ``NOT_ON_LAB``, the reason.
"""

from __future__ import annotations

import importlib
import pkgutil
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from stackmend.tables.releases import NEWEST
from stackmend_lab.cloud import AbsentError, Cloud, CloudRows

#: the variant that every module has
PLANT = "plant"


@dataclass(frozen=True, slots=True)
class Case:
    """One way to break one object, or one healthy object that looks broken."""

    check: str
    variant: str
    make: Callable[[CloudRows], Any]  #: a plant returns the key of the finding
    refused: str = ""  #: part of the reason why it is not repaired, by design
    chosen: str = ""  #: the repair named by the operator, if there are several
    repair: str = ""  #: the repair that mends it, if it is not the one that mends most damage of the check
    #: (check, key) of what else is found until it is repaired, and is not repaired on its own
    beside: Callable[[CloudRows, dict[str, Any]], list[tuple[str, dict[str, Any]]]] = lambda _cloud, _key: []

    def __str__(self) -> str:
        return f"{self.check}:{self.variant}"

    def findings(self, cloud: CloudRows) -> list[tuple[str, dict[str, Any]]]:
        """Break the object; returns (check, key) of everything that an audit finds of it."""
        key = self.make(cloud)
        return [(self.check, key), *self.beside(cloud, key)]


@cache
def modules() -> dict[str, ModuleType]:
    """Each check with the module that causes its damage, by name."""
    found = (m.name for m in pkgutil.walk_packages(__path__, f"{__name__}.") if not m.ispkg)
    names = {name.rpartition(".")[2]: name for name in found}
    return {name.replace("_", "-"): importlib.import_module(names[name]) for name in sorted(names) if name[0] != "_"}


def not_on_lab() -> dict[str, str]:
    """Checks whose repairs the lab cannot prove, with the reasons."""
    return {check: module.NOT_ON_LAB for check, module in modules().items() if hasattr(module, "NOT_ON_LAB")}


def broken() -> Iterator[Case]:
    """Every plant and variant."""
    for check, module in modules().items():
        refused, chosen = getattr(module, "NOT_REPAIRED", {}), getattr(module, "CHOSEN", {})
        beside, mended = getattr(module, "BESIDE", {}), getattr(module, "MENDED_BY", {})
        for variant, make in {PLANT: module.plant, **getattr(module, "VARIANTS", {})}.items():
            more = {"beside": beside[variant]} if variant in beside else {}
            words = (found.get(variant, "") for found in (refused, chosen, mended))
            yield Case(check, variant, make, *words, **more)


def impossible(cloud: Cloud, cases: Iterable[Case], folder: Path) -> dict[Case, str]:
    """The cases that the cloud's release has no rows for, with the reason: each is tried in a copy in this folder."""
    if cloud.release == NEWEST:
        return {}
    copy, found = cloud.copied(folder), {}
    for case in cases:
        try:
            case.make(copy)
        except AbsentError as problem:
            found[case] = str(problem)
    copy.close()
    shutil.rmtree(folder)
    return found


def healthy() -> Iterator[Case]:
    """Every look-alike."""
    for check, module in modules().items():
        for variant, make in getattr(module, "LOOK_ALIKES", {}).items():
            yield Case(check, variant, make)
