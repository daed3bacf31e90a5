# SPDX-License-Identifier: Apache-2.0
"""Kinds of back ends, a module each, found by walking this package.

A module defines ``LIST``: everything that a back end of this kind holds. SourceError unless all of it was seen. It may
define ``OPENED``: who has some of these objects open.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType

from stackmend.model.objects.storage import BackEnd, Listing, Opened
from stackmend.model.protocols import Hosts

Lister = Callable[[Hosts, BackEnd], Listing]
Opener = Callable[[Hosts, BackEnd, Sequence[str]], Opened]


@cache
def kinds() -> Mapping[str, Lister]:
    """The name of each kind -> how it is listed."""
    return {name: module.LIST for name, module in _modules().items()}


@cache
def openers() -> Mapping[str, Opener]:
    """Likewise, of the kinds that know who has an object open -> how they are asked."""
    return {name: module.OPENED for name, module in _modules().items() if hasattr(module, "OPENED")}


@cache
def _modules() -> Mapping[str, ModuleType]:
    return {one.name: importlib.import_module(f"{__name__}.{one.name}") for one in pkgutil.iter_modules(__path__)}
