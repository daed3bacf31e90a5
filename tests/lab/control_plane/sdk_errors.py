# SPDX-License-Identifier: Apache-2.0
"""The errors of openstacksdk, imported on first use: the import takes long, and collecting tests does not need it."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if not name.endswith("Exception"):  # pytest looks up many names during collection
        raise AttributeError(name)
    from openstack import exceptions

    return getattr(exceptions, name)
