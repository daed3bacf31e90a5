# SPDX-License-Identifier: Apache-2.0
"""What can be broken on the lab: one module a break, found by walking this package.

Each holds ``BREAK`` and ``make(plane)``, which breaks one object and returns the key of the finding to expect, and
``heal(plane)`` where something of the services has to be undone besides what :func:`heal` does for all.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from stackmend.lab.control_plane import Plane
from stackmend.lab.control_plane.progress import Tell, silently
from stackmend.model.errors import UsageError


@dataclass(frozen=True, slots=True)
class Break:
    """One way in which a cloud breaks."""

    name: str
    check: str  #: the check that finds it
    how: Literal["service", "sql"]  #: by what services do (and fail to do), or by a statement in a database
    summary: str  #: what happens, one line
    also: tuple[str, ...] = ()  #: checks that find something of the same damage besides


def modules() -> dict[str, ModuleType]:
    """Name of the break -> its module, in order."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    found = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return {module.BREAK.name: module for module in found}


def breaks() -> list[Break]:
    """Every break."""
    return [module.BREAK for module in modules().values()]


def make(plane: Plane, name: str) -> dict[str, Any]:
    """Break one object; the key of the finding to expect. UsageError where there is no such break."""
    found = modules()
    if name not in found:
        raise UsageError(f"there is no break '{name}'", "'stackmend lab break' lists them.")
    key: dict[str, Any] = found[name].make(plane)
    return key


def heal(plane: Plane, tell: Tell = silently) -> None:
    """Undo what breaks did to services: levers, options, services stopped or forced down. Rows are left as they are.

    They are for ``stackmend`` to mend.
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
