# SPDX-License-Identifier: Apache-2.0
"""Damage for the lab: the plants of the embedded cloud, and damage that only real services can cause.

The latter are one module per break, found by walking this package. Each has ``BREAK`` and ``make(plane)``, which breaks
one object and returns the key of the expected finding, and ``heal(plane)`` if the services need more undone than
:func:`heal` does for all. A check without such a break uses its plant, and every variant of a plant is available as
``check:variant``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal, Protocol

from stackmend.model.errors import UsageError
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.progress import Tell, silently
from stackmend_lab.plants import PLANT, Case, broken


@dataclass(frozen=True, slots=True)
class Break:
    """One way in which a cloud breaks."""

    name: str
    check: str  #: the check that finds it
    how: Literal["service", "sql"]  #: caused by what services do (and fail to do), or by a statement in a database
    summary: str  #: what happens, in one line
    also: tuple[str, ...] = ()  #: other checks that also return findings for the same damage


class Breaking(Protocol):
    """A module of this package, or a plant."""

    BREAK: Break

    def make(self, plane: Plane, /) -> dict[str, Any]: ...


@dataclass(slots=True)
class _Plant:
    BREAK: Break
    make: Callable[[Plane], dict[str, Any]]


@cache
def modules() -> dict[str, Breaking]:
    """Each break, by name, with the module that makes it; there is at least one for every check."""
    names = (m.name for m in pkgutil.walk_packages(__path__, f"{__name__}.") if not m.ispkg and "._" not in m.name)
    found: dict[str, Any] = {m.BREAK.name: m for m in map(importlib.import_module, names)}
    done = {module.BREAK.check for module in found.values()}
    found |= {c.check: _plant(c.check, c) for c in broken() if c.variant == PLANT and c.check not in done}
    return dict(sorted(found.items()))


def breaks() -> list[Break]:
    """Every break with a name of its own."""
    return [module.BREAK for module in modules().values()]


def find(name: str) -> Breaking:
    """A break by its name, or a plant by ``check:variant``. UsageError if it does not exist."""
    if made := modules().get(name):
        return made
    if case := next((case for case in broken() if str(case) == name), None):
        return _plant(name, case)
    raise UsageError(
        f"there is no break '{name}'", "'stackmend lab break' lists them; each plant is one, too, as CHECK:VARIANT."
    )


def make(plane: Plane, name: str) -> dict[str, Any]:
    """Break one object; returns the key of the expected finding. UsageError if the break does not exist."""
    return find(name).make(plane)


def _plant(name: str, case: Case) -> Breaking:
    from stackmend_lab.breaks._planted import plant

    summary = (case.make.__doc__ or "").partition("\n")[0].rstrip(".")
    return _Plant(Break(name, case.check, "sql", summary), partial(plant, case))


def heal(plane: Plane, tell: Tell = silently) -> None:
    """Undo what breaks did to services: levers, options, services stopped or forced down. Rows are not touched.

    They are for ``stackmend`` to repair.
    """
    released = plane.release_all()
    if released:
        tell(f"released {', '.join(released)}")
    changed = plane.reset_options()
    if changed:
        tell(f"options of {', '.join(changed)} are as they were")
    for module in modules().values():
        if hasattr(module, "heal"):
            module.heal(plane)
    plane.up(tell)
    if raised := plane.raise_hosts():
        tell(f"{', '.join(raised)} no longer forced down")
        plane.wait(tell)
