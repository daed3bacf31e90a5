# SPDX-License-Identifier: Apache-2.0
"""Kinds of back ends, a module each, found by walking this package.

A module defines ``LIST``: everything that a back end of this kind holds. SourceError unless all of it was seen.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache

from stackmend.model.objects.storage import BackEnd, Listing
from stackmend.model.protocols import Hosts

Lister = Callable[[Hosts, BackEnd], Listing]


@cache
def kinds() -> Mapping[str, Lister]:
    """The name of each kind -> how it is listed."""
    return {one.name: importlib.import_module(f"{__name__}.{one.name}").LIST for one in pkgutil.iter_modules(__path__)}
