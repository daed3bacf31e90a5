# SPDX-License-Identifier: Apache-2.0
"""The errors of openstacksdk, imported when one is asked for: that takes long, and to collect tests needs none."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if not name.endswith("Exception"):  # whoever collects tests asks for much
        raise AttributeError(name)
    from openstack import exceptions

    return getattr(exceptions, name)
